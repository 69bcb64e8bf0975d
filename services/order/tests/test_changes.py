"""Cancellations and credits."""

import asyncio

import pytest
from tieout.contracts.order import (
    CancelOrder,
    CancelRequested,
    OrderCompleted,
    OrderPlaced,
    OrderReturned,
    SubmissionConflicted,
    SubmissionRepeated,
)
from tieout.order.commands import cancel_order
from tieout.servicekit import Refused


async def test_a_cancellation_is_asked_and_inventory_decides(desk):
    await desk.give(desk.submit())
    await desk.give(desk.cancel((1, 2)))
    (asked,) = await desk.announced(CancelRequested)
    assert [(line.line_no, line.quantity_micro) for line in asked.lines] == [(1, 2_000_000)]
    await desk.give(desk.reserved((1, 3, 0)), desk.decided(asked.cancel_id, (1, 0, 1, 1)))
    (line,) = (await desk.view()).lines
    assert (line.cancelled_micro, line.reserved_micro, line.unallocated_micro) == (1_000_000, 2_000_000, 0)


async def test_a_cancellation_before_its_order_waits_for_it(desk):
    await desk.give(desk.cancel())
    assert await desk.parked() == [("order-request-cancellations", str(desk.id()))]
    await desk.give(desk.submit())
    assert await desk.parked() == []
    assert [(asked.order_id, asked.void) for asked in await desk.announced(CancelRequested)] == [(desk.id(), False)]
    assert [placed.cancel_waits for placed in await desk.announced(OrderPlaced)] == [True]


async def test_an_order_whose_early_cancellation_does_not_fit_it_is_not_held_back_for_ever(desk):
    await desk.give(desk.cancel((9, 1)), desk.cancel((1, 1), number="X2"))
    await desk.give(desk.credit(desk.back(), order_number="1002"))
    await desk.give(desk.submit(), desk.submit(number="1002"), desk.submit(number="1003"))
    told = await desk.announced(SubmissionConflicted)
    assert [(one.reason, one.orders) for one in told] == [("unknown_line", ("1001",))]
    assert [asked.void for asked in await desk.announced(CancelRequested)] == [False, True]
    placed = await desk.announced(OrderPlaced)
    assert [one.cancel_waits for one in placed] == [True, False, False]  # A credit that waits holds nothing back.


async def test_a_cancellation_and_its_order_in_one_moment_find_each_other_in_either_order(desk):
    for number, first, second in (("1", "submit", "cancel"), ("2", "cancel", "submit")):
        made = {
            "submit": desk.submit(number=number),
            "cancel": desk.cancel(number=f"X{number}", order_number=number),
        }
        await desk.give(made[first], made[second])
    assert len(await desk.announced(CancelRequested)) == 2


async def test_partners_that_come_at_the_same_moment_never_miss_each_other(desk):
    """Order against its cancellation, shipment against its credit: each pair in two transactions at once."""
    numbers = [str(n) for n in range(60)]
    for _ in range(3):
        numbers = [f"{number}x" for number in numbers]
        batches = (
            [desk.submit(number=n) for n in numbers],
            [desk.cancel((1, 1), number=f"X{n}", order_number=n) for n in reversed(numbers)],
            [desk.credit(desk.back(), number=f"R{n}", order_number=n) for n in numbers],
            [desk.shipped((1, 0, 2), number=n) for n in reversed(numbers)],
        )
        messages = [[desk.message(one) for one in batch] for batch in batches]
        await asyncio.gather(*[desk.flows[batch[0].subject](batch, desk.database) for batch in messages])
        await desk.give()
        assert await desk.parked() == []
    assert len(await desk.announced(CancelRequested)) == len(await desk.announced(OrderReturned)) == 180
    assert await desk.rows("SELECT count(*) FROM anchor WHERE awaited") == [(0,)]


async def test_a_repeated_cancellation_is_told_and_another_content_is_a_conflict(desk):
    await desk.give(desk.submit())
    await desk.give(
        desk.cancel(), desk.cancel(), desk.cancel((1, 1), fingerprint="z" * 64), desk.cancel((9, 1), number="X2")
    )
    assert len(await desk.announced(CancelRequested)) == 1
    assert [told.kind for told in await desk.announced(SubmissionRepeated)] == ["cancel"]
    assert [told.reason for told in await desk.announced(SubmissionConflicted)] == ["other_content", "unknown_line"]


async def test_a_clerk_cancels_once_per_key(desk):
    await desk.give(desk.submit())
    first = await cancel_order.function(CancelOrder("1001", "k1", reason="customer called"), desk.database)
    again = await cancel_order.function(CancelOrder("1001", "k1", reason="customer called"), desk.database)
    assert (first.repeated, again.repeated, first.cancel_id) == (False, True, again.cancel_id)
    with pytest.raises(Refused, match="idempotency key"):
        await cancel_order.function(CancelOrder("1001", "k1", reason="something else"), desk.database)
    with pytest.raises(Refused, match="no order 404"):
        await cancel_order.function(CancelOrder("404", "k2"), desk.database)
    assert len(await desk.announced(CancelRequested)) == 1


async def test_a_credit_of_shipped_goods_is_announced_with_its_link(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 3)))
    await desk.give(desk.credit())
    (returned,) = await desk.announced(OrderReturned)
    (line,) = returned.lines
    assert (line.order_id, line.order_line_no, line.restock, line.net_minor, line.tax_minor) == (
        desk.id(),
        1,
        True,
        100,
        13,
    )
    assert (await desk.view()).summary.owed_minor == 226
    await desk.give(desk.paid(("1001", 226)))
    assert len(await desk.announced(OrderCompleted)) == 1


async def test_a_credit_waits_for_its_order_and_then_for_its_shipment(desk):
    await desk.give(desk.credit(desk.back(quantity=2, net=200, tax=26)))
    assert await desk.parked() == [("order-accept-credits", str(desk.id()))]
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 1)))
    assert len(await desk.parked()) == 1
    assert await desk.rows("SELECT count(*) FROM submission WHERE kind = 'credit'") == [(0,)]
    await desk.give(desk.shipped((1, 1, 2)))
    assert await desk.parked() == []
    assert len(await desk.announced(OrderReturned)) == 1


async def test_a_waiting_credit_becomes_a_conflict_when_the_rest_is_stopped(desk):
    await desk.give(desk.submit(), desk.credit(desk.back(quantity=2, net=200, tax=26)))
    await desk.give(desk.shipped((1, 0, 1)), desk.cancel())
    (asked,) = await desk.announced(CancelRequested)
    await desk.give(desk.decided(asked.cancel_id, (1, 0, 2, 1)))
    assert [told.reason for told in await desk.announced(SubmissionConflicted)] == ["above_shipped"]
    assert await desk.parked() == []


async def test_credits_of_one_batch_do_not_exceed_the_sale_together(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 3)))
    credits = [desk.credit(desk.back(quantity=2, net=200, tax=26), number=f"R{n}") for n in (1, 2)]
    await desk.give(*credits)
    assert len(await desk.announced(OrderReturned)) == 1
    assert [told.reason for told in await desk.announced(SubmissionConflicted)] == ["above_shipped"]


async def test_an_unlinked_credit_needs_no_sale(desk):
    await desk.give(desk.credit(desk.back(order_line_no=0), order_number=""))
    (returned,) = await desk.announced(OrderReturned)
    assert (returned.lines[0].order_id, returned.lines[0].restock) == (None, True)
    assert await desk.rows("SELECT book, n, a, b FROM digest_delta WHERE book IN ('credit', 'restock') ORDER BY 1") == [
        ("credit", 1, 100, 13),
        ("restock", 1, 1_000_000, 0),
    ]


async def test_an_unfulfilled_return_is_stopped_first_and_credited_where_that_was_too_late(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 1)))
    await desk.give(desk.credit(desk.back(quantity=3, net=300, tax=39, restock="if_fulfilled")))
    (asked,) = await desk.announced(CancelRequested)
    assert asked.lines[0].quantity_micro == 2_000_000
    late = desk.message(desk.decided(asked.cancel_id, (1, 0, 1, 1)))
    await desk.give(late)
    assert len(await desk.parked()) == 1, "its shipment is not noted yet"
    await desk.give(desk.shipped((1, 1, 2)))
    await desk.give(late)
    assert await desk.parked() == []
    returned = await desk.announced(OrderReturned)
    assert [(one.credit_no, one.lines[0].quantity_micro, one.lines[0].net_minor) for one in returned] == [
        ("R1", 1_000_000, 100),
        ("R1", 1_000_000, 100),
    ]
    assert returned[0].credit_id != returned[1].credit_id
    assert [one.lines[0].part for one in returned] == [1, 2], "it is one line of the source"
    (line,) = (await desk.view()).lines
    assert (line.cancelled_micro, line.shipped_micro, line.credited_micro) == (1_000_000, 2_000_000, 2_000_000)
    assert len(await desk.announced(OrderCompleted)) == 1


async def test_what_comes_back_to_be_scrapped_is_scrap_also_where_it_was_asked_to_be_stopped_first(desk):
    late = {"control_passes": "delivery"}
    await desk.give(desk.submit(**late), desk.shipped((1, 0, 3), **late), desk.delivered((1, 0, 1)))
    await desk.give(desk.credit(desk.back(quantity=2, net=200, tax=26, restock="scrap")))
    (asked,) = await desk.announced(CancelRequested)
    assert [line.quantity_micro for line in asked.lines] == [1_000_000]
    await desk.give(desk.delivered((1, 1, 3)), desk.decided(asked.cancel_id, (1, 0, 0, 1)))
    returned = [line for one in await desk.announced(OrderReturned) for line in one.lines]
    assert [(line.restock, line.scrap, line.quantity_micro) for line in returned] == [(True, True, 1_000_000)] * 2
    assert await desk.parked() == []


async def test_a_decision_that_inventory_corrects_is_credited_once_more(desk):
    """A warehouse confirms what had been cancelled: the stop is taken back, and it was too late after all."""
    await desk.give(desk.submit())
    await desk.give(desk.credit(desk.back(quantity=3, net=300, tax=39, restock="if_fulfilled")))
    (asked,) = await desk.announced(CancelRequested)
    assert await desk.announced(OrderReturned) == []
    await desk.give(desk.shipped((1, 0, 1)), desk.decided(asked.cancel_id, (1, 0, 2, 1)))
    correction = desk.message(desk.decided(asked.cancel_id, (1, 0, -1, 1)))
    await desk.give(correction, correction)
    await desk.give(desk.shipped((1, 1, 2)))
    returned = await desk.announced(OrderReturned)
    assert [(one.lines[0].quantity_micro, one.lines[0].net_minor) for one in returned] == [(1_000_000, 100)] * 2
    (line,) = (await desk.view()).lines
    assert (line.cancelled_micro, line.shipped_micro, line.credited_micro) == (1_000_000, 2_000_000, 2_000_000)
    assert await desk.parked() == []


async def test_goods_that_inventory_took_back_are_noted_on_the_credit(desk):
    from tieout.contracts import inventory
    from tieout.contracts.event import document_id

    credit_id = document_id("credit", "C1", "shop", "R1")
    lines = (inventory.ReturnedLine(1, "SKU1", 1_000_000, 50),)
    back = inventory.GoodsReturned(credit_id, "C1", "R1", "K1", "CNY", desk.submit().business_date, "2026-11", lines)
    await desk.give(back)
    assert await desk.parked() == [("order-note-inventory", str(credit_id))]
    await desk.give(desk.credit(desk.back(order_line_no=0), order_number=""))
    assert await desk.rows("SELECT quantity_micro FROM taken_back") == [(1_000_000,)]


@pytest.mark.parametrize("kind", ["order_header, order_id", "cancellation, cancel_id", "credit_note, credit_id"])
async def test_an_anchor_that_leads_elsewhere_is_found(desk, kind):
    """A repetition is known by its anchor: a lost or moved one would let the same document count again."""
    table, key = kind.split(", ")
    await desk.give(desk.submit(), desk.cancel((1, 1)), desk.reserved((1, 3, 0)), desk.shipped((1, 0, 3)))
    await desk.give(desk.credit())
    assert await desk.violations("anchor_points_at_its_document") == []
    (document,) = await desk.rows(f"SELECT {key} FROM {table}")
    for change in ("SET position = position + 1000", "SET id = gen_random_uuid()"):
        await desk.rows(f"UPDATE anchor {change} WHERE id = $1", *document)
        assert await desk.violations("anchor_points_at_its_document")
