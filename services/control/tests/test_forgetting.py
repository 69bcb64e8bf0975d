"""What is old enough goes; what a proof or a person still needs stays, however old it is."""

from typing import Any

import pytest
from msgspec.structs import replace
from tieout.contracts.control import JourneyRequest, Journeys
from tieout.control import forgetting
from tieout.control.forgetting import forget_once
from tieout.control.settings import Settings
from tieout.servicekit import Refused, ask

SETTINGS = Settings(journey_days=30, counts_days=1, letters_days=30, alarms_days=30, tickets_days=30, replays_days=30)
OLD = "now() - interval '31 days'"


async def knows(trio: Any, number: str) -> bool:
    try:
        await ask(trio.control.nats, "rpc.control.journey", JourneyRequest(number), Journeys)
    except Refused:
        return False
    return True


async def test_an_old_journey_goes_with_all_its_places_and_a_young_one_stays(trio: Any) -> None:
    await trio.ship("3001", "3002")
    await trio.settled()
    await trio.by_hand("control", f"UPDATE notice SET heard_at = {OLD}; UPDATE membership SET noted_at = {OLD}")
    await trio.ship("3003")
    await trio.settled()
    found = await forget_once(trio.control.database, SETTINGS)
    assert (found["notices"], found["memberships"]) == (1, 2)
    assert [await knows(trio, number) for number in ("3001", "3002", "3003")] == [False, False, True]
    async with trio.control.database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM heard") == 1


async def test_the_number_of_an_order_that_still_lives_is_kept(trio: Any) -> None:
    await trio.ship("3011")
    await trio.settled()
    await trio.by_hand("control", f"UPDATE membership SET noted_at = {OLD}")
    assert (await forget_once(trio.control.database, SETTINGS))["memberships"] == 0
    assert await knows(trio, "3011")


async def has_ticket(trio: Any, number: int, fingerprint: str, state: str = "open") -> None:
    """A ticket as control makes it, with one order and a history; resolved long ago, or in another state."""
    over = OLD if state == "resolved" else "NULL"
    await trio.control.database.pool.execute(
        f"INSERT INTO ticket (number, fingerprint, kind, service, flow, reason, field, title_en, title_zh, detail, "
        f"runbook, priority, owner, count, first_at, last_at, due_at, state, resolved_at) OVERRIDING SYSTEM VALUE "
        f"VALUES ({number}, '{fingerprint}', 'dead_letter', '', '', '', '', '', '', '', '', 2, '', 1, "
        f"{OLD}, {OLD}, {OLD}, '{state}', {over});"
        f"INSERT INTO ticket_order VALUES ({number}, 'C1', '1', 'EUR', 1);"
        f"INSERT INTO ticket_history (ticket, what, actor, note) VALUES ({number}, 'opened', 'control', ''), "
        f"({number}, '{state}', 'somebody', '')"
    )


async def has_replay(trio: Any, state: str, *, letter: int = 0, items: int = 3) -> int:
    """A replay as control makes it, that was frozen long ago and ended then if it has ended."""
    ended = OLD if state in ("succeeded", "unproved", "cancelled", "rehearsed") else "NULL"
    replay: int = await trio.control.database.pool.fetchval(
        f"INSERT INTO replay (state, selection, reason, frozen_by, frozen_at, items, documents, ended_at) "
        f"VALUES ('{state}', '{{}}', 'why', 'me', {OLD}, {items}, 1, {ended}) RETURNING replay"
    )
    await trio.control.database.pool.execute(
        f"INSERT INTO replay_item (replay, item, wave, flow, subject, producer, position, sequence, event_id, "
        f"chain_id, order_no, company, letter) "
        f"SELECT {replay}, n, 1, 'f', 's', 'order', n, 0, '', '', '', '', {letter} FROM generate_series(1, {items}) n;"
        f"INSERT INTO replay_effect VALUES ({replay}, 'finance', 'f', '', '', '', 1, 1, 1);"
        f"INSERT INTO replay_log (replay, actor, action, note) VALUES ({replay}, 'me', 'frozen', '')"
    )
    return replay


async def kept(trio: Any, table: str, column: str) -> set[int]:
    return {row[0] for row in await trio.control.database.pool.fetch(f"SELECT DISTINCT {column} FROM {table}")}


async def findings(trio: Any) -> Any:
    return await trio.control.database.pool.fetch("SELECT tab, op FROM tamper JOIN fact_tables USING (tab)")


async def test_a_ticket_goes_with_all_its_history_once_it_was_resolved_for_long_enough_and_no_other_does(
    trio: Any,
) -> None:
    states = {901: "open", 902: "acknowledged", 903: "waiting", 904: "muted", 905: "resolved", 906: "resolved"}
    for number, state in states.items():
        await has_ticket(trio, number, f"dead_letter:{number}", state)
    await trio.control.database.pool.execute("UPDATE ticket SET resolved_at = now() WHERE number = 906")
    before = await findings(trio)
    assert (await forget_once(trio.control.database, replace(SETTINGS, tickets_days=0)))["tickets"] == 0
    assert (await forget_once(trio.control.database, SETTINGS))["tickets"] == 1
    stays = states.keys() - {905}
    for table, column in (("ticket", "number"), ("ticket_order", "ticket"), ("ticket_history", "ticket")):
        assert await kept(trio, table, column) & states.keys() == stays, table
    assert await findings(trio) == before  # What the service forgets by its own rules is nobody's hand.
    assert 905 in await kept(trio, "forgotten", "number")


async def test_a_ticket_whose_letters_are_kept_or_whose_history_hands_have_touched_stays(trio: Any) -> None:
    await trio.ship("poison-10")
    await trio.settled()
    await has_ticket(trio, 911, "dead_letter:911", "resolved")
    await has_ticket(trio, 912, "dead_letter:912", "resolved")
    await trio.by_hand("control", "UPDATE dead_letter SET ticket = 911; DELETE FROM ticket_history WHERE ticket = 912")
    assert (await forget_once(trio.control.database, SETTINGS))["tickets"] == 0
    assert {911, 912} <= await kept(trio, "ticket", "number")
    touched = await findings(trio)
    assert [tuple(row) for row in touched] == [("ticket_history", "DELETE")] * 2
    await trio.by_hand("control", "INSERT INTO forgotten VALUES ('ticket', 911); DELETE FROM ticket_history")
    told = [tuple(row) for row in await findings(trio)]
    assert ("forgotten", "INSERT") in told  # Who says so himself is found by that.
    assert 912 in await kept(trio, "ticket", "number")
    await trio.by_hand("control", f"UPDATE dead_letter SET at = {OLD}")
    found = await forget_once(trio.control.database, SETTINGS)
    assert (found["letters"], found["tickets"]) == (1, 1)


async def test_a_replay_that_is_over_goes_with_its_items_and_one_that_runs_or_is_paused_stays(
    trio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = [await has_replay(trio, state) for state in ("succeeded", "unproved", "cancelled", "frozen", "rehearsed")]
    over.append(await has_replay(trio, "succeeded", items=50))
    asleep = "UPDATE replay SET leased_until = now() + interval '1 hour' WHERE replay = ANY($1::bigint[])"
    stay = []
    for state in ("rehearsing", "running", "proving", "paused"):
        number = await has_replay(trio, "paused")
        await trio.control.database.pool.execute(asleep, [number])
        await trio.control.database.pool.execute("UPDATE replay SET state = $2 WHERE replay = $1", number, state)
        stay.append(number)
    stay.append(await has_replay(trio, "succeeded"))
    await trio.control.database.pool.execute("UPDATE replay SET ended_at = now() WHERE replay = $1", stay[-1])
    before = await findings(trio)
    monkeypatch.setattr(forgetting, "ITEMS", 20)
    monkeypatch.setattr(forgetting, "BREATH_SECONDS", 0.0)
    assert (await forget_once(trio.control.database, replace(SETTINGS, replays_days=0)))["replays"] == 0
    assert (await forget_once(trio.control.database, SETTINGS))["replays"] == 5 * 3 + 50 + 6
    for table in ("replay", "replay_item", "replay_effect", "replay_log"):
        left = await kept(trio, table, "replay")
        assert left & {*over, *stay} == set(stay), table
    assert await findings(trio) == before
    await trio.control.database.pool.execute("UPDATE replay SET state = 'cancelled' WHERE replay = ANY($1)", stay)


async def test_a_replay_stays_while_its_ticket_or_that_of_a_letter_which_it_ran_stands(trio: Any) -> None:
    await trio.ship("poison-11")
    await trio.settled()
    letter = await trio.control.database.pool.fetchval("SELECT number FROM dead_letter")
    own, of_letter = await has_replay(trio, "unproved"), await has_replay(trio, "succeeded", letter=letter)
    await has_ticket(trio, 921, f"replay:{own}")
    await has_ticket(trio, 922, "dead_letter:922")
    await trio.by_hand("control", "UPDATE dead_letter SET ticket = 922")
    assert (await forget_once(trio.control.database, SETTINGS))["replays"] == 0
    await trio.control.database.pool.execute(
        "UPDATE ticket SET state = 'resolved', resolved_at = now() WHERE number IN (921, 922)"
    )
    assert (await forget_once(trio.control.database, SETTINGS))["replays"] == 8
    assert not await kept(trio, "replay", "replay") & {own, of_letter}


async def test_counted_events_go_when_their_stream_cannot_bring_them_again(trio: Any) -> None:
    noted = "INSERT INTO ticketed VALUES (gen_random_uuid(), now() - make_interval(days => $1))"
    for days in (1, 31, 61):
        await trio.control.database.pool.execute(noted, days)
    settings = replace(SETTINGS, stream_max_age_days=0)
    assert (await forget_once(trio.control.database, settings))["ticketed"] == 0
    settings = replace(SETTINGS, stream_max_age_days=61, tickets_days=2)
    assert (await forget_once(trio.control.database, settings))["ticketed"] == 0
    settings = replace(SETTINGS, stream_max_age_days=59, tickets_days=2)
    assert (await forget_once(trio.control.database, settings))["ticketed"] == 1
    assert (await forget_once(trio.control.database, SETTINGS))["ticketed"] == 1


async def test_a_refund_above_what_came_is_forgotten_when_it_is_settled_or_its_ticket_stands_no_more(trio: Any) -> None:
    await has_ticket(trio, 950, "conflict:stands")
    await trio.control.database.pool.execute(
        "INSERT INTO refund_claim (document_id, fingerprint, settled, noted_at)"
        " SELECT gen_random_uuid(), f, s, now() - make_interval(days => d)"
        " FROM (VALUES ('conflict:stands', false, 61), ('conflict:stands', true, 61), ('conflict:gone', false, 61),"
        " ('conflict:stands', true, 1)) AS v (f, s, d)"
    )
    settings = replace(SETTINGS, stream_max_age_days=59, tickets_days=2)
    assert (await forget_once(trio.control.database, settings))["claims"] == 2
    kept = await trio.control.database.pool.fetch("SELECT settled FROM refund_claim ORDER BY settled")
    assert [row["settled"] for row in kept] == [False, True]


async def test_a_letter_stays_until_its_ticket_is_resolved_for_long_enough(trio: Any) -> None:
    await trio.ship("poison-9")
    await trio.settled()
    await has_ticket(trio, 900, "dead_letter:test")
    await trio.by_hand("control", f"UPDATE dead_letter SET at = {OLD}, ticket = 900")
    assert (await forget_once(trio.control.database, SETTINGS))["letters"] == 0
    await trio.by_hand("control", f"UPDATE ticket SET state = 'resolved', resolved_at = {OLD} WHERE number = 900")
    assert (await forget_once(trio.control.database, replace(SETTINGS, letters_days=0)))["letters"] == 0
    assert (await forget_once(trio.control.database, SETTINGS))["letters"] == 1
