"""What happens to orders' money inside a transaction: balances settled, transfers drafted, settlements told."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import event_id
from tieout.contracts.finance import OrdersSettled, SettledItem
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.voucher import Draft, level, move_money, move_tax
from tieout.servicekit import Received, Transaction

TAX_POINT = "T01t"  # 2221.06 to 2221.01.01
Cause = Literal["payment", "prepayment", "refund", "credit", "write_off"]

COLUMNS = (
    "position",
    "amount_minor",
    "held_minor",
    "order_id",
    "line_no",
    "posting_date",
    "cause",
    "order_no",
    "document_no",
    "currency",
)


class Before(Struct):
    """The balances of an item before a document touched it."""

    held: tuple[int, ...]
    functional: tuple[int, ...] | None  # None where the item is in the company's own currency.
    tax_due: int = 0

    @classmethod
    def of(cls, item: OpenItem, functional: str) -> "Before":
        return cls(item.held(), None if item.currency == functional else item.functional(functional), item.tax_due)


def transfer(draft: Draft, item: OpenItem, before: Before) -> None:
    """Lines for what moved between the item's own balances, with the exchange difference where two rates met.

    Then those for tax that reached its tax point by that; a voucher of nothing else is a T01t.
    """
    move_money(draft, item, before.held, before.functional)
    if before.functional is not None:
        level(draft)
    if item.tax_due != before.tax_due:
        if not draft.lines:
            draft.template = TAX_POINT
        move_tax(draft, item, before.tax_due)


class Settlement(Struct):
    """Money that was applied to the receivables of orders by one document, or taken back; and deposits of them."""

    document_id: UUID
    document_no: str
    company: str
    currency: str
    cause: Cause
    posting_date: date
    received: Received[Any] | None
    items: list[SettledItem]
    position: int = 0

    def add(self, item: OpenItem, before: tuple[int, int]) -> None:
        """`before` is what `item.told` was."""
        change, held = (now - then for now, then in zip(item.told, before, strict=True))
        if (change or held) and item.of_order:
            self.items.append(SettledItem(item.item_id, item.order_no, change, held))


async def write_settlements(tx: Transaction, settlements: list[Settlement]) -> None:
    """Rows and announcements; positions must be set. Those without items must have been dropped."""
    if not settlements:
        return
    await tx.copy(
        "settlement",
        columns=COLUMNS,
        records=[
            (
                one.position,
                item.amount_minor,
                item.held_minor,
                item.order_id,
                line_no,
                one.posting_date,
                one.cause,
                item.order_no,
                one.document_no,
                one.currency,
            )
            for one in settlements
            for line_no, item in enumerate(one.items, 1)
        ],
    )
    for one in settlements:
        single = one.items[0] if len({item.order_id for item in one.items}) == 1 else None
        tx.announce(
            OrdersSettled(
                settlement_id=UUID(event_id("settlement", one.cause, one.document_id)),
                company=one.company,
                currency=one.currency,
                cause=one.cause,
                document_no=one.document_no,
                items=tuple(one.items),
            ),
            position=one.position,
            key=(one.cause, one.document_id),
            chain=single.order_id if single else one.document_id,
            order_no=single.order_no if single else one.document_no,
            company=one.company,
            cause=one.received,
        )
