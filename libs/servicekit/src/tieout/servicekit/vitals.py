"""What a service says of itself when something stands still, and what its earlier processes died of.

Answered without the database where that is away: then this is the news. A process that is gone cannot say why; so each
one notes its memory while it works, and the next one reads what the last one left.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Sequence

import asyncpg
import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace
from tieout.contracts.operation import Replica
from tieout.contracts.watch import Blocked, Ending, FlowVitals, TableSize, Vitals, VitalsRequest
from tieout.servicekit import sql
from tieout.servicekit.batches import FlowSubscriber
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, cause_of
from tieout.servicekit.memory import memory_bytes, memory_limit, oom_kills
from tieout.servicekit.whereabouts import has_moved

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

NOTE_SECONDS = 5.0  # Between two notes of a working process,
STARTING_SECONDS = 0.1  # Between two looks whether a process that starts is ready: the others tell of it.
IDLE_NOTE_SECONDS = 30.0  # and of an idle one: a row of a few bytes twice a minute.
LOST_SECONDS = 600.0  # Another host's process that has not been heard of for so long is lost.
DATABASE_SECONDS_MAX = 1.0  # Whoever asks wants to know now whether it answers.
FREE_SECONDS_MAX = 0.2  # For a connection of those that all may be waiting.
NEARLY = 0.85  # Of the limit: a process that was killed there was killed for it.
TABLES_TOLD = 12


_TOLD = ("host", "pid", "version", "started_at", "unseen_seconds", "memory_bytes", "memory_limit_bytes", "ready")


class RunLog:
    """This process' row among the service's runs. `state`: whether it is ready, and its stopped flows with the reason.

    Operations are answered by one replica of several, so whoever asks for the health of a service would see one of
    them. Each notes here how it is; the one that is asked tells of all.
    """

    def __init__(
        self,
        database: Database,
        version: str,
        state: Callable[[], tuple[bool, dict[str, str]]] = lambda: (True, {}),
        holds: Sequence[str] = (),
    ) -> None:
        self._database = database
        self._version = version
        self._state = state
        self._holds = list(holds)  # Post migrations: an upgrade runs one when all who live hold it.
        self._host = socket.gethostname()
        self._run = 0
        self._noted: tuple[int, bool, dict[str, str]] | None = None
        self._noted_at = 0.0

    async def begin(self) -> None:
        """Find out what became of those before us on this host, then sign in."""
        limit, kills = memory_limit(), oom_kills()
        async with self._database.pool.acquire() as connection, connection.transaction():
            moved = await has_moved(connection)
            for row in await connection.fetch(statements.open_runs, self._host):
                if row["pid"] != os.getpid() and _alive(row["pid"]):
                    continue  # A replica beside us.
                if moved:  # How it ended was perhaps told to the database that stood here before this one.
                    await connection.execute(statements.end_run, row["run"], "lost")
                    continue
                how = _how(row["memory_bytes"], row["memory_limit_bytes"], kills > row["oom_kills"])
                await connection.execute(statements.end_run, row["run"], how)
                log.warning("the last process was killed", pid=row["pid"], how=how, memory_bytes=row["memory_bytes"])
            self._run = await connection.fetchval(
                statements.begin_run, self._host, os.getpid(), self._version, memory_bytes(), limit, kills, self._holds
            )
            await connection.execute(statements.forget_runs)

    async def run(self) -> None:
        """Until cancelled: note how it is, at once when it is ready, often while it works or something has changed."""
        while True:
            await self._pause()
            now = (self._database.transactions, *self._state())
            if now == self._noted and time.monotonic() - self._noted_at < IDLE_NOTE_SECONDS:
                continue
            try:
                await self.note()
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    raise
                log.warning("noting the memory waits", error=repr(error)[:300])
                await asyncio.sleep(STARTING_SECONDS)

    async def _pause(self) -> None:
        """Who is not ready looks often whether it is: until it has noted so, others tell that it is not."""
        if self._state()[0]:
            if self._noted is not None:
                await asyncio.sleep(NOTE_SECONDS)
            return
        for _ in range(round(NOTE_SECONDS / STARTING_SECONDS)):
            await asyncio.sleep(STARTING_SECONDS)
            if self._state()[0]:
                return

    async def note(self) -> None:
        transactions, (ready, stopped) = self._database.transactions, self._state()
        told = msgspec.json.encode(stopped).decode()
        async with self._database.pool.acquire() as connection:
            await connection.execute(statements.note_run, self._run, memory_bytes(), oom_kills(), ready, told)
            self._noted = (transactions, ready, stopped)  # Not before: what could not be written is tried again.
            self._noted_at = time.monotonic()
            await connection.execute(statements.give_up_lost, self._host, LOST_SECONDS)

    async def replicas(self) -> tuple[Replica, ...]:
        """All processes of the service that have not ended, the oldest first; what this one is, it tells fresh."""
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(statements.replicas)
        ready, stopped = self._state()
        found = []
        for row in rows:
            told = Replica(**{name: row[name] for name in _TOLD}, stopped=msgspec.json.decode(row["stopped"]))
            if row["run"] == self._run:
                told = replace(told, unseen_seconds=0.0, memory_bytes=memory_bytes(), ready=ready, stopped=stopped)
            found.append(told)
        return tuple(found)

    async def end(self) -> None:
        """It stopped as it should. Where the database is away, the next process takes us for killed."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1.0), self._database.pool.acquire() as connection:
                await connection.execute(statements.end_run, self._run, "stopped")


class Witness:
    """Answers `rpc.<service>.vitals`.

    `pool` is not that of transactions: all of those may be waiting for the very lock that we look for.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        version: str,
        started_at: str,
        flows: Callable[[], Sequence[FlowSubscriber]],
    ) -> None:
        self._pool = pool
        self._version = version
        self._started_at = started_at
        self._flows = flows
        self._look: asyncio.Task[_Seen] | None = None

    async def vitals(self, request: VitalsRequest, database: Database) -> Vitals:
        seen, away = _Seen(), ""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_at_database(database, request.tables))
        # Not cancelled when it takes too long: the end of a cancelled statement is waited for at the same server.
        done, _ = await asyncio.wait({self._look}, timeout=DATABASE_SECONDS_MAX)
        if not done:
            away = f"no answer within {DATABASE_SECONDS_MAX:g} s"
        elif (error := self._look.exception()) is None:
            seen = self._look.result()
        elif cause_of(error) is Cause.CODE:
            raise error
        else:
            away = (str(error) or repr(error))[:300]
        return Vitals(
            service=database.service,
            version=self._version,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            memory_bytes=memory_bytes(),
            memory_limit_bytes=memory_limit(),
            database=away,
            database_ms=round(seen.seconds * 1000, 1),
            unsafe=seen.unsafe,
            flows=tuple(flow_vitals(flow) for flow in self._flows()),
            blocked=seen.blocked,
            endings=seen.endings,
            parked_oldest_seconds=round(seen.parked, 1),
            tables=seen.tables,
        )

    async def _look_at_database(self, database: Database, tables: bool) -> "_Seen":
        async with self._pool.acquire() as connection:
            began = time.monotonic()
            await connection.execute("SELECT 1")
            took = time.monotonic() - began
            seen = _Seen(took, tuple(Blocked(*row) for row in await connection.fetch(statements.blocked)))
            try:
                async with connection.transaction():
                    await connection.execute(statements.wait_little)
                    seen.endings = tuple(Ending(*row) for row in await connection.fetch(statements.endings))
                    seen.parked = await connection.fetchval(statements.parked_oldest)
                    if tables:
                        found = await connection.fetch(statements.tables, TABLES_TOLD)
                        seen.tables = tuple(TableSize(*row) for row in found)
                seen.unsafe = await _unsafe(database)
            except asyncpg.LockNotAvailableError:  # Somebody holds our own tables; who waits for him has been seen.
                log.warning("vitals are told in part: a table of the kit is locked")
            return seen


async def _unsafe(database: Database) -> tuple[str, ...]:
    """Our own pool does not wait for the disk on purpose, so one that writes documents is asked, where one is free."""
    try:
        connection = await database.pool.acquire(timeout=FREE_SECONDS_MAX)
    except TimeoutError:
        return ()
    try:
        return tuple(await connection.fetchval(statements.unsafe))
    finally:
        await database.pool.release(connection)


class _Seen(Struct):
    seconds: float = 0.0
    blocked: tuple[Blocked, ...] = ()
    unsafe: tuple[str, ...] = ()
    endings: tuple[Ending, ...] = ()
    parked: float = 0.0
    tables: tuple[TableSize, ...] = ()


def flow_vitals(flow: FlowSubscriber) -> FlowVitals:
    if not hasattr(flow, "intake"):
        return FlowVitals(flow.flow.durable)
    seconds, attempts = flow.intake.in_hand()
    return FlowVitals(
        flow.flow.durable,
        waiting=flow.intake.waiting,
        in_hand_seconds=round(seconds, 1),
        attempts=attempts,
        stopped=flow.stopped,
        trouble=flow.trouble,
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _how(memory: int, limit: int, counted: bool) -> str:
    return "out_of_memory" if counted or (limit and memory > limit * NEARLY) else "killed"
