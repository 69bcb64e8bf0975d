"""What the inventory team promises: who gets which stock, what left and came, and what it was worth."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct
from tieout.contracts.event import (
    Company,
    Currency,
    Event,
    LineNo,
    Minor,
    Number,
    Period,
    Sku,
    Warehouse,
)
from tieout.contracts.order import Account, CancelLine, CostAccount


class ReceiptLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    sku: Sku
    quantity_micro: Annotated[int, Meta(ge=1, le=10**15)]
    value_minor: Annotated[int, Meta(ge=0, le=10**15)]  # Of the whole line, in the company's functional currency.


class SubmitReceipt(Event, frozen=True):
    """gateway -> inventory: goods came in. Opening stock is a receipt whose other side is 4104.99 (T16), not GR/IR."""

    SUBJECT: ClassVar = "inventory.receive.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str
    number: Number
    version: str
    fingerprint: str
    warehouse: Warehouse
    kind: Literal["opening", "purchase"]
    currency: Currency
    occurred_at: datetime
    zone: str
    business_date: date
    lines: Annotated[tuple[ReceiptLine, ...], Meta(min_length=1, max_length=10_000)]


class AdjustmentLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    sku: Sku
    quantity_micro: Annotated[int, Meta(ge=-(10**15), le=10**15)]  # Signed: found is positive, missing negative.


class SubmitAdjustment(Event, frozen=True):
    """gateway -> inventory: a count found more or less than the books say."""

    SUBJECT: ClassVar = "inventory.adjust.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str
    number: Number
    version: str
    fingerprint: str
    warehouse: Warehouse
    occurred_at: datetime
    zone: str
    business_date: date
    lines: Annotated[tuple[AdjustmentLine, ...], Meta(min_length=1, max_length=10_000)]
    reason: str = ""


class SubmitConfirmation(Event, frozen=True):
    """gateway -> inventory: a warehouse's own system says what has left. No lines: all that is reserved."""

    SUBJECT: ClassVar = "inventory.confirm.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str  # The satellite that confirms.
    number: Number
    version: str
    fingerprint: str
    warehouse: Warehouse
    order_source: str
    order_number: Number
    occurred_at: datetime
    zone: str
    business_date: date
    lines: tuple[CancelLine, ...] = ()


class ReservedLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    reserved_micro: int = 0
    back_ordered_micro: int = 0  # Becomes reserved later, announced with a negative number here.


class StockReserved(Event, frozen=True):
    """Stock is held for an order, or promised for later. Deltas: sum them per line.

    Lines that leave at once (fulfilment `auto`) are announced as shipped only.
    """

    SUBJECT: ClassVar = "inventory.reserved.v1"
    PRODUCER: ClassVar = "inventory"

    order_id: UUID
    company: Company
    order_no: Number
    ordinal: int  # 1 for the first decision on the order, counted up when back-orders are served.
    lines: tuple[ReservedLine, ...]


class RefusedLine(Struct, frozen=True):
    line_no: LineNo
    quantity_micro: int
    short: bool  # This line is the reason; the others go with it.


class OrderRefused(Event, frozen=True):
    """Not enough stock under the policy `refuse`: the order takes nothing."""

    SUBJECT: ClassVar = "inventory.refused.v1"
    PRODUCER: ClassVar = "inventory"

    order_id: UUID
    company: Company
    order_no: Number
    lines: tuple[RefusedLine, ...]


class StoppedLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    back_ordered_micro: int = 0  # Stopped out of back-order, taken first.
    reserved_micro: int = 0  # Stopped out of reservations.
    too_late_micro: int = 0  # Left already: needs a return.


class CancelDecided(Event, frozen=True):
    """How much of a cancellation could still be stopped. Stopped = back_ordered + reserved."""

    SUBJECT: ClassVar = "inventory.cancel_decided.v1"
    PRODUCER: ClassVar = "inventory"

    cancel_id: UUID
    order_id: UUID
    company: Company
    order_no: Number
    lines: tuple[StoppedLine, ...]


class ShippedLine(Struct, frozen=True, omit_defaults=True):
    """The part from `from_micro` to `to_micro` of one order line, with what finance needs to bill that part.

    Part of an amount: A(to) - A(from) with A(q) = half_up(amount * q / ordered_micro), so parts add up in any order.
    Services carry cost 0 and ship whole, with the first shipment of their order.
    """

    line_no: LineNo
    sku: Sku
    from_micro: int
    to_micro: int
    ordered_micro: int
    net_minor: int  # Of the whole line, as placed.
    tax_minor: int = 0
    cost_minor: int = 0  # Decided here; nobody computes it again. Functional currency.
    warehouse: Warehouse = "MAIN"
    kind: Literal["goods", "service"] = "goods"
    account: Account = "goods"
    cost_account: CostAccount = "cogs"
    from_reserved: bool = False  # It was announced as reserved before; else it left at once.


class GoodsShipped(Event, frozen=True):
    """Goods issue: control passes, so revenue, receivable and cost are due (by the company's policy)."""

    SUBJECT: ClassVar = "inventory.shipped.v1"
    PRODUCER: ClassVar = "inventory"

    shipment_id: UUID
    order_id: UUID
    company: Company
    source: str
    order_no: Number
    ordinal: int  # Shipment number within the order, from 1.
    customer: str
    currency: Currency  # Of net and tax.
    cost_currency: Currency  # Of cost.
    business_date: date
    period: Period  # Posting period, stamped here: the business date's month, or the first open one after it.
    lines: tuple[ShippedLine, ...]
    due_days: int = 30
    rate_micro: int = 1_000_000
    order_net_minor: int = 0  # Of the whole order: how a deposit splits into net and tax.
    order_tax_minor: int = 0


class ReturnedLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo  # Of the credit note.
    sku: Sku
    quantity_micro: int
    value_minor: int
    warehouse: Warehouse = "MAIN"
    cost_account: CostAccount = "cogs"
    order_id: UUID | None = None
    order_line_no: int = 0


class GoodsReturned(Event, frozen=True):
    """Goods are back in stock, linked ones at the value of their issue, others at the average."""

    SUBJECT: ClassVar = "inventory.returned.v1"
    PRODUCER: ClassVar = "inventory"

    credit_id: UUID
    company: Company
    credit_no: Number
    customer: str
    cost_currency: Currency
    business_date: date
    period: Period
    lines: tuple[ReturnedLine, ...]


class MovedLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    sku: Sku
    quantity_micro: int  # Signed.
    value_minor: Minor  # Signed.


class GoodsReceived(Event, frozen=True):
    SUBJECT: ClassVar = "inventory.received.v1"
    PRODUCER: ClassVar = "inventory"

    receipt_id: UUID
    company: Company
    warehouse: Warehouse
    number: Number
    source: str
    kind: Literal["opening", "purchase"]
    cost_currency: Currency
    business_date: date
    period: Period
    lines: tuple[MovedLine, ...]


class StockAdjusted(Event, frozen=True):
    """A count difference: quantity and value moved, other side 1901."""

    SUBJECT: ClassVar = "inventory.adjusted.v1"
    PRODUCER: ClassVar = "inventory"

    adjustment_id: UUID
    company: Company
    warehouse: Warehouse
    number: Number
    source: str
    cost_currency: Currency
    business_date: date
    period: Period
    lines: tuple[MovedLine, ...]
    reason: str = ""


class StockRevalued(Event, frozen=True):
    """Value moved without goods: negative stock that was costed at its receipt, late price differences.

    The part that belongs to goods already gone is cost of goods sold, the rest stays in stock.
    """

    SUBJECT: ClassVar = "inventory.revalued.v1"
    PRODUCER: ClassVar = "inventory"

    revaluation_id: UUID
    company: Company
    warehouse: Warehouse
    cause_no: Number
    cost_currency: Currency
    business_date: date
    period: Period
    lines: tuple[MovedLine, ...]  # quantity 0; value moves between 1405 and 6401.


class ArticlesListed(Event, frozen=True):
    """SKUs that orders may name, so that the gateway can refuse unknown ones before they reach a core database."""

    SUBJECT: ClassVar = "inventory.articles_listed.v1"
    PRODUCER: ClassVar = "inventory"

    company: Company
    listing: str  # Business id of this announcement.
    skus: tuple[Sku, ...]
    warehouses: tuple[Warehouse, ...] = ()


class DocumentSettled(Event, frozen=True):
    """What became of a receipt, adjustment or confirmation that changed nothing: repeated, or in conflict."""

    SUBJECT: ClassVar = "inventory.document_settled.v1"
    PRODUCER: ClassVar = "inventory"

    intake_id: UUID
    document_id: UUID
    company: Company
    source: str
    number: Number
    kind: Literal["receipt", "adjustment", "confirmation"]
    outcome: Literal["duplicate", "conflict"]
    reason: str = ""
    detail: str = ""
