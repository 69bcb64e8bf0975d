"""Why books differ at some positions: what has to be asked for it, of whom, and in which order.

First the excuses, which cost two questions (where the events stand in their stream, and which are dead); then, only for
what nothing excuses, the evidence: what hands did, what the stream lost, and where the same fact stands twice.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Struct
from tieout.contracts.agreement import (
    AUDITED_MAX,
    Measure,
    Row,
    Rows,
    RowsRequest,
    Sequences,
    SequencesRequest,
    Touch,
    Waiting,
)
from tieout.contracts.event import Notice
from tieout.contracts.operation import Health, Nothing
from tieout.contracts.streams import DEAD_STREAM, FLOW
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules
from tieout.control.domain.agreement import NEVER, BookRows, Context, Excuse, Explanation, Floor
from tieout.control.domain.causes import DeadNote, Evidence, explain
from tieout.servicekit import Database, sql

statements = sql.load(__file__)
read_notice = msgspec.json.Decoder(Notice).decode

POLL_SECONDS = 0.05
DEAD_COLLECTED_SECONDS_MAX = 3.0  # How long the proof waits for dead letters that are on their way to control.
COLLECT_DEAD = "control-collect-dead"
SEQUENCES_PER_QUESTION = 5_000
COPIES_MAX = 100  # Events for which a second copy is looked for.
COPIES_PER_QUESTION = 1_000


class Judged(Struct, frozen=True):
    excuses: Mapping[int, Excuse]
    explanations: Mapping[int, Explanation]
    books: Sequence[BookRows]


class Causes:
    """`stalled`: for how many seconds which consumers have stood still, as the watch has seen it."""

    def __init__(self, colleagues: Colleagues, stalled: Mapping[str, float]) -> None:
        self._colleagues = colleagues
        self.stalled = stalled

    async def judge(
        self,
        measure: Measure,
        positions: Sequence[int],
        books: Sequence[BookRows],
        floors: Mapping[str, Floor],
        database: Database,
        sequences: Mapping[int, int] | None = None,
    ) -> Judged:
        """`sequences`: where the events stand in their stream, if that is known already."""
        if not positions:
            return Judged({}, {}, books)
        if sequences is None:
            sequences = await self._sequences(measure, positions)
        types = await self._types(measure, positions, database)
        context = Context(floors, sequences, types, {durable: flow.subjects for durable, flow in FLOW.items()})
        letters = await self._letters(measure, positions, database)
        books = _with_dead(books, letters)
        excuses = {position: rules.cause_of(position, books, context) for position in positions}
        absent = [p for p, excuse in excuses.items() if excuse == "differs" and any(not b.rows.get(p) for b in books)]
        if absent:
            await self._await_dead_letters({book.book.service for book in books})
            letters = await self._letters(measure, positions, database)
            books = _with_dead(books, letters)
            excuses |= {position: rules.cause_of(position, books, context) for position in absent}
        unexcused = [position for position, excuse in excuses.items() if excuse == "differs"]
        evidence = Evidence(
            touches=_touches(books),
            lost=await self._lost(measure, [p for p in unexcused if p in absent and sequences.get(p)]),
            waiting=_waiting(books),
            dead=dict(letters),
            copies=await self._copies(measure, unexcused, books, database),
            stalled=self.stalled,
        )
        explanations = {
            position: explain(measure, position, excuse, books, context, evidence)
            for position, excuse in excuses.items()
        }
        return Judged(excuses, explanations, books)

    async def _sequences(self, measure: Measure, positions: Sequence[int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for start in range(0, len(positions), SEQUENCES_PER_QUESTION):
            asked = SequencesRequest(tuple(positions[start : start + SEQUENCES_PER_QUESTION]))
            found |= (await self._colleagues.ask(measure.producer, "sequences", asked, Sequences)).sequences
        return found

    async def _types(self, measure: Measure, positions: Sequence[int], database: Database) -> dict[int, str]:
        """Which events these were, where a book has several consumers and one of them may be behind."""
        if all(len(book.durables) < 2 for book in measure.books):
            return {}
        async with database.read() as connection:
            rows = await connection.fetch(statements.notices_between, measure.producer, min(positions), max(positions))
        types: dict[int, str] = {}
        for row in rows:
            notice = read_notice(row["body"])
            types.update(zip(notice.positions, notice.types, strict=True))
        return types

    async def _letters(
        self, measure: Measure, positions: Sequence[int], database: Database
    ) -> list[tuple[int, DeadNote]]:
        """Which of these events lie in the dead letters of a book's flow; one may lie there for two flows."""
        durables = [durable for book in measure.books for durable in book.durables]
        async with database.read() as connection:
            rows = await connection.fetch(statements.dead_positions, durables, positions)
        return [(row["position"], DeadNote(row["flow"], row["reason"], row["field"], row["number"])) for row in rows]

    async def _await_dead_letters(self, services: Iterable[str]) -> None:
        """Waits until control has read every dead letter that these services had written by now, or the time is over.

        A buried message is confirmed at once, but its letter travels: through the outbox, the stream, and our own
        flow. Without this a fresh one would look like an edit.
        """
        deadline = time.monotonic() + DEAD_COLLECTED_SECONDS_MAX
        unsent = set(services)
        asking = self._colleagues.counting()  # Of no interest to those who count what a proof costs.
        try:
            while time.monotonic() < deadline:
                for service in sorted(unsent):
                    health = await asking.ask(service, "health", Nothing(), Health)
                    if not health.outbox_waiting:
                        unsent.discard(service)
                if not unsent:
                    goal = await asking.last_sequence(DEAD_STREAM)
                    floors = await asking.floors([COLLECT_DEAD])
                    if COLLECT_DEAD in floors and floors[COLLECT_DEAD].sequence >= goal:
                        return
                await asyncio.sleep(POLL_SECONDS)
        except Unanswered:
            return  # What we know must do; a service that is away is told in the answer.

    async def _lost(self, measure: Measure, positions: Sequence[int]) -> frozenset[int]:
        """Published, confirmed by its consumer, not in a book: does the stream hold what the outbox says?"""
        if not positions:
            return frozenset()
        asked = SequencesRequest(tuple(positions[:AUDITED_MAX]), audit=True)
        try:
            return frozenset((await self._colleagues.ask(measure.producer, "sequences", asked, Sequences)).lost)
        except Unanswered:
            return frozenset()

    async def _copies(
        self, measure: Measure, positions: Sequence[int], books: Sequence[BookRows], database: Database
    ) -> dict[int, tuple[str, int]]:
        """Facts that a book holds and the source does not, and that stand in the same book a second time.

        The other events of the same chains are known from the notices that control heard. One question per book.
        """
        source = next((book for book in books if not book.book.durables), None)
        if source is None:
            return {}
        alone = [position for position in positions[:COPIES_MAX] if not source.rows.get(position)]
        chains = {
            (number, position): next(iter(rows.values())).chain_id
            for number, book in enumerate(books)  # Two services may call a book of theirs the same.
            for position in alone
            if (rows := book.rows.get(position))
        }
        known = await self._of_chains(measure, {*chains.values()}, database)
        found: dict[int, tuple[str, int]] = {}
        for number, book in enumerate(books):
            doubtful = {p: known.get(chain, set()) for (mine, p), chain in chains.items() if mine == number}
            others = sorted(set().union(*doubtful.values()))
            held = rules.by_position(await self._held(measure, book, others))
            for position, elsewhere in doubtful.items():
                content = _content(book.rows[position].values())
                for other in sorted(elsewhere - {position}):
                    if other in held and _content(held[other].values()) == content:
                        found[position] = (book.book.service, other)
        return found

    async def _held(self, measure: Measure, book: BookRows, positions: Sequence[int]) -> list[Row]:
        found: list[Row] = []
        for start in range(0, len(positions), COPIES_PER_QUESTION):
            some = tuple(positions[start : start + COPIES_PER_QUESTION])
            request = RowsRequest(measure.number, book.book.name, NEVER, some)
            found += (await self._colleagues.ask(book.book.service, "rows", request, Rows)).rows
        return found

    async def _of_chains(self, measure: Measure, chains: Iterable[str], database: Database) -> dict[str, set[int]]:
        """By chain, where its events stand; what is no chain's id no book knows."""
        found: dict[str, set[int]] = {chain: set() for chain in chains if _is_uuid(chain)}
        if not found:
            return {}
        async with database.read() as connection:
            rows = await connection.fetch(statements.notices_of_chains, measure.producer, list(found))
        for row in rows:
            notice = read_notice(row["body"])
            for position, chain in zip(notice.positions, notice.chains, strict=True):
                if chain in found:
                    found[chain].add(position)
        return found


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _content(rows: Iterable[Row]) -> frozenset[tuple[int, int, int]]:
    return frozenset((row.line_no, row.a, row.b) for row in rows)


def _touches(books: Sequence[BookRows]) -> dict[int, list[tuple[str, Touch]]]:
    found: dict[int, list[tuple[str, Touch]]] = {}
    for book in books:
        for touch in book.touches:
            found.setdefault(touch.position, []).append((book.book.service, touch))
    return found


def _waiting(books: Sequence[BookRows]) -> dict[int, Waiting]:
    return {position: waiting for book in books for position, waiting in book.waiting.items()}


def _with_dead(books: Sequence[BookRows], letters: Sequence[tuple[int, DeadNote]]) -> list[BookRows]:
    return [
        BookRows(
            book.book,
            book.rows,
            book.parked,
            frozenset(position for position, letter in letters if letter.flow in book.book.durables),
            book.waiting,
            book.touches,
        )
        for book in books
    ]
