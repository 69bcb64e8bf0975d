"""Companies that keep their books here, and their posting periods."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from tieout.contracts.event import Company, Currency, Period
from tieout.contracts.operation import Operation
from tieout.contracts.order import ControlPasses
from tieout.contracts.reason import ReasonIfAny

AccountCode = Annotated[str, Meta(pattern=r"^\d{4}(\.\d{2}){0,3}$")]


class PutCompany(Struct, frozen=True, kw_only=True):
    """Open a company, or change its name and policies. Its currency and zone never change: its books are in them.

    What is not named stays as it is. A new company needs name, currency and zone; its policies are goods_issue, one and
    issue unless named, and each role is the chart's default.
    """

    company: Company
    name: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    zone: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET  # Asia/Shanghai
    tax_point: Literal["goods_issue", "invoice", "payment"] | UnsetType = UNSET
    voucher_words: Literal["one", "three"] | UnsetType = UNSET  # All 记, or 收, 付 and 转.
    roles: dict[str, AccountCode] = {}  # Account by role of the voucher templates, where it is not the chart's default.
    control_passes: ControlPasses | UnsetType = UNSET  # Of orders whose satellite has no rule of its own, from now on.


class CompanyView(Struct, frozen=True):
    company: str
    name: str
    currency: str
    zone: str
    tax_point: str
    voucher_words: str
    closed_through: str  # This period and all before it are closed; "" while none is.
    revision: int
    opened_at: datetime
    roles: dict[str, str]
    control_passes: ControlPasses = "issue"


class ListCompanies(Struct, frozen=True):
    company: str = ""  # Empty: all.


class Companies(Struct, frozen=True):
    companies: tuple[CompanyView, ...]


class ClosePeriod(Struct, frozen=True):
    """Nothing is posted into this period, or one before it, any more. It must have ended where the company is."""

    company: Company
    period: Period
    reason: ReasonIfAny = ""  # Kept with the close.


class PeriodView(Struct, frozen=True):
    company: str
    period: str
    first_open: str
    closed_by: str
    closed_at: datetime
    repeated: bool  # It was closed before; nothing changed.
    vouchers: int
    count_difference_minor: int  # 1901: always 0, a period with count differences that nobody approved stays open.
    free_goods_undeclared: int = 0  # Orders of this period given away alone, whose deemed output tax nobody declared.
    allowance_short_minor: int = 0  # 1231 in debit: more was written off than was provided for (T15).
    not_revalued: tuple[str, ...] = ()  # Currencies with open monetary items that were not valued at a closing rate.


class ListPeriods(Struct, frozen=True):
    company: str = ""  # Empty: all.
    closed: Annotated[int, Meta(ge=0, le=240)] = 12  # So many of the latest closed months of each company.


class PeriodStanding(Struct, frozen=True, omit_defaults=True):
    """A month of a company: closed by whom, or what finance itself holds against closing it.

    Closing a month closes all before it, so what is told of an open month counts what stands in earlier open ones too.
    """

    company: str
    period: str
    state: Literal["open", "closed"]
    zone: str  # Of the company; in it the month ends.
    last_day: date
    ended: bool
    vouchers: int = 0
    closed_by: str = ""
    closed_at: datetime | None = None
    reason: str = ""  # Of the close; "" where nobody gave one.
    reopened_by: str = ""  # Open again: who asked for it,
    reopening_approved_by: str = ""
    reopened_at: datetime | None = None
    counts: int = 0  # Open: so many stand on 1901, and finance refuses to close the month while one does.
    counts_unasked: int = 0  # Of these, for how many nobody has asked since they were last rejected.
    missing_minor: int = 0  # What they stand there with, in the company's currency.
    found_minor: int = 0
    currency: str = ""
    waiting: int = (
        0  # Other requests of its business dates without a verdict: closed before, they go into a later month.
    )
    reopening_id: UUID | None = (
        None  # Closed: somebody has asked for it to be opened again, and others have not decided.
    )
    reopening_asked_by: str = ""
    reopening_reason: str = ""  # Open again: why.


class Periods(Struct, frozen=True):
    """By company, the oldest month first. Open are those after the last closed one, and those with vouchers."""

    periods: tuple[PeriodStanding, ...]


PUT_COMPANY = Operation(
    "finance.put_company",
    "PUT",
    "/v1/companies/{company}",
    PutCompany,
    CompanyView,
    "Open a company with the default chart of accounts, or change its name and policies",
    scope="admin",
)

COMPANIES = Operation(
    "finance.companies", "GET", "/v1/companies", ListCompanies, Companies, "The companies and policies"
)

CLOSE_PERIOD = Operation(
    "finance.close_period",
    "POST",
    "/v1/companies/{company}/periods/{period}/close",
    ClosePeriod,
    PeriodView,
    "Close a posting period and all before it",
    scope="write",
)

PERIODS = Operation(
    "finance.periods",
    "GET",
    "/v1/periods",
    ListPeriods,
    Periods,
    "Which months are open or closed, by whom, and what finance holds against closing them",
)
