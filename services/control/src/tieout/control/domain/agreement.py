"""Which difference between two books is what. See docs/agreement.md for why these rules give no false alarm.

A position is one event of a producer. Each book holds all rows of an event or none, because it is one transaction. So
a book that has none may be excused: its consumer has not confirmed the event yet, parked it, or buried it. A book that
has *other* rows than the rest is never excused.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from tieout.contracts.agreement import LEAF_BITS, Book, DigestEntry, Measure, Row, Touch, Waiting
from tieout.contracts.control import (
    BookSide,
    Cause,
    Difference,
    DifferenceSide,
    MeasureState,
    RepairKind,
    Verdict,
)

Excuse = Literal["in_flight", "parked", "dead", "differs"]  # causes.py tells what is behind the last one.
NEVER = 1 << 62  # A floor above every sequence: the consumer has nothing left to do.


class Floor(Struct, frozen=True):
    """How far a durable consumer has confirmed, read after the producer's mark."""

    sequence: int  # Everything up to here is confirmed; NEVER where nothing is waiting or under way.
    waiting: int = 0
    unacked: int = 0
    confirmed: int = 0  # The broker's own figure.
    handled: int = 0  # The consumer's own count of what it confirmed; other subjects of the stream are not in it.
    paused_until: str = ""  # The broker delivers nothing until then: a hand's doing.

    @classmethod
    def of(cls, ack_floor: int, waiting: int, unacked: int, handled: int = 0, paused_until: str = "") -> "Floor":
        return cls(ack_floor if waiting or unacked else NEVER, waiting, unacked, ack_floor, handled, paused_until)


Rows = Mapping[int, Mapping[int, Row]]  # position -> line -> row


class BookRows(Struct, frozen=True):
    """One side of a measure, read for the leaves that differ."""

    book: Book
    rows: Rows
    parked: frozenset[int] = frozenset()
    dead: frozenset[int] = frozenset()
    waiting: Mapping[int, Waiting] = {}  # What is known of those parked.
    touches: tuple[Touch, ...] = ()  # What hands did to these rows.


class Context(Struct, frozen=True):
    """What explains an absent event."""

    floors: Mapping[str, Floor]  # By durable.
    sequences: Mapping[int, int]  # Stream sequence per position. 0: no such event, as all below a mark are published.
    types: Mapping[int, str] = {}  # Event type per position, as far as control heard its notice.
    subjects: Mapping[str, tuple[str, ...]] = {}  # What each durable hears.


class Explanation(Struct, frozen=True):
    """Why the books differ at a position, and what mends it."""

    cause: Cause
    repair: RepairKind
    why: str
    why_zh: str
    flow: str = ""
    service: str = ""  # Whose book is wrong, where that is known.
    surplus: bool = False  # It holds rows that no event has, and no hand was seen.


def caught_up(book: Book, floors: Mapping[str, Floor], sequence: int) -> bool:
    """Whether a book's consumers have confirmed up to a stream sequence; a producer's own book always has."""
    return all(durable in floors and floors[durable].sequence >= sequence for durable in book.durables)


def totals_equal(sides: Sequence[DigestEntry | None]) -> bool:
    """A book without rows answers nothing, or zeros; both mean the same."""
    return len({_content(side) for side in sides}) <= 1


def twins(measure: Measure, totals: Sequence[DigestEntry | None]) -> dict[int, int]:
    """Books whose total is that of an earlier book of the same measure: they hold the same rows. By their places.
    Never the producer's own, which also says where its events stand in their stream."""
    found: dict[int, int] = {}
    first: dict[object, int] = {}
    for place, (book, total) in enumerate(zip(measure.books, totals, strict=True)):
        other = first.setdefault(_content(total), place)
        if other != place and book.service != measure.producer:
            found[place] = other
    return found


def differing_leaves(sides: Sequence[Mapping[int, DigestEntry]]) -> list[int]:
    leaves = set().union(*sides)
    return sorted(leaf for leaf in leaves if len({_content(side.get(leaf)) for side in sides}) > 1)


def _content(entry: DigestEntry | None) -> tuple[int, int, int, str]:
    if entry is None or ((entry.rows, entry.a, entry.b) == (0, 0, 0) and entry.hash in {"0", ""}):
        return (0, 0, 0, "0")
    return (entry.rows, entry.a, entry.b, entry.hash)


def differing_positions(leaves: Sequence[int], sides: Sequence[Sequence[int]]) -> list[int]:
    """Positions whose hashes are not the same in all books; `sides` hold 256 of them for each of these leaves."""
    size = 1 << LEAF_BITS
    found = []
    for index, leaf in enumerate(leaves):
        parts = [side[index * size : (index + 1) * size] for side in sides]
        if all(part == parts[0] for part in parts):
            continue
        found += [
            (leaf << LEAF_BITS) + place for place, held in enumerate(zip(*parts, strict=True)) if len({*held}) > 1
        ]
    return found


def by_position(rows: Iterable[Row]) -> dict[int, dict[int, Row]]:
    found: dict[int, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(row.position, {})[row.line_no] = row
    return found


def unequal_positions(books: Sequence[BookRows]) -> list[int]:
    positions = set().union(*(book.rows for book in books))
    return sorted(p for p in positions if len({_lines(book.rows.get(p)) for book in books}) > 1)


def _lines(rows: Mapping[int, Row] | None) -> frozenset[tuple[int, int, int]]:
    return frozenset((row.line_no, row.a, row.b) for row in rows.values()) if rows else frozenset()


def cause_of(position: int, books: Sequence[BookRows], context: Context) -> Excuse:
    """Why the books differ at a position; `differs` when nothing explains it."""
    excuses: set[Excuse] = set()
    remaining = set()
    for book in books:
        rows = book.rows.get(position)
        excuse = None if rows else _excuse(position, book, context)
        if excuse is None:
            remaining.add(_lines(rows))
        else:
            excuses.add(excuse)
    if len(remaining) > 1 or not excuses:
        return "differs"
    worst_first: tuple[Excuse, ...] = ("dead", "parked", "in_flight")
    return next(cause for cause in worst_first if cause in excuses)


def _excuse(position: int, book: BookRows, context: Context) -> Excuse | None:
    if position in book.dead:
        return "dead"
    if position in book.parked:
        return "parked"
    sequence = context.sequences.get(position, 0)
    if not book.book.durables or not sequence:
        return None  # The producer's own rows, or an event that never was: nobody is on the way.
    return "in_flight" if behind(position, book.book, context) else None


def behind(position: int, book: Book, context: Context) -> list[str]:
    """The book's consumers that have yet to handle an event; those the broker does not know are the furthest behind."""
    sequence = context.sequences.get(position, 0)
    hearing = hears(position, book, context)
    floors = {durable: context.floors[durable].sequence if durable in context.floors else 0 for durable in hearing}
    return sorted((durable for durable, floor in floors.items() if floor < sequence), key=floors.__getitem__)


def hears(position: int, book: Book, context: Context) -> list[str]:
    """The book's consumers that an event is for; all of them where nobody knows its type."""
    event_type = context.types.get(position)
    return [
        durable
        for durable in book.durables
        if event_type is None or event_type in context.subjects.get(durable, (event_type,))
    ]


def line_differences(measure: Measure, position: int, told: Explanation, books: Sequence[BookRows]) -> list[Difference]:
    """The lines of one event that differ, each with what every book holds."""
    rows = [book.rows.get(position, {}) for book in books]
    found = []
    for line_no in sorted(set().union(*rows)):
        held = [lines.get(line_no) for lines in rows]
        if len({(row.a, row.b) if row else None for row in held}) == 1:
            continue
        known = next(row for row in held if row)
        found.append(
            Difference(
                measure=measure.number,
                name=measure.name,
                values=measure.values,
                cause=told.cause,
                order_no=known.order_no,
                chain_id=known.chain_id,
                position=position,
                line_no=line_no,
                sides=tuple(
                    DifferenceSide(
                        book.book.service, book.book.name, row is not None, row.a if row else 0, row.b if row else 0
                    )
                    for book, row in zip(books, held, strict=True)
                ),
                currency=next((row.currency for row in held if row and row.currency), ""),
                why=told.why,
                why_zh=told.why_zh,
                flow=told.flow,
                repair=told.repair,
                service=told.service,
                surplus=told.surplus,
            )
        )
    return found


def surplus(position: int, books: Sequence[BookRows]) -> BookRows | None:
    """The only book with lines that no other has, where two others and more, the source among them, hold the same rest.

    Of two books nobody can say which one is wrong, and what its source holds alone others may have lost.
    """
    held = {number: _lines(book.rows.get(position)) for number, book in enumerate(books)}
    for number, book in enumerate(books):
        others = [lines for other, lines in held.items() if other != number]
        if book.book.durables and len(others) > 1 and len({*others}) == 1 and frozenset() < others[0] < held[number]:
            lines = {line for line, _, _ in held[number]}
            return book if len(lines) == len(held[number]) else None
    return None


def same_money(sides: Sequence[BookSide]) -> bool:
    """Whether books with the same totals hold them in the same currencies, as far as each knows its own."""
    told = [[known for known in side.currencies if known.a or known.b] for side in sides if side.currencies]
    if any(not known.currency for book in told for known in book):
        return True  # Of money without a currency nobody can say that it is another's.
    return len({frozenset((known.currency, known.a, known.b) for known in book) for book in told}) <= 1


def state_of(*, differing: int, dead: int, in_flight: int, parked: int) -> MeasureState:
    """A dead message does not come right by waiting, so it counts as a difference; the others are legitimate."""
    if differing or dead:
        return "differ"
    return "open" if in_flight or parked else "agree"


def verdict_of(
    states: Iterable[MeasureState], violations: int, unanswered: Sequence[str], unpublished: int = 0
) -> Verdict:
    seen = set(states)
    if violations or "differ" in seen:
        return "differ"
    return "open" if unanswered or unpublished or seen & {"open", "unanswered"} else "agree"
