"""The checkup: all checks at once, for `./tieout doctor`. Who does not answer is a finding, never a failure of it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from tieout.contracts.control import Agreement, AgreementRequest, FlowState, ServiceStatus
from tieout.contracts.finance import ListStandingCounts, StandingCounts
from tieout.contracts.gateway import ProgressRequest, ProgressView
from tieout.contracts.streams import CORE_SERVICES
from tieout.contracts.watch import AlarmsRequest, Check, Checkup, CheckupRequest, Vitals, VitalsRequest
from tieout.control import office
from tieout.control.alarms import ANSWER_SECONDS_MAX, list_alarms
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import checks, sites
from tieout.control.proof import Prover
from tieout.control.watch import STREAMS, Watch
from tieout.servicekit import Database, sql

statements = sql.load(__file__)

AHEAD_DAYS = 21  # The State Council announces a year's holidays in November of the year before.
PROOF_SECONDS_MAX = 4.0  # A service that hangs must not keep the other checks from being told.


async def check_up(
    request: CheckupRequest,
    database: Database,
    colleagues: Colleagues,
    watch: Watch,
    prover: Prover,
    stream_bytes_max: int,
) -> Checkup:
    began = time.monotonic()
    healths, vitals, flows, proved, (intake, counts, at_sites), streams = await asyncio.gather(
        asyncio.gather(*(colleagues.health(service) for service in CORE_SERVICES)),
        _vitals(colleagues, tables=request.tables),
        _flows(watch),
        _agreement(prover, database),
        asyncio.gather(_waiting_in_quarantine(colleagues), _approvals(colleagues), _sites(colleagues)),
        _streams(colleagues, watch),
    )
    async with database.read() as connection:
        counted = await connection.fetchrow(statements.counts, checks.RECENT_MINUTES)
        clocks = await office.clocks(connection)
    assert counted is not None
    alarms = (await list_alarms(AlarmsRequest(), database)).alarms
    instances = [one for found in healths for one in found]
    states = [
        ServiceStatus(service, up=any(one.ready for one in found), instances=tuple(found))
        for service, found in zip(CORE_SERVICES, healths, strict=True)
    ]
    agreement, why_not = proved
    told = [
        checks.services(states),
        checks.replicas(instances),
        checks.databases(vitals),
        checks.durability(vitals),
        _broker(flows),
        checks.stalls(alarms),
        checks.stopped(vitals),
        checks.locks(vitals),
        checks.lag(flows or (), checks.hampered(states, alarms, vitals, flows or ())),
        checks.outboxes(instances),
        checks.dead_letters(counted["dead_letters"], counted["recent"]),
        checks.tickets(counted["tickets"], counted["urgent"]),
        checks.parked(vitals, instances),
        checks.agreement(agreement, why_not, counted["disagreements"]),
        checks.findings(instances),
        checks.silences(alarms),
        at_sites,
        _quarantine(intake),
        counts,
        checks.memory(vitals),
        checks.endings(vitals),
        checks.streams(*streams, stream_bytes_max),
        checks.holidays(clocks[4].guesses(datetime.now(UTC), datetime.now(UTC) + timedelta(days=AHEAD_DAYS))),
    ]
    if request.tables:
        told.append(checks.tables(vitals))
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Checkup(at, tuple(told), round((time.monotonic() - began) * 1000, 1))


async def _vitals(colleagues: Colleagues, *, tables: bool) -> dict[str, Vitals]:
    async def ask(service: str) -> Vitals | None:
        try:
            return await colleagues.ask(service, "vitals", VitalsRequest(tables), Vitals, seconds=ANSWER_SECONDS_MAX)
        except Unanswered:
            return None  # The check of the services tells it.

    found = await asyncio.gather(*map(ask, CORE_SERVICES))
    return {service: one for service, one in zip(CORE_SERVICES, found, strict=True) if one is not None}


async def _flows(watch: Watch) -> tuple[FlowState, ...] | None:
    try:
        return await watch.flows()
    except Unanswered:
        return None


def _broker(flows: tuple[FlowState, ...] | None) -> Check:
    if flows is None:
        why = "Nothing moves between services. Documents are still taken in and wait in outboxes."
        return Check(
            "broker", "wrong", "NATS does not answer about its consumers.", why, "./tieout logs hub", "BrokerAway"
        )
    paused = [f"{flow.durable} until {flow.paused_until}" for flow in flows if flow.paused_until]
    if paused:
        why = "Documents behind it wait until then. No part of this system pauses a consumer: it was a hand."
        told, then = f"Paused on the hub: {', '.join(paused)}.", "control has them resumed. Find out who did it."
        return Check("broker", "wrong", told, why, then, "ConsumerStalled")
    missing = [flow.durable for flow in flows if flow.missing]
    if missing:
        why = "The broker keeps nothing for a consumer that it does not know; its service makes it when it starts."
        told = f"Consumers that do not exist: {', '.join(missing)}."
        return Check("broker", "look", told, why, "Start the services that they belong to.", "ServiceAway")
    return Check("broker", "ok", f"NATS answers and knows all {len(flows)} consumers.")


async def _agreement(prover: Prover, database: Database) -> tuple[Agreement | None, str]:
    try:
        request = AgreementRequest(wait_seconds=0.5, violations=False, limit=1)
        async with asyncio.timeout(PROOF_SECONDS_MAX):
            return await prover.prove(request, database, rows_above_max=0), ""
    except Unanswered as error:
        return None, str(error)
    except TimeoutError:
        return None, f"a service did not answer within {PROOF_SECONDS_MAX:g} s"


async def _waiting_in_quarantine(colleagues: Colleagues) -> int | None:
    try:
        view = await colleagues.ask("gateway", "progress", ProgressRequest(), ProgressView)
    except Unanswered:
        return None
    return sum(satellite.quarantined for satellite in view.satellites)


def _quarantine(waiting: int | None) -> Check:
    return (
        checks.quarantine(waiting) if waiting is not None else Check("quarantine", "unknown", "The gateway is silent.")
    )


async def _sites(colleagues: Colleagues) -> Check:
    try:
        return sites.check(await colleagues.sites(), datetime.now(UTC))
    except Unanswered as error:
        return Check("sites", "unknown", f"{error}.")


async def _approvals(colleagues: Colleagues) -> Check:
    try:
        asked = ListStandingCounts(limit=1)  # The oldest; the sums are of all.
        told = await colleagues.ask("finance", "standing_counts", asked, StandingCounts, seconds=ANSWER_SECONDS_MAX)
    except Unanswered as error:
        return Check("approvals", "unknown", f"{error}.")
    oldest = min((one.posted_at for one in told.counts), default=datetime.now(UTC))
    return checks.approvals(told.sums, (datetime.now(UTC) - oldest).total_seconds())


async def _streams(colleagues: Colleagues, watch: Watch) -> tuple[dict[str, int | None], dict[str, str]]:
    """Bytes of each stream, None where the hub does not have it; and since when it has not."""
    try:
        held = await asyncio.gather(*map(colleagues.stream_bytes, STREAMS))
        missing = {one.stream: one.since for one in await watch.missing_streams()}
    except Unanswered:
        return {}, {}  # The check of the broker tells it.
    return dict(zip(STREAMS, held, strict=True)), missing
