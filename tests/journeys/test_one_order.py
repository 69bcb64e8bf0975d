"""One order from a satellite's bytes to a balanced voucher, seen from outside."""

import msgspec
from tieout.devstack.satellites import Till
from tieout.devstack.trading_day import canonical, shopify
from tieout.devstack.trading_day.catalogue import AMPLE, CARRIAGE, CN, STORE, STORE_SHELF, WEB_CONFIRMED

CREATED = "orders/create"


async def test_an_order_becomes_one_balanced_voucher(trade):
    sale = trade.sale(AMPLE[0], AMPLE[1], CARRIAGE, pieces=1)
    answer = await trade.shop(CREATED, shopify.order(sale))
    assert answer.status == 202
    (voucher,) = await trade.until(lambda: trade.vouchers(sale), bool)
    debits = sum(line.amount_minor for line in voucher.lines if line.side == "debit")
    credited = sum(line.amount_minor for line in voucher.lines if line.side == "credit")
    assert debits == credited
    by_account = {line.account: line.amount_minor for line in voucher.lines}
    assert by_account["1122"] == sale.gross_minor
    assert by_account["6001.02"] == CARRIAGE.price_minor
    assert by_account["6401"] == by_account["1405"] == AMPLE[0].cost_minor + AMPLE[1].cost_minor

    def done(found):
        return (found.summary.fulfilment, found.summary.billing) == ("shipped", "billed")

    shown = await trade.until(
        lambda: trade.order(sale), done
    )  # It hears inventory and finance on streams of their own.
    assert shown.summary.payment == "unpaid"


async def test_its_journey_names_every_step_and_the_voucher(trade):
    sale = trade.sale()
    await trade.shop(CREATED, shopify.order(sale))
    (voucher,) = await trade.until(lambda: trade.vouchers(sale), bool)
    journey = await trade.until(lambda: trade.journey(sale), lambda found: voucher.voucher_no in found.vouchers)
    assert {step.service for step in journey.steps} >= {"gateway", "order", "inventory", "finance"}
    times = [step.at for step in journey.steps]
    assert journey.began_at == min(times)
    assert journey.trace_id


async def test_the_same_webhook_twice_is_one_order_and_other_content_a_conflict(trade):
    sale = trade.sale()
    body = shopify.order(sale)
    await trade.shop(CREATED, body)
    await trade.shop(CREATED, body)
    other = trade.sale(pieces=5)
    changed = shopify.order(other) | {key: body[key] for key in ("id", "name", "order_number")}
    await trade.until(lambda: trade.order(sale), lambda found: found.summary.fulfilment == "shipped")
    await trade.shop(CREATED, changed)
    await trade.agreement()
    shown = await trade.order(sale)
    assert shown.summary.net_minor + shown.summary.tax_minor == sale.gross_minor
    assert len(await trade.vouchers(sale)) == 1


async def test_a_retried_delivery_is_kept_once(trade):
    body = shopify.order(trade.sale())
    first = await trade.shop(CREATED, body, delivery="the-same")
    second = await trade.shop(CREATED, body, delivery="the-same")
    told, again = msgspec.json.decode(first.body), msgspec.json.decode(second.body)
    assert again == told | {"resumed": True}


async def test_a_forged_signature_is_turned_away(trade):
    answer = await trade.shop(CREATED, shopify.order(trade.sale()), genuine=False)
    assert answer.status == 401
    assert b"problem" in answer.body or b"title" in answer.body


async def test_goods_that_a_warehouse_confirms_are_billed_in_parts_that_add_up(trade):
    sale = trade.sale(AMPLE[2], pieces=3, warehouse=WEB_CONFIRMED)
    await trade.shop(CREATED, shopify.order(sale))
    for part in (1, 2):
        body = canonical.confirmation(sale, f"GI-{sale.number}-{part}", sale.at, WEB_CONFIRMED, [(1, part * 1_000_000)])
        await trade.office(body)
    vouchers = await trade.until(lambda: trade.vouchers(sale), lambda found: len(found) == 2)
    assert sum(line.amount_minor for v in vouchers for line in v.lines if line.account == "1122") == sale.gross_minor


async def test_a_store_sells_on_while_it_is_cut_off_and_everything_arrives_once(trade):
    till = Till(trade.stack.endpoints().sites[STORE])
    await till.open()
    sales = [trade.sale(AMPLE[3], company=CN, warehouse=STORE_SHELF) for _ in range(20)]
    trade.stack.cut(STORE)
    try:
        for sale in sales:
            await till.sell("order", f"till-{sale.number}", msgspec.json.encode(canonical.order(sale)), lambda: None)
        await till.flush()
    finally:
        trade.stack.mend(STORE)
        await till.close()
    for sale in sales:
        assert len(await trade.until(lambda sale=sale: trade.vouchers(sale), bool)) == 1
    assert (await trade.agreement()).verdict == "agree"
