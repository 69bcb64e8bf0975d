"""Where the totals of a measure differ: leaves, then rows, then a cause for every event.

About a dozen requests, whatever the number of differences; what would be too much to fetch is counted instead.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from tieout.contracts.agreement import (
    LEAF_BITS,
    Book,
    Digest,
    DigestEntry,
    DigestRequest,
    Measure,
    Row,
    Rows,
    RowsRequest,
    Sequences,
    SequencesRequest,
)
from tieout.contracts.control import BookSide, Cause, Difference, MeasureResult, MeasureState
from tieout.contracts.event import Notice
from tieout.contracts.operation import Health, Nothing
from tieout.contracts.streams import DEAD_STREAM, FLOW
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules
from tieout.control.domain.agreement import BookRows, Context, Floor
from tieout.servicekit import Database, sql

statements = sql.load(__file__)
read_notice = msgspec.json.Decoder(Notice).decode

ROWS_PER_ANSWER = 2_500  # 250 KB as a rule; a message may have 1 MiB.
ROWS_PER_EVENT_MAX = 10_001  # Contracts allow 10,000 lines.
ROWS_ABOVE_WATERMARK_MAX = 40_000  # Beyond that, a backlog above the watermark is counted and not explained one by one.
ROWS_BELOW_WATERMARK_MAX = 200_000
POLL_SECONDS = 0.05
DEAD_COLLECTED_SECONDS_MAX = 3.0  # How long the proof waits for dead letters that are on their way to control.
COLLECT_DEAD = "control-collect-dead"


class Finding(Struct, frozen=True):
    """What became of one measure."""

    result: MeasureResult
    differences: tuple[Difference, ...] = ()  # Without those in flight.
    caught_up: bool = False
    compared_whole: bool = True


class Leaves(Struct, frozen=True):
    """The leaves that differ and shall be read, and what was left out because it would be too much."""

    chosen: tuple[int, ...]
    rows: Mapping[int, int]
    left_in_flight: int = 0
    left_differing: int = 0


class Drill:
    """Explains one measure; `explain` may run for several at once."""

    def __init__(self, colleagues: Colleagues) -> None:
        self._colleagues = colleagues

    async def explain(
        self,
        measure: Measure,
        upto: int,
        below: int,
        floors: Mapping[str, Floor],
        sides: tuple[BookSide, ...],
        followed: bool,
        database: Database,
        rows_above_max: int = ROWS_ABOVE_WATERMARK_MAX,
    ) -> Finding:
        """Totals differ: leaves, then rows, then a cause for every position."""
        leaves = await self._leaves(measure, upto, below, rows_above_max)
        read = await self._rows(measure, upto, leaves)
        positions = rules.unequal_positions(read)
        causes, books = await self._causes(measure, positions, read, floors, database)
        counted = {cause: sum(found == cause for found in causes.values()) for cause in _CAUSES}
        differing = counted["differs"] + leaves.left_differing
        in_flight = counted["in_flight"] + leaves.left_in_flight
        state = rules.state_of(differing=differing, dead=counted["dead"], in_flight=in_flight, parked=counted["parked"])
        notes = []
        if leaves.left_differing:
            notes.append("too much differs to name it all; at least so many events")
        if leaves.left_in_flight:
            notes.append("a long backlog is counted in rows")
        result = result_of(
            measure, upto if followed else below, upto, sides,
            state=state, in_flight=in_flight, parked=counted["parked"], dead=counted["dead"], differing=differing,
            note="; ".join(notes),
        )  # fmt: skip
        told = [
            difference
            for position, cause in causes.items()
            if cause != "in_flight"
            for difference in rules.line_differences(measure, position, cause, books)
        ]
        told.sort(key=lambda difference: (_CAUSES.index(difference.cause), difference.position, difference.line_no))
        return Finding(result, tuple(told), followed, not leaves.left_differing)

    async def _leaves(self, measure: Measure, upto: int, below: int, rows_above_max: int) -> Leaves:
        digests = await asyncio.gather(
            *(
                self._colleagues.ask(
                    book.service,
                    "digest",
                    DigestRequest(measure=measure.number, book=book.name, upto=upto, leaves=True),
                    Digest,
                )
                for book in measure.books
            )
        )
        sides = [{entry.leaf: entry for entry in digest.entries} for digest in digests]
        return _choose(rules.differing_leaves(sides), sides, below, rows_above_max)

    async def _rows(self, measure: Measure, upto: int, leaves: Leaves) -> list[BookRows]:
        portions = rules.leaf_portions(leaves.chosen, leaves.rows, ROWS_PER_ANSWER)
        books = []
        for book in measure.books:
            rows: list[Row] = []
            parked: set[int] = set()
            for portion in portions:  # One after the other: a drill must not crowd out the service's own work.
                await self._read(measure, book, upto, portion, rows, parked)
            books.append(BookRows(book, rules.by_position(rows), frozenset(parked)))
        return books

    async def _read(
        self, measure: Measure, book: Book, upto: int, leaves: tuple[int, ...], rows: list[Row], parked: set[int]
    ) -> None:
        """All rows of some leaves, in pages that end with a whole event."""
        after, limit = -1, ROWS_PER_ANSWER
        while True:
            request = RowsRequest(measure.number, book.name, upto, leaves, limit, after=after)
            answer = await self._colleagues.ask(book.service, "rows", request, Rows)
            parked |= set(answer.parked)
            if not answer.truncated:
                rows += answer.rows
                return
            last = answer.rows[-1].position
            whole = [row for row in answer.rows if row.position < last]
            if whole:
                rows += whole
                after, limit = whole[-1].position, ROWS_PER_ANSWER
            elif limit < ROWS_PER_EVENT_MAX:
                limit = ROWS_PER_EVENT_MAX  # One event alone fills the page.
            else:
                raise Unanswered(book.service, f"position {last} has more than {limit} lines in book {book.name}")

    async def _causes(
        self,
        measure: Measure,
        positions: Sequence[int],
        books: Sequence[BookRows],
        floors: Mapping[str, Floor],
        database: Database,
    ) -> tuple[dict[int, Cause], Sequence[BookRows]]:
        sequences: dict[int, int] = {}
        for start in range(0, len(positions), 5_000):
            asked = SequencesRequest(positions=tuple(positions[start : start + 5_000]))
            sequences |= (await self._colleagues.ask(measure.producer, "sequences", asked, Sequences)).sequences
        types = await self._types(measure, positions, database)
        context = Context(floors, sequences, types, {durable: flow.subjects for durable, flow in FLOW.items()})
        books = await self._with_dead(books, positions, database)
        causes = {position: rules.cause_of(position, books, context) for position in positions}
        absent = [p for p, cause in causes.items() if cause == "differs" and any(not b.rows.get(p) for b in books)]
        if absent:
            await self._await_dead_letters({book.book.service for book in books})
            books = await self._with_dead(books, positions, database)
            causes |= {position: rules.cause_of(position, books, context) for position in absent}
        return causes, books

    async def _types(self, measure: Measure, positions: Sequence[int], database: Database) -> dict[int, str]:
        """Which events these were, where a book has several consumers and one of them may be behind."""
        if not positions or all(len(book.durables) < 2 for book in measure.books):
            return {}
        async with database.read() as connection:
            rows = await connection.fetch(statements.notices_between, measure.producer, min(positions), max(positions))
        types: dict[int, str] = {}
        for row in rows:
            notice = read_notice(row["body"])
            types.update(zip(notice.positions, notice.types, strict=True))
        return types

    async def _with_dead(
        self, books: Sequence[BookRows], positions: Sequence[int], database: Database
    ) -> Sequence[BookRows]:
        durables = [durable for book in books for durable in book.book.durables]
        async with database.read() as connection:
            letters = await connection.fetch(statements.dead_positions, durables, positions)
        return [
            BookRows(
                book.book,
                book.rows,
                book.parked,
                frozenset(letter["position"] for letter in letters if letter["flow"] in book.book.durables),
            )
            for book in books
        ]

    async def _await_dead_letters(self, services: Iterable[str]) -> None:
        """Waits until control has read every dead letter that these services had written by now, or the time is over.

        A buried message is confirmed at once, but its letter travels: through the outbox, the stream, and our own
        flow. Without this a fresh one would look like an edit.
        """
        deadline = time.monotonic() + DEAD_COLLECTED_SECONDS_MAX
        unsent = set(services)
        try:
            while time.monotonic() < deadline:
                for service in sorted(unsent):
                    health = await self._colleagues.ask(service, "health", Nothing(), Health)
                    if not health.outbox_waiting:
                        unsent.discard(service)
                if not unsent:
                    goal = await self._colleagues.last_sequence(DEAD_STREAM)
                    floors = await self._colleagues.floors([COLLECT_DEAD])
                    if COLLECT_DEAD in floors and floors[COLLECT_DEAD].sequence >= goal:
                        return
                await asyncio.sleep(POLL_SECONDS)
        except Unanswered:
            return  # What we know must do; a service that is away is told in the answer.


_CAUSES: tuple[Cause, ...] = ("differs", "dead", "parked", "in_flight")


def _choose(
    differing: Sequence[int], sides: Sequence[Mapping[int, DigestEntry]], below: int, rows_above_max: int
) -> Leaves:
    """What lies below the watermark comes first and is nearly always little; a backlog above it may be long."""
    rows = {leaf: max(side[leaf].rows if leaf in side else 0 for side in sides) for leaf in differing}
    spread = {leaf: rows[leaf] - min(side[leaf].rows if leaf in side else 0 for side in sides) for leaf in differing}
    room_below, room_above = ROWS_BELOW_WATERMARK_MAX, rows_above_max
    chosen: list[int] = []
    left_in_flight = left_differing = 0
    for leaf in differing:
        if leaf << LEAF_BITS <= below:
            if room_below > 0:
                room_below -= rows[leaf]
                chosen.append(leaf)
            else:
                left_differing += 1
        elif room_above > 0:
            room_above -= rows[leaf]
            chosen.append(leaf)
        else:
            left_in_flight += max(spread[leaf], 1)
    return Leaves(tuple(chosen), rows, left_in_flight, left_differing)


def result_of(
    measure: Measure,
    watermark: int,
    compared_upto: int,
    sides: tuple[BookSide, ...],
    *,
    state: MeasureState = "agree",
    in_flight: int = 0,
    parked: int = 0,
    dead: int = 0,
    differing: int = 0,
    note: str = "",
) -> MeasureResult:
    return MeasureResult(
        number=measure.number,
        name=measure.name,
        title=measure.title,
        title_zh=measure.title_zh,
        producer=measure.producer,
        values=measure.values,
        state=state,
        watermark=watermark,
        compared_upto=compared_upto,
        sides=sides,
        in_flight=in_flight,
        parked=parked,
        dead=dead,
        differing=differing,
        open_state=measure.open_state,
        note=note,
    )
