"""Who looks at a flow's transaction right before its end, and says which of its events changed anything.

Four signs: what it announced because of an event, rows that this transaction wrote into the books at the event's
position or for its order, what the flow says itself (`tx.changed`), and whether rows came or went at all. Locks alone
are no change.

The last sign does not say for which event. So where rows came or went and events are left of which nothing is known,
the transaction is undone and its events are run again apart, until each is told for itself: what is said is exact.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from tieout.contracts.agreement import MEASURES
from tieout.contracts.event import Envelope
from tieout.contracts.replay import Played
from tieout.contracts.streams import EVENTS, stream_of
from tieout.servicekit import sql
from tieout.servicekit.books import whole
from tieout.servicekit.database import Database, Rehearsed, Transaction
from tieout.servicekit.received import Received

statements = sql.load(__file__)

_PRODUCERS = {measure.number: measure.producer for measure in MEASURES}
_VALUES = {measure.number: measure.values for measure in MEASURES}
VOUCHERS = "vouchers"
DETAIL_CHARACTERS_MAX = 500


class Unclear(Exception):
    """Raised in a transaction that has changed something, nobody can tell for which of its events: it is rolled back,
    and these parts of it (places in the batch) are to be run apart."""

    def __init__(self, parts: Sequence[list[int]]) -> None:
        super().__init__(f"{len(parts)} parts")
        self.parts = parts


class _Told(Struct):
    """What an announcement may say of a document that changed nothing, or of an amount that was posted."""

    outcome: str = ""
    reason: str = ""
    detail: str = ""
    voucher_no: str = ""
    currency: str = ""
    amount_minor: int = 0
    total_minor: int = 0
    booked: bool = False


_read_envelope = msgspec.json.Decoder(Envelope).decode
_read_told = msgspec.json.Decoder(_Told).decode
# Who says that a document was there already, or that it is in conflict; and who tells of a voucher.
_SETTLES = {kind for kind in EVENTS if kind.endswith((".document_settled.v1", ".repeated.v1", ".conflicted.v1"))}
_POSTS = {kind for kind, event in EVENTS.items() if {"voucher_no", "currency"} <= set(event.__struct_fields__)}


class Ledger(Struct):
    """Where a service's facts stand, from its own catalogue."""

    service: str
    books: str  # One statement over all books; "" without any.
    of_orders: str  # One statement over all facts that name their order.
    measures: dict[str, int]  # Book -> measure.

    @classmethod
    async def read(cls, database: Database) -> "Ledger":
        """The texts come from migrations and the catalogue, never from outside."""
        async with database.read() as connection:
            books = await connection.fetch(statements.books)
            facts = await connection.fetch(statements.facts_of_orders)
        return cls(
            database.service,
            " UNION ALL ".join(_sums_of(book, database.service) for book in books),
            " UNION ".join(
                f"SELECT order_id::text FROM {row['tab']} "  # noqa: S608
                "WHERE order_id = ANY($1::uuid[]) AND xmin = pg_current_xact_id()::xid"
                for row in facts
            ),
            {row["book"]: row["measure"] for row in books},
        )


def _sums_of(book: Any, service: str) -> str:
    """Of a book's rows that this transaction wrote: positions of the producer's events, and sums per currency."""
    mine = "$2" if _PRODUCERS.get(book["measure"]) == service else "$1"
    name = book["book"].replace("'", "''")
    currency = f"coalesce(({book['currency']})::text, '')" if book["currency"] else "''"
    return f"""SELECT '{name}'::text AS book, ({book["position"]})::bigint AS position, {currency} AS currency,
            count(*) AS n, sum({book["a"]})::numeric AS a, sum({book["b"]})::numeric AS b
        FROM {book["tab"]} WHERE ({book["position"]}) = ANY({mine}::bigint[]) AND ({book["condition"]})
          AND $1::bigint[] IS NOT NULL AND $2::bigint[] IS NOT NULL
          AND xmin = pg_current_xact_id()::xid GROUP BY 2, 3"""  # noqa: S608


class Look:
    """What one transaction did, for the events that it was run for."""

    def __init__(self, ledger: Ledger, received: Sequence[Received[Any]], *, rehearsal: bool) -> None:
        self._ledger = ledger
        self._received = received
        self._rehearsal = rehearsal
        self._before = (0, 0)
        self._changed: set[str] = set()  # Ids of events.
        self._said: dict[str, Played] = {}
        self.effects: dict[tuple[str, tuple[str, str], str], list[int]] = {}

    async def begin(self, tx: Transaction) -> None:
        self._before = await _moved(tx)

    async def look(self, tx: Transaction) -> None:
        """Raises Rehearsed where nothing of it shall stay, Unclear where it must be run again in parts."""
        self._changed |= {one.business_id for one in tx.said}
        for told in tx.buried:
            detail = str(told.get("detail", ""))[:DETAIL_CHARACTERS_MAX]
            self._said[told.get("event_id_", "")] = Played("failed", told["reason"], told.get("field", ""), detail)
        for row in tx.parked:
            self._said[row[1]] = Played("waits", row[3], "", f"key {row[2]}" if row[2] else "")
        announced: list[int] = []
        for (position, _, kind, body), (_, _, _, cause) in zip(tx.announced, tx.told, strict=True):
            announced.append(position)
            if kind in _SETTLES:
                self._settle(cause, kind, body)
            elif cause:
                self._changed.add(cause)
            if self._rehearsal and kind in _POSTS:
                self._note_voucher(body)
        if self._rehearsal or self._silent():
            rows, facts = await _moved(tx)
            if facts > self._before[1]:
                await self._look_at_books(tx, announced)
            if rows > self._before[0]:
                self._apart()
        if self._rehearsal:
            raise Rehearsed

    def _silent(self) -> list[Received[Any]]:
        """Events of which nothing is known yet."""
        known = self._changed | self._said.keys()
        return [one for one in self._received if one.business_id not in known]

    def _apart(self) -> None:
        """Rows came or went: told of the only event that there is, else the events are told apart. Raises Unclear."""
        silent = {one.business_id for one in self._silent()}
        if not silent:
            return
        places = range(len(self._received))
        quiet = [place for place in places if self._received[place].business_id in silent]
        if len(quiet) < len(self._received):  # Perhaps it was all done for the others.
            raise Unclear(([place for place in places if place not in set(quiet)], quiet))
        if len(silent) > 1:
            middle = len(quiet) // 2
            raise Unclear((quiet[:middle], quiet[middle:]))
        self._changed |= silent

    def _settle(self, cause: str, kind: str, body: bytes) -> None:
        told = _read_told(_read_envelope(body).data)
        if told.booked:  # In conflict, and booked nevertheless.
            self._said[cause] = Played("booked", told.reason, "", told.detail[:DETAIL_CHARACTERS_MAX])
        elif kind.endswith(".conflicted.v1") or told.outcome == "conflict":
            self._said[cause] = Played("conflict", told.reason, "", told.detail[:DETAIL_CHARACTERS_MAX])
        else:
            self._said.setdefault(cause, Played("already_there", told.reason or "repeated"))

    def _note_voucher(self, body: bytes) -> None:
        told = _read_told(_read_envelope(body).data)
        if told.voucher_no:
            self._add((VOUCHERS, ("amount_minor", ""), told.currency), (1, told.amount_minor or told.total_minor, 0))

    async def _look_at_books(self, tx: Transaction, announced: list[int]) -> None:
        ledger = self._ledger
        places = {(one.stream, one.position): one.business_id for one in self._received}
        if ledger.books:
            positions = [one.position for one in (self._received if self._rehearsal else self._silent())]
            for row in await tx.fetch(ledger.books, positions, announced):
                measure = ledger.measures[row["book"]]
                stream = stream_of(_PRODUCERS.get(measure, ""))
                if event := places.get((stream, row["position"])):
                    self._changed.add(event)
                if self._rehearsal:
                    sums = (row["n"], whole(row["a"]), whole(row["b"]))
                    self._add((row["book"], _VALUES[measure], row["currency"]), sums)
        silent = self._silent()
        if silent and ledger.of_orders:
            rows = await tx.fetch(ledger.of_orders, [i for one in silent if (i := _order_id(one)) is not None])
            orders = {row[0] for row in rows}
            self._changed |= {one.business_id for one in silent if one.envelope.chainid in orders}

    def _add(self, key: tuple[str, tuple[str, str], str], sums: tuple[int, int, int]) -> None:
        found = self.effects.setdefault(key, [0, 0, 0])
        for index, value in enumerate(sums):
            found[index] += value

    def told(self, received: Sequence[Received[Any]]) -> list[Played]:
        """One per event, in their order."""
        return [self._of(one.business_id) for one in received]

    def _of(self, event: str) -> Played:
        said = self._said.get(event)
        if said is not None and said.outcome != "already_there":
            return said
        if event in self._changed:
            return Played("booked")
        return said or Played("already_there")


async def _moved(tx: Transaction) -> tuple[int, int]:
    """Rows inserted or removed so far, and those of facts among them."""
    row = await tx.fetchrow(statements.moved)
    assert row is not None
    return row["rows"], row["facts"]


def _order_id(received: Received[Any]) -> UUID | None:
    """Chains of ours are orders or documents; what somebody else's are, no order is named so."""
    try:
        return UUID(received.envelope.chainid)
    except ValueError:
        return None
