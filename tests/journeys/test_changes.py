"""Cancellations, returns and payments over the whole stack, to the minor unit."""

from tieout.contracts.control import SHOW_JOURNEY, JourneyRequest
from tieout.devstack.calling import call
from tieout.devstack.trading_day import canonical, shopify
from tieout.devstack.trading_day.catalogue import AMPLE, CN, EU, LOOSE, STORE_SHELF, WEB_CONFIRMED
from tieout.devstack.trading_day.sales import part

CREATED, CANCELLED, REFUNDED, PAID = "orders/create", "orders/cancelled", "refunds/create", "order_transactions/create"


def stopped(order):
    return all(line.cancelled_micro for line in order.lines)


def on_account(vouchers, account):
    return sum(line.amount_minor for voucher in vouchers for line in voucher.lines if line.account == account)


async def test_a_credit_before_its_order_says_for_whom_it_waits(trade):
    sale = trade.sale(LOOSE, company=CN, warehouse=STORE_SHELF)
    line = sale.lines[0]
    await trade.office(canonical.credit(sale, f"C{sale.number}", sale.at, line, line.quantity_micro, "yes"))
    waits = f"waits for order {sale.number} to ship"
    await trade.until(lambda: trade.journey(sale), lambda found: [s.step for s in found.steps if s.step == waits])
    await trade.office(canonical.order(sale))
    done = await trade.until(lambda: trade.journey(sale), lambda found: "credited" in [s.step for s in found.steps])
    assert waits not in [step.step for step in done.steps]


async def test_a_paid_order_is_complete(trade):
    sale = trade.sale()
    await trade.shop(CREATED, shopify.order(sale))
    await trade.shop(PAID, shopify.transaction(sale, sale.serial, sale.at, sale.gross_minor))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.completed)
    assert (shown.summary.payment, shown.summary.owed_minor) == ("paid", 0)


async def test_money_that_comes_before_the_goods_is_applied_when_they_leave(trade):
    sale = trade.sale(AMPLE[4], warehouse=WEB_CONFIRMED)
    await trade.shop(PAID, shopify.transaction(sale, sale.serial, sale.at, sale.gross_minor))
    await trade.shop(CREATED, shopify.order(sale))
    await trade.office(canonical.confirmation(sale, f"GI-{sale.number}", sale.at, WEB_CONFIRMED))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.completed)
    assert shown.summary.settled_minor == sale.gross_minor


async def test_a_cancellation_in_time_leaves_nothing_to_bill(trade):
    sale = trade.sale(warehouse=WEB_CONFIRMED)
    await trade.shop(CREATED, shopify.order(sale))
    await trade.shop(CANCELLED, shopify.cancelled(sale, sale.at))
    shown = await trade.until(
        lambda: trade.order(sale), lambda found: all(line.cancelled_micro for line in found.lines)
    )
    assert (shown.summary.billing, shown.summary.fulfilment) == ("unbilled", "closed_short")
    assert await trade.vouchers(sale) == []


async def test_a_cancellation_before_its_order_waits_for_it(trade):
    sale = trade.sale(warehouse=WEB_CONFIRMED)
    await trade.shop(CANCELLED, shopify.cancelled(sale, sale.at))
    await trade.shop(CREATED, shopify.order(sale))
    shown = await trade.until(
        lambda: trade.order(sale), lambda found: all(line.cancelled_micro for line in found.lines)
    )
    assert shown.summary.fulfilment == "closed_short"


async def test_a_cancellation_before_its_order_is_in_time_even_where_goods_leave_at_once(trade):
    sale = trade.sale()
    await trade.shop(CANCELLED, shopify.cancelled(sale, sale.at))
    waits = f"waits for order {sale.number}"  # Two documents of one moment may be taken up in any order.
    await trade.until(lambda: trade.journey(sale), lambda found: waits in [step.step for step in found.steps])
    await trade.shop(CREATED, shopify.order(sale))
    shown = await trade.until(lambda: trade.order(sale), stopped)
    assert (shown.summary.billing, shown.summary.fulfilment) == ("unbilled", "closed_short")
    assert await trade.vouchers(sale) == []


async def test_a_cancellation_of_what_has_left_changes_nothing(trade):
    sale = trade.sale()
    await trade.shop(CREATED, shopify.order(sale))
    await trade.until(lambda: trade.order(sale), lambda found: found.summary.fulfilment == "shipped")
    await trade.shop(CANCELLED, shopify.cancelled(sale, sale.at))
    assert (await trade.agreement()).verdict == "agree"
    assert all(line.cancelled_micro == 0 for line in (await trade.order(sale)).lines)


async def test_a_return_gives_back_goods_price_tax_and_cost(trade):
    sale = trade.sale(AMPLE[5], pieces=3)
    await trade.shop(CREATED, shopify.order(sale))
    await trade.shop(REFUNDED, shopify.refund(sale, sale.serial, sale.at, [(sale.lines[0], 1, "return")]))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.credited_minor)
    line = sale.lines[0]
    third = part(line.net_minor, 1_000_000, 3_000_000) + part(line.tax_minor, 1_000_000, 3_000_000)
    assert shown.summary.credited_minor == third
    # Goods and price come back in a voucher each, in any order.
    await trade.until(
        lambda: trade.vouchers(sale),
        lambda found: (_of("6401", found), _of("1122", found)) == (2 * AMPLE[5].cost_minor, sale.gross_minor - third),
    )


def _of(account, vouchers):
    return sum(line.amount_minor for voucher in vouchers for line in voucher.lines if line.account == account)


async def test_half_a_weighed_quantity_comes_back(trade):
    sale = trade.sale(LOOSE, company=CN, warehouse=STORE_SHELF)
    line = sale.lines[0]
    await trade.office({**canonical.order(sale)})
    half = line.quantity_micro // 4
    credit = canonical.credit(sale, f"C{sale.number}", sale.at, line, half, "yes")
    await trade.office(credit)
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.credited_minor)
    assert shown.lines[0].credited_micro == half


async def test_an_overpayment_stays_with_the_customer(trade):
    sale = trade.sale()
    await trade.shop(CREATED, shopify.order(sale))
    await trade.shop(PAID, shopify.transaction(sale, sale.serial, sale.at, sale.gross_minor + 500))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.settled_minor)
    assert shown.summary.settled_minor >= sale.gross_minor
    assert (await trade.agreement()).verdict == "agree"


async def test_a_payment_is_found_by_its_number_and_stands_in_its_orders_journey_though_nothing_was_open(trade):
    sale = trade.sale()
    await trade.shop(CREATED, shopify.order(sale))
    await trade.until(lambda: trade.vouchers(sale), bool)
    numbers = [f"P-{sale.number}-{part}" for part in (1, 2)]
    for number in numbers:
        await trade.office(canonical.payment(EU, number, sale.at, 7, sale.gross_minor, [(sale, None)]))

    async def paid(request):
        (journey,) = (await call(trade.client, SHOW_JOURNEY, request)).journeys
        assert journey.order_no == sale.number
        return [step.document for step in journey.steps if step.step == "paid" and step.voucher_no]

    for asked in (sale.number, *numbers):
        request = JourneyRequest(asked, company=sale.company.code)
        await trade.until(lambda request=request: paid(request), lambda found: found == numbers)
    for voucher in await trade.vouchers(sale):
        assert await paid(JourneyRequest(voucher.voucher_no, company=sale.company.code)) == numbers
    (journey,) = (await call(trade.client, SHOW_JOURNEY, JourneyRequest(sale.number, sale.company.code))).journeys
    (money,) = journey.money
    assert [one.number for one in money.papers] == numbers[:1]  # Nothing of the second is for this order.
    assert (money.received_minor, money.applied_minor, money.held_minor) == (sale.gross_minor, sale.gross_minor, 0)
    assert (money.open_minor, journey.papers) == (0, ())


async def test_a_payment_of_several_orders_leads_to_them_all_by_its_number_and_by_its_voucher(trade):
    first, second = trade.sale(), trade.sale()
    for sale in (first, second):
        await trade.shop(CREATED, shopify.order(sale))
        await trade.until(lambda sale=sale: trade.vouchers(sale), bool)
    number, whole = f"P-{first.number}-both", first.gross_minor + second.gross_minor
    named = [(first, first.gross_minor), (second, second.gross_minor)]
    await trade.office(canonical.payment(EU, number, first.at, 7, whole, named))
    vouchers = await trade.until(lambda: trade.vouchers(first), lambda found: len(found) == 2)
    (paid,) = [voucher.voucher_no for voucher in vouchers if voucher.document_no == number]
    await trade.agreement()  # Until control has heard of the payment too: it has a journey of its own then.
    for asked in (number, paid):
        told = await call(trade.client, SHOW_JOURNEY, JourneyRequest(asked, company=EU.code))
        assert ([one.order_no for one in told.choices], told.journeys) == ([first.number, second.number], ())
