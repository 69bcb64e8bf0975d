"""A consumer that stands still becomes an alarm and a ticket with its cause, and both end when it moves again."""

import asyncio
from typing import Any

import asyncpg
from msgspec.structs import replace
from tieout.contracts.watch import Alarms, AlarmsRequest, Checkup, CheckupRequest, Vitals, VitalsRequest
from tieout.control.alarms import Lookout
from tieout.control.domain.stalls import LONG_SECONDS
from tieout.control.watch import Watch
from tieout.devstack.patience import PATIENCE_SECONDS, ask, until

DURABLE = "finance-bill-shipments"


STALL_SECONDS = 0.3


def lookout(trio: Any, stall_seconds: float = STALL_SECONDS, long_seconds: float = LONG_SECONDS) -> Lookout:
    colleagues = trio.colleagues()
    return Lookout(colleagues, Watch(colleagues, 0), 0, stall_seconds, long_seconds)


async def alarms(trio: Any) -> list[tuple[str, str]]:
    found = await ask(trio.control.nats, "rpc.control.alarms", AlarmsRequest(), Alarms)
    return [(alarm.about, alarm.cause) for alarm in found.alarms]


async def until_standing(look: Lookout, database: Any, *standing: tuple[str, str]) -> Any:
    """Until exactly these stand still, by name and cause. On a busy machine another one may, for a moment."""
    return await until(
        lambda: look.look(database),
        lambda found: tuple((one.about, one.verdict.cause) for one in found) == standing,
    )


async def tickets(trio: Any) -> list[tuple[str, str]]:
    async with trio.control.database.read() as connection:
        return [tuple(row) for row in await connection.fetch("SELECT fingerprint, state FROM ticket ORDER BY number")]


async def test_a_lock_is_named_with_its_holder_and_the_alarm_ends_with_it(trio: Any) -> None:
    look = lookout(trio)
    psql = await asyncpg.connect(trio.owners["finance"], server_settings={"application_name": "psql"})
    try:
        held = psql.transaction()
        await held.start()
        await psql.execute("LOCK TABLE billed_line")
        pid = psql.get_server_pid()
        await trio.ship("locked")
        (standing,) = await until_standing(look, trio.control.database, (DURABLE, "blocked_by_lock"))
        assert f"pid {pid}, role finance_owner" in standing.verdict.told
        assert await alarms(trio) == [(DURABLE, "blocked_by_lock")]
        assert ("stall:finance:blocked_by_lock", "open") in await tickets(trio)
        await held.rollback()
    finally:
        await psql.close()
    await trio.settled()
    await until_standing(look, trio.control.database)
    assert await alarms(trio) == []
    assert ("stall:finance:blocked_by_lock", "resolved") in await tickets(trio)


async def test_a_consumer_that_somebody_paused_is_told_at_once_and_goes_on(trio: Any) -> None:
    until_then = "2126-01-01T00:00:00Z"
    await trio.finance.jetstream.pause_consumer("INVENTORY", DURABLE, until_then)
    await trio.ship("paused")
    look = lookout(trio, stall_seconds=PATIENCE_SECONDS)
    (standing,) = await until_standing(look, trio.control.database, (DURABLE, "paused"))
    assert until_then in standing.verdict.told
    answer = await ask(trio.control.nats, "rpc.control.checkup", CheckupRequest(), Checkup)
    (broker,) = (check for check in answer.checks if check.name == "broker")
    assert (broker.state, until_then in broker.found) == ("wrong", True)
    watching = asyncio.create_task(Watch(trio.colleagues(), 0.05).run(trio.control.database))
    try:
        await trio.settled()
    finally:
        watching.cancel()
    await until_standing(look, trio.control.database)
    assert await alarms(trio) == []


async def test_what_it_saw_is_told_as_metrics_and_its_age_grows_when_nobody_looks(trio: Any) -> None:
    look = lookout(trio)
    readings = look.readings()
    trio.gate.clear()
    await trio.ship("waiting-1", "waiting-2")
    waiting, stalled = readings["tieout.consumer.waiting"], readings["tieout.consumer.stalled"]

    async def seen() -> bool:
        await look.look(trio.control.database)
        return stalled()[DURABLE] >= 0.3

    await until(seen)
    assert waiting()[DURABLE] == 1  # Both travel in one message.
    assert stalled()["control-collect-dead"] == 0
    assert readings["tieout.broker.silence"]() == {"": 0.0}
    age = readings["tieout.watch.age"]()[""]
    await asyncio.sleep(0.2)
    assert readings["tieout.watch.age"]()[""] >= age + 0.1  # At least: the longer this took, the older it is.
    trio.gate.set()
    await trio.settled()
    await look.look(trio.control.database)
    assert waiting()[DURABLE] == stalled()[DURABLE] == 0


async def test_the_next_look_comes_when_a_flow_will_have_stood_long_enough_and_no_later(trio: Any) -> None:
    colleagues = trio.colleagues()
    look = Lookout(colleagues, Watch(colleagues, 0), 2.5, 6.0)
    await look.look(trio.control.database)
    (flow,) = (one for one in look._flows if one.durable == DURABLE)
    for stands, rests in ((0.0, 2.5), (2.5, 2.5), (5.0, 1.0), (5.99, 0.1), (6.0, 2.5), (60.0, 2.5)):
        look._flows = (replace(flow, stalled_seconds=stands), replace(flow, stalled_seconds=60.0))
        assert look._rest_seconds() == rests, stands
    look._flows = (replace(flow, stalled_seconds=5.0),)
    look._broker_silent = 1.0  # Since then nobody has seen how far the flow is.
    assert look._rest_seconds() == 2.5


async def test_a_batch_that_works_for_seconds_is_no_alarm(trio: Any) -> None:
    strict, patient = lookout(trio, long_seconds=0.0), lookout(trio, long_seconds=3600.0)
    trio.gate.clear()
    await trio.ship("long")
    vitals = await until(
        lambda: ask(trio.control.nats, "rpc.finance.vitals", VitalsRequest(tables=True), Vitals),
        lambda vitals: vitals.flows[0].in_hand_seconds > 0 and (vitals.database, vitals.blocked) == ("", ()),
    )
    assert len(vitals.flows) == 1
    assert "billed_line" in {table.table for table in vitals.tables}
    await until_standing(strict, trio.control.database, (DURABLE, "long_batch"))

    async def stands_without_alarm() -> bool:
        """An answer that comes late is an alarm of another kind, on a busy machine; one look later it is none."""
        found = await patient.look(trio.control.database)
        stalled = patient.readings()["tieout.consumer.stalled"]()[DURABLE]
        return stalled >= STALL_SECONDS and DURABLE not in {one.about for one in found}

    await until(stands_without_alarm)
    trio.gate.set()
    await trio.settled()


async def test_a_checkup_answers_every_check_although_services_are_away(trio: Any) -> None:
    await trio.ship("poison-1")
    await trio.settled()
    answer = await ask(trio.control.nats, "rpc.control.checkup", CheckupRequest(), Checkup)
    found = {check.name: check for check in answer.checks}
    assert len(found) == len(answer.checks) >= 18
    assert found["services"].state == "wrong"
    assert "gateway" in found["services"].found
    assert (found["dead letters"].state, found["dead letters"].runbook) == ("wrong", "DeadLetters")
    assert found["agreement"].state == "unknown"
    assert found["locks"].state == "ok"
    for check in answer.checks:
        assert check.state in {"ok", "unknown"} or (check.why and check.next_step), check
