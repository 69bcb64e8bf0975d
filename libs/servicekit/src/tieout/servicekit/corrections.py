"""Edits by hand, reversed and booked again: new facts beside the edited row, which stays as the hand left it.

The row counts in its books as it stood before the first touch. Nothing else of the service is changed: a balance that
somebody kept wrong as well, or a voucher that was posted from the wrong row, has its own rule and its own document.
"""

from collections import Counter
from collections.abc import Sequence

import asyncpg
from tieout.contracts.agreement import BEFORE_ALL, DIGEST_VERSION, HeldLine, Rebooked, RebookRequest
from tieout.contracts.reason import wrong_reason
from tieout.servicekit import sql
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.books import Book, by_table, whole
from tieout.servicekit.database import Database, Transaction
from tieout.servicekit.errors import Refused

statements = sql.load(__file__)

POSITIONS_MAX = 1_000
EVER = (1 << 63) - 1
COLUMNS = ("book", "position", "line_no", "n", "a", "b", "chain", "order_no", "currency", "repair_id", "surplus")

Place = tuple[int, int]  # Position and line.


class Corrections:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def rebook(self, request: RebookRequest, database: Database) -> Rebooked:
        """Idempotent: what counts as it did before the hand came is left alone, and so is what is no longer as it was
        previewed. Raises Refused."""
        if wrong := wrong_reason(request.reason):
            raise Refused("invalid", f"reason: {wrong}.", field="reason", status=422)
        if not 0 < len(request.positions) <= POSITIONS_MAX:
            raise Refused("invalid", f"Give 1 to {POSITIONS_MAX} positions.", field="positions", status=422)
        asked = self._evidence.book(request.measure, request.book, DIGEST_VERSION)
        positions = sorted(set(request.positions))
        async with database.transaction() as tx:
            await tx.execute(statements.one_at_a_time)
            changed = await _changed(tx, asked, positions, request.held)
            positions = [position for position in positions if position not in changed]
            touched = await tx.fetch(asked.touched, positions)
            keys = {row["key"]: row["last_id"] for row in touched if not row["settled"]}
            surplus = {
                (one.position, one.line_no)
                for one in request.held
                if request.surplus and one.present and one.position not in changed
            }
            if not keys and not surplus:
                return Rebooked(0, changed=changed)
            books = by_table(self._evidence.books, asked.table)
            records = [record for book in books for record in await _of_book(tx, book, positions, request, surplus)]
            await tx.copy("correction", columns=COLUMNS, records=records)
            await tx.execute(
                statements.settle,
                asked.table,
                list(keys),
                list(keys.values()),
                request.repair_id,
                request.actor,
                request.reason,
            )
        return Rebooked(len(records), tuple(dict.fromkeys(str(record[0]) for record in records)), changed)


async def _changed(tx: Transaction, book: Book, positions: list[int], held: Sequence[HeldLine]) -> tuple[int, ...]:
    """Positions where the book holds something else than when the repair was previewed.

    Who edits a row after this look leaves an entry of `tamper` above those that are settled here: it is found again.
    """
    if not held:
        return ()
    now = {(row["position"], row["line"]): row for row in await tx.fetch(book.rows, positions, EVER, None, BEFORE_ALL)}

    def same(one: HeldLine) -> bool:
        row = now.get((one.position, one.line_no))
        if row is None or not one.present:
            return (row is not None) is one.present
        return (whole(row["a"]), whole(row["b"])) == (one.a, one.b)

    return tuple(sorted({one.position for one in held if not same(one)}))


async def _of_book(
    tx: Transaction, book: Book, positions: list[int], request: RebookRequest, surplus: set[Place]
) -> list[tuple[object, ...]]:
    """Takes out what counts now and puts in what counted before, for each touched place where they differ; of what no
    event has nothing counted before.

    Earlier corrections count as well: a deleted row that was corrected and whose event then came again stands twice.
    """
    before: dict[Place, asyncpg.Record | None] = dict.fromkeys(surplus)
    before |= {
        place: row
        for row in await tx.fetch(book.touched, positions)
        if (place := (row["position"], row["line"])) not in surplus
    }
    now = {(row["position"], row["line"]): row for row in await tx.fetch(book.rows, positions, EVER, None, BEFORE_ALL)}
    entries: dict[Place, Counter[tuple[int, int]]] = {place: Counter() for place in before}
    for row in await tx.fetch(book.entries, positions):
        if (row["position"], row["line"]) in entries:
            entries[row["position"], row["line"]][row["a"], row["b"]] = row["n"]
    records: list[tuple[object, ...]] = []
    for (position, line), was in sorted(before.items(), key=lambda item: item[0]):
        excess = entries[position, line]
        if was is not None and was["counts"]:
            excess[was["a"], was["b"]] -= 1
        held: asyncpg.Record | None = now.get((position, line))
        named = held if held is not None else _neighbour(now, position)
        names = (named["chain"], named["order_no"], named["currency"]) if named is not None else ("", "", "")
        for counts, times in sorted(excess.items(), key=lambda item: -item[1]):  # What is too much goes out first.
            one = (
                book.name, position, line, -1 if times > 0 else 1, *counts, *names, request.repair_id,
                (position, line) in surplus,
            )  # fmt: skip
            records += [one] * abs(times)
    return records


def _neighbour(rows: dict[tuple[int, int], asyncpg.Record], position: int) -> asyncpg.Record | None:
    """A deleted row says no more whose it was; its neighbours of the same event do."""
    return next((row for (place, _), row in rows.items() if place == position), None)
