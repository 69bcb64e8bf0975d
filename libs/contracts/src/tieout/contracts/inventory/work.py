"""What people do with stock, and what became of lines and papers."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct
from tieout.contracts.event import Company, Number, Period, Warehouse
from tieout.contracts.operation import Operation
from tieout.contracts.order import CancelLine


class ConfirmRequest(Struct, frozen=True):
    """Goods of an order have left a warehouse that confirms. No lines: all that is reserved there."""

    company: Company
    order_source: str
    order_no: Number
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=80)]
    warehouse: Warehouse = "MAIN"
    lines: tuple[CancelLine, ...] = ()
    business_date: date | None = None  # None: today, where the company is.


class ConfirmedLine(Struct, frozen=True):
    line_no: int
    sku: str
    quantity_micro: int
    cost_minor: int


class Confirmation(Struct, frozen=True):
    repeated: bool  # This key was confirmed before; nothing left a second time.
    lines: tuple[ConfirmedLine, ...]


class DeliverRequest(Struct, frozen=True):
    """Goods of an order have reached their customer. No lines: all that is on its way, or all of one shipment."""

    company: Company
    order_source: str
    order_no: Number
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=80)]
    shipment: Annotated[int, Meta(ge=0, le=100_000)] = 0
    lines: tuple[CancelLine, ...] = ()
    business_date: date | None = None  # None: today, where the company is.


class Delivery(Struct, frozen=True):
    repeated: bool  # This key was used before; nothing was delivered a second time.
    lines: tuple[ConfirmedLine, ...]


class ValuePeriod(Struct, frozen=True):
    """Value the issues of a period, and of earlier ones, at the weighted average of each. May be repeated until finance
    closes the period: only what is new makes a further difference."""

    company: Company
    period: Period


class PeriodValued(Struct, frozen=True):
    company: str
    period: str
    stocks: int  # SKUs in warehouses by period average that had moved since they were last valued.
    revalued: int  # Of them: announced with a difference.
    value_minor: int  # Signed change of the stock's value, all together.
    currency: str


class InventoryOutcomesRequest(Struct, frozen=True):
    company: str = ""
    source: str = ""


class InventoryOutcome(Struct, frozen=True):
    """What inventory's books say became of lines, by source and month of the business date.

    Order lines: `refused`, `cancelled`, `back_ordered`, `reserved` (promised, not confirmed), `in_transit` (on its way,
    where control passes at delivery). A line of which a part has shipped is counted in `lines_part`, not in `lines`,
    because it also counts as shipped elsewhere.
    Documents: `opening`, `purchase`, `adjusted_gain`, `adjusted_loss`, `returned`, and `confirmed`: what a warehouse's
    papers say has left, which are goods of order lines that shipped. Papers that changed nothing: `duplicate` and
    `conflict` with their reason and the `kind` of paper (receipt, adjustment, confirmation, delivery).
    """

    company: str
    source: str
    month: str
    outcome: Literal[
        "refused",
        "cancelled",
        "back_ordered",
        "reserved",
        "in_transit",
        "opening",
        "purchase",
        "adjusted_gain",
        "adjusted_loss",
        "returned",
        "confirmed",
        "duplicate",
        "conflict",
    ]
    reason: str
    documents: int
    lines: int
    lines_part: int
    quantity_micro: int  # Signed.
    amount_minor: int  # Net and tax of the order lines' part, in the order's currency; 0 for documents.
    value_minor: int  # Signed stock value, in the company's currency; 0 for order lines.
    currency: str  # Of the amount, else of the value.
    kind: str = ""


class InventoryOutcomes(Struct, frozen=True):
    outcomes: tuple[InventoryOutcome, ...]


CONFIRM = Operation(
    "inventory.confirm",
    "POST",
    "/v1/orders/{order_no}/confirm",
    ConfirmRequest,
    Confirmation,
    "Say that reserved goods of an order have left the warehouse",
    scope="write",
)

DELIVER = Operation(
    "inventory.deliver",
    "POST",
    "/v1/orders/{order_no}/deliver",
    DeliverRequest,
    Delivery,
    "Say that goods of an order have reached their customer, where control passes then",
    scope="write",
)

VALUE_PERIOD = Operation(
    "inventory.value_period",
    "POST",
    "/v1/companies/{company}/periods/{period}/value",
    ValuePeriod,
    PeriodValued,
    "Value a period's issues at its weighted average, before finance closes it",
    scope="write",
)

INVENTORY_OUTCOMES = Operation(
    "inventory.outcomes",
    "GET",
    "/v1/inventory-outcomes",
    InventoryOutcomesRequest,
    InventoryOutcomes,
    "What became of order lines and stock documents, by source, month and reason",
)
