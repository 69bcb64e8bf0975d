"""What a replay says of an event is what it did: `booked` where the books changed, and of no other event."""

import random

import pytest
from tieout.contracts.order import CancelRequested
from tieout.servicekit import rehearsal


def story(desk):
    """Two orders sold, cancelled, paid and credited, with what inventory and finance say of them."""
    facts = [
        desk.submit(),
        desk.submit(number="1002", fingerprint="d" * 64),
        desk.submit(number="1002", fingerprint="e" * 64),  # In conflict.
        desk.reserved((1, 3, 0)),
        desk.shipped((1, 0, 3), held=True),
        desk.shipped((1, 0, 3), number="1002", control_passes="delivery"),
        desk.delivered((1, 0, 3), number="1002"),
        desk.cancel((1, 1)),
        desk.credit(desk.back(net=50, tax=5)),
        desk.paid(("1001", 100), ("1002", 339)),
    ]
    return [desk.message(fact) for fact in facts]


async def test_decisions_told_one_by_one_are_there_when_they_are_run_again_together(desk):
    """One has a credit that asked for it, the other has none."""
    await desk.give(desk.submit(), desk.submit(number="1002"), desk.cancel(number="X2", order_number="1002"))
    await desk.give(desk.credit(desk.back(quantity=3, net=300, tax=39, restock="if_fulfilled")))
    asked = {one.order_no: one for one in await desk.announced(CancelRequested)}
    await desk.give(desk.shipped((1, 0, 3)), desk.shipped((1, 0, 3), number="1002"))
    decisions = [
        desk.message(desk.decided(asked[number].cancel_id, (1, 0, 0, 3), number=number)) for number in ("1001", "1002")
    ]
    for one in decisions:
        await desk.give(one)
    flow = desk.flows[decisions[0].subject]
    before = await rehearsal.contents(desk.database)
    assert [one.outcome for one in await rehearsal.replayed(desk.database, flow, decisions)] == ["already_there"] * 2
    assert await rehearsal.contents(desk.database) == before


@pytest.mark.parametrize("seed", range(4))
async def test_each_event_alone_in_any_order_and_twice(desk, seed):
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
        if told.outcome in ("booked", "already_there"):
            assert told.outcome == ("booked" if changed else "already_there"), (message.subject, told)
        else:
            assert told.outcome in ("waits", "conflict"), told
    await desk.rows("UPDATE parked SET due_at = now()")
    await desk.give()
    assert await desk.parked() == []


async def test_all_of_a_flow_at_once_with_some_that_are_there_already(desk):
    messages = story(desk)
    await desk.give(*messages[::2])
    for flow in dict.fromkeys(message.durable for message in messages):
        some = [message for message in messages if message.durable == flow]
        dry = []
        for message in some:
            dry += await rehearsal.replayed(desk.database, desk.flows[message.subject], [message], dry=True)
        told = await rehearsal.replayed(desk.database, desk.flows[some[0].subject], some)
        assert [one.outcome for one in told] == [one.outcome for one in dry], flow
        before = await rehearsal.contents(desk.database)
        again = await rehearsal.replayed(desk.database, desk.flows[some[0].subject], some)
        assert {one.outcome for one in again} <= {"already_there", "waits"}, (flow, again)
        assert await rehearsal.contents(desk.database) == before
