"""What a replay says of an event is what it did: `booked` where the books changed, and of no other event."""

import random
from typing import Any

import pytest
from tieout.contracts.finance import CompanyOpened, PeriodClosed
from tieout.servicekit import rehearsal


def story(counter: Any) -> list[Any]:
    """Goods come, are sold, confirmed, cancelled, delivered, counted and come back, and a month is closed."""
    facts = [
        CompanyOpened("C1", "Company C1", "CNY", "Asia/Shanghai"),
        CompanyOpened("C1", "Company C1", "CNY", "Asia/Tokyo", 2),
        PeriodClosed("C1", "2026-10", "2026-11", 1),
        counter.receipt(("A", 10, 100), ("B", 2, 60)),
        counter.receipt(("A", 5, 90), warehouse="YARD"),
        counter.count(("A", -1)),
        counter.placed("1", ("A", 3), ("B", 9)),
        counter.placed("2", counter.line(1, "A", 4, warehouse="YARD")),
        counter.placed("3", ("A", 1), control_passes="delivery"),
        counter.placed("4", ("C", 1)),
        counter.cancel("1", (2, 1)),
        counter.cancel("2", (1, 2)),
        counter.confirmation("2", warehouse="YARD"),
        counter.confirmation("4", (9, 1)),
        counter.delivery("3"),
        counter.delivery("1"),
        counter.credit("R1", ("A", 1, "1", 1)),
        counter.credit("R2", ("A", 1)),
    ]
    return [counter.message(fact) for fact in facts]


@pytest.mark.parametrize("seed", range(4))
async def test_each_event_alone_in_any_order_and_twice(counter: Any, seed: int) -> None:
    await counter.open("C2", MAIN="back_order auto")
    chance = random.Random(seed)
    messages = story(counter)
    chance.shuffle(messages)
    for message in [*messages, *messages]:
        flow = counter.flows[message.subject]
        before = await rehearsal.contents(counter.database)
        (dry,) = await rehearsal.replayed(counter.database, flow, [message], dry=True)
        assert await rehearsal.contents(counter.database) == before
        (told,) = await rehearsal.replayed(counter.database, flow, [message])
        assert (told.outcome, told.reason) == (dry.outcome, dry.reason)
        changed = await rehearsal.contents(counter.database) != before
        if told.outcome in ("booked", "already_there"):
            assert told.outcome == ("booked" if changed else "already_there"), (message.subject, told)
        else:
            assert told.outcome in ("waits", "conflict", "failed"), told


async def test_all_of_a_flow_at_once_with_some_that_are_there_already(counter: Any) -> None:
    await counter.open(MAIN="back_order auto", YARD="back_order confirmed")
    messages = story(counter)
    await counter.give(*messages[::2])
    for flow in dict.fromkeys(message.durable for message in messages):
        some = [message for message in messages if message.durable == flow]
        await rehearsal.replayed(counter.database, counter.flows[some[0].subject], some)
        before = await rehearsal.contents(counter.database)
        again = await rehearsal.replayed(counter.database, counter.flows[some[0].subject], some)
        assert {one.outcome for one in again} <= {"already_there", "waits", "failed"}, (flow, again)
        assert await rehearsal.contents(counter.database) == before


async def test_a_later_month_is_told_of_the_event_that_closed_it(counter: Any) -> None:
    await counter.open()
    closes = [
        counter.message(PeriodClosed("C1", f"2026-{month:02}", f"2026-{month + 1:02}", month)) for month in (8, 9, 10)
    ]
    flow = counter.flows[closes[0].subject]
    told = await rehearsal.replayed(counter.database, flow, closes)
    assert [one.outcome for one in told] == ["already_there", "already_there", "booked"]  # The others are overtaken.
    assert await counter.rows("SELECT first_open FROM company") == [("2026-11",)]
    told = await rehearsal.replayed(counter.database, flow, closes)
    assert [one.outcome for one in told] == ["already_there"] * 3
