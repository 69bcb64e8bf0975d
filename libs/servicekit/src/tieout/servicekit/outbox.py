"""The outbox: what a transaction announces is a row of it, and goes to the stream after the commit.

Right after it, in the good case, in one write; by the relay, where the process died or the broker was away.
So an event may be published twice and never be forgotten; consumers key on business ids.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import NoRespondersError
from tieout.contracts.event import Handled, Notice, event_id
from tieout.contracts.streams import notice_subject, stream_of
from tieout.servicekit import failpoints, sql
from tieout.servicekit.errors import Cause, cause_of
from tieout.servicekit.letters import LETTERS_STREAM
from tieout.servicekit.packs import packed, plan
from tieout.servicekit.received import encode
from tieout.servicekit.wire import Publisher

if TYPE_CHECKING:
    from tieout.servicekit.database import Connection, Transaction

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

MESSAGE_BYTES_MAX = 1_000_000  # The broker takes 1 MiB with headers.
BATCH_EVENTS_MAX = 999  # In one row, and so in one notice.
BATCH_BYTES_MAX = 4 << 20
ROOM = 8  # Transactions that may be under way or committed but unpublished, in one process.
RELAY_SECONDS = 1.0
SWEEP_ROWS = 20  # As in the statement.
IN_HAND: ContextVar[tuple[str, tuple[int, ...]] | None] = ContextVar("in_hand", default=None)  # A flow, its sequences.
UNTOLD_MAX = 10_000  # Sequences that a notice may have to tell of; a process that says nothing forgets the oldest.
OVERDUE_SECONDS = 5.0  # Older rows were left behind by a process that died.


class Part(Struct):
    """One row of the outbox, and the messages that it is published in."""

    batch: int
    stream: str
    messages: list[tuple[str, bytes]]  # As published: packs.
    events: int


class Outbox:
    """Without `connect` it only writes rows: enough for tests of a flow, and for a service whose broker is away."""

    def __init__(self, service: str, *, tells_order: bool = True) -> None:
        """`tells_order`: a recovery plays what this service has heard in the order that its notices tell."""
        self.service = service
        self._tells_order = tells_order
        self._untold: dict[int, Handled] = {}  # By turn: what was committed without a word since the last notice.
        self._untold_sequences = 0
        self.stream = stream_of(service)
        self.room = asyncio.Semaphore(ROOM)
        self.open = asyncio.Event()  # Set by the audit: until then nothing new is published.
        self.published = 0
        self.failed = 0
        self.created: datetime | None = None
        self.letters_created: datetime | None = None  # Of the stream of dead letters.
        self._publisher: Publisher | None = None
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: set[int] = set()
        self._silent: set[str] = set()  # Streams that did not answer, until the relay has got something through.
        self.nobody_hears: Callable[[], None] = lambda: (
            None
        )  # Our stream was deleted under us: the audit makes it anew.
        self._left: set[int] = set()  # Failed here: the relay need not wait until they are overdue.

    def connect(self, connection: Client, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """`pool` writes the marks; its commits need not wait for the disk."""
        self._publisher = Publisher(connection)
        self._pool = pool

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record] | None":
        """Connections whose commits need not wait for the disk; none without `connect`."""
        return self._pool

    async def write(self, connection: "Connection[asyncpg.Record]", tx: "Transaction") -> list[Part]:
        """The rows of a transaction, inside it."""
        parts: list[Part] = []
        order = _in_order(tx.announced)
        tx.tells = tuple(self._untold)
        handled = tuple(self._untold.values())
        if self._tells_order and (in_hand := IN_HAND.get()) is not None:
            handled = (*handled, Handled(in_hand[0], 0, tx.time, in_hand[1]))
        for chunk in _chunks(tx.announced, order):
            events = [tx.announced[index] for index in chunk]
            told = [tx.told[index] for index in chunk]
            chains, order_nos, companies, causes = zip(*told, strict=True)
            positions = tuple(event[0] for event in events)
            notice = Notice(
                tx.time,
                tuple(event[2] for event in events),
                tuple(event[1] for event in events),
                positions,
                chains,
                order_nos,
                companies,
                causes,
                () if parts else handled,
            )
            subject = notice_subject(self.service)
            ids: list[Any] = [event[1] for event in events]
            ids.append(event_id(subject, positions[0]))
            messages = [(event[2], event[3]) for event in events]
            messages.append((subject, encode(notice)[:-1] + b',"turn":'))
            part = await self._row(connection, self.stream, list(positions), ids, messages, tx.turn or None)
            parts.append(part)
            tx.turn = tx.turn or part.batch
        if tx.letters:
            for first in range(0, len(tx.letters), 4):  # Letters may be as large as messages may.
                some = tx.letters[first : first + 4]
                ids = [letter[0] for letter in some]
                parts.append(
                    await self._row(connection, LETTERS_STREAM, [], ids, [(letter[1], letter[2]) for letter in some])
                )
                tx.turn = tx.turn or parts[-1].batch
        return parts

    async def draw_turn(self, connection: "Connection[asyncpg.Record]", tx: "Transaction") -> None:
        """Of a transaction that writes no row: the next notice of this process tells its place among the others."""
        if self._tells_order and IN_HAND.get() is not None:
            tx.turn = await connection.fetchval(statements.turn)

    def committed(self, tx: "Transaction") -> None:
        """What its notice tells need not be told again; what has none is told by the next one."""
        for turn in tx.tells if tx.announced else ():
            self._forget_untold(turn)
        in_hand = IN_HAND.get()
        if tx.announced or not tx.turn or in_hand is None or not self._tells_order:
            return
        self._untold[tx.turn] = Handled(in_hand[0], tx.turn, tx.time, in_hand[1])
        self._untold_sequences += len(in_hand[1])
        while self._untold_sequences > UNTOLD_MAX:
            self._forget_untold(next(iter(self._untold)))

    def _forget_untold(self, turn: int) -> None:
        """Two transactions at the same moment may both have told it."""
        if (told := self._untold.pop(turn, None)) is not None:
            self._untold_sequences -= len(told.sequences)

    async def _row(
        self,
        connection: "Connection[asyncpg.Record]",
        stream: str,
        positions: list[int],
        ids: Sequence[str | UUID],
        messages: list[tuple[str, bytes]],
        turn: int | None = None,
    ) -> Part:
        """A notice, the last of the messages where there are positions, still lacks its turn: that of the first row of
        the transaction, or the number that this one gets."""
        subjects, bodies = [message[0] for message in messages], [message[1] for message in messages]
        numbers = plan(messages)
        notice = bodies.pop() if positions else None
        batch = await connection.fetchval(
            statements.write,
            stream,
            positions,
            positions[0] if positions else None,
            positions[-1] if positions else None,
            ids,
            subjects,
            bodies,
            numbers,
            notice,
            turn,
        )
        if notice is not None:
            bodies.append(notice + b"%d}" % (turn or batch))
        self._in_flight.add(batch)  # Before anybody can see it: the relay must not publish it as well.
        return Part(batch, stream, packed(subjects, bodies, numbers), len(messages))

    def forget(self, parts: list[Part]) -> None:
        """The transaction failed after all."""
        self._in_flight.difference_update(part.batch for part in parts)

    def publish_soon(self, parts: list[Part]) -> None:
        """Called with the room taken; gives it back when the parts are published or left to the relay."""
        if self._publisher is None or not self.open.is_set():
            self._left.update(part.batch for part in parts)
            self.forget(parts)
            self.room.release()
            return
        task = asyncio.create_task(self._publish_all(parts))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            """Not in a `finally` of the task: one that is cancelled before its first step has none."""
            self._tasks.discard(task)
            if task.cancelled():
                self._left.update(part.batch for part in parts)
            self.forget(parts)
            self.room.release()

        task.add_done_callback(ended)

    async def _publish_all(self, parts: list[Part]) -> None:
        for part in parts:
            try:
                if part.stream in self._silent:
                    self._left.add(part.batch)
                    continue
                await self._publish(part)
            except Exception as error:
                self.failed += 1
                self._silent.add(part.stream)  # Whoever comes now need not wait for a time-out as well.
                self._left.add(part.batch)
                log.warning("left to the relay", batch=part.batch, stream=part.stream, error=repr(error))

    async def _publish(self, part: Part) -> None:
        assert self._pool is not None
        sequences = await self.publish(part.messages)
        self.published += part.events
        if failpoints.ARMED is not None:
            await failpoints.ARMED.reach("published")
        await self.mark_sent(self._pool, part.batch, part.stream, sequences)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> list[int]:
        """Their sequences. One batch after the other, so in order, as long as nothing fails."""
        assert self._publisher is not None
        async with self._one_at_a_time:
            return await self._publisher.publish(messages)

    async def mark_sent(self, connection: Any, batch: int, stream: str, sequences: Sequence[int]) -> None:
        """Where the messages of a row stand. Other replicas may have published between them."""
        created = self.created if stream == self.stream else self.letters_created
        first, last = min(sequences), max(sequences)
        if list(sequences) == list(range(first, last + 1)):
            await connection.execute(statements.sent, batch, first, last, created)
        else:
            await connection.execute(statements.sent_apart, batch, first, last, list(sequences), created)

    async def relay(self) -> None:
        """For ever: publish what was left behind."""
        looked = 0.0
        while True:
            await asyncio.sleep(RELAY_SECONDS)
            if not self.open.is_set() or (not self._left and time.monotonic() - looked < OVERDUE_SECONDS):
                continue  # What others left behind is not due earlier; what failed here is.
            looked = time.monotonic()
            try:
                while await self.sweep() == SWEEP_ROWS:
                    pass
            except Exception as error:
                if cause_of(error) not in (Cause.PASSING, Cause.AGAIN):
                    log.exception("relay failed")
                else:
                    log.warning("relay waits", error=repr(error))

    async def sweep(self, overdue_seconds: float = OVERDUE_SECONDS) -> int:
        """Publish rows that nobody is publishing: failed ones at once, others when they are overdue."""
        assert self._pool is not None
        asked = list(self._left)
        away: dict[str, Exception] = {}
        sent = 0
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(statements.unsent, list(self._in_flight), asked, overdue_seconds)
            for row in rows:
                if row["batch"] in self._in_flight:
                    continue  # Committed while we were asking; its own transaction publishes it.
                if row["stream"] in away:
                    continue  # The next one would fail as well; but another stream may be there.
                messages = packed(row["subjects"], row["bodies"], row["message"])
                try:
                    sequences = await self.publish(messages)
                except Exception as error:
                    if cause_of(error) is not Cause.PASSING:
                        raise
                    away[row["stream"]] = error
                    continue
                await self.mark_sent(connection, row["batch"], row["stream"], sequences)
                self.published += len(row["bodies"])
                sent += 1
                self._left.discard(row["batch"])
                self._silent.discard(row["stream"])
        for stream, reason in away.items():
            log.warning("relay waits", stream=stream, error=repr(reason)[:300])
            if stream == self.stream and isinstance(reason, NoRespondersError):
                self.nobody_hears()
        if away:
            return 0
        if len(rows) < SWEEP_ROWS:
            self._left.difference_update(asked)  # What was not found has been sent by another replica.
        return sent

    def disconnected(self) -> None:
        """Nobody will answer what is under way; the relay publishes it after the audit that follows the reconnect."""
        self.open.clear()
        for task in self._tasks:
            task.cancel()

    async def flush(self, seconds: float) -> None:
        """Wait for what is under way, at the end of the process."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _in_order(announced: list[tuple[int, str, str, bytes]]) -> list[int]:
    """Indices by position: a notice promises that order, and it makes the first position the lowest."""
    positions = [event[0] for event in announced]
    indices = list(range(len(positions)))
    if any(later < earlier for earlier, later in itertools.pairwise(positions)):
        indices.sort(key=positions.__getitem__)
    return indices


def _chunks(announced: list[tuple[int, str, str, bytes]], order: list[int]) -> list[list[int]]:
    """Cut where a row would hold too many events or bytes."""
    chunks: list[list[int]] = []
    current: list[int] = []
    size = 0
    for index in order:
        length = len(announced[index][3])
        if current and (len(current) == BATCH_EVENTS_MAX or size + length > BATCH_BYTES_MAX):
            chunks.append(current)
            current, size = [], 0
        current.append(index)
        size += length
    if current:
        chunks.append(current)
    return chunks
