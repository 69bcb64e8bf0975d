"""Two currencies: realised differences when money comes, unrealised ones at the end of a period."""

from datetime import date

import pytest
from tieout.contracts import finance
from tieout.finance.domain.chart import CHART, ROLES
from tieout.finance.domain.revaluing import monetary_accounts
from tieout.servicekit import Refused

LAST = date(2026, 11, 30)


def test_goods_and_money_for_goods_to_come_are_never_valued_at_a_closing_rate():
    found = monetary_accounts({**ROLES, "wallet:stripe": "1012.01"}, [account.code for account in CHART])
    assert found == ["1002", "1012.01", "1122", "2202.01", "2202.02", "2241.01"]


async def rate(desk, rate_micro, day=LAST, company="C1", currency="USD"):
    asked = {"company": company, "currency": currency, "date": day, "rate_micro": rate_micro}
    return await desk.ask_as("Li", finance.PUT_RATE, **asked)


async def revalue(desk, period="2026-11", company="C1"):
    return (await desk.ask_as("Li", finance.REVALUE_PERIOD, company=company, period=period)).currencies


async def functional(desk, company="C1", period="9999-12") -> dict[str, int]:
    found = await desk.rows(
        "SELECT l.account, sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::bigint"
        " FROM voucher v JOIN voucher_line l USING (position) WHERE v.company = $1 AND v.period <= $2 GROUP BY 1",
        company,
        period,
    )
    return {account: amount for account, amount in found if amount}


async def sell_and_take_money(desk, company="C1"):
    """10.00 dollars billed at 7.00, 4.00 paid at 7.20, and 5.00 of a deposit at 7.10."""
    dollars = {"company": company, "currency": "USD"}
    await desk.give(
        desk.shipped(desk.part(net=1000, tax=0, cost_minor=0), **dollars, rate_micro=7_000_000),
        desk.pay(400, ("1001", 400), **dollars, rate_micro=7_200_000),
        desk.pay(500, number="P2", **dollars, rate_micro=7_100_000),
    )


async def test_open_items_are_valued_at_the_closing_rate_and_reversed_the_day_after(desk):
    await sell_and_take_money(desk)
    booked = await functional(desk)
    with pytest.raises(Refused, match=r"no closing rate of USD in 2026-11.*rates/USD/2026-11-30"):
        await revalue(desk)
    await rate(desk, 6_500_000, date(2026, 11, 2))
    assert (await rate(desk, 7_500_000)).put_by == "Li"
    (told,) = await revalue(desk)
    assert (told.rate_micro, told.rate_date, told.change_minor) == (7_500_000, LAST, 300 + 120 + 200)
    vouchers = await desk.vouchers()
    assert [template for template, _ in vouchers[-2:]] == ["T21", "T21r"]
    lines = await desk.rows(
        "SELECT v.period, v.posting_date, l.side::text, l.account, l.amount_minor, l.functional_minor"
        " FROM voucher v JOIN voucher_line l USING (position) WHERE template LIKE 'T21%' ORDER BY position, line_no"
    )
    first = date(2026, 12, 1)
    assert lines == [
        ("2026-11", LAST, "D", "1002", 0, 320),
        ("2026-11", LAST, "D", "1122", 0, 300),
        ("2026-11", LAST, "C", "6603.04", 0, 620),
        ("2026-12", first, "D", "1002", 0, -320),
        ("2026-12", first, "D", "1122", 0, -300),
        ("2026-12", first, "C", "6603.04", 0, -620),
    ]
    assert (await functional(desk, period="2026-11"))["1122"] == 600 * 75 // 10
    assert (await functional(desk, period="2026-11"))["2203"] == booked["2203"] == -3550
    assert await functional(desk) == booked
    assert await desk.violations() == []


async def test_a_revaluation_asked_again_posts_what_has_changed_since(desk):
    await desk.open("C2", "USD")
    await sell_and_take_money(desk)
    await desk.give(desk.shipped(number="9", company="C2", cost_currency="USD", currency="USD"))
    await rate(desk, 7_500_000)
    await revalue(desk)
    (again,) = await revalue(desk)
    assert (again.change_minor, again.voucher_no, again.reversal_no) == (0, "", "")
    await rate(desk, 7_400_000)
    (corrected,) = await revalue(desk)
    assert corrected.change_minor == -60 - 90
    assert (await functional(desk, period="2026-11"))["1122"] == 600 * 74 // 10
    assert await revalue(desk, company="C2") == ()
    assert await desk.violations() == []


async def test_a_close_tells_which_currencies_nobody_has_valued(desk):
    await sell_and_take_money(desk)
    closed = await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-10")
    assert closed.not_revalued == ()
    closed = await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-11")
    assert closed.not_revalued == ("USD",)
    with pytest.raises(Refused, match="2026-11 of C1 is closed"):
        await revalue(desk)
    await rate(desk, 7_500_000, date(2026, 12, 31))
    await revalue(desk, "2026-12")
    closed = await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-12")
    assert closed.not_revalued == ()
    with pytest.raises(Refused, match="books of C1 are in CNY"):
        await rate(desk, 7_500_000, currency="CNY")
    assert await desk.violations() == []


async def test_what_is_settled_after_a_revaluation_has_its_whole_difference_realised(desk):
    dollars = {"currency": "USD", "cost_currency": "CNY"}
    await desk.give(desk.shipped(desk.part(net=1000, tax=0, cost_minor=0), **dollars, rate_micro=7_000_000))
    await rate(desk, 7_500_000)
    await revalue(desk)
    paid = desk.pay(1000, ("1001", 1000), currency="USD", rate_micro=7_300_000, business_date=date(2026, 12, 5))
    await desk.give(paid)
    assert (await functional(desk))["6603.03"] == -300
    assert "6603.04" not in await functional(desk)
    assert "1122" not in await functional(desk)
    assert await desk.violations() == []
