"""What one person asks for and others approve."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct
from tieout.contracts.event import Company, Currency, Number, Period
from tieout.contracts.operation import Operation
from tieout.contracts.reason import Reason, ReasonIfAny

Limit = Annotated[int, Meta(ge=1, le=200)]

Source = Annotated[str, Meta(min_length=1, max_length=64)]


class RequestReopening(Struct, frozen=True, kw_only=True):
    """Ask for a closed period, and all after it, to take postings again. Somebody else approves."""

    company: Company
    period: Period
    reason: Reason


class RequestWriteOff(Struct, frozen=True, kw_only=True):
    """Ask to write off what an order still owes (T15), or to take that back because money is expected after all.

    A write-off needs two approvals, a recovery one.
    """

    company: Company
    number: Number  # Of this document: the same again is the same request.
    order_source: Source
    order_no: Number
    currency: Currency
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    business_date: date
    reason: Reason
    recover: bool = False


class RequestCountApproval(Struct, frozen=True, kw_only=True):
    """Ask to take a count difference out of 1901 (T19b): missing goods by their cause, found ones to 6602.08."""

    company: Company
    source: Annotated[str, Meta(max_length=64)]  # Of the count; "" for a revaluation of counted goods.
    number: Number
    cause: Literal["management", "disaster", "person"]  # 6602.08, 6711, 1221.
    reason: Reason
    abnormal: bool = False  # Lost by bad management (非正常损失): the input tax of the goods is transferred out.
    input_tax_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0  # How much; named where, and only where, it is abnormal.


class RequestProvision(Struct, frozen=True, kw_only=True):
    """Ask to provide for bad debts (T15: D 6702 C 1231), or, with a negative amount, to release what was provided."""

    company: Company
    number: Number  # Of this document: the same again is the same request.
    amount_minor: Annotated[int, Meta(ge=-(10**15), le=10**15)]  # In the company's currency.
    business_date: date
    reason: Reason


class DecideRequest(Struct, frozen=True, kw_only=True):
    """Approve or reject what somebody else has asked for. With the last approval needed, it happens."""

    request_id: UUID
    approve: bool = True
    note: ReasonIfAny = ""


class Verdict(Struct, frozen=True):
    by: str
    at: datetime
    approved: bool
    note: str


class RequestView(Struct, frozen=True):
    request_id: UUID
    kind: Literal["reopening", "write_off", "recovery", "count", "provision"]
    company: str
    subject: str  # The period, the order, the count.
    currency: str
    amount_minor: int  # Of a count as inventory counts it: negative is missing.
    reason: str
    requested_by: str
    requested_at: datetime
    approvals_needed: int
    verdicts: tuple[Verdict, ...]
    state: Literal["waiting", "done", "rejected"]
    voucher_no: str = ""  # Told with the verdict that posted it.
    tax_minor: int = 0  # Counts: input tax that is transferred out.


class ListRequests(Struct, frozen=True):
    company: str = ""
    state: Literal["", "waiting", "done", "rejected"] = ""
    limit: Limit = 100


class Requests(Struct, frozen=True):
    """Newest first. `found`: how many there are, also those that the limit left out."""

    requests: tuple[RequestView, ...]
    found: int = 0


class ListStandingCounts(Struct, frozen=True):
    company: str = ""
    limit: Limit = 100
    period: Annotated[str, Meta(pattern=r"^(\d{4}-(0[1-9]|1[0-2]))?$")] = ""  # The month that they were counted in.
    skip: Annotated[int, Meta(ge=0, le=10**9)] = 0  # So many of the oldest are not listed again.


class StandingCount(Struct, frozen=True, omit_defaults=True):
    """A count whose difference stands on 1901, and how far its approval is."""

    company: str
    source: str  # "" for a revaluation of counted goods.
    number: str
    business_date: date
    posted_at: datetime
    currency: str
    left_minor: int  # As inventory counts it: negative is missing, positive was found.
    request_id: UUID | None = None  # None: nobody has asked for its approval since it was last rejected.
    asked_by: str = ""
    asked_at: datetime | None = None
    approvals: int = 0
    approvals_needed: int = 0
    rejected: bool = False  # The last request for it.


class StandingSum(Struct, frozen=True):
    currency: str
    counts: int
    missing_minor: int
    found_minor: int
    unasked: int = 0  # Of the counts, for how many nobody has asked since they were last rejected.


class StandingCounts(Struct, frozen=True):
    """The oldest first. `sums` are of all that were asked for, also of those that are not listed."""

    counts: tuple[StandingCount, ...]
    sums: tuple[StandingSum, ...] = ()


REQUEST_REOPENING = Operation(
    "finance.request_reopening",
    "POST",
    "/v1/companies/{company}/periods/{period}/reopen",
    RequestReopening,
    RequestView,
    "Ask for a closed period to be opened again; another person approves",
    scope="write",
)

REQUEST_WRITE_OFF = Operation(
    "finance.request_write_off",
    "POST",
    "/v1/companies/{company}/write-offs",
    RequestWriteOff,
    RequestView,
    "Ask to write off a receivable, or to take a write-off back",
    scope="write",
)

REQUEST_COUNT_APPROVAL = Operation(
    "finance.request_count_approval",
    "POST",
    "/v1/companies/{company}/count-approvals",
    RequestCountApproval,
    RequestView,
    "Ask to take a count difference out of 1901",
    scope="write",
)

REQUEST_PROVISION = Operation(
    "finance.request_provision",
    "POST",
    "/v1/companies/{company}/bad-debt-provisions",
    RequestProvision,
    RequestView,
    "Ask to provide for bad debts, or to release a provision",
    scope="write",
)
DECIDE_REQUEST = Operation(
    "finance.decide_request",
    "POST",
    "/v1/requests/{request_id}/decide",
    DecideRequest,
    RequestView,
    "Approve or reject what another person asked for",
    scope="write",
)

REQUESTS = Operation("finance.requests", "GET", "/v1/requests", ListRequests, Requests, "What waits for an approval")

STANDING_COUNTS = Operation(
    "finance.standing_counts",
    "GET",
    "/v1/count-approvals",
    ListStandingCounts,
    StandingCounts,
    "Count differences that stand on 1901 until somebody approves them",
)
