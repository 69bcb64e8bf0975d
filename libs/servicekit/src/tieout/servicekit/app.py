"""A service: settings -> database -> broker -> flows, operations, tasks; and back again within ten seconds.

`main("inventory", build)` gives `python -m tieout.inventory serve|migrate`. `build(settings) -> Service` lists all that
the service does; it is the one place that knows everything.
"""

import asyncio
import contextlib
import gc
import importlib.metadata
import os
import signal
import time
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats.errors
import structlog
from faststream.security import SASLPlaintext
from nats.js import JetStreamContext
from tieout.contracts.operation import Trail, TrailRequest
from tieout.servicekit import sql
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.answers import OwnAnswers, stopped_flows
from tieout.servicekit.batches import FlowSubscriber, subscribe
from tieout.servicekit.connection import QuickBroker, QuickClient
from tieout.servicekit.database import Database, Identity, open_pool
from tieout.servicekit.errors import Cause, Misconfigured, OlderThanItsStream, cause_of
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.letterbox import Letterbox
from tieout.servicekit.metrics import Metrics
from tieout.servicekit.migrate import checksums, posts
from tieout.servicekit.outbox import SWEEP_ROWS, Outbox
from tieout.servicekit.outbox import statements as outbox_statements
from tieout.servicekit.parked import Waker
from tieout.servicekit.plain_http import PlainHttp
from tieout.servicekit.probes import Probes
from tieout.servicekit.recovery import MakeRebuilding
from tieout.servicekit.replay import Player
from tieout.servicekit.retention import Retention
from tieout.servicekit.rpc import Answers, Endpoints
from tieout.servicekit.scrub import Scrub
from tieout.servicekit.settings import Settings, fresh_secret
from tieout.servicekit.streams import Audit, dead_stream, ensure_stream, own_stream
from tieout.servicekit.telemetry import Tracing
from tieout.servicekit.vitals import RunLog, Witness
from tieout.servicekit.whereabouts import refuse_forgetful

log = structlog.get_logger(__name__)

FOLD_SECONDS = 1.0
CANCEL_AGAIN_SECONDS = 1.0
GARBAGE_SECONDS = 20.0
GARBAGE_OBJECTS_MAX = 1_000_000  # More than this many new objects are looked through at once; about 100 MB.
QUIET_FOLDS = 5  # After so many without a transaction of ours only each fifth: positions are closed, hands may edit.
AUDIT_SECONDS = 60.0
LOOK_SECONDS = 5.0  # Between two short looks at what the stream lacks,
LOOK_IDLE_SECONDS = 20.0  # and while nothing is published.
PRUNE_SECONDS = 600.0
LAG_SECONDS = 5.0  # Asked for metrics only.
COMPLAIN_SECONDS = 5.0

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
        self.rebuilding = rebuilding  # Of a database that was restored from a backup; see recovery.py.
        self.version = _version(name)
        self._runs: RunLog | None = None
        self.ready = False
        self.on_broker_back: list[Callable[[], None]] = []  # Called after each new connection to it.
        self.database: Database
        self.broker: QuickBroker
        self._started_at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._subscribers: list[FlowSubscriber] = []
        self._running: list[asyncio.Task[Any]] = []
        self._own_tasks: list[asyncio.Task[Any]] = []
        self._stop = asyncio.Event()
        self._audit: Audit | None = None
        self._auditing: asyncio.Task[None] | None = None
        self._pools: tuple[Any, ...] = ()
        self._complained = float("-inf")
        self._outbox_seen = (0.0, 0)  # Age in seconds and batches waiting, for metrics.
        self._failure: BaseException | None = None
        self._works_without_broker = works_without_broker
        self._waits_for = ""  # A server, during the start.
        self._probes = Probes(
            name,
            self.version,
            why_not=self._why_not_ready,
            waits=lambda: bool(self._waits_for),
            look_at_database=self._look_at_database,
        )
        self._metrics_http: PlainHttp | None = None

    @property
    def nats(self) -> QuickClient:
        """The connection, for tasks that need it raw."""
        return typing.cast("QuickClient", self.broker.config.connection_state.connection)

    @property
    def jetstream(self) -> JetStreamContext:
        return typing.cast("JetStreamContext", self.broker.config.connection_state.stream)

    # ------------------------------------------------------------------ start

    async def start(self) -> None:
        """Ready means: database and broker answered, flows ask, operations answer. Nobody waits for other services."""
        settings = self.settings
        marks = await self.open_database()
        outbox = self.database.outbox
        await self.evidence.start()
        self._runs = runs = RunLog(
            self.database, self.version, self._state, posts(checksums(self.name, self.migrations))
        )
        await self._patiently("database", runs.begin)
        self._witness = Witness(marks, self.version, self._started_at, lambda: self._subscribers)

        await self.open_broker()
        outbox.connect(self.nats, marks)
        hours = settings.outbox_retention_hours
        config = own_stream(self.name, replicas=settings.stream_replicas, max_age_days=settings.stream_max_age_days)
        self._audit = Audit(self.jetstream, outbox, marks, config, hours)
        with contextlib.suppress(OSError, TimeoutError, nats.errors.Error):  # Else the audit asks again.
            self.database.highest[0] = await self._audit.refuse_older()
        self._letterbox = Letterbox(self.jetstream, outbox, marks, hours)
        self._audit_soon()

        self._subscribers = [subscribe(self.broker, flow, self.database) for flow in self.flows]
        await self._patiently("broker", lambda: refuse_forgetful(self.database, self.flows, self.jetstream))
        await self.broker.start()
        self._player = Player(self.database, self._subscribers)
        self.endpoints = Endpoints(self.nats, self.database)
        own = OwnAnswers(
            self.name,
            self.version,
            started_at=self._started_at,
            trail=self.trail,
            evidence=self.evidence,
            audit=self._audit,
            player=self._player,
            witness=self._witness,
            runs=runs,
            subscribers=self._subscribers,
            is_ready=lambda: self._state()[0],
        )
        taken = {answer.operation.name for answer in self.operations}
        await self.endpoints.start(
            [*self.operations, *(answer for answer in own.operations() if answer.operation.name not in taken)]
        )

        self._metrics = Metrics(
            self.name, self.version, self._all_numbers, lambda: self._outbox_seen, lambda: self.database.readings
        )
        await self._serve_metrics()
        self.database.record = self._metrics.record if self._metrics.enabled else None
        waker = Waker(self.database, self._subscribers)
        self._own_tasks = [
            self._spawn(outbox.relay(), "relay"),
            self._spawn(waker.run(), "parked messages"),
            self._spawn(self._housekeeping(), "housekeeping"),
            self._spawn(runs.run(), "run log"),
            self._spawn(Scrub(self.evidence, self.database, settings.scrub_seconds).run(), "scrub"),
        ]
        self._running = [self._spawn(task(self), getattr(task, "__name__", "task")) for task in self.tasks]
        self.ready = self._probes.started = True
        log.info("ready", version=self.version, pid=os.getpid(), flows=len(self.flows))

    async def open_database(self) -> Any:
        """Waits for it. Returns the pool for what must not stand behind transactions."""
        settings = self.settings
        if not settings.database_url:
            raise Misconfigured("TIEOUT_DATABASE_URL is missing. Set it to postgresql://role@host:port/database.")
        password = fresh_secret(settings.database_password_file, "TIEOUT_DATABASE_PASSWORD_FILE")
        size = settings.database_connections_max
        identity = Identity()
        identity.on_replaced = self._end_for
        pool = await self._patiently(
            "database", lambda: open_pool(settings.database_url, password, self.name, size=size, identity=identity)
        )
        marks = await self._patiently(
            "database",
            lambda: open_pool(settings.database_url, password, self.name, size=2, durable=False, identity=identity),
        )
        self._pools = (pool, marks)
        outbox = Outbox(self.name)
        self.tracing = Tracing.from_environment(self.name, self.version)
        self.tracing.works_on(self.settings.database_url)
        self.database = Database(
            pool, service=self.name, version=self.version, outbox=outbox, tracing=self.tracing, identity=identity
        )
        self.evidence = Evidence(self.database, self.violations, checksums(self.name, self.migrations))
        return marks

    async def open_broker(self) -> None:
        self.broker = self._make_broker()
        await self._patiently("broker", self.broker.connect)

    async def _patiently(self, what: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """At a start the servers may come later than we; only causes that pass are waited for."""
        pause = 0.1
        while True:
            try:
                self._waits_for = what
                found = await attempt()
                self._waits_for = ""
                return found
            except Exception as error:
                if cause_of(error) is not Cause.PASSING:
                    raise
                log.warning(f"waiting for the {what}", error=repr(error)[:300])
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _make_broker(self) -> QuickBroker:
        settings = self.settings
        options: dict[str, Any] = {"reconnect_time_wait": 0.2, "max_reconnect_attempts": -1}
        password = None
        if settings.nats_user:
            password = fresh_secret(settings.nats_password_file, "TIEOUT_NATS_PASSWORD_FILE")
            options["security"] = SASLPlaintext(username=settings.nats_user, password=password() if password else "")
        broker = QuickBroker(
            settings.nats_url,
            name=f"tieout-{self.name}",
            inbox_prefix=f"_INBOX_{settings.nats_user or self.name}",
            apply_types=False,
            logger=None,
            pending_size=64 << 20,
            reconnected_cb=self._reconnected,
            disconnected_cb=self._disconnected,
            **options,
        )
        broker.told, broker.password = self._told, password
        return broker

    def _end_for(self, error: BaseException) -> None:
        """The process cannot go on; the next one looks at everything anew."""
        if self._failure is None:
            log.error(str(error))
            self._failure = error
            self._stop.set()

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """A task whose death ends the process: a half-dead service helps nobody, and the supervisor starts it again."""
        task = asyncio.create_task(work, name=name)

        def ended(task: "asyncio.Task[Any]") -> None:
            if task.cancelled() or self._stop.is_set():
                return
            error = task.exception()
            self._failure = error or RuntimeError(f"task {name} ended by itself")
            log.error("task died", task=name, exc_info=error)
            self._stop.set()

        task.add_done_callback(ended)
        return task

    # ------------------------------------------------------------------ broker comes and goes

    async def _told(self, error: Exception) -> None:
        """nats-py says so at every attempt to reconnect, five times a second; once in a while is enough."""
        now = time.monotonic()
        if now - self._complained > COMPLAIN_SECONDS:
            self._complained = now
            log.warning("trouble with the broker" if self.ready else "waiting for the broker", error=repr(error)[:300])

    async def _disconnected(self) -> None:
        if self.ready:
            log.warning("broker away")
            self.database.outbox.disconnected()

    async def _reconnected(self) -> None:
        log.info("broker back")
        self._audit_soon()
        for subscriber in self._subscribers:
            subscriber.intake.again()
        for told in self.on_broker_back:
            told()

    def _audit_soon(self) -> None:
        if self._audit is not None and (self._auditing is None or self._auditing.done()):
            self._auditing = asyncio.create_task(self._audit_until_done())

    async def _audit_until_done(self) -> None:
        """Nothing new is published before our stream is known to hold what we published before."""
        assert self._audit is not None
        pause = 0.1
        while not self._stop.is_set():
            try:
                await self._letterbox.look()  # First: afterwards new letters would take the place of lost ones.
                await self._audit.run()
                if self.name == "control":
                    settings = self.settings
                    config = dead_stream(replicas=settings.stream_replicas, max_age_days=settings.stream_max_age_days)
                    await ensure_stream(self.jetstream, config)
                while await self.database.outbox.sweep(0.0) == SWEEP_ROWS:
                    pass
                return
            except OlderThanItsStream as error:
                self._failure = error
                self._stop.set()
                return
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("audit failed")
                else:
                    log.warning("audit waits for the broker", error=repr(error)[:300])
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _housekeeping(self) -> None:
        audited = pruned = looked = swept = glanced = time.monotonic()
        seen = quiet = 0
        while True:
            await asyncio.sleep(FOLD_SECONDS)
            quiet = quiet + 1 if self.database.transactions == seen else 0
            seen = self.database.transactions
            try:
                if quiet < QUIET_FOLDS or quiet % QUIET_FOLDS == 0:  # An idle service costs Postgres next to nothing.
                    await self.evidence.fold()
                    await self.evidence.close_positions()
                now = time.monotonic()
                if (
                    now - glanced > (LOOK_SECONDS if quiet < QUIET_FOLDS else LOOK_IDLE_SECONDS)
                    and self.nats.is_connected
                    and self._audit is not None
                ):
                    glanced = now
                    await self._audit.look()
                    await self._letterbox.look()
                # Failures leave cycles behind: exceptions, their frames, and all that these hold. Often, so that a look
                # finds little and takes milliseconds.
                if not quiet:
                    gc.collect(0)
                if now - swept > GARBAGE_SECONDS:
                    swept = now
                    gc.collect(1)
                if self._metrics.enabled:
                    await self._look_at_outbox()
                    if now - looked > LAG_SECONDS and self.nats.is_connected:
                        looked = now
                        for subscriber in self._subscribers:
                            await subscriber.look_at_lag()
                if now - audited > AUDIT_SECONDS and self.nats.is_connected:
                    audited = now
                    self._audit_soon()
                if now - pruned > PRUNE_SECONDS and self.nats.is_connected:
                    pruned = now
                    await Retention(self.jetstream, self.database.outbox, self._pools[1], self.settings).run()
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("housekeeping failed")
                else:
                    log.warning("housekeeping waits", error=repr(error)[:300])

    async def _look_at_outbox(self) -> None:
        async with self.database.read() as connection:
            row = await connection.fetchrow(outbox_statements.waiting)
        if row is not None:
            self._outbox_seen = (row["seconds"], row["batches"])

    async def _serve_metrics(self) -> None:
        if (address := self._metrics.address) is not None:
            self._metrics_http = PlainHttp({"/metrics": self._metrics.page})
            await self._metrics_http.start(*address, "OTEL_EXPORTER_PROMETHEUS_HOST or OTEL_EXPORTER_PROMETHEUS_PORT")

    def _why_not_ready(self) -> list[str]:
        if self._stop.is_set():
            return ["stopping"]
        if not self.ready:
            return [f"waiting for the {self._waits_for}" if self._waits_for else "starting"]
        if self._works_without_broker:
            return []
        if not self.nats.is_connected:
            return ["the broker is away"]
        return [] if self.database.outbox.open.is_set() else ["our stream is not compared with the outbox yet"]

    async def _look_at_database(self) -> None:
        async with self._pools[1].acquire() as connection:  # Those of transactions may all wait for a lock.
            await connection.execute("SELECT 1")

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
        self.ready = False
        self._stop.set()
        await _cancel(self._running)
        with contextlib.suppress(Exception):
            await asyncio.gather(*[subscriber.stop() for subscriber in self._subscribers])
        with contextlib.suppress(Exception):
            await self.endpoints.stop()
        await self.database.outbox.flush(3.0)
        await _cancel([*self._own_tasks, *([self._auditing] if self._auditing else [])])
        await self.close_broker()
        await asyncio.gather(asyncio.to_thread(self.tracing.close), asyncio.to_thread(self._metrics.close))
        if self._metrics_http is not None:
            self._metrics_http.close()
        if self._runs is not None:
            await self._runs.end()
        await self.close_database()
        log.info("stopped", seconds=round(time.monotonic() - started, 2))

    async def close_broker(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2.0):
                await self.nats.flush()
                await self.nats.close()

    async def close_database(self) -> None:
        for pool in self._pools:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await pool.close()

    async def serve(self, at_last: Callable[[float], None] = lambda seconds: None) -> None:
        """Until SIGTERM or SIGINT. Raises what killed a task, so that the process ends with an error.

        `at_last` is called once the end has begun: after so many seconds nothing orderly is to be expected any more.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        settings = self.settings
        if settings.health_port:
            await self._probes.start(settings.health_host, settings.health_port)
        try:
            await self._serve_until_told(at_last)
        finally:
            self._probes.close()

    async def _serve_until_told(self, at_last: Callable[[float], None]) -> None:
        starting = asyncio.create_task(self.start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        limit = self.settings.stop_seconds_max
        if not starting.done() or starting.exception() is not None:
            at_last(limit)
            await self._end_the_start(starting)
            return
        _calm_the_collector()
        await stopping
        at_last(limit * 1.5)  # The event loop waits for its tasks, the interpreter for threads.
        try:
            async with asyncio.timeout(limit):
                await self.stop()
        except TimeoutError:
            log.error("stop took too long; what was not acknowledged will be delivered again")
        if self._failure is not None:
            raise self._failure

    async def _end_the_start(self, starting: "asyncio.Task[None]") -> None:
        """Asked to stop while database or broker were still away; or it refuses to start, which is raised."""
        self._stop.set()
        if not starting.done():
            await _cancel([starting])
        if self._runs is not None:  # Whoever comes next must not take it for killed.
            await self._runs.end()
        failure = self._failure or (None if starting.cancelled() else starting.exception())
        if failure is not None:
            raise failure


def _calm_the_collector() -> None:
    """Batches are thousands of small objects without cycles: looking for cycles among them cost a tenth of our time.

    The limit is above what the batches in hand hold, so a look hardly ever falls into one; housekeeping looks instead.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS_MAX, 20, 100)


async def _cancel(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Again until they end: a cancellation that meets the result of a `wait_for` is swallowed by Python 3.11."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
        for task in done:
            if not task.cancelled() and (failure := task.exception()) is not None:
                log.warning("a task ended badly at the stop", task=task.get_name(), error=repr(failure)[:300])
        for task in pending:
            log.warning("a task does not stop, asked again", task=task.get_name())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(f"tieout-{name}")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"
