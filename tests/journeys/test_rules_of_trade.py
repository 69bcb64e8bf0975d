"""Scrapped returns, discounts inside payments, late money and credit limits over the whole stack, to the minor unit."""

from tieout.contracts.credit_limit import PUT_CREDIT_LIMIT, PutCreditLimit
from tieout.contracts.order import OUTCOMES, OutcomesRequest
from tieout.devstack.calling import call
from tieout.devstack.trading_day import canonical
from tieout.devstack.trading_day.catalogue import CN, LOOSE, OFFICE, STORE_SHELF, WEB_CONFIRMED


def on_account(vouchers, account, templates=()):
    lines = [line for one in vouchers if not templates or one.template in templates for line in one.lines]
    return sum(x.amount_minor if x.side == "debit" else -x.amount_minor for x in lines if x.account == account)


async def sold(trade, **more):
    sale = trade.sale(LOOSE, company=CN, warehouse=STORE_SHELF, **more)
    await trade.office(canonical.order(sale))
    return sale


def paid(sale, number, amount, **allocation):
    body = canonical.payment(sale.company, number, sale.at, sale.customer, amount, [])
    named = {"order_source": OFFICE, "order_number": sale.number, **allocation}
    return {**body, "allocations": [named]}


async def test_what_comes_back_to_be_scrapped_is_a_shortage_of_the_same_value(trade):
    sale = await sold(trade)
    line = sale.lines[0]
    credit = canonical.credit(sale, f"C{sale.number}", sale.at, line, line.quantity_micro // 2, "scrap")
    await trade.office(credit)
    vouchers = await trade.until(
        lambda: trade.vouchers(sale), lambda found: {"T01", "T05", "T05s", "T19"} <= {one.template for one in found}
    )
    assert on_account(vouchers, "1405", ("T05s", "T19")) == 0
    assert on_account(vouchers, "1901") == -on_account(vouchers, "6401", ("T05s",)) > 0
    assert "scrapped" in [step.step for step in (await trade.journey(sale)).steps]
    assert (await trade.agreement()).verdict == "agree"


async def test_a_discount_inside_a_payment_completes_its_order(trade):
    sale = await sold(trade)
    await trade.office(paid(sale, f"P{sale.number}", sale.gross_minor - 5, discount_minor=5))
    shown = await trade.until(lambda: trade.order(sale), lambda found: found.summary.completed)
    assert (shown.summary.payment, shown.summary.owed_minor) == ("paid", 0)
    assert on_account(await trade.vouchers(sale), "6001.08") == 5


async def test_money_that_comes_after_its_order_was_cancelled_is_owed_back(trade):
    sale = trade.sale(warehouse=WEB_CONFIRMED)
    await trade.office(canonical.order(sale), canonical.cancel(sale, f"X{sale.number}", sale.at))
    await trade.until(lambda: trade.order(sale), lambda found: all(line.cancelled_micro for line in found.lines))
    await trade.office(paid(sale, f"P{sale.number}", sale.gross_minor))
    vouchers = await trade.until(lambda: trade.vouchers(sale), len)
    assert on_account(vouchers, "2241.01") == -sale.gross_minor
    assert (await trade.agreement()).verdict == "agree"


async def test_a_customer_orders_no_more_than_his_credit_limit(trade):
    async def limit(amount):
        asked = PutCreditLimit(company=CN.code, customer="cust-77", currency=CN.currency, limit_minor=amount)
        return await call(trade.client, PUT_CREDIT_LIMIT, asked)

    assert (await limit(1)).used_minor == 0
    sale = await sold(trade, customer=77)

    async def refused():
        answer = await call(trade.client, OUTCOMES, OutcomesRequest(company=CN.code))
        return [one.documents for one in answer.outcomes if one.reason == "above_credit_limit"]

    assert await trade.until(refused, len) == [1]
    assert (await limit(None)).limit_minor is None
    await trade.office(canonical.order(sale))
    await trade.until(lambda: trade.order(sale), lambda found: found.summary.fulfilment == "shipped")
    assert (await trade.agreement()).verdict == "agree"
