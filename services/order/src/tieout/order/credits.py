"""Credit notes as rows and as `order.returned`: those that a satellite submitted, and those that came of a
cancellation which was too late."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.contracts.order import CreditLine, OrderReturned, ReturnedLine, SubmitCredit
from tieout.order.domain import Conditional, Known, OrderBalance
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

NOTE_COLUMNS = (
    "position",
    "rate_micro",
    "occurred_at",
    "credit_id",
    "intake_id",
    "business_date",
    "company",
    "source",
    "credit_no",
    "version",
    "fingerprint",
    "customer",
    "currency",
    "zone",
    "reason",
)
LINE_COLUMNS = (
    "position",
    "order_position",
    "quantity_micro",
    "net_minor",
    "tax_minor",
    "rounding_micro",
    "line_no",
    "order_line_no",
    "part",
    "restock",
    "sku",
    "warehouse",
    "kind",
    "account",
)
CONDITIONAL_COLUMNS = (
    "position",
    "cancel_position",
    "order_position",
    "quantity_micro",
    "net_minor",
    "tax_minor",
    "credited_micro",
    "asked_micro",
    "line_no",
    "order_line_no",
    "part",
    "sku",
    "warehouse",
    "kind",
    "account",
    "scrap",
)


class Note(Struct, frozen=True):
    """The head of a credit note."""

    position: int
    rate_micro: int
    occurred_at: datetime
    credit_id: UUID
    intake_id: UUID
    business_date: date
    company: str
    source: str
    credit_no: str
    version: str
    fingerprint: str
    customer: str
    currency: str
    zone: str
    reason: str


class Credits:
    """Collects the credit notes of one batch."""

    def __init__(self) -> None:
        self._notes: list[tuple[Any, ...]] = []
        self._lines: list[tuple[Any, ...]] = []
        self._conditional: list[tuple[Any, ...]] = []

    def note(
        self,
        tx: Transaction,
        note: Note,
        lines: tuple[ReturnedLine, ...],
        rounding: dict[int, int],
        orders: Mapping[UUID, OrderBalance],
        cause: Received[Any],
    ) -> None:
        """`rounding` by line number, in millionths of a minor unit; `orders` are those that the lines link to."""
        self._notes.append(tuple(getattr(note, column) for column in NOTE_COLUMNS))
        for line in lines:
            self._lines.append(
                (
                    note.position,
                    orders[line.order_id].position if line.order_id else None,
                    line.quantity_micro,
                    line.net_minor,
                    line.tax_minor,
                    rounding.get(line.line_no, 0),
                    line.line_no,
                    line.order_line_no,
                    line.part,
                    line.restock,
                    line.sku,
                    line.warehouse,
                    line.kind,
                    line.account,
                )
            )
        if not lines:
            return  # Nothing has left yet: all of it is asked to be stopped instead.
        linked = {line.order_id for line in lines}
        only = linked.pop() if len(linked) == 1 else None  # The journey that it belongs to, if it is one.
        tx.announce(
            OrderReturned(
                credit_id=note.credit_id,
                company=note.company,
                source=note.source,
                credit_no=note.credit_no,
                customer=note.customer,
                currency=note.currency,
                occurred_at=note.occurred_at,
                zone=note.zone,
                business_date=note.business_date,
                lines=lines,
                rate_micro=note.rate_micro,
                reason=note.reason,
            ),
            position=note.position,
            key=(note.credit_id,),
            chain=only or note.credit_id,
            order_no=orders[only].order_no if only else note.credit_no,
            company=note.company,
            cause=cause,
        )

    def ask_first(self, position: int, cancel_position: int, order_position: int, part: Conditional) -> None:
        """Keeps what must become a credit after all if it turns out to have left."""
        line = part.line
        self._conditional.append(
            (
                position,
                cancel_position,
                order_position,
                line.quantity_micro,
                line.net_minor,
                line.tax_minor,
                part.credited_micro,
                part.asked_micro,
                line.line_no,
                line.order_line_no,
                line.part,
                line.sku,
                line.warehouse,
                line.kind,
                line.account,
                line.restock == "scrap",
            )
        )

    async def save(self, tx: Transaction) -> None:
        if self._notes:
            await tx.copy("credit_note", columns=NOTE_COLUMNS, records=self._notes)
        if self._lines:
            await tx.copy("credit_line", columns=LINE_COLUMNS, records=self._lines)
        if self._conditional:
            await tx.copy("conditional_line", columns=CONDITIONAL_COLUMNS, records=self._conditional)


def note_of(credit: SubmitCredit, credit_id: UUID, position: int, rate_micro: int) -> Note:
    return Note(
        position=position,
        rate_micro=rate_micro,
        occurred_at=credit.occurred_at,
        credit_id=credit_id,
        intake_id=credit.intake_id,
        business_date=credit.business_date,
        company=credit.company,
        source=credit.source,
        credit_no=credit.number,
        version=credit.version,
        fingerprint=credit.fingerprint,
        customer=credit.customer,
        currency=credit.currency,
        zone=credit.zone,
        reason=credit.reason,
    )


async def accepted(tx: Transaction, positions: Collection[int]) -> dict[int, Known]:
    rows = await tx.fetch(statements.accepted, sorted(positions)) if positions else ()
    return {position: Known(version, fingerprint) for position, version, fingerprint in rows}


async def conditional_of(tx: Transaction, cancels: list[int]) -> dict[int, list[tuple[Note, Conditional]]]:
    """By position of the cancellation: what comes back as a credit if it could not be stopped."""
    found: dict[int, list[tuple[Note, Conditional]]] = {}
    for row in await tx.fetch(statements.conditional, cancels):
        line = CreditLine(
            line_no=row["line_no"],
            sku=row["sku"],
            quantity_micro=row["quantity_micro"],
            net_minor=row["net_minor"],
            tax_minor=row["tax_minor"],
            order_line_no=row["order_line_no"],
            warehouse=row["warehouse"],
            kind=row["kind"],
            account=row["account"],
            restock="scrap" if row["scrap"] else "if_fulfilled",
            part=row["part"],
        )
        note = Note(*(row[column] for column in NOTE_COLUMNS))
        part = Conditional(line, row["credited_micro"], row["asked_micro"])
        found.setdefault(row["cancel_position"], []).append((note, part))
    return found
