"""Where the totals of a measure differ: branches, then leaves, then positions, then rows, and a cause for every event.

Six requests for two books, eight for large ones, whatever the number of differences: each level asks only for what
differed above it, and rows are read only of events that differ. A third book that equals one of the two is not asked,
except where that one lacks rows: then it is asked why. What would be too much to fetch is counted instead.
"""

import asyncio
import sys
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from tieout.contracts.agreement import (
    BEFORE_ALL,
    LEAF_BITS,
    LEAVES_PER_QUESTION,
    Book,
    Digest,
    DigestEntry,
    DigestRequest,
    Measure,
    Positions,
    PositionsRequest,
    Row,
    Rows,
    RowsRequest,
    Touch,
    Waiting,
)
from tieout.contracts.control import BookSide, Cause, CauseCount, Difference, MeasureResult, MeasureState
from tieout.control.causes import Causes, Judged
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules
from tieout.control.domain.agreement import BookRows, Excuse, Floor
from tieout.control.domain.causes import REPAIRS
from tieout.servicekit import Database

ROWS_PER_ANSWER = 2_500  # 250 KB as a rule; a message may have 1 MiB.
ROWS_PER_EVENT_MAX = 10_001  # Contracts allow 10,000 lines.
POSITIONS_PER_QUESTION = 2_000
ROWS_ABOVE_WATERMARK_MAX = 40_000  # Beyond that, a backlog above the watermark is counted and not explained one by one.
ROWS_BELOW_WATERMARK_MAX = 200_000
NAMED_MAX = 5_000  # Events below the watermark whose rows are read; more are only counted.
LOOKS_MAX = 3
LEAVES_AT_ONCE = 1_024  # Up to here all leaves are asked for at once, and no branches: 50 KB.
ON_THE_WAY_TOLD_MAX = 20  # Of what is in flight, so many are told one by one.


Told = TypeVar("Told")
Level = Mapping[int, DigestEntry]  # By branch or leaf.


class Finding(Struct, frozen=True):
    """What became of one measure."""

    result: MeasureResult
    differences: tuple[Difference, ...] = ()
    causes: tuple[CauseCount, ...] = ()
    caught_up: bool = False
    compared_whole: bool = True
    hidden: int = 0  # Of those that differ: no row does, so a digest is not that of its rows.
    equal: bool = False  # A look found the same in all books: the only reason to say that they agree.


class Leaves(Struct, frozen=True):
    """The leaves that differ and shall be looked into, and what was left out because it would be too much."""

    chosen: tuple[int, ...]
    left_in_flight: int = 0
    left_differing: int = 0


class Drill:
    """Explains one measure; `explain` may run for several at once."""

    def __init__(self, colleagues: Colleagues, stalled: Mapping[str, float] | None = None) -> None:
        self._colleagues = colleagues
        self._causes = Causes(colleagues, stalled or {})

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
        twins: Mapping[int, int] | None = None,
    ) -> Finding:
        """Totals differed up to `upto`; `below` is the watermark. They are looked at again, one level below. `twins`:
        books that had the total of another one, which answers for them; only where all have followed.

        They agree only where such a look found them equal: what nothing explains is looked at again, and then told.
        """
        same = twins or {}
        for _ in range(LOOKS_MAX):
            finding = await self._look(measure, upto, below, floors, sides, followed, database, rows_above_max, same)
            if same and finding.result.state == "agree":
                same = {}  # Nobody answers for another one where it comes to that.
                continue
            if finding.equal or finding.result.state != "agree":
                return finding
        unexplained = "totals differ, and no row does"
        result = msgspec.structs.replace(
            finding.result,
            state="differ" if followed else "open",
            differing=1 if followed else 0,
            in_flight=0 if followed else 1,
            note="; ".join(filter(None, (finding.result.note, unexplained))),
        )
        hidden = 1 if followed else 0
        return Finding(result, finding.differences, finding.causes, compared_whole=False, hidden=hidden)

    async def _look(
        self,
        measure: Measure,
        upto: int,
        below: int,
        floors: Mapping[str, Floor],
        sides: tuple[BookSide, ...],
        followed: bool,
        database: Database,
        rows_above_max: int,
        twins: Mapping[int, int],
    ) -> Finding:
        few = upto >> LEAF_BITS < LEAVES_AT_ONCE
        levels = await self._level(
            measure, DigestRequest(measure.number, "", upto, leaves=few, by_branch=not few), twins
        )
        differing = rules.differing_leaves(levels)
        if not differing:  # What was on its way has arrived.
            sides = tuple(_side(book, level) for book, level in zip(measure.books, levels, strict=True))
            return Finding(result_of(measure, upto, upto, sides), caught_up=True, equal=True)
        if not few:
            asked = DigestRequest(measure.number, "", upto, leaves=True, branches=tuple(differing))
            levels = await self._level(measure, asked, twins)
        leaves = _choose(levels, below, rows_above_max)
        positions = await self._positions(measure, upto, leaves.chosen, twins)
        named = positions[:NAMED_MAX]
        more = len(positions) - len(named)
        read, sequences = await self._rows(measure, upto, named, twins)
        judged = await self._causes.judge(measure, rules.unequal_positions(read), read, floors, database, sequences)
        hidden = await self._hidden(measure, below, leaves) if followed and not positions else 0
        counted: dict[Excuse, int] = dict.fromkeys(_WORST_FIRST, 0)
        for excuse in judged.excuses.values():
            counted[excuse] += 1
        above = more if named and named[-1] > below else 0
        wrong = counted["differs"] + leaves.left_differing + more - above + hidden
        in_flight = counted["in_flight"] + leaves.left_in_flight + above
        state = rules.state_of(differing=wrong, dead=counted["dead"], in_flight=in_flight, parked=counted["parked"])
        notes = []
        if leaves.left_differing or more > above:
            notes.append("too much differs to name it all; at least so many events")
        if leaves.left_in_flight:
            notes.append("a long backlog is counted in rows")
        result = result_of(
            measure, upto if followed else below, upto, sides,
            state=state, in_flight=in_flight, parked=counted["parked"], dead=counted["dead"], differing=wrong,
            note="; ".join(notes),
        )  # fmt: skip
        return Finding(
            result,
            tuple(_told(measure, judged)),
            _count(measure, judged, floors, self._causes.stalled, left_in_flight=leaves.left_in_flight + above),
            followed,
            not (leaves.left_differing or more),
            hidden,
        )

    async def _level(
        self, measure: Measure, request: DigestRequest, twins: Mapping[int, int] | None = None
    ) -> list[Level]:
        async def ask(book: Book) -> Level:
            asked = DigestRequest(
                request.measure,
                book.name,
                request.upto,
                request.leaves,
                by_branch=request.by_branch,
                branches=request.branches,
            )
            digest = await self._colleagues.ask(book.service, "digest", asked, Digest)
            return {entry.leaf: entry for entry in digest.entries}

        return await _each(measure, ask, twins or {})

    async def _positions(
        self, measure: Measure, upto: int, leaves: Sequence[int], twins: Mapping[int, int]
    ) -> list[int]:
        """Those that do not hold the same in all books."""
        found: list[int] = []
        for start in range(0, len(leaves), LEAVES_PER_QUESTION):
            some = tuple(leaves[start : start + LEAVES_PER_QUESTION])

            async def ask(book: Book, some: tuple[int, ...] = some) -> Positions:
                request = PositionsRequest(measure.number, book.name, upto, some)
                return await self._colleagues.ask(book.service, "positions", request, Positions)

            answers = await _each(measure, ask, twins)
            found += rules.differing_positions(some, [_hashes(answer.hashes) for answer in answers])
        return found

    async def _rows(
        self, measure: Measure, upto: int, positions: Sequence[int], twins: Mapping[int, int]
    ) -> tuple[list[BookRows], dict[int, int] | None]:
        """Each book's rows; and where the events stand in their stream, if the producer is among the books."""
        sequences: dict[int, int] = {}
        known = any(book.service == measure.producer for book in measure.books)

        async def read(book: Book) -> BookRows:
            rows: list[Row] = []
            waiting: list[Waiting] = []
            touches: list[Touch] = []
            for start in range(0, len(positions), POSITIONS_PER_QUESTION):
                some = tuple(positions[start : start + POSITIONS_PER_QUESTION])
                await self._read(measure, book, upto, some, rows, waiting, touches, sequences)
            parked = {one.position: one for one in waiting}
            return BookRows(book, rules.by_position(rows), frozenset(parked), waiting=parked, touches=tuple(touches))

        found = await _each(measure, read, twins)
        held = set().union(*(book.rows for book in found))
        for place, other in twins.items():
            lacking = held - found[other].rows.keys()  # Why the twin lacks them, only the twin can say.
            book = measure.books[place]
            found[place] = await read(book) if lacking else BookRows(book, found[other].rows)
        return found, sequences if known else None

    async def _read(
        self,
        measure: Measure,
        book: Book,
        upto: int,
        positions: tuple[int, ...],
        rows: list[Row],
        parked: list[Waiting],
        touches: list[Touch],
        sequences: dict[int, int],
    ) -> None:
        """All rows of some positions, in pages that end with a whole event."""
        after, limit = BEFORE_ALL, ROWS_PER_ANSWER
        while True:
            own = book.service == measure.producer and after == BEFORE_ALL
            request = RowsRequest(measure.number, book.name, upto, positions, limit, after=after, sequences=own)
            answer = await self._colleagues.ask(book.service, "rows", request, Rows)
            if after == BEFORE_ALL:
                parked += answer.waiting
                touches += answer.touches
                sequences |= answer.sequences
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

    async def _hidden(self, measure: Measure, below: int, leaves: Leaves) -> int:
        """Leaves whose rows are the same and whose digests still differ at a second look: somebody edited a digest."""
        if not leaves.chosen:
            branches = await self._level(measure, DigestRequest(measure.number, "", below, by_branch=True))
            return len(rules.differing_leaves(branches))
        within = tuple({leaf >> LEAF_BITS for leaf in leaves.chosen})
        again = await self._level(measure, DigestRequest(measure.number, "", below, leaves=True, branches=within))
        return len(set(rules.differing_leaves(again)) & set(leaves.chosen))


async def _each(measure: Measure, ask: Callable[[Book], Awaitable[Told]], twins: Mapping[int, int]) -> list[Told]:
    """What each book answers; for a twin, what the other one does."""
    places = [place for place in range(len(measure.books)) if place not in twins]
    answers = await asyncio.gather(*(ask(measure.books[place]) for place in places))
    told = dict(zip(places, answers, strict=True))
    return [told[twins.get(place, place)] for place in range(len(measure.books))]


_WORST_FIRST: tuple[Excuse, ...] = ("differs", "dead", "parked", "in_flight")


def _hashes(content: bytes) -> Sequence[int]:
    found = array("q", content)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _side(book: Book, level: Level) -> BookSide:
    entries = level.values()
    return BookSide(
        book.service, book.name, sum(e.rows for e in entries), sum(e.a for e in entries), sum(e.b for e in entries)
    )


def _told(measure: Measure, judged: Judged) -> list[Difference]:
    """The worst first; of what is on its way only the first few."""
    told: list[Difference] = []
    for excuse in _WORST_FIRST:
        positions = [position for position, found in judged.excuses.items() if found == excuse]
        for position in positions[: ON_THE_WAY_TOLD_MAX if excuse == "in_flight" else None]:
            told += rules.line_differences(measure, position, judged.explanations[position], judged.books)
    return told


def _count(
    measure: Measure,
    judged: Judged,
    floors: Mapping[str, Floor],
    stalled: Mapping[str, float],
    *,
    left_in_flight: int,
) -> tuple[CauseCount, ...]:
    counted: dict[tuple[Cause, str], int] = {}
    for told in judged.explanations.values():
        counted[told.cause, told.flow] = counted.get((told.cause, told.flow), 0) + 1
    if left_in_flight:
        durables = [durable for book in measure.books for durable in book.durables if durable in floors]
        slowest = min(durables, key=lambda durable: floors[durable].sequence, default="")
        counted["in_flight", slowest] = counted.get(("in_flight", slowest), 0) + left_in_flight
    return tuple(
        CauseCount(
            measure.number,
            cause,
            events,
            flow,
            floors[flow].waiting + floors[flow].unacked if flow in floors else 0,
            stalled.get(flow, 0.0),
            REPAIRS[cause],
        )
        for (cause, flow), events in counted.items()
    )


def _choose(sides: Sequence[Level], below: int, rows_above_max: int) -> Leaves:
    """What lies below the watermark comes first and is nearly always little; a backlog above it may be long."""
    room_below, room_above = ROWS_BELOW_WATERMARK_MAX, rows_above_max
    chosen: list[int] = []
    left_in_flight = left_differing = 0
    for leaf in rules.differing_leaves(sides):
        held = [side[leaf].rows if leaf in side else 0 for side in sides]
        rows = max(held)
        if leaf << LEAF_BITS <= below:
            if room_below > 0:
                room_below -= rows
                chosen.append(leaf)
            else:
                left_differing += 1
        elif room_above > 0:
            room_above -= rows
            chosen.append(leaf)
        else:
            left_in_flight += max(rows - min(held), 1)
    return Leaves(tuple(chosen), left_in_flight, left_differing)


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
