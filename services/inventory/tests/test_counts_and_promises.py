"""A count may find less than was promised: whoever was promised last waits again, and nothing goes below zero."""

from typing import Any

import pytest
from tieout.contracts.event import order_id
from tieout.contracts.inventory import GoodsShipped, StockReserved
from tieout.contracts.operation import TrailRequest
from tieout.inventory.reads import trail

ONE = 1_000_000


def promises(told: list[Any]) -> list[tuple[str, int, int, int, int]]:
    return [
        (one.order_no, one.ordinal, x.line_no, x.reserved_micro // ONE, x.back_ordered_micro // ONE)
        for one in told
        for x in one.lines
    ]


@pytest.fixture
async def yard(counter: Any) -> Any:
    await counter.open(MAIN="back_order confirmed", STRICT="refuse confirmed", LOOSE="allow_negative confirmed")
    await counter.give(counter.receipt(("A", 10, 100)))
    return counter


async def test_the_latest_promise_waits_again_and_its_confirmation_waits_with_it(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    await yard.give(yard.placed("1002", ("A", 2), ("A", 4)))
    await yard.give(yard.count(("A", -7)))
    assert sorted(promises(await yard.announced(StockReserved))[3:]) == [
        ("1001", 2, 1, -1, 1),
        ("1002", 2, 1, -2, 2),
        ("1002", 2, 2, -4, 4),
    ]
    assert await yard.stock() == (3, 3, 7, 30)
    await yard.give(yard.confirmation("1002", (1, 2)), yard.confirmation("1001", (1, 4)))
    assert await yard.announced(GoodsShipped) == []
    assert {reason for _, reason in await yard.parked()} == {"not_reserved_yet"}
    await yard.give(yard.count(("A", 1)))  # Found again: who was promised first is served first.
    assert [one.order_no for one in await yard.announced(GoodsShipped)] == ["1001"]
    await yard.give(yard.receipt(("A", 6, 60)))
    assert [one.order_no for one in await yard.announced(GoodsShipped)] == ["1001", "1002"]
    assert await yard.stock() == (4, 4, 0, 40)


async def test_a_count_within_what_is_free_touches_no_promise(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    await yard.give(yard.count(("A", -8), ("A", 2)))
    assert len(await yard.announced(StockReserved)) == 1
    assert await yard.stock() == (4, 4, 0, 40)


async def test_a_promise_that_was_called_back_can_be_cancelled_and_never_goes_below_zero(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 6)))
    await yard.give(yard.count(("A", -10)))
    assert await yard.stock() == (0, 0, 6, 0)
    await yard.give(yard.cancel("1001"))
    assert await yard.stock() == (0, 0, 0, 0)


async def test_also_where_a_warehouse_refuses_what_it_does_not_have(yard: Any) -> None:
    await yard.give(yard.receipt(("A", 5, 50), warehouse="STRICT"))
    await yard.give(yard.placed("1001", yard.line(1, "A", 5, warehouse="STRICT")))
    await yard.give(yard.count(("A", -2), warehouse="STRICT"))
    assert await yard.stock(warehouse="STRICT") == (3, 3, 2, 30)
    await yard.give(yard.confirmation("1001", warehouse="STRICT"))
    assert await yard.stock(warehouse="STRICT") == (0, 0, 2, 0)


async def test_a_warehouse_that_may_go_below_zero_keeps_its_promises(yard: Any) -> None:
    await yard.give(yard.receipt(("A", 5, 50), warehouse="LOOSE"))
    await yard.give(yard.placed("1001", yard.line(1, "A", 5, warehouse="LOOSE")))
    await yard.give(yard.count(("A", -2), warehouse="LOOSE"))
    assert await yard.stock(warehouse="LOOSE") == (3, 5, 0, 30)


async def test_what_left_although_cancelled_is_not_promised_to_somebody_else_any_more(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 10)))
    await yard.give(yard.cancel("1001"))
    await yard.give(yard.placed("1002", ("A", 10)))
    confirmed = yard.confirmation("1001", (1, 4)), yard.confirmation("1002")
    await yard.give(*confirmed)
    assert await yard.stock() == (0, 0, 4, 0)
    assert [(one.order_no, one.lines[0].to_micro // ONE) for one in await yard.announced(GoodsShipped)] == [
        ("1001", 4),
        ("1002", 6),
    ]


async def steps(yard: Any, number: str) -> list[tuple[str, int, str]]:
    request = TrailRequest(str(order_id("C1", "shop", number)))
    return [(e.step, e.quantity_micro // ONE, e.detail) for e in (await trail(request, yard.database)).entries]


async def test_the_journey_of_an_order_tells_which_loss_took_its_goods(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)), yard.placed("1002", ("A", 5)))
    await yard.give(yard.count(("A", -2), number="LOST"))
    lost = "less lies there than was promised, gone with LOST; the order waits again"
    assert await steps(yard, "1001") == [("reserved", 4, "1 line")]
    assert await steps(yard, "1002") == [("reserved", 5, "1 line"), ("called back", 1, lost)]
    await yard.give(yard.receipt(("A", 1, 10), number="MORE"))
    assert (await steps(yard, "1002"))[2:] == [("reserved", 1, "1 line")]


async def test_goods_of_an_order_that_came_back_and_were_scrapped_stand_in_its_journey(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)), yard.confirmation("1001"))
    await yard.give(yard.credit("R1", ("A", 2, "1001", 1), scrap=True))
    assert [(step, quantity) for step, quantity, _ in await steps(yard, "1001")][2:] == [
        ("returned", 2),
        ("scrapped", 2),
    ]
