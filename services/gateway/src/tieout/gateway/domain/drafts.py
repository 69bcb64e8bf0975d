"""What channels make of documents, before it is judged."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from msgspec import Struct
from tieout.contracts.event import Event
from tieout.contracts.order import ControlPasses


class Satellite(Struct, frozen=True):
    """As far as its documents' meaning depends on it."""

    satellite: str
    companies: tuple[str, ...] = ()
    zone: str = "UTC"
    default_warehouse: str = "MAIN"
    due_days: int = 30
    control_passes: Literal[ControlPasses, ""] = ""  # "": as the company decided.

    @property
    def company(self) -> str:
        """Where its dialect names none."""
        return self.companies[0] if self.companies else ""


class KnownOrder(Struct, frozen=True):
    """What refunds and payments need of an order that they name by its source's own id."""

    number: str
    customer: str
    currency: str
    taxes_included: bool
    line_ids: tuple[str, ...]  # The source's ids of line 1, 2, …
    carriage_line: int = 0  # Number of the first line that is carriage; 0: none.


class Draft(Struct):
    """A command without what is no content: intake id, source, version and fingerprint."""

    kind: str  # order, cancel, credit, payment, refund, receipt, adjustment, confirmation, delivery.
    content: dict[str, Any]  # Fields of the contract; `lines` may be dicts or the contract's own Structs.
    version: str = "1"
    lines_field: str = "lines"  # Where the lines stand in the source, for messages.
    fingerprint: str = ""  # Where the source gives its own; else it is computed over the content.
    total_minor: int | None = None  # What the header says; None: it says nothing.
    total_field: str = ""


class Mapped(Struct):
    """What one document means."""

    drafts: list[Draft]
    knows: tuple[str, KnownOrder] | None = None  # The source's id of the order that this document tells of.
    ignored: str = ""  # Why it means nothing to the books.


class Summary(Struct):
    """What could be read of a document that is refused; for reports."""

    kind: str = ""
    company: str = ""
    number: str = ""
    business_date: str = ""  # 2026-11-23, or "".
    lines: int = 0
    quantity_micro: int = 0
    amount_minor: int = 0


class Company(Struct, frozen=True):
    company: str
    currency: str
    zone: str
    control_passes: ControlPasses = "issue"


class World(Struct):
    """What other services have announced, as far as this batch of documents needs it."""

    companies: Mapping[str, Company]
    unknown_skus: set[tuple[str, str]]  # (company, SKU) that inventory has not listed.
    # (currency, company's currency, business date) -> rate in millionths, and the date that it is of.
    rates: Mapping[tuple[str, str, date], tuple[int, date]] = {}
    unknown_warehouses: frozenset[tuple[str, str]] = frozenset()  # (company, warehouse) that nobody has described.


class Verdict(Struct):
    """A command that may leave."""

    kind: str
    command: Event
    chain: str
    order_no: str
    lines: int
    quantity_micro: int
    amount_minor: int
