"""The database of a service: a pool, and transactions that carry announcements.

What a flow announces is written to the outbox with its rows, in its transaction, and published right after the commit.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg
import structlog
from tieout.contracts.event import Event, event_id
from tieout.servicekit import failpoints
from tieout.servicekit.errors import DatabaseReplaced, Unprocessable
from tieout.servicekit.letters import write_letter
from tieout.servicekit.outbox import MESSAGE_BYTES_MAX, Outbox, Part
from tieout.servicekit.received import Outgoing, Received, encode
from tieout.servicekit.telemetry import Came, Tracing
from tieout.servicekit.trace_context import satellite_of, trace_id, tracestate
from tieout.servicekit.transaction_spans import TransactionSpan

log = structlog.get_logger(__name__)

Connection = asyncpg.pool.PoolConnectionProxy

STATEMENTS_KEPT = 500  # Per connection; the largest service has about 200.
PARKED_SECONDS_MAX = 3600  # A parked message is tried at least this often, woken or not.
ACTOR: ContextVar[str] = ContextVar("actor", default="")  # Whom a command is done for; the log of settings names him.

_NOBODY = nullcontext()
_WHICH = (
    "SELECT d.oid, c.timeline_id FROM pg_database d, pg_control_checkpoint() c WHERE d.datname = current_database()"
)
_WAKE = "UPDATE parked SET due_at = now() WHERE key = ANY($1::text[])"
_TAKE = "DELETE FROM parked WHERE durable = $1 AND event_id = ANY($2::text[])"
_PARK = """
INSERT INTO parked
  (durable, event_id, key, reason, subject, body, stream, stream_sequence, position, attempts, chain, order_no, headers,
   tries, due_at)
SELECT durable, event_id, key, reason, subject, body, stream, stream_sequence, position, attempts, chain, order_no,
       headers, tries::timestamptz[], now() + make_interval(secs => seconds)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[],
            $8::bigint[], $9::bigint[], $10::integer[], $11::text[], $12::text[], $13::bytea[], $14::text[],
            $15::float8[])
  AS p (durable, event_id, key, reason, subject, body, stream, stream_sequence, position, attempts, chain, order_no,
        headers, tries,
        seconds)
ON CONFLICT (durable, event_id) DO UPDATE SET key = excluded.key, reason = excluded.reason, due_at = excluded.due_at,
  claims = 0
"""


class Rehearsed(Exception):
    """Raised at the end of a transaction that was only to show what it would do: it is rolled back, and nothing of the
    flow that stands behind it runs."""


class Witness(Protocol):
    """Sees a transaction at its begin and right before its commit. Raises Rehearsed there to have it rolled back."""

    async def begin(self, tx: "Transaction") -> None: ...
    async def look(self, tx: "Transaction") -> None: ...


class Transaction:
    """One transaction of asyncpg, plus what leaves with its commit: events, dead letters, parked messages, wake-ups."""

    def __init__(
        self,
        connection: "Connection[asyncpg.Record]",
        database: "Database",
        span: TransactionSpan | None = None,
    ) -> None:
        self.connection = connection
        self.fetch = connection.fetch
        self.fetchrow = connection.fetchrow
        self.fetchval = connection.fetchval
        self.execute = connection.execute
        now = datetime.now(UTC)
        if failpoints.ARMED is not None:
            now = failpoints.ARMED.now(now)
        self.time = now.isoformat().replace("+00:00", "Z")  # Of every event announced in here.
        self.announced: list[tuple[int, str, str, bytes]] = []  # position, id, subject, body
        self.told: list[tuple[str, str, str, str]] = []  # chain, order number, company, cause: for the notice
        self.letters: list[tuple[Any, str, bytes]] = []
        self.buried: list[dict[str, Any]] = []  # What to say about the letters, once they are committed.
        self.woken: list[str] = []
        self.parked: list[tuple[Any, ...]] = []
        self.said: list[Received[Any]] = []  # Events that changed something, as the flow itself says.
        self.turn = 0  # Its place among the commits; 0 where nobody needs to know it. See Notice.
        self.tells: tuple[int, ...] = ()  # Turns of others that its notice tells.
        self.drawn = 0  # The highest position, which counts once this is committed: a crash may take it back before.
        self.given: Callable[[int], list[int]] | None = None  # A recovery gives the positions of before.
        self.tracing = database.tracing
        self._database = database
        self._source = f"/{database.service}"
        self._span = span

    async def copy(self, table: str, *, columns: Sequence[str], records: Iterable[Sequence[Any]]) -> None:
        """COPY: the cheapest way for more than about ten rows. Triggers fire once per call."""
        copying = self.connection.copy_records_to_table(table, columns=list(columns), records=records)
        if self._span is None or not self._span.live:
            await copying
        else:
            await self._span.timed(f"COPY {table}", copying)

    async def positions(self, count: int) -> list[int]:
        """Fresh outbox positions, ascending. Numbers of a rolled back transaction are lost, and that is fine."""
        if count == 0:
            return []
        if self.given is not None:
            return self.given(count)
        database = self._database
        highest = database.highest[0]  # Of before: others draw while we wait.
        found: list[int] = await self.connection.fetchval("SELECT next_pos($1)", count)
        if found[0] <= highest:
            raise database.identity.replaced(f"it gave position {found[0]} after position {highest}")
        self.drawn = found[-1]
        return found

    def announce(
        self,
        event: Event,
        *,
        position: int,
        key: tuple[object, ...],
        chain: object,
        order_no: str = "",
        company: str = "",
        cause: Received[Any] | None = None,
        began: datetime | None = None,
        came: Callable[[], Came] | None = None,
    ) -> str:
        """Say that something is a fact now. `key` is its business id; the same key is the same event for ever.

        `began`: when the chain began, where that was before this transaction; its trace starts there. `came` tells
        with what, and is asked only where the chain is traced.
        Returns the event's id. Raises Unprocessable where the event is larger than a message may be.
        """
        kind = event.SUBJECT
        if self._database.service != event.PRODUCER:
            raise TypeError(f"{kind} belongs to {event.PRODUCER}; {self._database.service} must not announce it")
        chain_id = chain if isinstance(chain, str) else str(chain)
        identity = event_id(kind, *key)
        cause_id = "" if cause is None else cause.envelope.id
        trace = state = ""
        tracing = self._database.tracing
        if tracing.enabled:
            origin = cause or tracing.working_on(chain_id)
            satellite = getattr(event, "source", "") or (satellite_of(origin) if origin else "")
            if origin is not None and origin.trace and origin.envelope.chainid == chain_id:
                trace = tracing.led_to(origin, kind, identity, satellite, getattr(event, "voucher_no", ""))
            else:
                trace = tracing.begin(kind, chain_id, order_no, company, cause, began, satellite, came)
            if trace:
                state = tracestate(satellite)
        body = encode(
            Outgoing(
                "1.0",
                identity,
                self._source,
                kind,
                self.time,
                str(position),
                chain_id,
                "application/json",
                event,
                order_no,
                company,
                cause_id,
                trace,
                state,
            )
        )
        if len(body) > MESSAGE_BYTES_MAX:
            raise Unprocessable(
                "too_large", "lines", f"{kind} would have {len(body)} bytes; {MESSAGE_BYTES_MAX} is the most."
            )
        self.announced.append((position, identity, kind, body))
        self.told.append((chain_id, order_no, company, cause_id))
        return identity

    def changed(self, received: Received[Any]) -> None:
        """Say that this event has changed something here. Flows need it where neither an announcement nor a book would
        tell: of state that is kept beside the facts. A replay says `booked` of exactly these events."""
        self.said.append(received)

    def bury(self, received: Received[Any], *, reason: str, field: str = "", detail: str = "") -> None:
        """Give a message up: its dead letter is written in this transaction, then it is acknowledged."""
        self.bury_raw(
            durable=received.durable,
            subject=received.subject,
            body=received.body,
            stream=received.stream,
            sequence=received.stream_sequence,
            attempts=received.attempts,
            reason=reason,
            field=field,
            detail=detail,
            traceparent=received.trace or received.envelope.traceparent,
            event_id_=received.envelope.id,
            chain_id=received.envelope.chainid,
            order_no=received.envelope.orderno,
            company=received.envelope.company,
            position=received.position,
            headers=received.original_headers,
            tries=received.tries,
        )

    def bury_raw(self, *, durable: str, reason: str, **original: Any) -> None:
        """The same for a message that could not even be decoded."""
        database = self._database
        self.letters.append(
            write_letter(service=database.service, version=database.version, durable=durable, reason=reason, **original)
        )
        self.buried.append({"flow": durable, "reason": reason, **original})

    def park(self, received: Received[Any], *, key: str, reason: str, seconds: float | None = None) -> None:
        """Keep a message that came too early, until somebody calls `wake` with its key; then it is acknowledged.

        Call it under the lock of the anchor that it waits for, else the wake-up may pass unseen. It is also tried
        again by itself from time to time: after a minute, then two, four … at most every hour.
        """
        if seconds is None:
            seconds = min(60.0 * 2 ** min(received.attempts - 1, 10), PARKED_SECONDS_MAX)
        self.parked.append(
            (
                received.durable,
                received.business_id,
                key,
                reason,
                received.subject,
                received.body,
                received.stream,
                received.stream_sequence,
                received.position,
                received.attempts,
                received.envelope.chainid,
                received.envelope.orderno,
                received.original_headers,
                f"{{{','.join(map(datetime.isoformat, received.tries or (datetime.now(UTC),)))}}}",
                float(seconds),
            )
        )
        self._database.count(received.durable, "parked", 1)

    def wake(self, keys: Iterable[str]) -> None:
        """The partners of these keys are here: run their parked messages again, right after this commit."""
        self.woken.extend(keys)

    async def finish(self) -> bool:
        """The last statements before the commit. True where parked messages became due."""
        if self._database._taking is not None:
            # Not at the begin: flows that wake hold their anchors before they touch parked rows; so must we.
            await self.connection.execute(_TAKE, *self._database._taking)
            self._database.took = True
        if self.parked:
            once = {(row[0], row[1]): row for row in self.parked}  # The same message may stand in a batch twice.
            await self.connection.execute(_PARK, *map(list, zip(*once.values(), strict=True)))
        if not self.woken:
            return False
        status: str = await self.connection.execute(_WAKE, self.woken)
        return status != "UPDATE 0"


class Database:
    """Give flows and operations this; `transaction()` to change, `read()` to look."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        service: str,
        version: str = "0",
        outbox: Outbox | None = None,
        tracing: Tracing | None = None,
        identity: "Identity | None" = None,
    ) -> None:
        self.pool = pool
        self.service = service
        self.version = version
        self.outbox = outbox or Outbox(service)
        self.tracing = tracing or Tracing.off()
        self.counts: dict[str, dict[str, float]] = {}
        self.readings: dict[str, Callable[[], Mapping[str, float]]] = {}  # Of metrics.READINGS.
        self.record: Callable[[str, float], None] | None = None  # A value of metrics.SPREADS, where somebody collects.
        self.on_woken: list[Any] = []  # Called after a commit that woke parked messages.
        self.identity = identity or Identity()
        self.highest = [0]  # Position that was committed, or heard of. Shared with copies, like what follows.
        self.begun = [0]  # Shared with the copies that `taking` makes.
        self._taking: tuple[str, list[str]] | None = None
        self._witness: Witness | None = None
        self.took = False  # Of a copy that `taking` made: a transaction of it has removed them.

    def count(self, durable: str, what: str, number: float) -> None:
        mine = self.counts.setdefault(durable, {})
        mine[what] = mine.get(what, 0) + number

    async def take_rest(self) -> None:
        """A flow that found nothing to do began no transaction; what it was given must not wait for ever."""
        if not self.took:
            async with self.transaction():
                pass

    def taking(self, durable: str, event_ids: list[str]) -> "Database":
        """The same database, whose transactions also remove these parked messages: effect and removal are one."""
        other = object.__new__(Database)
        other.__dict__.update(self.__dict__)
        other._taking, other.took = (durable, event_ids), False
        return other

    def witnessed(self, durable: str, event_ids: list[str], witness: Witness, *, rehearsal: bool) -> "Database":
        """The same as `taking`, with somebody who looks on. A rehearsal leaves neither counts nor traces."""
        other = self.taking(durable, event_ids)
        other._witness = witness
        if rehearsal:
            other.counts, other.tracing = {}, Tracing.off()
        return other

    @property
    def transactions(self) -> int:
        """How many were begun so far: who has been idle may look less often."""
        return self.begun[0]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block, rolls back when it raises. Published at once, if the broker is there."""
        outbox = self.outbox
        self.begun[0] += 1
        await outbox.room.acquire()  # Bounds what is committed but not published.
        parts: list[Part] = []
        woke = False
        span = self.tracing.transaction() if self.tracing.enabled else None
        try:
            async with self.pool.acquire() as connection:
                with span.watching(connection) if span is not None and span.live else _NOBODY:
                    async with connection.transaction():
                        tx = Transaction(connection, self, span)
                        if failpoints.ARMED is not None:
                            await failpoints.ARMED.reach("begin")
                        if actor := ACTOR.get():
                            await connection.execute("SELECT set_config('tieout.actor', $1, true)", actor)
                        if self._witness is not None:
                            await self._witness.begin(tx)
                        yield tx
                        woke = await tx.finish()
                        if self._witness is not None:
                            await self._witness.look(tx)
                        if tx.announced or tx.letters:
                            parts = await outbox.write(connection, tx)
                        else:
                            await outbox.draw_turn(connection, tx)
                        if failpoints.ARMED is not None:
                            await failpoints.ARMED.reach("commit")
            if span is not None:
                span.end()
            outbox.committed(tx)
            if tx.drawn > self.highest[0]:
                self.highest[0] = tx.drawn
            if failpoints.ARMED is not None:
                await failpoints.ARMED.reach("committed")
        except BaseException as error:
            if span is not None:
                span.end(error)
            outbox.forget(parts)
            outbox.room.release()
            raise
        if parts:
            outbox.publish_soon(parts)  # Releases the room when it is done.
        else:
            outbox.room.release()
        for told in tx.buried:
            self._say_buried(told)
        if woke:
            for call in self.on_woken:
                call()

    def _say_buried(self, told: dict[str, Any]) -> None:
        """After the commit: what was rolled back is not given up."""
        chain = told.get("chain_id", "")
        self.count(told["flow"], "buried", 1)
        self.tracing.buried(told)
        log.warning(
            "message given up: it is a dead letter now",
            flow=told["flow"],
            subject=told["subject"],
            event_id=told.get("event_id_", ""),
            order_no=told.get("order_no", ""),
            company=told.get("company", ""),
            trace_id=trace_id(chain) if chain else "",
            reason=told["reason"],
            field=told.get("field", ""),
            attempts=told["attempts"],
            stream=told["stream"],
            sequence=told["sequence"],
        )

    @asynccontextmanager
    async def read(self) -> AsyncIterator["Connection[asyncpg.Record]"]:
        """A connection for questions. No transaction: each statement sees what is committed when it begins."""
        async with self.pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def quick(self) -> AsyncIterator["Connection[asyncpg.Record]"]:
        """The same, but a commit does not wait for the disk: for marks, which a crash may take back without harm."""
        async with (self.outbox.pool or self.pool).acquire() as connection:
            yield connection


class Identity:
    """Which database it is that we work on. Asked once for each new connection: an administrator may put an older one
    in its place while we run, and nothing else would tell us before a position is given out twice.

    A standby that was promoted is another one too: a start more costs little.
    """

    def __init__(self) -> None:
        self._seen: tuple[Any, ...] | None = None
        self.on_replaced: Callable[[DatabaseReplaced], None] = lambda error: None

    async def check(self, connection: Any) -> None:
        row = tuple(await connection.fetchrow(_WHICH))
        if self._seen is None:
            self._seen = row
        elif row != self._seen:
            raise self.replaced(f"it is database {row[0]} of timeline {row[1]} now")

    def replaced(self, how: str) -> DatabaseReplaced:
        error = DatabaseReplaced(f"the database was replaced while we worked on it: {how}. Nothing was written")
        self.on_replaced(error)
        return error


async def open_pool(
    url: str,
    password: str | Callable[[], str] | None,
    service: str,
    *,
    size: int = 8,
    durable: bool = True,
    identity: Identity | None = None,
) -> "asyncpg.Pool[asyncpg.Record]":
    """`password` may be a function: it is asked for each new connection. `durable=False`: commits do not wait for the
    disk; only for marks that may be lost."""
    settings = {
        "application_name": f"tieout-{service}",
        "jit": "off",
        "statement_timeout": "60s",
        "lock_timeout": "20s",
        "idle_in_transaction_session_timeout": "60s",
    }
    if not durable:
        settings["synchronous_commit"] = "off"
    return await asyncpg.create_pool(
        url,
        password=password,
        min_size=1,
        max_size=size,
        server_settings=settings,
        command_timeout=90,
        statement_cache_size=STATEMENTS_KEPT,
        max_cached_statement_lifetime=0,  # Ours are a fixed set: parsed once per connection, not again every 5 minutes.
        reset=_nothing_to_reset,
        init=identity.check if identity is not None else None,
    )


async def _nothing_to_reset(connection: Any) -> None:
    """What we set lives in a transaction, and asyncpg ends one that was left open by itself.

    Its own reset (RESET ALL, UNLISTEN *, locks, cursors) is four statements and a round trip after every use.
    """
