"""What inventory hears from warehouses and carriers, and what it announces."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct
from tieout.contracts.event import Company, Currency, Event, LineNo, Minor, Number, Period, Sku, Warehouse
from tieout.contracts.order import Account, CancelLine, ControlPasses, CostAccount


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


class SubmitDelivery(Event, frozen=True):
    """gateway -> inventory: goods have reached their customer, so control passes, where it passes at delivery.

    Lines name a part; without lines all of `shipment` that is still on its way, without a shipment all of the order.
    """

    SUBJECT: ClassVar = "inventory.deliver.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str  # The satellite that tells: a carrier, a shop.
    number: Number
    version: str
    fingerprint: str
    order_source: str
    order_number: Number
    occurred_at: datetime
    zone: str
    business_date: date  # Of the delivery: revenue is of this day.
    shipment: Annotated[int, Meta(ge=0, le=100_000)] = 0  # Number within the order, from 1; 0: none is named.
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
    too_late_micro: int = 0  # Control has passed already: needs a return.
    issued_micro: int = 0  # Stopped on its way, where control passes at delivery: it is back in stock.


class CancelDecided(Event, frozen=True):
    """How much of a cancellation could still be stopped. Stopped = back_ordered + reserved + issued."""

    SUBJECT: ClassVar = "inventory.cancel_decided.v1"
    PRODUCER: ClassVar = "inventory"

    cancel_id: UUID
    order_id: UUID
    company: Company
    order_no: Number
    lines: tuple[StoppedLine, ...]
    business_date: date | None = None  # Of the request, or of the goods that left all the same; None: not told.


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
    residual_minor: int = 0  # Of the whole line's net, as placed: the header's difference, which is no revenue.


class GoodsShipped(Event, frozen=True):
    """Goods issue. `control_passes` "issue": revenue, receivable and cost are due now. "delivery": the goods are on
    their way (1406) at the same cost, until inventory.delivered or inventory.recalled tells of them."""

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
    control_passes: ControlPasses = "issue"


class GoodsDelivered(Event, frozen=True):
    """Goods that were on their way have reached their customer: revenue, receivable and cost are due now.

    `from_micro` and `to_micro` of a line count what was delivered of it, so that parts add up; `cost_minor` is taken
    out of what its shipments cost. Services go with the first delivery of their order.
    """

    SUBJECT: ClassVar = "inventory.delivered.v1"
    PRODUCER: ClassVar = "inventory"

    delivery_id: UUID
    order_id: UUID
    company: Company
    source: str
    order_no: Number
    ordinal: int  # Delivery number within the order, from 1.
    customer: str
    currency: Currency  # Of net and tax.
    cost_currency: Currency  # Of cost.
    business_date: date
    period: Period
    lines: tuple[ShippedLine, ...]
    due_days: int = 30
    rate_micro: int = 1_000_000
    order_net_minor: int = 0
    order_tax_minor: int = 0
    document_no: str = ""  # Of the confirmation; "": nothing that could be delivered is left, and services pass.


class RecalledLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    sku: Sku
    quantity_micro: int
    value_minor: int = 0  # Exactly what it left with.
    warehouse: Warehouse = "MAIN"
    kind: Literal["goods", "service"] = "goods"  # A service leaves nothing to put back; it is just not sold any more.


class GoodsRecalled(Event, frozen=True):
    """A cancellation stopped goods on their way: they are back in stock at the cost they left with (T04)."""

    SUBJECT: ClassVar = "inventory.recalled.v1"
    PRODUCER: ClassVar = "inventory"

    cancel_id: UUID
    order_id: UUID
    company: Company
    source: str
    order_no: Number
    customer: str
    cost_currency: Currency
    business_date: date
    period: Period
    lines: tuple[RecalledLine, ...]


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
    account: CostAccount | Literal["count_difference"] = "cogs"  # Of a revaluation: what took the goods when they left.


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
    """A count difference, or returned goods that were scrapped: quantity and value moved, other side 1901."""

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
    """Value moved without goods: negative stock that was costed at its receipt, late price differences, and the
    difference between a period's weighted average and what was announced for its issues.
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
    lines: tuple[MovedLine, ...]  # quantity 0; value moves between 1405 and the account of the line.
    reason: Literal["negative_stock", "period_average"] = "negative_stock"


class ArticlesListed(Event, frozen=True):
    """SKUs that orders may name, so that the gateway can refuse unknown ones before they reach a core database."""

    SUBJECT: ClassVar = "inventory.articles_listed.v1"
    PRODUCER: ClassVar = "inventory"

    company: Company
    listing: str  # Business id of this announcement.
    skus: tuple[Sku, ...]
    warehouses: tuple[Warehouse, ...] = ()


class DocumentSettled(Event, frozen=True):
    """What became of a receipt, count, confirmation or delivery that changed nothing: repeated, or in conflict."""

    SUBJECT: ClassVar = "inventory.document_settled.v1"
    PRODUCER: ClassVar = "inventory"

    intake_id: UUID
    document_id: UUID
    company: Company
    source: str
    number: Number
    kind: Literal["receipt", "adjustment", "confirmation", "delivery"]
    outcome: Literal["duplicate", "conflict"]
    reason: str = ""
    detail: str = ""
    orders: tuple[str, ...] = ()  # In conflict: the numbers of the orders that it names, sorted.
