"""Alarms: what stands still that should move, known within fifteen seconds, with its probable cause and a ticket.

A flow stands still when its confirmed floor has not moved for some seconds although something waits. Its service is
then asked what it is doing; that it does not answer is an answer as well.
"""

import asyncio
import collections
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import Struct
from tieout.contracts.control import FlowState
from tieout.contracts.streams import CORE_SERVICES
from tieout.contracts.watch import (
    Alarm,
    AlarmKind,
    Alarms,
    AlarmsRequest,
    Rhythms,
    RhythmsRequest,
    SatelliteRhythm,
    Vitals,
    VitalsRequest,
)
from tieout.control.calm import rest
from tieout.control.colleagues import BROKER, Colleagues, Unanswered
from tieout.control.domain.stalls import LONG_SECONDS, Verdict, silent, why_it_stands
from tieout.control.tickets import open_ticket, settle_ticket
from tieout.control.watch import Watch
from tieout.servicekit import Database, sql

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

ANSWER_SECONDS_MAX = 1.5
LISTEN_SECONDS = 20.0
HEAR_SECONDS = 0.5  # A comparison, not a look: the first look at what then stands still starts its clock.
DUE_SECONDS_MIN = 0.1  # As finely as what stands still is measured.
REMEMBER_SECONDS = 60.0  # Between two looks at the vitals of those with whom all is well.
RUNBOOKS: Mapping[AlarmKind, str] = {"stall": "ConsumerStalled", "silence": "SatelliteSilent"}
WHOLE_SERVICE = {"process_gone", "out_of_memory", "keeps_dying", "hangs", "database_away", "blocked_by_lock"}


class Standing(Struct, frozen=True):
    kind: AlarmKind
    about: str
    verdict: Verdict
    since: datetime
    waiting: int = 0

    @property
    def fingerprint(self) -> str:
        """All flows of a service stand for one reason where the service itself is the reason."""
        cause = self.verdict.cause
        about = self.about.partition("-")[0] if cause in WHOLE_SERVICE else self.about
        return f"{self.kind}:{about}:{cause}"


class Lookout:
    """What this process saw last. `look_seconds` between two looks; `stall_seconds` without movement are an alarm, but
    of one batch that is worked on `long_seconds`."""

    def __init__(
        self,
        colleagues: Colleagues,
        watch: Watch,
        look_seconds: float,
        stall_seconds: float,
        long_seconds: float = LONG_SECONDS,
    ) -> None:
        self._colleagues = colleagues
        self._watch = watch
        self._look_seconds = look_seconds
        self._stall_seconds = stall_seconds
        self._long_seconds = long_seconds
        self._before: dict[str, Vitals] = {}
        self._remembered = 0.0
        self._broker_silent = 0.0
        self._listened = float("-inf")
        self._heard = 0.0  # When the gateway last told of its satellites.
        self._silent: tuple[Standing, ...] = ()
        self._busy = False  # At the last look something waited, or the broker did not answer.
        self._began = time.monotonic()
        self.standing: tuple[Standing, ...] = ()
        self._kept: frozenset[tuple[str, str, str]] | None = None  # What our table holds; None: not known.
        self._looked = time.monotonic()
        self._flows: tuple[FlowState, ...] = ()
        self._rhythms: tuple[SatelliteRhythm, ...] = ()

    def readings(self) -> dict[str, Callable[[], Mapping[str, float]]]:
        """What it saw last, as metrics; their ages go on growing when it looks no more."""

        def of_flows(value: Callable[[FlowState], float]) -> Callable[[], Mapping[str, float]]:
            return lambda: {flow.durable: value(flow) for flow in self._flows}

        def silences() -> dict[str, float]:
            since = time.monotonic() - self._heard
            return {one.satellite: round(one.silent_seconds + since, 1) for one in self._rhythms}

        def broker() -> float:
            return round(time.monotonic() - self._broker_silent, 1) if self._broker_silent else 0.0

        return {
            "tieout.watch.age": lambda: {"": round(time.monotonic() - self._looked, 1)},
            "tieout.consumer.stalled": of_flows(lambda flow: flow.stalled_seconds),
            "tieout.consumer.waiting": of_flows(_behind),
            "tieout.consumer.done_in": of_flows(lambda flow: max(0.0, flow.done_in_seconds)),
            "tieout.consumer.growing": of_flows(lambda flow: flow.done_in_seconds < 0),
            "tieout.broker.silence": lambda: {"": broker()},
            "tieout.alarms": lambda: collections.Counter(one.verdict.cause for one in self.standing),
            "tieout.satellite.silence": silences,
            "tieout.satellite.alarming": lambda: {one.satellite: one.alarming for one in self._rhythms},
        }

    async def run(self, database: Database) -> None:
        """Until cancelled."""
        if self._look_seconds <= 0:
            await asyncio.Event().wait()
        database.readings |= self.readings()
        calm = False
        while True:
            await rest(database, self._rest_seconds(), calm=calm, listen_seconds=HEAR_SECONDS)
            calm = False
            try:
                calm = not await self.look(database) and not self._busy
            except Exception:
                log.exception("the lookout failed")

    def _rest_seconds(self) -> float:
        """Until the next look: sooner where a flow will then have stood for long enough, so that no alarm waits for
        the end of a rest."""
        if self._broker_silent:  # What we know of the flows is old.
            return self._look_seconds
        left = [self._stall_seconds - flow.stalled_seconds for flow in self._flows if flow.stalled_seconds]
        return min([self._look_seconds, *(max(one, DUE_SECONDS_MIN) for one in left if one > 0)])

    async def look(self, database: Database) -> tuple[Standing, ...]:
        """One look at everything. What cannot be kept because our own database is away is logged, and kept later."""
        found = [*await self._stalls(), *await self._silences()]
        now = {(one.kind, one.about, one.verdict.cause) for one in found}
        self.standing = tuple(found)
        self._looked = time.monotonic()
        if self._kept is None and not found and time.monotonic() - self._began < 3 * self._stall_seconds:
            return (
                self.standing
            )  # What stood when our last process ended may stand still: it has not been seen long enough.
        if self._kept is None or now != self._kept:
            await self._keep(found, database)
            self._kept = frozenset(now)
        return self.standing

    async def _stalls(self) -> list[Standing]:
        try:
            flows = self._flows = await self._watch.flows()
        except Unanswered as error:
            return self._broker_stands(error)
        self._broker_silent = 0.0
        self._busy = any(flow.waiting or flow.unacked for flow in flows)
        standing = [flow for flow in flows if flow.stalled_seconds >= self._stall_seconds or flow.paused_until]
        now = time.monotonic()
        everybody = now - self._remembered > REMEMBER_SECONDS
        if everybody:
            self._remembered = now
        concerned = {flow.durable.partition("-")[0] for flow in standing}
        vitals, silent = await self._vitals(CORE_SERVICES if everybody else concerned)
        found = []
        for flow in standing:
            service = flow.durable.partition("-")[0]
            verdict = why_it_stands(flow, vitals.get(service), silent.get(service, ""), self._before.get(service))
            if verdict.cause == "long_batch" and flow.stalled_seconds < self._long_seconds:
                continue
            found.append(Standing("stall", flow.durable, verdict, _ago(flow.stalled_seconds), _behind(flow)))
        self._before.update(vitals)
        return found

    async def _silences(self) -> Sequence[Standing]:
        """Satellites that are silent against their own rhythm. Where the gateway does not answer, what was so stays."""
        now = time.monotonic()
        if now - self._listened < LISTEN_SECONDS:
            return self._silent
        self._listened = now
        try:
            view = await self._colleagues.ask("gateway", "rhythms", RhythmsRequest(), Rhythms)
        except Unanswered:
            return self._silent
        self._rhythms, self._heard = view.satellites, now
        self._silent = tuple(
            Standing("silence", one.satellite, silent(one), _ago(one.silent_seconds))
            for one in view.satellites
            if one.alarming
        )
        return self._silent

    def _broker_stands(self, error: Unanswered) -> list[Standing]:
        now = time.monotonic()
        self._busy = True
        self._broker_silent = self._broker_silent or now
        if now - self._broker_silent < self._stall_seconds:
            return []
        told = f"The broker does not answer: {error.why}"
        verdict = Verdict(
            "unknown",
            told,
            f"消息代理没有响应:{error.why}",
            "Mend NATS. Documents are still taken in; everything waits in the outboxes and goes on by itself.",
        )
        return [Standing("stall", BROKER, verdict, _ago(now - self._broker_silent))]

    async def _vitals(self, services: Iterable[str]) -> tuple[dict[str, Vitals], dict[str, str]]:
        found: dict[str, Vitals] = {}
        silent: dict[str, str] = {}

        async def ask(service: str) -> None:
            try:
                found[service] = await self._colleagues.ask(
                    service, "vitals", VitalsRequest(), Vitals, seconds=ANSWER_SECONDS_MAX
                )
            except Unanswered as error:
                silent[service] = "gone" if error.gone else "hangs"

        await asyncio.gather(*map(ask, services))
        return found, silent

    async def _keep(self, found: Sequence[Standing], database: Database) -> None:
        """Alarms, tickets and their ends, in one transaction."""
        for one in found:
            log.error("stands still", about=one.about, cause=one.verdict.cause, told=one.verdict.told)
        async with database.transaction() as tx:
            rows = await tx.fetch(statements.standing)
            before = {(row["kind"], row["about"]): row["cause"] for row in rows}
            now = {(one.kind, one.about): one for one in found}
            over = [key for key in before if key not in now]
            if over:
                await tx.execute(statements.end, [key[0] for key in over], [key[1] for key in over])
            if found:
                columns = zip(*map(_row, found), strict=True)
                await tx.execute(statements.keep, *map(list, columns))
            fresh = {one.fingerprint: one for one in found if before.get((one.kind, one.about)) != one.verdict.cause}
            for fingerprint, one in sorted(fresh.items()):
                await open_ticket(
                    tx,
                    one.kind,
                    fingerprint,
                    one.verdict.told,
                    one.verdict.told_zh,
                    service="gateway" if one.kind == "silence" else one.about.partition("-")[0],
                    flow=one.about if one.kind == "stall" else "",
                    reason=one.verdict.cause,
                    detail=one.verdict.next_step,
                    runbook=RUNBOOKS[one.kind],
                )
            still = {one.fingerprint for one in found}
            for row in rows:
                gone = Standing(row["kind"], row["about"], Verdict(row["cause"], "", "", ""), row["since"]).fingerprint
                if gone not in still:
                    await settle_ticket(tx, gone, "It moves again.")


async def list_alarms(request: AlarmsRequest, database: Database) -> Alarms:
    async with database.read() as connection:
        rows = await connection.fetch(statements.alarms, request.ended, request.limit)
    return Alarms(
        tuple(Alarm(**{**dict(row), "since": _text(row["since"]), "ended_at": _text(row["ended_at"])}) for row in rows)
    )


def _row(one: Standing) -> tuple[object, ...]:
    verdict = one.verdict
    return one.kind, one.about, verdict.cause, one.since, verdict.told, verdict.told_zh, verdict.next_step, one.waiting


def _behind(flow: FlowState) -> int:
    return flow.waiting + flow.unacked


def _ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def _text(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
