"""Goods without a price: an expense alone, part of the sale beside priced lines; deemed output tax only alone."""

from datetime import date

import pytest
from tieout.contracts import finance
from tieout.servicekit import Refused


def declare(desk, number="G1", tax=13, **more):
    asked = {"company": "C1", "number": number, "order_source": "shop", "order_no": "1001", "market_minor": 100}
    asked |= {"tax_minor": tax, "business_date": date(2026, 11, 30), **more}
    return desk.ask_as("Li", finance.DECLARE_FREE_GOODS, **asked)


async def test_goods_given_away_alone_are_an_expense_and_owe_tax_on_their_market_value(desk):
    await desk.open("C2", "EUR")
    free = {"net": 0, "tax": 0, "cost_account": "sample"}
    await desk.give(desk.shipped(desk.part(**free)))
    await desk.give(desk.shipped(desk.part(**free), company="C2", cost_currency="EUR", currency="USD"))
    assert await desk.vouchers(company="C1") == [("T01", [("D", "6601.05", 300), ("C", "1405", 300)])]
    view = await declare(desk)
    assert (await desk.vouchers())[-1] == ("T22", [("D", "6601.05", 13), ("C", "2221.01.01", 13)])
    assert (await declare(desk)).repeated
    for again in ({"tax": 12}, {"number": "G2"}):
        with pytest.raises(Refused, match="declared once"):
            await declare(desk, **again)
    with pytest.raises(Refused, match="Correct one of them"):
        await declare(desk, tax=100)
    assert (view.currency, (await declare(desk, company="C2")).currency) == ("CNY", "EUR")
    assert await desk.violations() == []


async def test_a_free_line_beside_priced_ones_is_part_of_the_sale(desk):
    await desk.give(desk.shipped(desk.part(), desk.part(line_no=2, net=0, tax=0)))
    assert (await desk.balances())["6401"] == 600
    with pytest.raises(Refused, match="Nothing was given away"):
        await declare(desk)


async def test_a_close_counts_what_was_given_away_and_not_declared(desk):
    for number in ("1001", "1002"):
        await desk.give(desk.shipped(desk.part(net=0, tax=0, cost_account="sample"), number=number))
    await declare(desk)
    closed = await desk.ask_as("Li", finance.CLOSE_PERIOD, company="C1", period="2026-11")
    assert closed.free_goods_undeclared == 1
