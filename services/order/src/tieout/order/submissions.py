"""The book of what satellites submitted, one row per command: accepted, the same again, or in conflict.

Its position is the gateway's, so that both services can show the same set of documents.
"""

from typing import Any, Literal, Protocol
from uuid import UUID

from tieout.contracts.order import SubmissionConflicted, SubmissionRepeated, SubmitCancel, SubmitCredit, SubmitOrder
from tieout.order.domain import LARGEST_TOTAL, Conflict
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

Kind = Literal["order", "cancel", "credit"]
Command = SubmitOrder | SubmitCancel | SubmitCredit

COLUMNS = (
    "position",
    "quantity_micro",
    "amount_minor",
    "rounding_micro",
    "intake_id",
    "document_id",
    "business_date",
    "line_count",
    "kind",
    "outcome",
    "reason",
    "detail",
    "company",
    "source",
    "number",
    "version",
    "currency",
    "chain_id",
)


def orders_named(command: Command) -> tuple[str, ...]:
    """Numbers of the orders that it is, or is about, sorted; none of a credit note without its sale."""
    if isinstance(command, SubmitOrder):
        return (command.number,)
    if isinstance(command, SubmitCancel):
        return (command.order_number,)
    return tuple(sorted({line.order_number or command.order_number for line in command.lines} - {""}))


class _Line(Protocol):
    @property
    def quantity_micro(self) -> int: ...


class Submissions:
    """Collects the rows of one batch, and announces what had no effect."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.rows: list[tuple[Any, ...]] = []
        self._totals: dict[int, tuple[int, int, int]] = {}

    def admit(self, tx: Transaction, batch: list[Received[Any]]) -> list[Received[Any]]:
        """Buries documents whose sums no book can hold; a channel that lets them through has a gap."""
        fit: list[Received[Any]] = []
        for received in batch:
            quantity, amount, rounding = self._totals[received.position] = totals(received.data)
            if quantity > LARGEST_TOTAL or amount > LARGEST_TOTAL or abs(rounding) > LARGEST_TOTAL:
                tx.bury(
                    received,
                    reason="above_range",
                    field="lines",
                    detail=f"The lines add up to more than {LARGEST_TOTAL}; split the document and submit its parts.",
                )
            else:
                fit.append(received)
        return fit

    def accepted(self, received: Received[Any], document: UUID) -> None:
        self._add(received, document, "accepted")

    def settle(
        self,
        tx: Transaction,
        received: Received[Any],
        document: UUID,
        conflict: Conflict | None,
        *,
        position: int,
        chain: UUID,
        order_no: str,
    ) -> None:
        """A command without effect: in conflict, or (None) the same as before. `position` is ours, to announce it."""
        command: Command = received.data
        event: SubmissionRepeated | SubmissionConflicted
        if conflict is None:
            self._add(received, document, "duplicate", chain=chain)
            event = SubmissionRepeated(
                command.intake_id, document, command.company, command.source, command.number, self.kind
            )
        else:
            self._add(received, document, "conflict", conflict.reason, conflict.detail, chain)
            event = SubmissionConflicted(
                command.intake_id,
                document,
                command.company,
                command.source,
                command.number,
                self.kind,
                conflict.reason,
                conflict.detail,
                orders_named(command),
            )
        tx.announce(
            event,
            position=position,
            key=(command.intake_id, received.position),
            chain=chain,
            order_no=order_no,
            company=command.company,
            cause=received,
        )

    def _add(
        self,
        received: Received[Any],
        document: UUID,
        outcome: str,
        reason: str = "",
        detail: str = "",
        chain: UUID | None = None,
    ) -> None:
        command: Command = received.data
        quantity, amount, rounding = self._totals[received.position]
        self.rows.append(
            (
                received.position,
                quantity,
                amount,
                rounding,
                command.intake_id,
                document,
                command.business_date,
                count(command),
                self.kind,
                outcome,
                reason,
                detail,
                command.company,
                command.source,
                command.number,
                command.version,
                "" if isinstance(command, SubmitCancel) else command.currency,
                chain,
            )
        )

    async def save(self, tx: Transaction) -> None:
        if self.rows:
            await tx.copy("submission", columns=COLUMNS, records=self.rows)


def totals(command: Command) -> tuple[int, int, int]:
    """Quantity, net and tax, rounding of all lines."""
    quantity = amount = rounding = 0
    if isinstance(command, SubmitCancel):
        return sum(line.quantity_micro for line in command.lines), 0, 0
    for line in command.lines:
        quantity += line.quantity_micro
        amount += line.net_minor + line.tax_minor
        rounding += line.rounding_micro
    return quantity, amount, rounding


def count(command: Command) -> int:
    """Lines of the source: one that was split over several sales counts with its first part."""
    if isinstance(command, SubmitCredit):
        return sum(line.part == 1 for line in command.lines)
    return len(command.lines)


async def new_ones(tx: Transaction, batch: list[Received[Any]]) -> list[bool]:
    """Beside each command: False for one whose row is there already (a redelivery), or that came twice in this batch.

    Asked after the locks of their documents: whoever held them before has committed by now.
    """
    noted = {row[0] for row in await tx.fetch(statements.noted, [received.position for received in batch])}
    fresh: list[bool] = []
    for received in batch:
        fresh.append(received.position not in noted)
        noted.add(received.position)
    return fresh
