"""The first question of every proof: each producer's mark and the total of each book, one small request per service.

Equal totals are the proof, for their hashes are of every row. So books that agree cost the same for a thousand orders
and for a million, and nobody asks the broker anything.

Totals are asked up to marks. Whoever has stood still will most likely give the mark that it gave last, so all are asked
for their totals up to there in the same request; what is closed once stays closed, so it does not matter which of the
two was read first. Only where a mark is another one now is a second request needed.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

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


class Total(Struct, frozen=True):
    """Of one book."""

    upto: int
    entry: DigestEntry
    highest: int


Told = dict[tuple[str, str], Total]  # By service and book.


class Standing:
    """Which producers gave the same mark twice, and so most likely give it again."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, bool]] = {}  # By producer: its last mark, and whether it was the one before.

    def saw(self, producer: str, position: int) -> None:
        before = self._seen.get(producer)
        self._seen[producer] = (position, before is not None and before[0] == position)

    def uptos(self, measures: Iterable[Measure]) -> dict[int, int]:
        """By measure number, of those whose producer stands still."""
        still = {producer: position for producer, (position, stands) in self._seen.items() if stands}
        return {measure.number: still[measure.producer] for measure in measures if measure.producer in still}


def questions(measures: Iterable[Measure], uptos: Mapping[int, int], told: Told) -> dict[str, TotalsRequest]:
    """By service, for what was not told already."""
    asked: dict[str, list[BookUpto]] = {}
    for measure in measures:
        upto = uptos.get(measure.number)
        for book in measure.books if upto is not None else ():
            known = told.get((book.service, book.name))
            if upto is not None and (known is None or known.upto != upto):
                asked.setdefault(book.service, []).append(BookUpto(measure.number, book.name, upto))
    return {service: TotalsRequest(tuple(books)) for service, books in asked.items()}


def hear(told: Told, service: str, asked: TotalsRequest, digest: Digest) -> None:
    for place, (book, entry) in enumerate(zip(asked.books, digest.entries, strict=True)):
        highest = digest.highest[place] if place < len(digest.highest) else BEFORE_ALL
        told[service, book.book] = Total(book.upto, entry, highest)


async def totals(
    colleagues: Colleagues, measures: Sequence[Measure], uptos: Mapping[int, int], told: Told | None = None
) -> tuple[dict[int, Totals], dict[int, str]]:
    """By measure number, up to the position that `uptos` gives for it; and for those left out, who did not answer.

    `told` with the marks: not asked again where it is up to the same position.
    """
    wanted = [measure for measure in measures if measure.number in uptos]
    known = dict(told or {})
    silent: set[str] = set()

    async def ask(service: str, request: TotalsRequest) -> None:
        try:
            hear(known, service, request, await colleagues.ask(service, "totals", request, Digest))
        except Unanswered as error:
            silent.add(error.service)

    await asyncio.gather(*(ask(*question) for question in questions(wanted, uptos, known).items()))
    answered: dict[int, Totals] = {}
    away: dict[int, str] = {}
    for measure in wanted:
        missing = next((book.service for book in measure.books if book.service in silent), "")
        if missing:
            away[measure.number] = missing
            continue
        found = [known[book.service, book.name] for book in measure.books]
        sides = tuple(
            BookSide(book.service, book.name, total.entry.rows, total.entry.a, total.entry.b)
            for book, total in zip(measure.books, found, strict=True)
        )
        highest, beyond = max((total.highest, book.service) for book, total in zip(measure.books, found, strict=True))
        answered[measure.number] = Totals(
            uptos[measure.number], tuple(total.entry for total in found), sides, highest, beyond
        )
    return answered, away
