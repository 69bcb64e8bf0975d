"""A service: all that it does, how it starts and how it stops.

`main("inventory", build)` gives `python -m tieout.inventory serve|migrate`. `build(settings) -> Service` lists all that
the service does; it is the one place that knows everything.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats.errors
import structlog
from nats.js import JetStreamContext
from tieout.contracts.operation import Trail, TrailRequest
from tieout.servicekit import sql
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.answers import OwnAnswers, stopped_flows
from tieout.servicekit.auditing import Auditing
from tieout.servicekit.batches import FlowSubscriber, subscribe
from tieout.servicekit.connection import QuickClient
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Misconfigured
from tieout.servicekit.findings import Findings
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.housekeeping import Housekeeping
from tieout.servicekit.letterbox import Letterbox
from tieout.servicekit.lifetime import Lifetime, cancel
from tieout.servicekit.metrics import Metrics
from tieout.servicekit.migrate import checksums, posts
from tieout.servicekit.outbox import Outbox
from tieout.servicekit.parked import Waker
from tieout.servicekit.plain_http import PlainHttp
from tieout.servicekit.probes import Probes
from tieout.servicekit.rebuilding import MakeRebuilding
from tieout.servicekit.replay import Player
from tieout.servicekit.retention import Retention
from tieout.servicekit.rpc import Answers, Endpoints
from tieout.servicekit.scrub import Scrub
from tieout.servicekit.servers import Servers
from tieout.servicekit.settings import Settings
from tieout.servicekit.streams import Audit, dead_stream, ensure_stream, own_stream
from tieout.servicekit.telemetry import Tracing
from tieout.servicekit.vitals import RunLog, Witness
from tieout.servicekit.whereabouts import refuse_forgetful

log = structlog.get_logger(__name__)

Task = Callable[["Service"], Coroutine[Any, Any, None]]
Forget = Callable[[Database], Awaitable[Mapping[str, int]]]


class Service:
    """Everything that one service does.

    `tasks` are coroutine functions that run beside it until they are cancelled. `forgets` are what `retain` does once,
    beyond outbox and stream; each tells the rows that went. `works_without_broker`: readiness does not ask for it.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        migrations: Path,
        flows: Sequence[BatchFlow] = (),
        operations: Sequence[Answers[Any, Any]] = (),
        trail: Callable[[TrailRequest, Database], Awaitable[Trail]] | None = None,
        violations: sql.Statements | None = None,
        tasks: Sequence[Task] = (),
        forgets: Sequence[Forget] = (),
        works_without_broker: bool = False,
        rebuilding: MakeRebuilding | None = None,
    ) -> None:
        for operation in operations:
            if operation.operation.owner != name:
                declared = operation.operation
                raise Misconfigured(f"operation {declared.name} belongs to {declared.owner}, not to {name}")
        self.name = name
        self.settings = settings
        self.migrations = migrations
        self.flows = tuple(flows)
        self.operations = tuple(operations)
        self.trail = trail
        self.violations = violations
        self.tasks = tuple(tasks)
        self.forgets = tuple(forgets)
        self.rebuilding = rebuilding  # Of a database that was restored from a backup; see rebuilding.py.
        self.version = _version(name)
        self.lifetime = Lifetime()
        self.servers = Servers(name, settings, self.lifetime)
        self.database: Database
        self.auditing: Auditing
        self.probes = Probes(
            name,
            self.version,
            why_not=self._why_not_ready,
            waits=lambda: bool(self.servers.waits_for),
            look_at_database=self.servers.look_at_database,
        )
        self._works_without_broker = works_without_broker
        self._started_at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._runs: RunLog | None = None
        self._subscribers: list[FlowSubscriber] = []
        self._running: list[asyncio.Task[Any]] = []
        self._own_tasks: list[asyncio.Task[Any]] = []
        self._metrics_http: PlainHttp | None = None

    @property
    def ready(self) -> bool:
        return self.lifetime.ready

    @property
    def nats(self) -> QuickClient:
        """The connection, for tasks that need it raw."""
        return self.servers.nats

    @property
    def jetstream(self) -> JetStreamContext:
        return self.servers.jetstream

    # ------------------------------------------------------------------ start

    async def start(self) -> None:
        """Ready means: database and broker answered, flows ask, operations answer. Nobody waits for other services."""
        servers, spawn = self.servers, self.lifetime.spawn
        await self.open_database()
        outbox = self.database.outbox
        await self.evidence.start()
        self._runs = runs = RunLog(
            self.database, self.version, self._state, posts(checksums(self.name, self.migrations))
        )
        await servers.patiently("database", runs.begin)

        broker = await servers.open_broker()
        outbox.connect(self.nats, servers.marks)
        await self._begin_auditing()
        self._subscribers = [subscribe(broker, flow, self.database) for flow in self.flows]
        await servers.patiently("broker", lambda: refuse_forgetful(self.database, self.flows, self.jetstream))
        servers.on_back.append(self._ask_again)
        await broker.start()
        await self._answer(runs)

        retention = Retention(self.jetstream, outbox, servers.marks, self.settings)
        housekeeping = Housekeeping(
            self.database, self.evidence, self.nats, self.auditing, retention, self._subscribers
        )
        await self._measure(housekeeping)
        waker = Waker(self.database, self._subscribers)
        self._own_tasks = [
            spawn(outbox.relay(), "relay"),
            spawn(waker.run(), "parked messages"),
            spawn(housekeeping.run(), "housekeeping"),
            spawn(runs.run(), "run log"),
            spawn(Scrub(self.findings, self.database, self.settings.scrub_seconds).run(), "scrub"),
        ]
        self._running = [spawn(task(self), getattr(task, "__name__", "task")) for task in self.tasks]
        self.lifetime.ready = self.probes.started = True
        log.info("ready", version=self.version, pid=os.getpid(), flows=len(self.flows))

    async def open_database(self) -> None:
        """Waits for it."""
        servers = self.servers
        await servers.open_database()
        self.tracing = Tracing.from_environment(self.name, self.version)
        self.tracing.works_on(self.settings.database_url)
        self.database = Database(
            servers.pool,
            service=self.name,
            version=self.version,
            outbox=Outbox(self.name, tells_order=self.rebuilding is None),
            tracing=self.tracing,
            identity=servers.identity,
        )
        self.evidence = Evidence(self.database)
        self.findings = Findings(self.violations, checksums(self.name, self.migrations), self.settings.rule_seconds_max)

    async def _begin_auditing(self) -> None:
        """Nothing is published before the first audit has ended; the start does not wait for it."""
        servers, settings, outbox = self.servers, self.settings, self.database.outbox
        kept = {"replicas": settings.stream_replicas, "max_age_days": settings.stream_max_age_days}
        hours = settings.outbox_retention_hours
        audit = Audit(self.jetstream, outbox, servers.marks, own_stream(self.name, **kept), hours)
        with contextlib.suppress(OSError, TimeoutError, nats.errors.Error):  # Else the audit asks again.
            self.database.highest[0] = await audit.refuse_older()
        self.auditing = Auditing(
            audit,
            Letterbox(self.jetstream, outbox, servers.marks, hours),
            outbox,
            self.lifetime,
            (lambda: ensure_stream(self.jetstream, dead_stream(**kept))) if self.name == "control" else None,
        )
        servers.on_away.append(outbox.disconnected)
        servers.on_back.append(self.auditing.soon)
        outbox.nobody_hears = self.auditing.soon
        self.auditing.soon()

    def _ask_again(self) -> None:
        for subscriber in self._subscribers:
            subscriber.intake.again()

    async def _answer(self, runs: RunLog) -> None:
        """The service's operations, and of what every service answers those that it does not answer itself."""
        self._player = Player(self.database, self._subscribers)
        own = OwnAnswers(
            self.name,
            self.version,
            started_at=self._started_at,
            trail=self.trail,
            evidence=self.evidence,
            findings=self.findings,
            audit=self.auditing.audit,
            player=self._player,
            witness=Witness(self.servers.marks, self.version, self._started_at, lambda: self._subscribers),
            runs=runs,
            subscribers=self._subscribers,
            is_ready=lambda: self._state()[0],
        )
        taken = {answer.operation.name for answer in self.operations}
        self.endpoints = Endpoints(self.nats, self.database)
        await self.endpoints.start(
            [*self.operations, *(answer for answer in own.operations() if answer.operation.name not in taken)]
        )

    async def _measure(self, housekeeping: Housekeeping) -> None:
        """Metrics, where somebody collects them."""
        self._metrics = metrics = Metrics(
            self.name,
            self.version,
            self._all_numbers,
            lambda: housekeeping.outbox_seen,
            lambda: self.database.readings,
        )
        if metrics.address is not None:
            self._metrics_http = PlainHttp({"/metrics": metrics.page})
            names = "OTEL_EXPORTER_PROMETHEUS_HOST or OTEL_EXPORTER_PROMETHEUS_PORT"
            await self._metrics_http.start(*metrics.address, names)
        housekeeping.measured = metrics.enabled
        self.database.record = metrics.record if metrics.enabled else None

    # ------------------------------------------------------------------ how it is

    def _why_not_ready(self) -> list[str]:
        if self.lifetime.ending.is_set():
            return ["stopping"]
        if not self.ready:
            waits_for = self.servers.waits_for
            return [f"waiting for the {waits_for}" if waits_for else "starting"]
        if self._works_without_broker:
            return []
        if not self.nats.is_connected:
            return ["the broker is away"]
        return [] if self.database.outbox.open.is_set() else ["our stream is not compared with the outbox yet"]

    def _state(self) -> tuple[bool, dict[str, str]]:
        return self.ready and self.database.outbox.open.is_set(), stopped_flows(self._subscribers)

    def _numbers(self) -> dict[str, dict[str, float]]:
        return {subscriber.flow.durable: subscriber.numbers() for subscriber in self._subscribers}

    def _all_numbers(self) -> dict[str, dict[str, float]]:
        """Also of work that does not come from a stream, such as the gateway's mapping."""
        return {**self.database.counts, **self._numbers()}

    # ------------------------------------------------------------------ stop

    async def stop(self) -> None:
        """Stop what brings new work, finish and commit what is in hand, publish it, close."""
        started = time.monotonic()
        self.lifetime.ready = False
        self.lifetime.ending.set()
        await cancel(self._running)
        with contextlib.suppress(Exception):
            await asyncio.gather(*[subscriber.stop() for subscriber in self._subscribers])
        with contextlib.suppress(Exception):
            await self.endpoints.stop()
        await self.database.outbox.flush(3.0)
        await cancel([*self._own_tasks, *([self.auditing.task] if self.auditing.task else [])])
        await self.evidence.stop()
        await self.findings.stop()
        await self.servers.close_broker()
        await asyncio.gather(asyncio.to_thread(self.tracing.close), asyncio.to_thread(self._metrics.close))
        if self._metrics_http is not None:
            self._metrics_http.close()
        await self.sign_out()
        await self.servers.close_database()
        log.info("stopped", seconds=round(time.monotonic() - started, 2))

    async def sign_out(self) -> None:
        """Whoever comes next must not take it for killed."""
        if self._runs is not None:
            await self._runs.end()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(f"tieout-{name}")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"
