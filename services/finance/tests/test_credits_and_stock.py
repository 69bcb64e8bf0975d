"""Credit notes in red, and everything that inventory says about stock."""

from contextlib import nullcontext
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from tieout.contracts import finance, inventory
from tieout.finance.flows import close_period
from tieout.servicekit import Refused


async def test_a_return_posts_red_figures_on_the_sides_of_its_sale(desk):
    credit = desk.credited((100, 13))
    await desk.give(desk.placed(), desk.shipped(), credit)
    assert (await desk.vouchers())[-1] == (
        "T05",
        [("D", "1122", -113), ("C", "6001.01", -100), ("C", "2221.01.01", -13)],
    )
    await desk.give(desk.returned(credit_id=credit.credit_id))
    assert (await desk.vouchers())[-1] == ("T05s", [("D", "6401", -100), ("C", "1405", -100)])
    turnovers = (await desk.ask(finance.ACCOUNTS, company="C1")).turnovers
    (cost,) = [one for one in turnovers if one.account == "6401"]
    assert (cost.debit_minor, cost.credit_minor, cost.red_debit_minor) == (200, 0, 100)
    assert await desk.violations() == []


async def test_kept_goods_are_t06_and_allowances_t07_on_their_own_account(desk):
    await desk.give(desk.placed(), desk.shipped())
    await desk.give(desk.credited((50, 6), restock=False))
    await desk.give(desk.credited((20, 2), restock=False, quantity=0, account="allowance", credit_no="R2"))
    assert [template for template, _ in await desk.vouchers()] == ["T01", "T06", "T07"]
    balances = await desk.balances()
    assert (balances["1122"], balances["6001.01"], balances["6001.08"]) == (261, -250, 20)
    assert await desk.violations() == []


async def test_a_credit_waits_until_its_sale_is_billed(desk):
    message = desk.message(desk.credited((100, 13)))
    await desk.give(message)
    assert await desk.parked() == [("finance-credit-returns", str(desk.id()))]
    await desk.give(desk.shipped())
    assert await desk.parked() == []
    assert [template for template, _ in await desk.vouchers()] == ["T01", "T05"]
    assert await desk.rows("SELECT order_no, awaited FROM open_item") == [("1001", False)]
    await desk.give(message)
    assert len(await desk.vouchers()) == 2
    assert await desk.violations() == []


async def test_a_credit_sets_applied_money_free(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.pay(339, ("1001", 339)), desk.credited((100, 13)))
    assert (await desk.vouchers())[-1] == ("T10c", [("D", "1122", 113), ("C", "2203", 113)])
    told = await desk.announced(finance.OrdersSettled)
    assert [(one.cause, one.items[0].amount_minor) for one in told] == [("payment", 339), ("credit", -113)]
    await desk.give(desk.refund(113, "1001"))
    assert (await desk.vouchers())[-1] == ("T08", [("D", "2203", 113), ("C", "1002", 113)])
    assert "1122" not in await desk.balances()
    assert await desk.violations() == []


async def test_an_unlinked_credit_is_the_customers(desk):
    await desk.give(desk.credited((100, 13), number=None))
    assert (await desk.balances())["1122"] == -113
    await desk.give(desk.refund(113))
    assert "1122" not in await desk.balances()
    assert await desk.announced(finance.OrdersSettled) == []
    assert await desk.violations() == []


async def test_stock_documents_post_what_inventory_announced(desk):
    opening, purchase = desk.moved("opening", (10, 500), (1, 0)), desk.moved("purchase", (5, 250))
    count, revalued = desk.moved("adjusted", (-2, -100), (1, 50)), desk.moved("revalued", (0, -30))
    messages = [desk.message(fact) for fact in (opening, purchase, count, revalued, desk.moved("revalued", (0, 8)))]
    await desk.give(*messages)
    await desk.give(*messages)
    assert await desk.vouchers() == [
        ("T16", [("D", "1405", 500), ("C", "4104.99", 500)]),
        ("T17", [("D", "1405", 250), ("C", "2202.02", 250)]),
        ("T19", [("D", "1901", 100), ("D", "1405", 50), ("C", "1405", 100), ("C", "1901", 50)]),
        ("T18r", [("D", "6401", 30), ("C", "1405", 30)]),
        ("T18r", [("D", "1405", 8), ("C", "6401", 8)]),
    ]
    assert (await desk.balances())["1405"] == 678
    assert await desk.rows(
        "SELECT sum(quantity_micro)::bigint, sum(value_minor)::bigint, count(*) FROM posted_line"
    ) == [(15_000_000, 678, 7)]
    assert await desk.violations() == []


async def test_a_months_average_is_posted_against_what_took_the_goods_into_the_month_that_it_is_announced_for(desk):
    lines = (
        inventory.MovedLine(1, "A", 0, -250),
        inventory.MovedLine(2, "A", 0, -100, "sample"),
        inventory.MovedLine(3, "B", 0, 30, "count_difference"),
    )
    told = {"cause_no": "2026-11", "reason": "period_average", "business_date": date(2026, 11, 30)}
    await desk.give(desk.moved("revalued", **told | {"lines": lines}))
    assert await desk.vouchers() == [
        ("T18r", [("D", "6401", 250), ("D", "6601.05", 100), ("C", "1405", 320), ("C", "1901", 30)]),
    ]
    counted = {"company": "C1", "source": "", "number": "2026-11", "cause": "management", "reason": "average"}
    asked = await desk.ask_as("Li", finance.REQUEST_COUNT_APPROVAL, **counted)
    await desk.ask_as("Wang", finance.DECIDE_REQUEST, request_id=asked.request_id)
    assert (await desk.vouchers())[-1] == ("T19b", [("D", "1901", 30), ("C", "6602.08", 30)])
    await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-11")
    await desk.give(desk.moved("revalued", **told | {"lines": lines[:1], "period": "2026-12"}))
    vouchers = (await desk.ask(finance.VOUCHERS)).vouchers
    assert [(one.period, one.posting_date, one.deferred_from) for one in vouchers] == [
        ("2026-12", date(2026, 12, 1), "2026-11"),
        ("2026-11", date(2026, 11, 30), ""),
        ("2026-11", date(2026, 11, 30), ""),
    ]
    assert await desk.violations() == []


async def test_a_stock_document_without_value_is_noted_but_not_posted(desk):
    await desk.give(desk.moved("opening", (10, 0)))
    assert await desk.vouchers() == []
    assert await desk.rows("SELECT quantity_micro, value_minor FROM posted_line") == [(10_000_000, 0)]


async def test_what_comes_after_a_close_goes_into_the_first_open_period(desk):
    await desk.give(desk.shipped(number="1"))
    closed = await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-11")
    assert (closed.first_open, closed.vouchers, closed.repeated) == ("2026-12", 1, False)
    again = await desk.ask_as("Wang", finance.CLOSE_PERIOD, company="C1", period="2026-10")
    assert (again.closed_by, again.repeated) == ("Li", True)
    await desk.give(desk.shipped(number="2"))
    late = (await desk.ask(finance.VOUCHERS, order_no="2")).vouchers[0]
    assert (late.voucher_no, late.posting_date, late.deferred_from, late.business_date) == (
        "记-2026-12-000001",
        date(2026, 12, 1),
        "2026-11",
        date(2026, 11, 30),
    )
    assert [one.first_open for one in await desk.announced(finance.PeriodClosed)] == ["2026-12"]
    assert await desk.violations() == []


async def test_a_period_stays_open_until_it_has_ended_where_the_company_is(desk, monkeypatch):
    monkeypatch.undo()
    this_month = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y-%m}"
    for period in (this_month, "2999-01"):
        with pytest.raises(Refused, match="Close it when it is over") as caught:
            await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period=period)
        assert (caught.value.problem.code, caught.value.problem.status) == ("period_not_ended", 409)
    closed = await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2024-02")
    assert (closed.first_open, closed.closed_by) == ("2024-03", "Li")


async def test_nobody_closes_a_period_in_no_name(desk):
    with pytest.raises(Refused, match="Nobody knows who asks"):
        await desk.ask(finance.CLOSE_PERIOD, company="C1", period="2024-02")


@pytest.mark.parametrize(
    ("day", "closes"), [(date(2026, 11, 30), False), (date(2026, 12, 1), True), (date(2026, 11, 1), False)]
)
def test_the_day_after_its_last_a_period_may_be_closed(day, closes):
    with nullcontext() if closes else pytest.raises(Refused):
        close_period.refuse_before_its_end("2026-11", day, "Asia/Shanghai")


async def test_a_lower_price_for_goods_that_stay_sold_is_an_allowance(desk):
    await desk.give(desk.placed(), desk.shipped(), desk.credited((10, 1), restock=False, quantity=0))
    assert (await desk.vouchers())[-1] == ("T07", [("D", "1122", -11), ("C", "6001.08", -10), ("C", "2221.01.01", -1)])
    assert await desk.violations() == []
