"""Where the tax point is later than goods issue: 2221.06 first, 2221.01.01 when money or an invoice comes."""

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tieout.contracts import finance
from tieout.finance.domain.open_item import OpenItem
from tieout.servicekit import Refused

TAXES = ("2221.01.01", "2221.06")


async def taxes(desk, **more) -> tuple[int, ...]:
    found = await desk.balances(**more)
    return tuple(found.get(account, 0) for account in TAXES)


@given(some.integers(0, 10**6), some.integers(0, 10**5), some.lists(some.integers(0, 10**5), max_size=8))
def test_tax_follows_money_in_parts_that_add_up(net, tax, payments):
    item = OpenItem(UUID(int=1), "CNY", "C1", "K1", "shop", "1001", True, tax_point="payment")
    item.billed, item.tax_billed = net + tax, tax
    due = 0
    for amount in [*payments, net + tax]:
        item.received += amount
        item.settle()
        assert due <= item.tax_due <= tax
        due = item.tax_due
    assert item.tax_due == tax
    item.refunded = item.received
    item.settle()
    assert item.tax_due == (0 if net + tax else tax)


async def test_tax_is_due_as_money_is_applied(desk):
    await desk.open(tax_point="payment")
    await desk.give(desk.placed(), desk.shipped())
    assert (await desk.vouchers())[-1][1][:3] == [("D", "1122", 339), ("C", "6001.01", 300), ("C", "2221.06", 39)]
    await desk.give(desk.pay(100, ("1001", 100)))
    assert (await desk.vouchers())[-2:] == [
        ("T09", [("D", "1002", 100), ("C", "1122", 100)]),
        ("T01t", [("D", "2221.06", 12), ("C", "2221.01.01", 12)]),
    ]
    await desk.give(desk.pay(100, ("1001", 100), number="P2"), desk.pay(139, ("1001", 139), number="P3"))
    assert await taxes(desk) == (-39, 0)
    await desk.give(desk.refund(339, "1001"))
    assert (await desk.vouchers())[-1] == ("T01t", [("D", "2221.06", -39), ("C", "2221.01.01", -39)])
    assert await taxes(desk) == (0, -39)
    assert await desk.violations() == []


async def test_prepaid_tax_is_due_when_its_goods_leave_and_not_before(desk):
    await desk.open(tax_point="payment")
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)))
    assert await taxes(desk) == (0, -39)
    await desk.give(desk.shipped(desk.part(0, 1)))
    assert (await desk.vouchers())[-1] == (
        "T11b",
        [("D", "2204", 100), ("D", "2221.06", 13), ("D", "2221.06", 13), ("C", "1122", 113), ("C", "2221.01.01", 13)],
    )
    await desk.give(desk.shipped(desk.part(1, 3)))
    assert await taxes(desk) == (-39, 0)
    assert await desk.violations() == []


async def test_a_credit_takes_the_tax_back_from_where_it_stands(desk):
    await desk.open(tax_point="payment")
    await desk.give(desk.placed(), desk.shipped(), desk.pay(226, ("1001", 226)))
    assert await taxes(desk) == (-26, -13)
    await desk.give(desk.credited((100, 13)))
    red = [("D", "1122", -113), ("C", "6001.01", -100), ("C", "2221.06", -13)]
    assert (await desk.vouchers())[-1] == ("T05", red)
    await desk.give(desk.credited((100, 13), credit_no="R2"))
    assert (await desk.vouchers())[-2:] == [
        ("T05", [("D", "1122", -113), ("C", "6001.01", -100), ("C", "2221.01.01", -13)]),
        ("T10c", [("D", "1122", 113), ("C", "2203", 113)]),
    ]
    await desk.give(desk.credited((50, 7), number=None, credit_no="R3"), desk.refund(57))
    assert await taxes(desk) == (-6, 0)
    assert await desk.violations() == []


async def test_an_order_keeps_the_tax_point_of_its_first_shipment(desk):
    await desk.give(desk.placed("1"), desk.placed("2"), desk.shipped(desk.part(0, 1), number="1"))
    await desk.open(tax_point="payment")
    await desk.give(desk.shipped(desk.part(1, 3), number="1"), desk.shipped(number="2"))
    await desk.open(tax_point="goods_issue")
    await desk.give(desk.shipped(number="3"))
    assert await taxes(desk) == (-78, -39)
    await desk.give(desk.pay(339, ("2", 339)))
    assert await taxes(desk) == (-117, 0)
    assert await desk.violations() == []


async def test_pending_tax_in_a_foreign_currency_is_gone_when_it_is_paid_in_parts(desk):
    await desk.open("C2", "CNY", tax_point="payment")
    dollars = {"company": "C2", "currency": "USD", "rate_micro": 7_123_457}
    await desk.give(
        desk.shipped(desk.part(0, 1, cost_minor=0), **dollars), desk.shipped(desk.part(1, 3, cost_minor=0), **dollars)
    )
    for number, amount in enumerate((100, 1, 99, 139)):
        paid = desk.pay(amount, ("1001", amount), number=f"P{number}", **{**dollars, "rate_micro": 7_000_000})
        await desk.give(paid)
    await desk.give(desk.shipped(number="2001"))
    found = await desk.rows(
        "SELECT l.account, sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END)::bigint,"
        " sum(CASE l.side WHEN 'D' THEN l.functional_minor ELSE -l.functional_minor END)::bigint"
        " FROM voucher v JOIN voucher_line l USING (position) WHERE company = 'C2' AND account LIKE '2221%' GROUP BY 1"
    )
    assert sorted(found) == [("2221.01.01", -39, -278), ("2221.06", 0, 0)]
    assert await desk.violations() == []


async def invoice(desk, number="A1", tax=39, **more):
    given = {"order_no": "1001", "order_source": "shop", "net_minor": 300, "business_date": date(2026, 11, 30), **more}
    asked = {"company": "C1", "number": number, "currency": "CNY", "tax_minor": tax, **given}
    return await desk.ask_as("Li", finance.ISSUE_INVOICE, **asked)


async def test_an_invoice_makes_the_tax_due_once(desk):
    await desk.open(tax_point="invoice")
    await desk.give(desk.placed(), desk.shipped(), desk.pay(339, ("1001", 339)))
    assert await taxes(desk) == (0, -39)
    view = await invoice(desk, tax=13, net_minor=100)
    assert (view.tax_due_minor, view.tax_pending_minor, view.repeated) == (13, 26, False)
    assert (await desk.vouchers())[-1] == ("T01t", [("D", "2221.06", 13), ("C", "2221.01.01", 13)])
    again = await invoice(desk, tax=13, net_minor=100)
    assert (again.repeated, again.voucher_no) == (True, view.voucher_no)
    with pytest.raises(Refused, match="other content"):
        await invoice(desk, tax=14, net_minor=100)
    with pytest.raises(Refused, match="26 can still be invoiced") as caught:
        await invoice(desk, "A2", tax=27)
    assert caught.value.problem.field == "tax_minor"
    await invoice(desk, "A2", tax=26, net_minor=200)
    assert await taxes(desk) == (-39, 0)
    assert await desk.violations() == []


async def test_a_prepaid_order_can_be_invoiced_before_its_goods_leave(desk):
    await desk.open(tax_point="invoice")
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)))
    await invoice(desk)
    assert await taxes(desk) == (-39, 0)
    await desk.give(desk.shipped())
    assert await taxes(desk) == (-39, 0)
    await desk.give(desk.credited((100, 13)))
    assert (await desk.vouchers())[-2][1][-1] == ("C", "2221.01.01", -13)
    view = await invoice(desk, "A1-red", tax=-13, net_minor=-100)
    assert (view.tax_due_minor, view.voucher_no) == (26, "")
    with pytest.raises(Refused, match="only 26 was invoiced"):
        await invoice(desk, "A2-red", tax=-27, net_minor=-100)
    assert await taxes(desk) == (-26, 0)
    assert await desk.violations() == []


async def test_an_invoice_needs_an_order_and_a_later_tax_point(desk):
    with pytest.raises(Refused, match="no order 1001"):
        await invoice(desk)
    await desk.give(desk.placed(), desk.shipped())
    view = await invoice(desk)
    assert (view.tax_due_minor, view.tax_pending_minor, view.voucher_no) == (39, 0, "")
    assert await taxes(desk) == (-39, 0)
    assert await desk.violations() == []


@pytest.mark.parametrize("policy", ["goods_issue", "invoice", "payment"])
async def test_an_invoice_before_the_goods_is_a_tax_point_under_each_policy(desk, policy):
    await desk.open(tax_point=policy)
    await desk.give(desk.placed(), desk.pay(339, ("1001", 339)))
    view = await invoice(desk)
    assert view.voucher_no
    assert await taxes(desk) == (-39, 0)
    await desk.give(desk.shipped(desk.part(0, 1)), desk.stopped(1))
    assert await taxes(desk) == (-26, 0)
    await desk.give(desk.shipped(desk.part(1, 2)))
    assert await taxes(desk) == (-26, 0)
    assert (await desk.balances())["2241.01"] == -113
    assert await desk.violations() == []
