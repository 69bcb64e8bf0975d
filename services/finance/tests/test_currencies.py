"""The books of a shipment are in its own currency, whatever else was heard of its order."""

import pytest
from tieout.contracts.agreement import SumsRequest
from tieout.servicekit.agreement import Evidence

EVER = (1 << 62) - 1
RATE = 7_000_000
LATE = {"control_passes": "delivery"}
RULE = "billed_in_the_currency_of_its_order"


async def told(desk, book, measure):
    """Currency -> both sums of a book, as the proof asks for them."""
    evidence = Evidence(desk.database)
    await evidence.start()
    found = await evidence.sums(SumsRequest(measure, book, EVER), desk.database)
    return {one.currency: (one.a, one.b) for one in found.sums if one.a or one.b}


@pytest.mark.parametrize("early", ["before its order", "between order and shipment"])
async def test_money_in_another_currency_does_not_change_what_was_billed(desk, early):
    order = desk.placed(currency="USD", rate_micro=RATE)
    payment = desk.pay(7910, "1001")  # CNY
    await desk.give(*([payment, order] if early == "before its order" else [order, payment]))
    await desk.give(desk.shipped(currency="USD", rate_micro=RATE))
    await desk.give(desk.placed("1002"), desk.shipped(number="1002"))
    assert await told(desk, "billed", 6) == {"CNY": (300, 39), "USD": (300, 39)}
    assert await told(desk, "stock_value", 5) == {"CNY": (-6_000_000, -600)}
    assert await desk.violations() == []


async def test_what_is_delivered_is_billed_in_its_own_currency(desk):
    await desk.give(desk.pay(7910, "1001"))
    await desk.give(desk.shipped(currency="USD", rate_micro=RATE, **LATE))
    assert await told(desk, "transit", 10) == {"CNY": (3_000_000, 300)}
    await desk.give(desk.placed(currency="USD", rate_micro=RATE, **LATE))
    await desk.give(desk.delivered(currency="USD", rate_micro=RATE))
    assert await told(desk, "billed", 6) == {"USD": (300, 39)}
    assert await told(desk, "transit", 10) == {}
    assert await desk.violations() == []


async def test_goods_on_their_way_have_a_currency_before_their_order_is_heard_of(desk):
    await desk.give(desk.shipped(**LATE))
    assert await told(desk, "transit", 10) == {"CNY": (3_000_000, 300)}
    assert await told(desk, "stock_value", 5) == {"CNY": (-3_000_000, -300)}


async def test_a_shipment_in_another_currency_than_its_order_is_shown_as_it_was_billed_and_breaks_a_rule(desk):
    await desk.give(desk.placed())
    await desk.give(desk.shipped(currency="USD", rate_micro=RATE))
    assert await told(desk, "billed", 6) == {"USD": (300, 39)}
    assert [row[:4] for row in await desk.violations()] == [(RULE, "1001", "CNY", "USD")]


async def test_values_that_add_up_beyond_64_bits_are_told_and_break_no_rule(desk):
    for _ in range(2):
        await desk.give(desk.moved("purchase", *[(1, 10**15)] * 5_000))
    assert await told(desk, "stock_value", 5) == {"CNY": (10_000 * 10**6, 10_000 * 10**15)}
    assert await desk.violations() == []
