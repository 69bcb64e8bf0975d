"""Commits what came, concurrent requests together: the more wait, the cheaper each becomes.

A delivery that names itself (Idempotency-Key) is kept once; the same again gets the same ids. This needs the database
only: while the broker is away documents are still taken in.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.gateway.flows.note_rhythm import Rhythm
from tieout.gateway.identifiers import first_of_request, nth
from tieout.servicekit import Database, Refused, sql

statements = sql.load(__file__)

RAW_COLUMNS = ("id", "satellite", "channel", "topic", "body", "corrects")
GROUP_BYTES_MAX = 8 << 20  # In one commit.
WAITING_BYTES_MAX = 128 << 20  # In memory, of all requests; above it callers are told to come again.
PENDING_DOCUMENTS = 500  # In one row of the queue.
PENDING_BYTES = 8 << 20
QUEUED_AT_ONCE = 10  # Rows of the queue in one round trip.
WRITERS = 2  # One gathers while the other commits.
SPACING_SECONDS = 0.003  # Between two commits, so that concurrent requests share them.
BREATH = 500  # Documents of one delivery between two chances for everybody else in this process.


class Delivery(Struct):
    """What one request brings."""

    satellite: str
    channel: str
    topic: str
    documents: Sequence[bytes]
    key: str = ""  # "": it does not name itself.
    corrects: UUID | None = None

    digest: bytes = b""

    def hash(self) -> bytes:
        """What is the same under the same name. Computed once: of a large delivery, away from the loop."""
        if not self.digest:
            digest = sha256(f"{self.channel}\n{self.topic}\n".encode())
            for document in self.documents:
                digest.update(sha256(document).digest())
            self.digest = digest.digest()
        return self.digest


class Kept(Struct, frozen=True):
    first: UUID
    documents: int
    resumed: bool = False  # It had been kept before.

    @property
    def last(self) -> UUID:
        return nth(self.first, self.documents - 1)


async def write_documents(connection: Any, deliveries: Iterable[tuple[Delivery, Kept]]) -> None:
    """The documents and their places in the queue, in the caller's transaction."""
    rows: list[tuple[Any, ...]] = []
    queue: dict[str, list[tuple[UUID, int]]] = {}
    for delivery, kept in deliveries:
        places = queue.setdefault(delivery.satellite, [])
        for index, document in enumerate(delivery.documents):
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            id = nth(kept.first, index)
            places.append((id, len(document)))
            rows.append((id, delivery.satellite, delivery.channel, delivery.topic, document, delivery.corrects))
    records = rows if len(rows) <= 2 * BREATH else _unhurried(rows)
    await connection.copy_records_to_table("raw_document", columns=list(RAW_COLUMNS), records=records)
    groups = [
        (satellite, len(group), sum(size for _, size in group), [id for id, _ in group])
        for satellite, places in queue.items()
        for group in _groups(places)
    ]
    for start in range(0, len(groups), QUEUED_AT_ONCE):
        await connection.executemany(statements.queue, groups[start : start + QUEUED_AT_ONCE])


async def _unhurried(rows: Sequence[tuple[Any, ...]]) -> AsyncIterator[tuple[Any, ...]]:
    for start in range(0, len(rows), BREATH):
        for row in rows[start : start + BREATH]:
            yield row
        await asyncio.sleep(0)


def _groups(places: Sequence[tuple[UUID, int]]) -> Iterator[list[tuple[UUID, int]]]:
    """What is mapped together: bounded by number and by bytes."""
    group: list[tuple[UUID, int]] = []
    weight = 0
    for place in places:
        if group and (len(group) == PENDING_DOCUMENTS or weight + place[1] > PENDING_BYTES):
            yield group
            group, weight = [], 0
        group.append(place)
        weight += place[1]
    if group:
        yield group


class KeyReused(Exception):
    """The same Idempotency-Key, another body. Nothing was kept."""


def _turn_away(future: "asyncio.Future[Kept]") -> None:
    """Not cancelled: that would look to its request like a cancellation of its own, and be answered as our mistake."""
    if not future.done():
        told = (
            "The gateway is stopping; what you sent may not have been kept. Send it again, under the same "
            "Idempotency-Key if it has one."
        )
        future.set_exception(Refused("stopping", told, status=503))


class Keeper:
    """`run` commits; `keep` waits until its delivery is on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[tuple[Delivery, int, asyncio.Future[Kept]]] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._taken = 0.0
        self._stopped = False
        self.kept = asyncio.Event()  # Something is to be mapped.
        self.rhythm = Rhythm()

    async def keep(self, delivery: Delivery) -> Kept:
        """Raises KeyReused; Refused (503) where too much waits, or this process stops; else what the database says."""
        size = sum(map(len, delivery.documents)) + 200 * len(delivery.documents)
        if self._bytes + size > WAITING_BYTES_MAX and self._queue:
            raise Refused("busy", "Too much is waiting to be written. Try again in a moment.", status=503)
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        if self._stopped:
            _turn_away(future)
            return await future
        self._queue.append((delivery, size, future))
        self._bytes += size
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Until it is cancelled. Whoever waits then, or comes later, is told to come again."""
        self._stopped = False
        try:
            async with asyncio.TaskGroup() as writers:
                for _ in range(WRITERS):
                    writers.create_task(self._write())
        finally:
            self._stopped = True
            while self._queue:
                _turn_away(self._queue.popleft()[2])
            self._bytes = 0

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            rest = self._taken + SPACING_SECONDS - time.monotonic()
            if rest > 0 and self._bytes < GROUP_BYTES_MAX:
                await asyncio.sleep(rest)
            self._taken = time.monotonic()
            group = self._take()
            if not group:
                continue
            try:
                kept = await self.commit([delivery for delivery, _ in group])
            except Exception as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
            except asyncio.CancelledError:
                for _, future in group:
                    _turn_away(future)
                raise
            else:
                for (_, future), answer in zip(group, kept, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Kept):
                        future.set_result(answer)
                    else:
                        future.set_exception(answer)
                self.kept.set()
                self.rhythm.hear({delivery.satellite for delivery, _ in group})

    def _take(self) -> list[tuple[Delivery, asyncio.Future[Kept]]]:
        group: list[tuple[Delivery, asyncio.Future[Kept]]] = []
        size = 0
        while self._queue and (size < GROUP_BYTES_MAX or not group):
            delivery, weight, future = self._queue.popleft()
            self._bytes -= weight
            if future.cancelled():
                continue
            size += weight
            group.append((delivery, future))
        if not self._queue:
            self._arrived.clear()
        return group

    async def commit(self, deliveries: Sequence[Delivery]) -> list[Kept | KeyReused]:
        """All of them in one transaction; of those that were kept before, the answer of then."""
        answers: list[Kept | KeyReused] = [Kept(first_of_request(), len(d.documents)) for d in deliveries]
        async with self._database.pool.acquire() as connection, connection.transaction():
            named = [index for index, delivery in enumerate(deliveries) if delivery.key]
            if named:
                await self._admit(connection, deliveries, named, answers)
            fresh = [
                (delivery, answer)
                for delivery, answer in zip(deliveries, answers, strict=True)
                if isinstance(answer, Kept) and not answer.resumed
            ]
            if fresh:
                await write_documents(connection, fresh)
        return answers

    async def _admit(
        self,
        connection: Any,
        deliveries: Sequence[Delivery],
        named: Sequence[int],
        answers: list[Kept | KeyReused],
    ) -> None:
        """Names are taken first, sorted, so that two replicas never wait for each other in a circle."""
        digests = {index: deliveries[index].hash() for index in named}
        first: dict[tuple[str, str], int] = {}
        for index in named:
            first.setdefault((deliveries[index].satellite, deliveries[index].key), index)
        keys = sorted(first)
        chosen = [first[key] for key in keys]
        kept = [answers[index] for index in chosen]
        taken = {
            (row[0], row[1])
            for row in await connection.fetch(
                statements.note_deliveries,
                [satellite for satellite, _ in keys],
                [key for _, key in keys],
                [digests[index] for index in chosen],
                [answer.first for answer in kept if isinstance(answer, Kept)],
                [answer.documents for answer in kept if isinstance(answer, Kept)],
            )
        }
        known: dict[tuple[str, str], tuple[bytes, Kept]] = {}
        for key in keys:
            if key in taken:
                answer = answers[first[key]]
                assert isinstance(answer, Kept)
                known[key] = (digests[first[key]], Kept(answer.first, answer.documents, resumed=True))
        if len(taken) < len(keys):
            before = [key for key in keys if key not in taken]
            rows = await connection.fetch(
                statements.find_deliveries, [satellite for satellite, _ in before], [key for _, key in before]
            )
            for row in rows:
                known[row[0], row[1]] = (row[2], Kept(row[3], row[4], resumed=True))
        for index in named:
            key = (deliveries[index].satellite, deliveries[index].key)
            if key in taken and first[key] == index:
                continue
            digest, earlier = known[key]
            answers[index] = earlier if digest == digests[index] else KeyReused(key[1])
