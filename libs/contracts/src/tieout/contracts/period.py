"""What happened in a period beside what the ledger has posted in it, and why the two are not the same.

Events agree whatever their period (agreement.py). But a closed period takes nothing more, so what comes late is posted
in the next one; and what a count has found is no profit or loss before somebody has approved it. Accountants ask for
both by name when they close a month.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct
from tieout.contracts.event import Company
from tieout.contracts.operation import Operation

Period = Annotated[str, Meta(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]


class PeriodRequest(Struct, frozen=True):
    """`rpc.inventory.period_moves`, `rpc.finance.period_postings`: events of inventory up to a position."""

    company: str
    period: str
    upto: int


class PeriodMoves(Struct, frozen=True, omit_defaults=True):
    """Inventory: what happened in the period by its business dates."""

    currency: str
    value_minor: int  # What all moves did to the value of the stock.
    counted_minor: int  # Of these: what counts have found.
    moves: int | None = None  # How many there were. None: from an older version.


class Deferred(Struct, frozen=True):
    position: int
    document_no: str
    chain_id: str
    value_minor: int
    deferred_from: str  # The period that it belongs to,
    period: str  # and the one that it was posted in.
    voucher_no: str


class OpenCount(Struct, frozen=True, omit_defaults=True):
    """A count whose difference stands on 1901, and how far its approval is."""

    document_no: str
    source: str
    chain_id: str
    left_minor: int  # As inventory counts it: negative is missing.
    asked_by: str = ""  # Empty: nobody has asked for its approval.
    asked_at: str = ""  # RFC 3339 UTC.
    approvals: int = 0
    approvals_needed: int = 0
    rejected: bool = False


class PeriodPostings(Struct, frozen=True):
    """Finance: what stands in the period's vouchers for inventory's events."""

    value_minor: int
    counted_minor: int  # Of what was counted in the period: what has been approved.
    deferred_out_minor: int  # Of the period, posted later.
    deferred_in_minor: int  # Of earlier periods, posted in this one.
    deferred: tuple[Deferred, ...]  # The first DEFERRED_MAX of both.
    open_counts: tuple[OpenCount, ...]
    closed_through: str = ""
    zone: str = ""  # Of the company; in it the period ends. "": from an older version.


DEFERRED_MAX = 500


class PeriodAgreementRequest(Struct, frozen=True):
    period: Period
    company: Company


class PeriodFigure(Struct, frozen=True):
    """Minor units of the company's currency. happened = posted + explained + unexplained."""

    name: Literal["stock_value", "counted"]
    title: str
    title_zh: str
    happened_minor: int  # By business date, as inventory has it.
    posted_minor: int  # By posting period, as the ledger has it.
    explained_minor: int
    unexplained_minor: int


class PeriodDifference(Struct, frozen=True, omit_defaults=True):
    figure: str
    cause: Literal["period_deferred", "waiting_approval", "in_flight", "unknown"]
    amount_minor: int  # happened - posted.
    why: str
    why_zh: str
    document_no: str = ""
    chain_id: str = ""
    voucher_no: str = ""
    position: int = 0


class PeriodAgreement(Struct, frozen=True):
    company: str
    period: str
    currency: str
    verdict: Literal["agree", "open", "differ"]  # open: it differs, and every difference has its reason.
    sentence: str
    figures: tuple[PeriodFigure, ...]
    differences: tuple[PeriodDifference, ...]
    closed_through: str = ""
    sentence_zh: str = ""


# Between services only, so not among OPERATIONS.
PERIOD_MOVES = Operation("inventory.period_moves", "GET", "", PeriodRequest, PeriodMoves, "What happened in a period")
PERIOD_POSTINGS = Operation(
    "finance.period_postings", "GET", "", PeriodRequest, PeriodPostings, "What was posted in a period"
)
PERIOD_AGREEMENT = Operation(
    "control.period_agreement",
    "GET",
    "/v1/companies/{company}/periods/{period}/agreement",
    PeriodAgreementRequest,
    PeriodAgreement,
    "What happened in a period beside what was posted in it: deferred into a later one, waiting for approval.",
)
OPERATIONS = (PERIOD_AGREEMENT,)
