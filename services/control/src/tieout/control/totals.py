"""The first question of every proof: the total of each book, one small request per service.

Equal totals are the proof, for their hashes are of every row. So books that agree cost the same for a thousand orders
and for a million, and nobody asks the broker anything.
"""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct
from tieout.contracts.agreement import BEFORE_ALL, BookUpto, Digest, DigestEntry, Measure, TotalsRequest
from tieout.contracts.control import BookSide
from tieout.control.colleagues import Colleagues, Unanswered
from tieout.control.domain import agreement as rules


class Totals(Struct, frozen=True):
    """Of one measure, in the order of its books."""

    upto: int
    entries: tuple[DigestEntry, ...]
    sides: tuple[BookSide, ...]
    highest: int = (
        BEFORE_ALL  # Position that any of its books holds, also above `upto`; `beyond` is that book's service.
    )
    beyond: str = ""

    @property
    def equal(self) -> bool:
        return rules.totals_equal(self.entries)


async def totals(
    colleagues: Colleagues, measures: Sequence[Measure], uptos: Mapping[int, int]
) -> tuple[dict[int, Totals], dict[int, str]]:
    """By measure number, up to the position that `uptos` gives for it; and for those left out, who did not answer."""
    asked: dict[str, list[BookUpto]] = {}
    wanted = [measure for measure in measures if measure.number in uptos]
    for measure in wanted:
        for book in measure.books:
            asked.setdefault(book.service, []).append(BookUpto(measure.number, book.name, uptos[measure.number]))
    found: dict[tuple[str, str], DigestEntry] = {}
    tops: dict[tuple[str, str], int] = {}
    silent: set[str] = set()

    async def ask(service: str, books: list[BookUpto]) -> None:
        try:
            digest = await colleagues.ask(service, "totals", TotalsRequest(tuple(books)), Digest)
        except Unanswered as error:
            silent.add(error.service)
            return
        for book, entry in zip(books, digest.entries, strict=True):
            found[service, book.book] = entry
        tops.update(((service, book.book), top) for book, top in zip(books, digest.highest, strict=False))

    await asyncio.gather(*(ask(service, books) for service, books in asked.items()))
    answered: dict[int, Totals] = {}
    away: dict[int, str] = {}
    for measure in wanted:
        missing = next((book.service for book in measure.books if book.service in silent), "")
        if missing:
            away[measure.number] = missing
            continue
        entries = tuple(found[book.service, book.name] for book in measure.books)
        sides = tuple(
            BookSide(book.service, book.name, entry.rows, entry.a, entry.b)
            for book, entry in zip(measure.books, entries, strict=True)
        )
        highest, beyond = max((tops.get((book.service, book.name), BEFORE_ALL), book.service) for book in measure.books)
        answered[measure.number] = Totals(uptos[measure.number], entries, sides, highest, beyond)
    return answered, away
