"""inventory.confirm: the warehouse says what has left."""

from typing import Any

import pytest
from tieout.contracts.event import event_id, order_id
from tieout.contracts.inventory import CancelDecided, ConfirmRequest, DocumentSettled, GoodsShipped
from tieout.contracts.operation import TrailRequest
from tieout.contracts.order import CancelLine
from tieout.inventory.reads import trail
from tieout.servicekit import Refused

ONE = 1_000_000


def parts(shipped: Any) -> list[tuple[int, int, int, int]]:
    return [(x.line_no, x.from_micro // ONE, x.to_micro // ONE, x.cost_minor) for x in shipped.lines]


@pytest.fixture
async def yard(counter: Any) -> Any:
    await counter.open(MAIN="back_order confirmed", OTHER="refuse confirmed")
    await counter.give(counter.receipt(("A", 10, 100), ("B", 3, 10)))
    return counter


async def test_goods_leave_part_by_part_as_confirmed(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4), ("B", 3)))
    await yard.give(yard.confirmation("1001", (1, 1), (2, 2)))
    await yard.give(yard.confirmation("1001"))
    first, second = await yard.announced(GoodsShipped)
    assert parts(first) == [(1, 0, 1, 10), (2, 0, 2, 7)]
    assert parts(second) == [(1, 1, 4, 30), (2, 2, 3, 3)]
    assert await yard.stock("A") == (6, 0, 0, 60)


async def test_a_confirmation_waits_for_its_order(yard: Any) -> None:
    await yard.give(yard.confirmation("1001"))
    assert await yard.parked() == [("inventory-confirm-shipments", "waits_for_its_order")]
    await yard.give(yard.placed("1001", ("A", 4)))
    assert await yard.parked() == []
    assert len(await yard.announced(GoodsShipped)) == 1


async def test_a_confirmation_waits_for_back_ordered_stock(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("B", 5)))
    await yard.give(yard.confirmation("1001", (1, 5)))
    assert await yard.parked() == [("inventory-confirm-shipments", "not_reserved_yet")]
    await yard.give(yard.receipt(("B", 2, 10)))
    assert await yard.parked() == []
    (shipped,) = await yard.announced(GoodsShipped)
    assert parts(shipped) == [(1, 0, 5, 20)]


async def test_a_redelivered_confirmation_ships_once_and_a_second_one_is_told(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    message = yard.message(yard.confirmation("1001", (1, 1), number="W1"))
    await yard.give(message, message)
    await yard.give(message)
    await yard.give(yard.confirmation("1001", (1, 1), number="W1"))
    await yard.give(yard.confirmation("1001", (1, 2), number="W1", fingerprint="b" * 64))
    assert len(await yard.announced(GoodsShipped)) == 1
    assert [(x.outcome, x.reason, x.orders) for x in await yard.announced(DocumentSettled)] == [
        ("duplicate", "", ()),
        ("conflict", "other_content", ("1001",)),
    ]


async def test_more_than_is_reserved_is_refused_and_the_number_stays_free(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4), yard.line(2, "A", 1, warehouse="MAIN")))
    await yard.give(yard.confirmation("1001", (1, 5), number="W1"))
    await yard.give(yard.confirmation("1001", (3, 1), number="W2"))
    await yard.give(yard.confirmation("1001", number="W3", warehouse="OTHER"))
    assert [x.reason for x in await yard.announced(DocumentSettled)] == [
        "above_reserved",
        "unknown_line",
        "nothing_reserved",
    ]
    await yard.give(yard.confirmation("1001", (1, 4), number="W1", fingerprint="b" * 64))
    (shipped,) = await yard.announced(GoodsShipped)
    assert parts(shipped) == [(1, 0, 4, 40)]


async def test_a_refused_paper_that_comes_again_does_not_take_its_number_back(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    refused = yard.message(yard.confirmation("1001", (1, 5), number="W1"))
    await yard.give(refused)
    await yard.give(refused)
    corrected = yard.message(yard.confirmation("1001", (1, 4), number="W1", fingerprint="b" * 64))
    await yard.give(refused, corrected)
    (shipped,) = await yard.announced(GoodsShipped)
    assert parts(shipped) == [(1, 0, 4, 40)]
    assert [x.reason for x in await yard.announced(DocumentSettled)] == ["above_reserved"]


async def test_goods_that_left_although_cancelled_are_booked_and_the_cancellation_came_too_late(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    await yard.give(yard.cancel("1001", (1, 1)))
    await yard.give(yard.cancel("1001"))
    await yard.give(yard.confirmation("1001", (1, 2)))
    decided = await yard.announced(CancelDecided)
    assert [(x.lines[0].reserved_micro // ONE, x.lines[0].too_late_micro // ONE) for x in decided] == [
        (1, 0),
        (3, 0),
        (-2, 2),
    ]
    assert decided[2].cancel_id == decided[1].cancel_id  # The later one of the two.
    (shipped,) = await yard.announced(GoodsShipped)
    assert parts(shipped) == [(1, 0, 2, 20)]
    await yard.give(yard.confirmation("1001", (1, 2)))
    assert [x.lines[0].reserved_micro // ONE for x in await yard.announced(CancelDecided)] == [1, 3, -2, -1, -1]
    assert await yard.stock("A") == (6, 0, 0, 60)


async def test_a_person_confirms_by_hand_and_is_answered_clearly(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    request = ConfirmRequest("C1", "shop", "1001", "key-1", lines=(CancelLine(1, ONE),))
    answer = await yard.ask(request)
    assert [(x.line_no, x.quantity_micro, x.cost_minor) for x in answer.lines] == [(1, ONE, 10)]
    assert (await yard.ask(request)).repeated
    for bad, code in (
        (ConfirmRequest("C1", "shop", "1001", "key-1"), "conflict"),
        (ConfirmRequest("C9", "shop", "1001", "key-2"), "unknown_company"),
        (ConfirmRequest("C1", "shop", "9999", "key-3"), "not_found"),
        (ConfirmRequest("C1", "shop", "1001", "key-4", lines=(CancelLine(1, 9 * ONE),)), "above_reserved"),
    ):
        with pytest.raises(Refused) as refused:
            await yard.ask(bad)
        assert refused.value.problem.code == code
    assert len(await yard.announced(GoodsShipped)) == 1


async def test_what_a_line_was_tied_by_travels_with_each_of_its_parts(yard: Any) -> None:
    await yard.give(yard.placed("1001", yard.line(1, "A", 4, 400, residual_minor=-1)))
    await yard.give(yard.confirmation("1001", (1, 1)), yard.confirmation("1001", (1, 3)))
    assert [one.lines[0].residual_minor for one in await yard.announced(GoodsShipped)] == [-1, -1]


async def test_the_trail_of_an_order_tells_confirmations_that_changed_nothing(yard: Any) -> None:
    await yard.give(yard.placed("1001", ("A", 4)))
    await yard.give(yard.confirmation("1001", (1, 5), number="W1"))
    await yard.give(yard.confirmation("1001", (1, 4), number="W2"))
    await yard.give(yard.confirmation("1001", (1, 4), number="W2"))
    chain = str(order_id("C1", "shop", "1001"))
    entries = (await trail(TrailRequest(chain), yard.database)).entries
    assert [(entry.step, entry.document) for entry in entries] == [
        ("reserved", "1001"),
        ("conflict", "W1"),
        ("shipped", "1001"),
        ("duplicate", "W2"),
    ]
    assert entries[1].detail.startswith("above_reserved: ")
    assert len(entries[1].detail) > len("above_reserved: ")
    (conflict, _) = await yard.announced(DocumentSettled)
    assert entries[1].event_id == event_id(DocumentSettled.SUBJECT, conflict.intake_id)
