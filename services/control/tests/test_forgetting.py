"""What is old enough goes; what a proof or a person still needs stays, however old it is."""

from typing import Any

from msgspec.structs import replace
from tieout.contracts.control import JourneyRequest, Journeys
from tieout.control.forgetting import forget_once
from tieout.control.settings import Settings
from tieout.servicekit import Refused, ask

SETTINGS = Settings(journey_days=30, counts_days=1, letters_days=30, alarms_days=30)
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


async def test_a_letter_stays_until_its_ticket_is_resolved_for_long_enough(trio: Any) -> None:
    await trio.ship("poison-9")
    await trio.settled()
    await trio.by_hand(
        "control",
        f"INSERT INTO ticket (number, fingerprint, kind, service, flow, reason, field, title_en, title_zh, detail, "
        f"runbook, priority, owner, count, first_at, last_at, due_at) OVERRIDING SYSTEM VALUE VALUES "
        f"(900, 'dead_letter:test', 'dead_letter', '', '', '', '', '', '', '', '', 2, '', 1, {OLD}, {OLD}, {OLD})"
        f"; UPDATE dead_letter SET at = {OLD}, ticket = 900",
    )
    assert (await forget_once(trio.control.database, SETTINGS))["letters"] == 0
    await trio.by_hand("control", f"UPDATE ticket SET state = 'resolved', resolved_at = {OLD} WHERE number = 900")
    assert (await forget_once(trio.control.database, replace(SETTINGS, letters_days=0)))["letters"] == 0
    assert (await forget_once(trio.control.database, SETTINGS))["letters"] == 1
