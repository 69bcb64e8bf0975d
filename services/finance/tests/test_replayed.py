"""What a replay says of an event is what it did: `booked` where the books changed, and of no other event."""

import random

import pytest
from tieout.servicekit import rehearsal


def story(desk):
    """Money, shipment, credit and cancellation, some of them before the order that they are of."""
    credit = desk.credited((100, 13))
    return [
        desk.message(fact)
        for fact in (
            desk.placed(),
            desk.shipped(desk.part(0, 1)),
            desk.shipped(desk.part(1, 3)),
            credit,
            desk.returned(credit_id=credit.credit_id),
            desk.pay(200, ("1001", 200), number="P1"),
            desk.refund(60, "1001"),
            desk.moved("opening", (10, 1000)),
            desk.placed("1002", 50, 5),
            desk.pay(70, ("1002", 30), number="P3"),
            desk.stopped(2, "1002"),
            desk.placed("1003", 50, 5),
            desk.stopped(1, "1003"),
        )
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_each_event_alone_in_any_order_and_twice(desk, seed):
    await desk.open()
    chance = random.Random(seed)
    messages = story(desk)
    chance.shuffle(messages)
    for message in [*messages, *messages]:
        flow = desk.flows[message.subject]
        before = await rehearsal.contents(desk.database)
        (dry,) = await rehearsal.replayed(desk.database, flow, [message], dry=True)
        assert await rehearsal.contents(desk.database) == before
        (told,) = await rehearsal.replayed(desk.database, flow, [message])
        assert (told.outcome, told.reason) == (dry.outcome, dry.reason)
        changed = await rehearsal.contents(desk.database) != before
        if told.outcome != "waits":
            assert told.outcome == ("booked" if changed else "already_there"), (message.subject, told)
    assert await desk.parked() == []  # The partners have come, and the second time all were booked.


async def test_all_of_a_flow_at_once_with_some_that_are_there_already(desk):
    await desk.open()
    messages = story(desk)
    await desk.give(*messages[::2])
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    for subject in dict.fromkeys(message.subject for message in messages):
        some = [message for message in messages if message.subject == subject]
        one_by_one = []
        for message in some:
            one_by_one += await rehearsal.replayed(desk.database, desk.flows[subject], [message], dry=True)
        told = await rehearsal.replayed(desk.database, desk.flows[subject], some)
        assert [one.outcome for one in told] == [one.outcome for one in one_by_one], subject
        before = await rehearsal.contents(desk.database)
        again = await rehearsal.replayed(desk.database, desk.flows[subject], some)
        assert {one.outcome for one in again} == {"already_there"}, (subject, again)
        assert await rehearsal.contents(desk.database) == before
