"""What is known of a cause when somebody notices it. Pure values."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from tieout.contracts.ticket import Kind


class Affected(Struct, frozen=True):
    """An order that a ticket is about, and its money where that is known.

    Or a document that is no order (a payment, a receipt): it is found by its number, and not counted among the orders.
    """

    company: str
    order_no: str
    currency: str = ""
    amount_minor: int = 0  # Minor units of `currency`.
    paper: bool = False  # It is such a document.


class Opening(Struct, frozen=True, kw_only=True):
    """One cause, as it was noticed. `count` is how often since it was noticed last."""

    kind: Kind
    fingerprint: str  # <kind>:<what makes it the same cause>
    title_en: str
    title_zh: str
    service: str = ""  # Whose team owns it; control's where there is none.
    flow: str = ""
    reason: str = ""
    field: str = ""
    detail: str = ""  # Of the latest occurrence, for the one who mends it. No personal data, no secrets.
    runbook: str = ""
    priority: int = 0  # 0: as usual for its kind.
    count: int = 1
    orders: Sequence[Affected] = ()
    first_at: datetime | None = None  # None: now.
    last_at: datetime | None = None
