"""Replays on real servers: frozen, rehearsed, run, proved; what was there stays as it is."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tieout.contracts import replay as contract
from tieout.contracts.replay import (
    EditItem,
    FreezeReplay,
    ListItems,
    RehearseReplay,
    ReplayView,
    RunReplay,
    Selection,
    ShowItem,
    ShowReplay,
    SteerReplay,
)
from tieout.devstack import patience
from tieout.servicekit import Refused

# control remembers which chains it has heard of: a test that chooses by number has numbers of its own.
WHY = "the ERP did not have them"
PART = 2  # Of a replay with a rate: a quarter of a second's.
EVERYTHING = Selection(since="1970-01-01T00:00:00Z", step="finance")


@pytest.fixture(autouse=True)
def of_the_toys(trio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys have the books of one measure; replays are proved by that."""
    (freezing,) = [one for one in trio.control.operations if one.operation is contract.FREEZE_REPLAY]
    monkeypatch.setattr(freezing.function.__self__._runner, "_prover", trio.prover)


async def ask(trio: Any, operation: Any, request: Any) -> Any:
    """As the service answers it, without the way over the broker."""
    (found,) = [one for one in trio.control.operations if one.operation is operation]
    return await found(request, trio.control.database)


async def freeze(trio: Any, selection: Selection) -> ReplayView:
    found: ReplayView = await ask(trio, contract.FREEZE_REPLAY, FreezeReplay(selection, WHY))
    return found


async def until(trio: Any, replay: int, *states: str) -> ReplayView:
    return await patience.until(lambda: show(trio, replay), lambda view: view.state in states)


async def under_way(trio: Any, replay: int, more_than: int = 0) -> int:
    """Until it has done more than so many; how many."""
    view = await patience.until(lambda: show(trio, replay), lambda view: view.done > more_than)
    return view.done


async def show(trio: Any, replay: int) -> ReplayView:
    found: ReplayView = await ask(trio, contract.SHOW_REPLAY, ShowReplay(replay))
    return found


async def rehearsed(trio: Any, selection: Selection) -> ReplayView:
    view = await freeze(trio, selection)
    await ask(trio, contract.REHEARSE_REPLAY, RehearseReplay(view.replay))
    return await until(trio, view.replay, "rehearsed")


async def ran(trio: Any, selection: Selection, per_second: int = 0) -> ReplayView:
    view = await rehearsed(trio, selection)
    await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY, per_second))
    return await until(trio, view.replay, "succeeded", "unproved")


def counted(counts: Any) -> dict[str, int]:
    return {f"{one.outcome} {one.reason}".strip(): one.items for one in counts}


async def forget(trio: Any, *numbers: str) -> None:
    """Finance has never had these: as if its consumer had confirmed them without doing anything."""
    await trio.by_hand("finance", "DELETE FROM billed_line WHERE order_no = ANY($1::text[])", list(numbers))


async def billed(trio: Any) -> list[str]:
    rows = await trio.finance.database.pool.fetch("SELECT order_no FROM billed_line ORDER BY order_no")
    return [row[0] for row in rows]


async def test_what_finance_never_booked_is_rehearsed_then_run_then_proved(trio: Any) -> None:
    await trio.ship("1001", "1002", "1003")
    await trio.settled()
    await forget(trio, "1001", "1003")
    view = await rehearsed(trio, EVERYTHING)
    assert counted(view.rehearsed) == {"booked": 2, "already_there": 1}
    assert [(e.service, e.figure, e.rows, e.a) for e in view.effects] == [("finance", "billed_quantity", 2, 2_000_000)]
    assert await billed(trio) == ["1002"]


async def test_a_choice_of_one_flow_ends_in_agreement_and_says_who_asked_why(trio: Any) -> None:
    await trio.ship("2001", "2002")
    await trio.settled()
    await forget(trio, "2001")
    view = await ran(trio, Selection(order_nos=("2001",), step="finance"))
    assert counted(view.outcomes) == {"booked": 1}
    assert await billed(trio) == ["2001", "2002"]
    asked = [(one.action, one.note) for one in view.log if one.action != "ended"]
    assert asked == [("frozen", WHY), ("rehearsed", ""), ("run", WHY)]
    again = await ran(trio, Selection(stream="INVENTORY", first_sequence=1, last_sequence=2**40, step="finance"))
    assert counted(again.outcomes) == {"already_there": 2}
    assert await billed(trio) == ["2001", "2002"]


async def test_a_frozen_choice_does_not_grow_and_nobody_runs_what_was_not_rehearsed(trio: Any) -> None:
    await trio.ship("1001")
    await trio.settled()
    view = await freeze(trio, EVERYTHING)
    await trio.ship("1002")
    await trio.settled()
    with pytest.raises(Refused) as refused:
        await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY))
    assert (refused.value.problem.status, "Rehearse it first" in refused.value.problem.detail) == (409, True)
    shown = await until(trio, view.replay, "frozen")
    assert (shown.items, shown.documents) == (1, 1)


async def test_a_run_keeps_its_rate_and_can_be_paused_gone_on_with_and_cancelled(trio: Any) -> None:
    await trio.ship(*[str(number) for number in range(1000, 1040)])
    await trio.settled()
    view = await rehearsed(trio, EVERYTHING)
    began = time.monotonic()
    await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY, per_second=8))
    await under_way(trio, view.replay)
    await ask(trio, contract.PAUSE_REPLAY, SteerReplay(view.replay, "the ERP is closing its month"))
    held = await until(trio, view.replay, "paused")
    assert 0 < held.done <= 8 * (time.monotonic() - began) + PART  # At most: a busy machine may do less.
    await asyncio.sleep(0.6)
    held = await until(trio, view.replay, "paused")  # With the part that was under way.
    await asyncio.sleep(0.4)
    assert (await until(trio, view.replay, "paused")).done == held.done
    await ask(trio, contract.RESUME_REPLAY, SteerReplay(view.replay, "the month is closed"))
    await under_way(trio, view.replay, more_than=held.done)
    await ask(trio, contract.CANCEL_REPLAY, SteerReplay(view.replay, "enough"))
    ended = await until(trio, view.replay, "cancelled")
    assert held.done < ended.done < 40
    assert [one.action for one in ended.log] == [
        "frozen",
        "rehearsed",
        "ended",
        "run",
        "paused",
        "resumed",
        "cancelled",
    ]


async def test_a_replay_that_another_process_has_taken_is_left_to_it_and_taken_up_again_when_that_one_dies(
    trio: Any,
) -> None:
    await trio.ship(*[str(number) for number in range(3000, 3040)])
    await trio.settled()
    await forget(trio, *[str(number) for number in range(3000, 3040)])
    view = await rehearsed(trio, EVERYTHING)
    await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY, per_second=8))
    await under_way(trio, view.replay)
    other = "UPDATE replay SET taken = taken + 1, leased_until = clock_timestamp() + interval '1 hour'"
    await trio.control.database.pool.execute(other)
    taken = (await until(trio, view.replay, "running")).done
    await asyncio.sleep(0.8)
    assert (await until(trio, view.replay, "running")).done == taken
    assert 0 < taken < 40
    await trio.control.database.pool.execute("UPDATE replay SET leased_until = clock_timestamp()")  # It died.
    ended = await until(trio, view.replay, "succeeded", "unproved")
    assert (ended.state, ended.done) == ("succeeded", 40)
    assert [one.action for one in ended.log][-3:] == ["run", "taken_over", "ended"]
    assert f"{taken} of 40 are done" in ended.log[-2].note
    assert len(await billed(trio)) == 40


async def test_a_process_that_stops_lets_go_of_its_replay_and_the_next_one_goes_on_at_once(trio: Any) -> None:
    await trio.ship(*[str(number) for number in range(4000, 4020)])
    await trio.settled()
    view = await rehearsed(trio, EVERYTHING)
    await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY, per_second=8))
    await under_way(trio, view.replay)
    control = trio.control
    (running,) = [task for task in control._running if task.get_name() == "run_replays"]
    control._running.remove(running)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    question = "SELECT state, leased_until = '-infinity' FROM replay WHERE replay = $1"
    assert tuple(await control.database.pool.fetchrow(question, view.replay)) == ("running", True)
    (task,) = [task for task in control.tasks if task.__name__ == "run_replays"]
    control._running.append(control.lifetime.spawn(task(control), "run_replays"))
    ended = await until(trio, view.replay, "succeeded", "unproved")
    assert (ended.state, ended.done, [one.action for one in ended.log][-2:]) == ("succeeded", 20, ["run", "ended"])


async def test_a_ticket_without_dead_letters_and_a_replay_that_ended_are_told_with_the_next_step(trio: Any) -> None:
    with pytest.raises(Refused, match=r"Ticket 77 has no dead letters .*tickets show 77"):
        await ask(trio, contract.FREEZE_REPLAY, FreezeReplay(Selection(ticket=77), WHY))
    await trio.ship("5000")
    await trio.settled()
    view = await rehearsed(trio, EVERYTHING)
    await ask(trio, contract.CANCEL_REPLAY, contract.SteerReplay(view.replay, WHY))
    with pytest.raises(Refused, match="A cancelled one stays so"):
        await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY))


async def test_dead_letters_of_a_ticket_are_mended_with_the_original_beside_them(trio: Any) -> None:
    await trio.ship("poison-1", "1002")
    await trio.settled()
    ticket = await trio.control.database.pool.fetchval("SELECT ticket FROM dead_letter")
    view = await rehearsed(trio, Selection(ticket=ticket))
    assert counted(view.rehearsed) == {"failed toy_poison": 1}
    (item,) = (await ask(trio, contract.LIST_ITEMS, ListItems(view.replay, "failed"))).items
    assert (item.field, item.order_no) == ("order_no", "poison-1")
    body = (await ask(trio, contract.SHOW_ITEM, ShowItem(view.replay, item.item))).original
    data = msgspec.json.decode(body)["data"]
    broken = EditItem(view.replay, item.item, Raw(msgspec.json.encode({**data, "currency": 5})), WHY)
    with pytest.raises(Refused) as refused:
        await ask(trio, contract.EDIT_ITEM, broken)
    assert refused.value.problem.field == "data.currency"
    mended = Raw(msgspec.json.encode({**data, "order_no": "1001"}))
    await ask(trio, contract.EDIT_ITEM, EditItem(view.replay, item.item, mended, "a typo of the shop"))
    await until(trio, view.replay, "frozen")  # What was rehearsed is no longer what would be run.
    await ask(trio, contract.REHEARSE_REPLAY, RehearseReplay(view.replay))
    await until(trio, view.replay, "rehearsed")
    await ask(trio, contract.RUN_REPLAY, RunReplay(view.replay, WHY))
    ended = await until(trio, view.replay, "succeeded", "unproved")
    assert counted(ended.outcomes) == {"booked": 1}
    assert await billed(trio) == ["1001", "1002"]
    assert await trio.control.database.pool.fetchval("SELECT state FROM ticket WHERE number = $1", ticket) == "resolved"
    kept = await ask(trio, contract.SHOW_ITEM, ShowItem(view.replay, item.item))
    assert msgspec.json.decode(kept.original)["data"]["order_no"] == "poison-1"
    assert msgspec.json.decode(kept.edited)["data"]["order_no"] == "1001"
    assert (kept.item.edited_by, kept.item.edited_why) == ("staff", "a typo of the shop")


async def test_what_fails_again_leaves_the_replay_unproved_with_a_ticket(trio: Any) -> None:
    await trio.ship("poison-2")
    await trio.settled()
    view = await ran(trio, Selection(order_nos=("poison-2",), step="finance-bill-shipments"))
    assert (view.state, counted(view.outcomes)) == ("unproved", {"failed toy_poison": 1})
    rows = await trio.control.database.pool.fetch("SELECT fingerprint, state FROM ticket WHERE kind = 'replay'")
    assert [tuple(row) for row in rows] == [(f"replay:{view.replay}", "open")]


WRONG = [
    (Selection(), "selection"),
    (Selection(since="0001-01-01T00:00:00+14:00"), "since"),
    (Selection(since="0001-01-01T00:00:00+14:00", step="intake"), "since"),
    (Selection(since="2026-11-01T00:00:00Z", until="9999-12-31T23:59:59-12:00"), "until"),
    (Selection(step="finance-nothing"), "step"),
    (Selection(stream="DEAD", first_sequence=1, last_sequence=2), "stream"),
    (Selection(stream="ORDER", first_sequence=3, last_sequence=2), "first_sequence"),
    (Selection(since="yesterday"), "since"),
    (Selection(until="2026-11-23T08:00:00"), "until"),
    (Selection(order_nos=("nobody",)), "selection"),
]


@pytest.mark.parametrize(("selection", "field"), WRONG)
async def test_a_choice_that_means_nothing_is_refused_with_its_field(trio: Any, selection: Any, field: str) -> None:
    with pytest.raises(Refused) as refused:
        await freeze(trio, selection)
    assert refused.value.problem.field == field
