"""A service's side of the proof: marks, digests, rows, sequences. contracts/agreement.py has the shapes.

Digests and their triggers live in kit/0003_pre_digests.sql; here are the questions about them. What a look at the
service's own books finds is in findings.py.
"""

import asyncio
import sys
from array import array
from datetime import UTC
from typing import Any

import structlog
from msgspec import structs
from tieout.contracts.agreement import (
    BEFORE_ALL,
    DIGEST_VERSION,
    LEAF_BITS,
    LEAVES_PER_QUESTION,
    MEASURES,
    BookUpto,
    CurrencySum,
    CurrencySums,
    Digest,
    DigestEntry,
    DigestRequest,
    MarkAnswer,
    MarkRequest,
    Positions,
    PositionsRequest,
    Row,
    Rows,
    RowsRequest,
    Sequences,
    SequencesRequest,
    SumsRequest,
    TotalsRequest,
    Touch,
    Waiting,
)
from tieout.contracts.streams import stream_of
from tieout.servicekit import sql
from tieout.servicekit.books import Book, Sums, totals, whole
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Misconfigured, Refused
from tieout.servicekit.unawaited import Unawaited

statements = sql.load(__file__)

KNOWN_ANSWER = -2186038058745988139  # On Postgres 18, as on those before it that we know.
PRODUCER = {measure.number: measure.producer for measure in MEASURES}
ROWS_MAX = 20_000
log = structlog.get_logger(__name__)

MARK_TRIES = 5
NOTHING = DigestEntry(-1, 0, 0, 0, "0")

# Made anew it is right after two looks: what was closed is read from the outbox again. Not by the service itself: a
# database that lost one row may have lost others, and at a start the mark is what tells that it is an old copy.
MARK_GONE = (
    "The row of table mark is gone, so nobody can say up to where events are closed, and the agreement is not proved. "
    "If nothing else was deleted: as the owner of its database, INSERT INTO mark DEFAULT VALUES"
)


class Evidence:
    """Answers the questions of the proof from the service's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._books: dict[str, Book] = {}
        self._totals = ""  # The statement that adds up any of them.
        self._summing: dict[str, asyncio.Task[CurrencySums]] = {}
        self._unawaited = Unawaited()
        self._marked = 0  # Published messages when the mark was last found closed.

    async def start(self) -> None:
        """Raises Misconfigured where there are no tables yet, and where this Postgres hashes otherwise: then no digest
        could be compared."""
        async with self._database.read() as connection:
            if not await connection.fetchval(statements.is_migrated):
                service = self._database.service
                raise Misconfigured(
                    f"The database was never migrated. Run `python -m tieout.{service} migrate` as its owner, "
                    "then start again."
                )
            answer = await connection.fetchval(statements.known_answer)
            if answer != KNOWN_ANSWER:
                raise Misconfigured(
                    f"hashint8extended answers {answer} instead of {KNOWN_ANSWER} on this Postgres. "
                    "Raise DIGEST_VERSION, and build the digests of all services afresh."
                )
            self._books = {row["book"]: Book(row) for row in await connection.fetch(statements.books)}
        self._totals = totals(list(self._books.values())) if self._books else ""
        self._highest = " UNION ALL ".join(book.highest for book in self._books.values())

    async def stop(self) -> None:
        """Of reading that goes on although nobody waits for it."""
        await self._unawaited.stop()

    @property
    def books(self) -> dict[str, Book]:
        return self._books

    def book(self, measure: int, name: str, version: int) -> Book:
        if version != DIGEST_VERSION:
            raise Refused(
                "other_version",
                f"Digests here have version {DIGEST_VERSION}, you ask for {version}. Deploy one version everywhere.",
                field="version",
                status=409,
            )
        book = self._books.get(name)
        if book is None or book.measure != measure:
            raise Refused(
                "not_found", f"This service has no book {name!r} for measure {measure}.", field="book", status=404
            )
        return book

    async def mark(self, request: MarkRequest, database: Database) -> MarkAnswer:
        """How far our positions are closed and published. Asks again briefly, as closing takes two looks."""
        mark = await self._mark(database)
        if request.totals is None:
            return mark
        return structs.replace(mark, digest=await self.totals(request.totals, database))

    async def _mark(self, database: Database) -> MarkAnswer:
        async with database.quick() as connection:
            row = await connection.fetchrow(statements.take_mark)
            for _ in range(MARK_TRIES):
                if row is None or row["closed"]:
                    break
                await asyncio.sleep(0.005)
                row = await connection.fetchrow(statements.take_mark)
            if row is None or row["m"] is None:
                log.error("the row of mark is gone", service=database.service, next_step=MARK_GONE)
                raise Refused("mark_gone", f"{database.service}: {MARK_GONE}", status=503)
            held = None if row["closed"] else await connection.fetchrow(statements.held_back)
        mark = MarkAnswer(row["m"], {stream_of(database.service): row["q"]}, row["last_position"])
        if held is None:
            return mark
        return structs.replace(
            mark,
            oldest_writer=held["oldest_writer"] or "",
            unpublished=held["events"],
            unpublished_seconds=round(held["seconds"], 1),
        )

    async def close_positions(self) -> None:
        """Each second under load: closing takes two looks, so whoever asks finds the first one done."""
        published = self._database.outbox.published
        if self._marked == published:
            return
        async with self._database.quick() as connection:
            row = await connection.fetchrow(statements.take_mark)
        if row is not None and row["closed"]:
            self._marked = published

    async def totals(self, request: TotalsRequest, database: Database) -> Digest:
        """Of several books at one moment: a few branches, the begun branch's leaves, the begun leaf's rows."""
        for asked in request.books:
            self.book(asked.measure, asked.book, request.version)
        if not request.books:
            return Digest(())
        async with database.read() as connection:
            rows = await connection.fetch(
                self._totals, [asked.book for asked in request.books], [asked.upto for asked in request.books]
            )
            highest = {row["book"]: row["highest"] for row in await connection.fetch(self._highest)}
        found = {row["book"]: _entry(-1, row) for row in rows}
        return Digest(
            tuple(found.get(asked.book, NOTHING) for asked in request.books),
            tuple(BEFORE_ALL if (top := highest[asked.book]) is None else top for asked in request.books),
        )

    async def digest(self, request: DigestRequest, database: Database) -> Digest:
        book = self.book(request.measure, request.book, request.version)
        if not request.leaves and not request.by_branch:
            asked = BookUpto(request.measure, request.book, request.upto)
            (total,) = (await self.totals(TotalsRequest((asked,)), database)).entries
            return Digest(() if total == NOTHING else (total,))
        level = "leaves" if request.leaves else "branches"
        async with database.read() as connection:
            rows = await connection.fetch(book.levels, request.upto, level, list(request.branches), book.name)
        return Digest(tuple(_entry(row["leaf"], row) for row in rows))

    async def positions(self, request: PositionsRequest, database: Database) -> Positions:
        book = self.book(request.measure, request.book, request.version)
        leaves = list(request.leaves)
        if len(leaves) > LEAVES_PER_QUESTION:
            raise Refused(
                "too_large", f"Ask for at most {LEAVES_PER_QUESTION} leaves at a time.", field="leaves", status=413
            )
        places = {leaf: index << LEAF_BITS for index, leaf in enumerate(leaves)}
        hashes = array("q", bytes(8 * len(leaves) << LEAF_BITS))
        async with database.read() as connection:
            rows = await connection.fetch(book.positions, leaves, request.upto)
        for position, value in rows:
            hashes[places[position >> LEAF_BITS] + (position & ((1 << LEAF_BITS) - 1))] = value or 1
        if sys.byteorder == "big":
            hashes.byteswap()
        return Positions(hashes.tobytes())

    async def sums(self, request: SumsRequest, database: Database) -> CurrencySums:
        """The book's totals per currency. What was summed before is kept, as long as the digest says the same."""
        book = self.book(request.measure, request.book, DIGEST_VERSION)
        if not book.knows_currency:
            return CurrencySums(())
        while (before := self._summing.get(book.name)) is not None:
            await asyncio.wait({before})  # Whatever became of it: what it has read need not be read again.
        task = self._summing[book.name] = self._unawaited.go_on(self._sum(book, request, database))
        task.add_done_callback(lambda _: self._summing.pop(book.name))
        return await asyncio.shield(task)

    async def _sum(self, book: Book, request: SumsRequest, database: Database) -> CurrencySums:
        async with database.read() as connection:
            rows = await connection.fetch(self._totals, [book.name], [request.upto])
            total = _sums(rows[0]) if rows else (0, 0, 0)
            known, sums = book.summed
            if known > request.upto:
                known, sums = 0, {}
            found = _added(sums, await connection.fetch(book.sums, known, request.upto))
            if known and _total(found) != total:  # Late rows, or somebody's hand.
                found = _added({}, await connection.fetch(book.sums, 0, request.upto))
        if _total(found) == total:
            book.summed = (request.upto, found)
        return CurrencySums(tuple(CurrencySum(currency, *found[currency]) for currency in sorted(found)))

    async def rows(self, request: RowsRequest, database: Database) -> Rows:
        book = self.book(request.measure, request.book, request.version)
        limit = max(1, min(request.limit, ROWS_MAX))
        producer = PRODUCER[request.measure]
        positions = list(request.positions)
        async with database.read() as connection:
            # Parked first: a message that is woken between the two looks is then seen as a row, never as nothing.
            waiting = await connection.fetch(statements.parked_positions, stream_of(producer), positions)
            found = await connection.fetch(book.rows, positions, request.upto, limit + 1, request.after)
            touched = []
            if positions and await connection.fetchval(statements.any_touched, book.table):
                touched = await connection.fetch(book.touched, positions)
        sequences = {}
        if request.sequences and producer == database.service:
            sequences = (await self.sequences(SequencesRequest(request.positions), database)).sequences
        return Rows(
            tuple(
                Row(r["position"], r["line"], r["chain"], r["order_no"], whole(r["a"]), whole(r["b"]), r["currency"])
                for r in found[:limit]
            ),
            tuple(
                Waiting(
                    row["position"],
                    row["durable"],
                    row["key"],
                    row["reason"],
                    row["parked_at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
                )
                for row in waiting
            ),
            tuple(
                Touch(
                    row["position"],
                    row["line"],
                    row["op"],
                    row["who"],
                    row["at"],
                    row["counts"],
                    row["a"],
                    row["b"],
                    row["settled"],
                )
                for row in touched
            ),
            len(found) > limit,
            sequences,
        )

    async def sequences(self, request: SequencesRequest, database: Database) -> Sequences:
        positions = sorted(request.positions)
        if not positions:
            return Sequences({})
        async with database.read() as connection:
            rows = await connection.fetch(statements.sequences, positions[0], positions[-1], positions)
        known = {row["position"]: row["sequence"] for row in rows}
        return Sequences({position: known.get(position, 0) for position in positions})

    async def fold(self) -> None:
        """Each second: merge what the triggers appended."""
        async with self._database.read() as connection:
            if await connection.fetchval(statements.deltas_waiting):
                await connection.execute(statements.fold)


def _sums(row: Any) -> tuple[int, int, int]:
    return row["n"], whole(row["a"]), whole(row["b"])


def _entry(leaf: int, row: Any) -> DigestEntry:
    return DigestEntry(leaf, *_sums(row), row["h"])


def _added(sums: Sums, rows: list[Any]) -> Sums:
    found = dict(sums)
    for row in rows:
        before = found.get(row["currency"], (0, 0, 0))
        n, a, b = _sums(row)
        found[row["currency"]] = (before[0] + n, before[1] + a, before[2] + b)
    return found


def _total(sums: Sums) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip((0, 0, 0), *sums.values(), strict=True))
