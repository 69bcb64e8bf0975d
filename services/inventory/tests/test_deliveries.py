"""inventory.deliver: what left is on its way until somebody says that it arrived, or a cancellation stops it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tieout.contracts.event import order_id
from tieout.contracts.inventory import (
    CancelDecided,
    DeliverRequest,
    DocumentSettled,
    GoodsDelivered,
    GoodsRecalled,
    GoodsReturned,
    GoodsShipped,
    InventoryOutcomesRequest,
)
from tieout.contracts.operation import TrailRequest
from tieout.inventory import deliveries, domain
from tieout.inventory.domain import Line
from tieout.inventory.reads import trail
from tieout.inventory.valuation import Stock
from tieout.servicekit import Refused

ONE = 1_000_000
LATE: dict[str, Any] = {"control_passes": "delivery"}


def parts(event: Any) -> list[tuple[int, int, int, int]]:
    return [(x.line_no, x.from_micro // ONE, x.to_micro // ONE, x.cost_minor) for x in event.lines]


async def on_way(counter: Any) -> list[tuple[Any, ...]]:
    return await counter.rows(
        "SELECT line_no, sum(quantity_micro)::bigint / 1000000, sum(value_minor)::bigint FROM transit "
        "GROUP BY 1 ORDER BY 1"
    )


@pytest.fixture
async def shop(counter: Any) -> Any:
    await counter.open(MAIN="back_order auto", YARD="back_order confirmed")
    await counter.give(counter.receipt(("A", 10, 100), ("B", 3, 10)))
    await counter.give(counter.receipt(("A", 10, 100), warehouse="YARD"))
    return counter


async def test_goods_are_on_their_way_until_they_are_delivered_part_by_part(shop: Any) -> None:
    carriage = shop.line(3, "SHIP", 1, 500, kind="service")
    await shop.give(shop.placed("1001", shop.line(1, "A", 4), shop.line(2, "B", 3), carriage, **LATE))
    (shipped,) = await shop.announced(GoodsShipped)
    assert shipped.control_passes == "delivery"
    assert await on_way(shop) == [(1, 4, 40), (2, 3, 10), (3, 1, 0)]
    await shop.give(shop.delivery("1001", (1, 1), (2, 2)))
    await shop.give(shop.delivery("1001"))
    first, second = await shop.announced(GoodsDelivered)
    assert parts(first) == [(1, 0, 1, 10), (2, 0, 2, 7), (3, 0, 1, 0)]  # The carriage goes with the first of them.
    assert parts(second) == [(1, 1, 4, 30), (2, 2, 3, 3)]
    assert (first.ordinal, second.ordinal) == (1, 2)
    assert await on_way(shop) == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]


async def test_where_control_passes_at_issue_nothing_is_on_its_way_and_a_delivery_is_told_so(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("A", 4)))
    await shop.give(shop.delivery("1001"))
    assert await on_way(shop) == []
    assert [x.reason for x in await shop.announced(DocumentSettled)] == ["passed_at_issue"]


async def test_a_delivery_waits_for_its_order_and_for_its_shipment(shop: Any) -> None:
    await shop.give(shop.delivery("1001", (1, 2)))
    assert await shop.parked() == [("inventory-confirm-deliveries", "waits_for_its_order")]
    await shop.give(shop.placed("1001", shop.line(1, "A", 2, warehouse="YARD"), **LATE))
    assert await shop.parked() == [("inventory-confirm-deliveries", "not_shipped_yet")]
    await shop.give(shop.confirmation("1001", warehouse="YARD"))
    assert await shop.parked() == []
    assert len(await shop.announced(GoodsDelivered)) == 1


async def test_a_shipment_can_be_named_instead_of_lines(shop: Any) -> None:
    await shop.give(shop.placed("1001", shop.line(1, "A", 5, warehouse="YARD"), **LATE))
    await shop.give(shop.delivery("1001", shipment=2))
    await shop.give(shop.confirmation("1001", (1, 2), warehouse="YARD"))
    assert await shop.parked() == [("inventory-confirm-deliveries", "waits_for_its_shipment")]
    await shop.give(shop.confirmation("1001", (1, 3), warehouse="YARD"))
    (delivered,) = await shop.announced(GoodsDelivered)
    assert parts(delivered) == [(1, 0, 3, 30)]
    await shop.give(shop.delivery("1001", (1, 3), shipment=1), shop.delivery("1001", shipment=7))
    assert [x.reason for x in await shop.announced(DocumentSettled)] == ["above_shipped", "unknown_shipment"]


async def test_a_redelivered_word_counts_once_and_another_one_under_its_number_is_told(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("A", 4), **LATE))
    message = shop.message(shop.delivery("1001", (1, 1), number="D1"))
    await shop.give(message, message)
    await shop.give(message)
    await shop.give(shop.delivery("1001", (1, 1), number="D1"))
    await shop.give(shop.delivery("1001", (1, 2), number="D1", fingerprint="b" * 64))
    assert len(await shop.announced(GoodsDelivered)) == 1
    assert [(x.outcome, x.kind) for x in await shop.announced(DocumentSettled)] == [
        ("duplicate", "delivery"),
        ("conflict", "delivery"),
    ]


async def test_more_than_is_on_its_way_cannot_be_delivered_and_its_number_is_free_for_the_right_one(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("A", 4), **LATE))
    await shop.give(shop.delivery("1001", (1, 5), number="D1"), shop.delivery("1001", (9, 1), number="D2"))
    assert [x.reason for x in await shop.announced(DocumentSettled)] == ["above_shipped", "unknown_line"]
    await shop.give(shop.delivery("1001", (1, 4), number="D1", fingerprint="b" * 64))
    assert len(await shop.announced(GoodsDelivered)) == 1


async def test_a_cancellation_stops_goods_on_their_way_and_they_come_back_at_the_cost_they_left_with(shop: Any) -> None:
    carriage = shop.line(2, "SHIP", 1, 500, kind="service")
    await shop.give(shop.placed("1001", shop.line(1, "A", 4), carriage, **LATE))
    await shop.give(shop.receipt(("A", 4, 400)))  # The average is another one by now.
    request = shop.cancel("1001")
    await shop.give(request)
    (decided,) = await shop.announced(CancelDecided)
    assert [(x.line_no, x.issued_micro // ONE, x.too_late_micro) for x in decided.lines] == [(1, 4, 0), (2, 1, 0)]
    (recalled,) = await shop.announced(GoodsRecalled)
    assert [(x.line_no, x.quantity_micro // ONE, x.value_minor, x.kind) for x in recalled.lines] == [
        (1, 4, 40, "goods"),
        (2, 1, 0, "service"),
    ]
    assert await shop.stock("A") == (14, 0, 0, 500)
    await shop.give(request)
    assert len(await shop.announced(GoodsRecalled)) == 1
    await shop.give(shop.delivery("1001"))
    assert [x.reason for x in await shop.announced(DocumentSettled)] == ["nothing_on_its_way"]


async def test_what_was_delivered_is_too_late_to_stop(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("A", 4), **LATE))
    await shop.give(shop.delivery("1001", (1, 1)))
    await shop.give(shop.cancel("1001"))
    (decided,) = await shop.announced(CancelDecided)
    assert [(x.issued_micro // ONE, x.too_late_micro // ONE) for x in decided.lines] == [(3, 1)]
    assert await on_way(shop) == [(1, 0, 0)]


async def test_the_service_of_goods_that_were_all_stopped_is_delivered_without_them(shop: Any) -> None:
    carriage = shop.line(2, "SHIP", 1, 500, kind="service")
    await shop.give(shop.placed("1001", shop.line(1, "A", 4), carriage, **LATE))
    await shop.give(shop.cancel("1001", (1, 4)))
    (delivered,) = await shop.announced(GoodsDelivered)
    assert parts(delivered) == [(2, 0, 1, 0)]


async def test_recalled_goods_serve_whoever_waits(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("B", 3), **LATE), shop.placed("1002", ("B", 2)))
    assert await shop.stock("B") == (0, 0, 2, 0)
    await shop.give(shop.cancel("1001"))
    assert [x.order_no for x in await shop.announced(GoodsShipped)] == ["1001", "1002"]
    assert await shop.stock("B") == (1, 0, 0, 3)


async def test_a_return_waits_for_the_delivery_and_takes_its_cost(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("B", 3), **LATE))
    await shop.give(shop.credit("C1", ("B", 2, "1001", 1)))
    assert await shop.parked() == [("inventory-take-back", "waits_for_its_shipment")]
    await shop.give(shop.delivery("1001", (1, 2)))
    (returned,) = await shop.announced(GoodsReturned)
    assert [(x.quantity_micro // ONE, x.value_minor) for x in returned.lines] == [(2, 7)]


async def test_a_person_may_say_it_and_is_refused_what_would_wait(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("A", 4), shop.line(2, "A", 1, warehouse="YARD"), **LATE))
    answer = await shop.ask(DeliverRequest("C1", "shop", "1001", "k1"))
    assert [(x.sku, x.quantity_micro // ONE, x.cost_minor) for x in answer.lines] == [("A", 4, 40)]
    assert (await shop.ask(DeliverRequest("C1", "shop", "1001", "k1"))).repeated
    with pytest.raises(Refused, match="has not left yet"):
        await shop.ask(DeliverRequest("C1", "shop", "1001", "k2"))
    with pytest.raises(Refused, match="No order 9"):
        await shop.ask(DeliverRequest("C1", "shop", "9", "k3"))


async def test_what_is_on_its_way_is_an_outcome_of_its_own_and_its_trail_says_so(shop: Any) -> None:
    await shop.give(shop.placed("1001", shop.line(1, "A", 4, 400), **LATE))
    await shop.give(shop.delivery("1001", (1, 1)), shop.cancel("1001", (1, 1)))
    told = (await shop.ask(InventoryOutcomesRequest())).outcomes
    assert {(x.outcome, x.quantity_micro // ONE, x.amount_minor) for x in told if x.source == "shop"} == {
        ("in_transit", 2, 200),
        ("cancelled", 1, 100),
    }
    order = order_id("C1", "shop", "1001")
    steps = [entry.step for entry in (await trail(TrailRequest(str(order), "1001"), shop.database)).entries]
    assert steps == ["shipped", "delivered", "cancelled", "stopped on its way"]


STEPS = st.lists(st.tuples(st.sampled_from(["ship", "deliver", "cancel"]), st.integers(1, 9)), min_size=1, max_size=12)


@given(quantity=st.integers(1, 20), value=st.integers(0, 1000), steps=STEPS)
def test_what_left_is_delivered_recalled_or_on_its_way_and_so_is_its_cost(
    quantity: int, value: int, steps: list[tuple[str, int]]
) -> None:
    stock = Stock(1, "C1", "MAIN", "A", "refuse", False)
    stock.receive(quantity, value)
    stock.reserved = quantity
    line = Line(1, quantity, stock, reserved=quantity)
    line.at_delivery = True
    delivered: list[Any] = []
    recalled = 0
    for step, some in steps:
        if step == "ship":
            domain.ship([(line, min(some, line.reserved))] if line.reserved else [], [line])
        elif step == "deliver":
            arrival = deliveries.check({1: line}, [(1, some)], None)
            assert bool(arrival.arriving) == (some <= line.on_way)
            delivered += deliveries.deliver(arrival.arriving, [line])
        else:
            for stop in domain.cancel({1: line}, [(1, some)]):
                assert stop.too_late <= line.delivered
                recalled += stop.value
                if stop.issued:
                    stock.receive(stop.issued, stop.value)
    assert line.shipped == line.passed + line.recalled + line.on_way
    assert line.passed == line.delivered == sum(p.end - p.start for p in delivered)
    assert quantity - line.stopped == line.shipped - line.recalled + line.reserved
    assert stock.value + line.on_way_value + sum(p.cost for p in delivered) == value
    assert line.on_way or not line.on_way_value


async def test_the_trail_of_an_order_tells_deliveries_that_changed_nothing(shop: Any) -> None:
    await shop.give(shop.placed("1001", ("A", 4)))
    await shop.give(shop.delivery("1001", number="D1"))
    entries = (await trail(TrailRequest(str(order_id("C1", "shop", "1001"))), shop.database)).entries
    assert [(entry.step, entry.document) for entry in entries if entry.step == "conflict"] == [("conflict", "D1")]
