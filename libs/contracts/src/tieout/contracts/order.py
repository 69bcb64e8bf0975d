"""What the order team promises: sales orders, the requests to change them, and their credit notes."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct
from tieout.contracts.event import (
    Company,
    Currency,
    Event,
    LineNo,
    Number,
    QuantityMicro,
    Sku,
    Warehouse,
)
from tieout.contracts.operation import Operation
from tieout.contracts.reason import ReasonIfAny

# What a line is to the books; finance maps each to an account of the company's chart (in brackets: the default one).
Account = Literal[
    "goods",  # 6001.01
    "carriage",  # 6001.02
    "allowance",  # 6001.08
    "other",  # 6001.09
    "sample",  # 6601.05
    "commission",  # 6601.06
    "bank_charge",  # 6603.02
    "gift_voucher",  # 2204, a liability
]
# When what is sold becomes the customer's: revenue, receivable and cost are due then, and not before. A company's
# policy, or its channel's; decided when the order is taken, and carried along so that nobody decides it again.
ControlPasses = Literal["issue", "delivery"]
CostAccount = Literal["cogs", "sample"]  # 6401 beside priced lines; 6601.05 where an order is free altogether.
Restock = Literal[
    "yes",
    "no",
    "if_fulfilled",  # Shopify's legacy_restock; what never left is cancelled.
    "scrap",  # It came back, and is thrown away: booked as a return and as a shortage of the same value (T06b).
]

# One line of the source that credits several sales is several credit lines here: its parts, from 1, one behind another.
# Each has a line number, a link and amounts of its own, but only part 1 counts where lines are counted.
Part = Annotated[int, Meta(ge=1, le=10_000)]


class OrderLine(Struct, frozen=True, omit_defaults=True):
    """One line as sold. Amounts were rounded once, at the source or by the channel; nobody rounds them again."""

    line_no: LineNo
    sku: Sku
    quantity_micro: Annotated[int, Meta(ge=1, le=10**15)]
    net_minor: Annotated[int, Meta(ge=0, le=10**15)]  # Of the whole line, after discounts, without tax.
    tax_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0
    unit_price_micro: Annotated[int, Meta(ge=0, le=10**15)] = 0  # Millionths of the major unit, as the source wrote it.
    uom: str = "PCS"
    warehouse: Warehouse = "MAIN"
    kind: Literal["goods", "service"] = "goods"  # A service has no stock; it goes with the first shipment.
    account: Account = "goods"
    rounding_micro: int = 0  # Exact amount minus rounded amount, in millionths of a minor unit; reported, never posted.
    # Of net: what the header differs from its lines, at most half a minor unit for each of them (尾差, 6603.05).
    residual_minor: Annotated[int, Meta(ge=-5_000, le=5_000)] = 0


class SubmitOrder(Event, frozen=True):
    """gateway -> order: a satellite says that this order was placed.

    (company, source, number, version) is the idempotency key; the same key with another fingerprint is a conflict.
    """

    SUBJECT: ClassVar = "order.submit.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID  # Of the raw document; a redelivery of the command has the same, a second document another.
    company: Company
    source: str  # The satellite.
    number: Number
    version: str
    fingerprint: str  # sha256 over the source's content only, hex.
    customer: str  # An id, never a name.
    currency: Currency
    occurred_at: datetime
    zone: str
    business_date: date
    lines: Annotated[tuple[OrderLine, ...], Meta(min_length=1, max_length=10_000)]
    due_days: int = 30
    rate_micro: int = 1_000_000  # Functional units per document unit, at `rate_date`.
    rate_date: date | None = None
    control_passes: ControlPasses = "issue"  # Decided by the gateway: the satellite's setting, else the company's.


class CancelLine(Struct, frozen=True):
    line_no: LineNo
    quantity_micro: Annotated[int, Meta(ge=1, le=10**15)]


class SubmitCancel(Event, frozen=True):
    """gateway -> order: a satellite asks to cancel. No lines: all that can still be stopped."""

    SUBJECT: ClassVar = "order.cancel.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str
    number: Number  # Of the cancellation itself.
    version: str
    fingerprint: str
    order_number: Number
    occurred_at: datetime
    zone: str
    business_date: date
    lines: tuple[CancelLine, ...] = ()
    reason: str = ""


class CreditLine(Struct, frozen=True, omit_defaults=True):
    """One line of a credit note. Positive numbers; the document's kind says the direction."""

    line_no: LineNo
    sku: Sku  # "" is not allowed; an allowance by value names the SKU "ALLOWANCE".
    quantity_micro: QuantityMicro  # 0 for an allowance by value.
    net_minor: Annotated[int, Meta(ge=0, le=10**15)]
    tax_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0
    order_number: str = ""  # Linked: the sale's number and line. Both empty: unlinked.
    order_line_no: int = 0
    warehouse: Warehouse = "MAIN"
    kind: Literal["goods", "service"] = "goods"
    account: Account = "goods"
    restock: Restock = "no"
    rounding_micro: int = 0
    part: Part = 1  # Second and later parts of one line of the source do not count as lines.


class SubmitCredit(Event, frozen=True):
    """gateway -> order: goods come back, or the price is lowered afterwards."""

    SUBJECT: ClassVar = "order.credit.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str
    number: Number
    version: str
    fingerprint: str
    customer: str
    currency: Currency
    occurred_at: datetime
    zone: str
    business_date: date
    lines: Annotated[tuple[CreditLine, ...], Meta(min_length=1, max_length=10_000)]
    order_number: str = ""  # The order of all linked lines that name none themselves.
    reason: str = ""


class PlacedLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    sku: Sku
    quantity_micro: int
    net_minor: int
    tax_minor: int = 0
    warehouse: Warehouse = "MAIN"
    kind: Literal["goods", "service"] = "goods"
    account: Account = "goods"
    cost_account: CostAccount = "cogs"
    residual_minor: int = 0


class OrderPlaced(Event, frozen=True):
    """A customer has committed to buy; nothing is reserved or charged yet.

    `order_id` is the idempotency key. Lines are never empty, so "no lines" is a broken message and not a free order.
    """

    SUBJECT: ClassVar = "order.placed.v1"
    PRODUCER: ClassVar = "order"

    order_id: UUID
    company: Company
    source: str
    order_no: Number
    customer: str
    currency: Currency
    occurred_at: datetime
    zone: str
    business_date: date
    net_minor: int  # Sums of the lines.
    tax_minor: int
    lines: tuple[PlacedLine, ...]
    due_days: int = 30
    rate_micro: int = 1_000_000
    rate_date: date | None = None
    control_passes: ControlPasses = "issue"  # An order without goods has nothing to deliver: always "issue".
    cancel_waits: bool = False  # A cancellation came first: nothing leaves before its cancel_requested was decided.


class CancelRequested(Event, frozen=True):
    """Somebody wants it stopped; inventory holds the stock and decides how much still can be."""

    SUBJECT: ClassVar = "order.cancel_requested.v1"
    PRODUCER: ClassVar = "order"

    cancel_id: UUID
    order_id: UUID
    company: Company
    order_no: Number
    business_date: date
    lines: tuple[CancelLine, ...] = ()  # None: everything.
    reason: str = ""
    void: bool = False  # It came before its order and does not fit it: nothing is stopped, and nothing waits for it.


class ReturnedLine(Struct, frozen=True, omit_defaults=True):
    line_no: LineNo
    sku: Sku
    quantity_micro: int
    net_minor: int
    tax_minor: int = 0
    order_id: UUID | None = None  # The linked sale; None: unlinked.
    order_line_no: int = 0
    warehouse: Warehouse = "MAIN"
    kind: Literal["goods", "service"] = "goods"
    account: Account = "goods"
    restock: bool = False
    part: int = 1  # As submitted; what is credited later of a line that was credited before is a later part of it too.
    scrap: bool = False  # With restock: it came back, and nobody can use it any more.


class OrderReturned(Event, frozen=True):
    """A credit note: finance lowers the receivable, inventory takes back the lines with `restock`, and
    scraps those with `scrap`."""

    SUBJECT: ClassVar = "order.returned.v1"
    PRODUCER: ClassVar = "order"

    credit_id: UUID
    company: Company
    source: str
    credit_no: Number
    customer: str
    currency: Currency
    occurred_at: datetime
    zone: str
    business_date: date
    lines: tuple[ReturnedLine, ...]
    rate_micro: int = 1_000_000
    reason: str = ""


class OrderCompleted(Event, frozen=True):
    """Nothing is unallocated, reserved or back-ordered, and nothing is owed any more."""

    SUBJECT: ClassVar = "order.completed.v1"
    PRODUCER: ClassVar = "order"

    order_id: UUID
    company: Company
    order_no: Number


class SubmissionRepeated(Event, frozen=True):
    """The same document came again with the same content: a success without effect."""

    SUBJECT: ClassVar = "order.repeated.v1"
    PRODUCER: ClassVar = "order"

    intake_id: UUID
    document_id: UUID
    company: Company
    source: str
    number: Number
    kind: Literal["order", "cancel", "credit"]


class SubmissionConflicted(Event, frozen=True):
    """The same document number came with other content, or content that its order cannot bear. Nothing was changed."""

    SUBJECT: ClassVar = "order.conflicted.v1"
    PRODUCER: ClassVar = "order"

    intake_id: UUID
    document_id: UUID
    company: Company
    source: str
    number: Number
    kind: Literal["order", "cancel", "credit"]
    reason: str  # A code: other_content, above_billed, above_shipped, unknown_line, other_currency …
    detail: str = ""
    orders: tuple[str, ...] = ()  # Numbers of the orders that it is or names, sorted.


# ---------------------------------------------------------------------------------------------------- questions

# `delivered` only where control passes at delivery; elsewhere nobody tells us, and `shipped` is the end.
Fulfilment = Literal["open", "back_ordered", "reserved", "part_shipped", "shipped", "delivered", "closed_short"]
Billing = Literal["unbilled", "part_billed", "billed", "part_credited", "credited"]
PaymentStatus = Literal["unpaid", "part_paid", "paid", "overpaid", "refunded"]


class LineView(Struct, frozen=True, omit_defaults=True):
    """What has become of one line: ordered = refused + cancelled + shipped + reserved + back-ordered + unallocated.

    Goods that were stopped on their way are cancelled, and not shipped any more.

    Each number is a sum of facts; none is kept beside them.
    """

    line_no: int
    sku: str
    kind: Literal["goods", "service"]
    account: Account
    warehouse: str
    uom: str
    ordered_micro: int
    net_minor: int
    tax_minor: int
    refused_micro: int = 0
    cancelled_micro: int = 0
    reserved_micro: int = 0
    back_ordered_micro: int = 0
    shipped_micro: int = 0
    unallocated_micro: int = 0
    returned_micro: int = 0  # Of what was shipped: taken back by a warehouse.
    credited_micro: int = 0
    billed_net_minor: int = 0
    billed_tax_minor: int = 0
    credited_net_minor: int = 0
    credited_tax_minor: int = 0
    delivered_micro: int = 0  # Of what was shipped, where control passes at delivery; the rest is on its way.


class OrderSummary(Struct, frozen=True, omit_defaults=True):
    order_id: UUID
    company: str
    source: str
    order_no: str
    customer: str
    currency: str
    business_date: date
    placed_at: datetime
    net_minor: int
    tax_minor: int
    fulfilment: Fulfilment
    billing: Billing
    payment: PaymentStatus
    billed_minor: int  # Net and tax of what was shipped; of what was delivered, where control passes then.
    credited_minor: int
    settled_minor: int
    owed_minor: int  # billed - credited - settled; negative: the customer is owed.
    completed: bool = False
    control_passes: ControlPasses = "issue"
    held_minor: int = 0  # Money held for it besides: a deposit before its goods leave, or what is owed back.


class DocumentView(Struct, frozen=True, omit_defaults=True):
    """A document that changed the order: its own, a cancellation, a credit note."""

    kind: Literal["order", "cancel", "credit"]
    number: str
    document_id: UUID
    at: datetime
    quantity_micro: int = 0
    net_minor: int = 0
    tax_minor: int = 0
    reason: str = ""


class OrderView(Struct, frozen=True):
    summary: OrderSummary
    lines: tuple[LineView, ...]  # At most 1,000, in the order of their numbers.
    documents: tuple[DocumentView, ...]
    next_line: int = 0  # Ask again with `after_line` of this; 0: these were the last lines.


class ShowOrder(Struct, frozen=True):
    order_no: Number
    company: str = ""  # Needed where several companies or satellites use the same number.
    source: str = ""
    after_line: Annotated[int, Meta(ge=0)] = 0


class ListOrders(Struct, frozen=True):
    """Newest first. `after` is the `next` of the page before."""

    company: str = ""
    source: str = ""
    customer: str = ""
    open_only: bool = False  # Leaves out what is completed.
    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class OrderPage(Struct, frozen=True):
    orders: tuple[OrderSummary, ...]
    next: int = 0  # 0: this was the last page.


class OutcomesRequest(Struct, frozen=True):
    company: str = ""
    source: str = ""


class Outcome(Struct, frozen=True, omit_defaults=True):
    """Submitted documents by what became of them, as their positions in the books say; never counted by a feeder."""

    company: str
    source: str
    month: str  # Of the business date, 2026-11.
    kind: Literal["order", "cancel", "credit"]
    outcome: Literal["accepted", "duplicate", "conflict"]
    reason: str
    documents: int
    lines: int  # Of the source: parts of one line count once.
    quantity_micro: int
    amount_minor: int  # Net and tax.
    rounding_micro: int  # Exact minus rounded amounts, in millionths of a minor unit.


class Outcomes(Struct, frozen=True):
    outcomes: tuple[Outcome, ...]


class CancelOrder(Struct, frozen=True):
    """A clerk's cancellation. The same `idempotency_key` with the same content is told as repeated."""

    order_no: Number
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=80)]
    company: str = ""
    source: str = ""
    lines: tuple[CancelLine, ...] = ()  # None: all that can still be stopped.
    reason: ReasonIfAny = ""


class CancelAnswer(Struct, frozen=True):
    cancel_id: UUID
    order_id: UUID
    repeated: bool


SHOW_ORDER = Operation(
    "order.show", "GET", "/v1/orders/{order_no}", ShowOrder, OrderView, "One order with its line sums and documents"
)
LIST_ORDERS = Operation("order.list", "GET", "/v1/orders", ListOrders, OrderPage, "Orders, newest first")
OUTCOMES = Operation(
    "order.outcomes",
    "GET",
    "/v1/order-outcomes",
    OutcomesRequest,
    Outcomes,
    "What became of submitted orders, cancellations and credits, by month and reason",
)
CANCEL_ORDER = Operation(
    "order.cancel",
    "POST",
    "/v1/orders/{order_no}/cancel",
    CancelOrder,
    CancelAnswer,
    "Ask to stop an order, wholly or in part; inventory decides how much still can be",
    scope="write",
)

OPERATIONS = (SHOW_ORDER, LIST_ORDERS, OUTCOMES, CANCEL_ORDER)
