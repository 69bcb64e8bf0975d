from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tieout.contracts.order import OrderCompleted


async def test_a_shipment_is_billed_by_our_own_line_whatever_the_event_carries(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 1), net=999_999))
    await desk.give(desk.shipped((1, 1, 3), net=999_999))
    assert await desk.rows("SELECT net_minor, tax_minor FROM shipped_line ORDER BY position") == [(100, 13), (200, 26)]
    view = await desk.view()
    assert (view.summary.fulfilment, view.summary.billing, view.summary.owed_minor) == ("shipped", "billed", 339)


async def test_an_event_noted_twice_counts_once(desk):
    await desk.give(desk.submit())
    for fact in (desk.reserved((1, 3, 0)), desk.shipped((1, 0, 1), held=True), desk.paid(("1001", 100))):
        message = desk.message(fact)
        await desk.give(message, message)
        await desk.give(message)
    (line,) = (await desk.view()).lines
    assert (line.reserved_micro, line.shipped_micro) == (2_000_000, 1_000_000)
    assert (await desk.view()).summary.settled_minor == 100


async def test_a_paid_and_shipped_order_is_completed_once_whichever_comes_last(desk):
    await desk.give(desk.submit(), desk.submit(number="1002"))
    await desk.give(desk.shipped((1, 0, 3)))
    await desk.give(desk.paid(("1001", 339), ("1002", 339)))
    await desk.give(desk.shipped((1, 0, 3), number="1002"))
    assert [done.order_no for done in await desk.announced(OrderCompleted)] == ["1001", "1002"]
    await desk.give(desk.paid(("1001", 10)), desk.paid(("1001", -10)))
    assert len(await desk.announced(OrderCompleted)) == 2
    assert (await desk.view()).summary.completed


async def test_a_part_payment_completes_nothing(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((1, 0, 3)), desk.paid(("1001", 338)))
    assert await desk.announced(OrderCompleted) == []
    assert (await desk.view()).summary.payment == "part_paid"


async def test_a_refused_order_is_closed_short_and_complete(desk):
    await desk.give(desk.submit())
    await desk.give(desk.refused((1, 3)))
    assert len(await desk.announced(OrderCompleted)) == 1
    view = await desk.view()
    assert (view.summary.fulfilment, view.lines[0].refused_micro) == ("closed_short", 3_000_000)


async def test_a_free_order_is_complete_when_it_has_shipped(desk):
    await desk.give(desk.submit(desk.line(net=0, tax=0)))
    await desk.give(desk.shipped((1, 0, 3), net=0))
    assert len(await desk.announced(OrderCompleted)) == 1


async def test_a_served_back_order_moves_to_reserved(desk):
    await desk.give(desk.submit())
    await desk.give(desk.reserved((1, 1, 2)))
    assert (await desk.view()).summary.fulfilment == "back_ordered"
    await desk.give(desk.reserved((1, 2, -2)))
    assert (await desk.view()).summary.fulfilment == "reserved"


async def test_facts_of_an_order_that_is_not_here_wait_for_it(desk):
    await desk.give(desk.shipped((1, 0, 3)), desk.paid(("1001", 339)))
    assert await desk.parked() == [
        ("order-note-inventory", str(desk.id())),
        ("order-note-settlements", str(desk.id())),
    ]
    await desk.give(desk.submit())
    assert await desk.parked() == []
    assert len(await desk.announced(OrderCompleted)) == 1


async def test_a_shipment_of_a_line_that_was_never_sold_is_buried_with_its_reason(desk):
    await desk.give(desk.submit())
    await desk.give(desk.shipped((7, 0, 3)))
    (letter,) = await desk.letters()
    assert letter.reason == "unknown_line"
    assert "line 7" in letter.detail


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(shuffle=st.randoms(use_true_random=False))
async def test_the_order_of_arrival_changes_no_sum(desk, shuffle):
    """Two companies with the same numbers; every fact twice, in any order, in any batches."""
    number = str(uuid4())  # Examples share the database.
    facts = [
        desk.submit(number=number),
        desk.submit(number=number, company="C2", currency="EUR"),
        desk.reserved((1, 3, 0), number=number),
        desk.shipped((1, 0, 1), number=number, held=True),
        desk.shipped((1, 1, 2), number=number, held=True),
        desk.shipped((1, 0, 3), number=number, company="C2"),
        desk.paid((number, 100)),
        desk.paid((number, 239), (number, -113)),
        desk.credit(desk.back(), number=f"R{number}", order_number=number),
        desk.cancel((1, 1), number=f"X{number}", order_number=number),
    ]
    messages = [desk.message(fact) for fact in facts] * 2
    shuffle.shuffle(messages)
    while messages:
        size = shuffle.randint(1, 6)
        await desk.give(*messages[:size])
        del messages[:size]
    assert await desk.parked() == []
    first, second = await desk.view(number, "C1"), await desk.view(number, "C2")
    (line,) = first.lines
    assert (line.shipped_micro, line.reserved_micro, line.credited_micro) == (2_000_000, 1_000_000, 1_000_000)
    assert (line.billed_net_minor, line.billed_tax_minor) == (200, 26)
    assert (first.summary.settled_minor, first.summary.credited_minor, first.summary.owed_minor) == (226, 113, -113)
    assert {document.kind for document in first.documents} == {"order", "cancel", "credit"}
    assert (second.summary.owed_minor, second.summary.currency) == (339, "EUR")
