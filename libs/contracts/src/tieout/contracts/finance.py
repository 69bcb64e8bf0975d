"""What the finance team promises: receivables, vouchers, money."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from tieout.contracts.event import Company, Currency, Event, Minor, Number, Period
from tieout.contracts.operation import Operation
from tieout.contracts.order import ControlPasses


class Allocation(Struct, frozen=True, omit_defaults=True):
    """Money for one order. The amount may be left out: then as much as the order owes."""

    order_source: str
    order_number: Number
    amount_minor: int | None = None


class SubmitPayment(Event, frozen=True):
    """gateway -> finance: a payment provider or bank says that money came in.

    Above its allocations, or without any: unapplied cash of the customer (2203).
    """

    SUBJECT: ClassVar = "finance.pay.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str
    number: Number
    version: str
    fingerprint: str
    customer: str
    currency: Currency
    received_minor: Annotated[int, Meta(ge=1, le=10**15)]  # What the customer paid, before the provider's fee.
    occurred_at: datetime
    zone: str
    business_date: date
    fee_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0
    method: str = "bank"  # bank, or the provider's name.
    allocations: tuple[Allocation, ...] = ()
    rate_micro: int = 1_000_000


class SubmitRefund(Event, frozen=True):
    """gateway -> finance: money went back to a customer."""

    SUBJECT: ClassVar = "finance.refund.v1"
    PRODUCER: ClassVar = "gateway"

    intake_id: UUID
    company: Company
    source: str
    number: Number
    version: str
    fingerprint: str
    customer: str
    currency: Currency
    paid_minor: Annotated[int, Meta(ge=1, le=10**15)]
    occurred_at: datetime
    zone: str
    business_date: date
    order_source: str = ""
    order_number: str = ""
    fee_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0  # A fee that the provider kept.
    method: str = "bank"
    rate_micro: int = 1_000_000


class ReceivableOpened(Event, frozen=True):
    """A shipment was billed, or a delivery where control passes then: one balanced voucher, one open item."""

    SUBJECT: ClassVar = "finance.receivable_opened.v1"
    PRODUCER: ClassVar = "finance"

    shipment_id: UUID  # Of the shipment or delivery that was billed.
    order_id: UUID
    company: Company
    order_no: Number
    currency: Currency
    amount_minor: int  # Net and tax of it.
    voucher_no: str  # 记-2026-11-000123; "" where nothing was worth posting.
    due_date: date


class VoucherPosted(Event, frozen=True):
    """Any other voucher: returns, receipts, adjustments, payments, transfers."""

    SUBJECT: ClassVar = "finance.voucher_posted.v1"
    PRODUCER: ClassVar = "finance"

    voucher_id: UUID
    company: Company
    voucher_no: str
    period: Period
    template: str  # T05, T09 …
    document_id: UUID
    document_no: Number
    total_minor: int  # Sum of the debits.
    currency: Currency


class SettledItem(Struct, frozen=True, omit_defaults=True):
    order_id: UUID
    order_no: str
    amount_minor: Minor  # Signed: a refund or a reversal takes back.


class OrdersSettled(Event, frozen=True):
    """Money (or prepaid money) was applied to the receivables of orders, or taken back from them."""

    SUBJECT: ClassVar = "finance.settled.v1"
    PRODUCER: ClassVar = "finance"

    settlement_id: UUID
    company: Company
    currency: Currency
    cause: Literal["payment", "prepayment", "refund", "credit", "write_off"]
    document_no: str
    items: tuple[SettledItem, ...]


class DocumentSettled(Event, frozen=True):
    """What became of a payment or refund that changed nothing: repeated, or in conflict."""

    SUBJECT: ClassVar = "finance.document_settled.v1"
    PRODUCER: ClassVar = "finance"

    intake_id: UUID
    document_id: UUID
    company: Company
    source: str
    number: Number
    kind: Literal["payment", "refund"]
    outcome: Literal["duplicate", "conflict"]
    reason: str = ""
    detail: str = ""


class CompanyOpened(Event, frozen=True):
    """A company keeps its books here: its functional currency, its zone, its policies."""

    SUBJECT: ClassVar = "finance.company_opened.v1"
    PRODUCER: ClassVar = "finance"

    company: Company
    name: str
    currency: Currency
    zone: str
    revision: int = 1
    control_passes: ControlPasses = "issue"


class PeriodClosed(Event, frozen=True):
    """Nothing is posted into this period any more; what comes late goes into the first open one."""

    SUBJECT: ClassVar = "finance.period_closed.v1"
    PRODUCER: ClassVar = "finance"

    company: Company
    period: Period
    first_open: Period
    revision: int = 0  # Of the company's calendar; the highest one stands, in whatever order they arrive.


class PeriodReopened(Event, frozen=True):
    """Two people agreed: this period and all after it take postings again."""

    SUBJECT: ClassVar = "finance.period_reopened.v1"
    PRODUCER: ClassVar = "finance"

    company: Company
    period: Period
    first_open: Period
    revision: int


# ------------------------------------------------------------------------------------------ operations

AccountCode = Annotated[str, Meta(pattern=r"^\d{4}(\.\d{2}){0,3}$")]
Limit = Annotated[int, Meta(ge=1, le=200)]


class PutCompany(Struct, frozen=True, kw_only=True):
    """Open a company, or change its name and policies. Its currency and zone never change: its books are in them.

    A policy that is not named stays as it is; of a new company it is goods_issue, one and issue. The same holds for
    each role: named by nobody, it is the chart's default.
    """

    company: Company
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    currency: Currency
    zone: Annotated[str, Meta(min_length=1, max_length=64)]  # Asia/Shanghai
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
    not_revalued: tuple[str, ...] = ()  # Currencies with open monetary items that were not valued at a closing rate.


Text = Annotated[str, Meta(min_length=1, max_length=500)]
Source = Annotated[str, Meta(min_length=1, max_length=64)]


class RequestReopening(Struct, frozen=True, kw_only=True):
    """Ask for a closed period, and all after it, to take postings again. Somebody else approves."""

    company: Company
    period: Period
    reason: Text


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
    reason: Text
    recover: bool = False


class RequestCountApproval(Struct, frozen=True, kw_only=True):
    """Ask to take a count difference out of 1901 (T19b): missing goods by their cause, found ones to 6602.08."""

    company: Company
    source: Annotated[str, Meta(max_length=64)]  # Of the count; "" for a revaluation of counted goods.
    number: Number
    cause: Literal["management", "disaster", "person"]  # 6602.08, 6711, 1221.
    reason: Text


class DecideRequest(Struct, frozen=True, kw_only=True):
    """Approve or reject what somebody else has asked for. With the last approval needed, it happens."""

    request_id: UUID
    approve: bool = True
    note: Annotated[str, Meta(max_length=500)] = ""


class Verdict(Struct, frozen=True):
    by: str
    at: datetime
    approved: bool
    note: str


class RequestView(Struct, frozen=True):
    request_id: UUID
    kind: Literal["reopening", "write_off", "recovery", "count"]
    company: str
    subject: str  # The period, the order, the count.
    currency: str
    amount_minor: int
    reason: str
    requested_by: str
    requested_at: datetime
    approvals_needed: int
    verdicts: tuple[Verdict, ...]
    state: Literal["waiting", "done", "rejected"]
    voucher_no: str = ""  # Told with the verdict that posted it.


class ListRequests(Struct, frozen=True):
    company: str = ""
    state: Literal["", "waiting", "done", "rejected"] = ""
    limit: Limit = 100


class Requests(Struct, frozen=True):
    """Newest first."""

    requests: tuple[RequestView, ...]


class IssueInvoice(Struct, frozen=True, kw_only=True):
    """An invoice (发票) was issued for what was shipped or prepaid of an order; a red one has negative amounts."""

    company: Company
    number: Number
    order_source: Source
    order_no: Number
    currency: Currency
    net_minor: Minor
    tax_minor: Minor
    business_date: date


class InvoiceView(Struct, frozen=True):
    number: str
    order_no: str
    currency: str
    net_minor: int
    tax_minor: int
    tax_invoiced_minor: int  # Of the order, this one included.
    tax_due_minor: int  # 2221.01.01: what of the order's tax has reached its tax point.
    tax_pending_minor: int  # 2221.06: what has not.
    voucher_no: str  # "" where it moved nothing.
    repeated: bool


class TakeDiscount(Struct, frozen=True, kw_only=True):
    """A customer took the cash discount of his terms (T14b): 6001.08, with the receivable."""

    company: Company
    number: Number
    order_source: Source
    order_no: Number
    currency: Currency
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    business_date: date


class DiscountView(Struct, frozen=True):
    number: str
    order_no: str
    currency: str
    amount_minor: int
    open_minor: int  # What the order still owes.
    voucher_no: str
    repeated: bool


class DeclareFreeGoods(Struct, frozen=True, kw_only=True):
    """Goods given away alone count as sold for tax (视同应税交易): the output tax on their market value (T22)."""

    company: Company
    number: Number
    order_source: Source
    order_no: Number
    market_minor: Annotated[int, Meta(ge=1, le=10**15)]  # Net, in the company's currency.
    tax_minor: Annotated[int, Meta(ge=1, le=10**15)]
    business_date: date


class FreeGoodsView(Struct, frozen=True):
    number: str
    order_no: str
    currency: str
    market_minor: int
    tax_minor: int
    voucher_no: str
    repeated: bool


class PutRate(Struct, frozen=True, kw_only=True):
    """The closing rate of a currency on a date: millionths of the company's currency for one of this, major units."""

    company: Company
    currency: Currency
    date: date
    rate_micro: Annotated[int, Meta(ge=1, le=10**15)]


class RateView(Struct, frozen=True):
    company: str
    currency: str
    date: date
    rate_micro: int
    put_by: str
    put_at: datetime


class RevaluePeriod(Struct, frozen=True, kw_only=True):
    """Value open monetary items (1122, 2202, 1002 …) at the closing rates of the period's last day (T21)."""

    company: Company
    period: Period


class Revalued(Struct, frozen=True):
    currency: str
    rate_micro: int
    rate_date: date
    change_minor: int  # Gain positive, functional currency; since an earlier revaluation of the same period.
    voucher_no: str  # "" where nothing had changed.
    reversal_no: str  # On the first day of the next period.


class PeriodRevalued(Struct, frozen=True):
    company: str
    period: str
    currencies: tuple[Revalued, ...]


class LedgerAccountView(Struct, frozen=True):
    code: str
    name: str
    name_zh: str
    kind: str
    roles: tuple[str, ...]


class ShowChart(Struct, frozen=True):
    company: Company


class Chart(Struct, frozen=True):
    accounts: tuple[LedgerAccountView, ...]


class VoucherLine(Struct, frozen=True):
    line_no: int
    side: Literal["debit", "credit"]
    account: str
    account_name: str
    account_name_zh: str
    role: str
    amount_minor: int  # Negative in red.
    currency: str
    functional_minor: int
    order_no: str  # Whose open item it moves; "" for other lines.


class VoucherView(Struct, frozen=True):
    voucher_no: str
    company: str
    period: str
    template: str
    business_date: date
    posting_date: date
    deferred_from: str
    document_id: UUID
    document_no: str
    order_no: str
    customer: str
    currency: str
    functional_currency: str
    total_minor: int  # Sum of the debits, functional currency.
    prepared_by: str
    posted_at: datetime
    position: int
    lines: tuple[VoucherLine, ...]
    reviewed_by: str = ""  # Never the preparer. Templates are reviewed as code, by those who approved their version.


class ListVouchers(Struct, frozen=True):
    """Newest first; `after` is the `next` of the page before."""

    company: str = ""
    order_no: str = ""
    period: str = ""
    account: str = ""  # Vouchers with a line on this account.
    after: int = 0
    limit: Limit = 100


class VoucherPage(Struct, frozen=True):
    vouchers: tuple[VoucherView, ...]
    next: int  # 0 on the last page.


class ShowVoucher(Struct, frozen=True):
    voucher_no: str
    company: Company


class TrialBalanceRequest(Struct, frozen=True):
    company: Company
    from_period: str = ""  # Empty: from the beginning.
    to_period: str = ""  # Empty: to the end.


class TrialBalanceLine(Struct, frozen=True):
    """Functional currency. Red figures shrink the turnover of their side. Balances are debits minus credits."""

    account: str
    name: str
    name_zh: str
    opening_minor: int
    debit_minor: int
    credit_minor: int
    closing_minor: int


class TrialBalance(Struct, frozen=True):
    company: str
    currency: str
    from_period: str
    to_period: str
    lines: tuple[TrialBalanceLine, ...]
    debit_minor: int
    credit_minor: int
    balanced: bool


class ListReceivables(Struct, frozen=True):
    """Open amounts per order as of a date, counting only what was posted up to it."""

    company: Company
    as_of: date | None = None  # None: all that is posted.
    customer: str = ""
    order_no: str = ""
    after: str = ""
    limit: Limit = 100


class Receivable(Struct, frozen=True):
    """Open by due date as of the day asked for; `not_due` + the four overdue classes = open."""

    item_id: UUID
    order_no: str
    customer: str
    currency: str
    billed_minor: int
    credited_minor: int
    settled_minor: int
    open_minor: int  # Negative: we owe the customer.
    not_due_minor: int
    overdue_30_minor: int
    overdue_60_minor: int
    overdue_90_minor: int
    overdue_more_minor: int
    oldest_due: date | None


class ReceivablePage(Struct, frozen=True):
    receivables: tuple[Receivable, ...]
    next: str  # "" on the last page.
    totals: dict[str, int]  # Open amount per currency of all pages; told with the first one.


class FinanceOutcomesRequest(Struct, frozen=True):
    company: str = ""
    source: str = ""


class FinanceOutcome(Struct, frozen=True):
    """What finance's books hold, by source and month of the order's or credit note's business date.

    `account` is the class of the lines (goods, carriage ...); "" is the sum over all of them, because documents with
    lines of several classes count once there. Booked lines count with the first part that was billed, credited lines
    with their part 1.
    """

    company: str
    source: str
    month: str
    outcome: Literal["booked", "credited", "payment", "refund", "duplicate", "conflict"]
    reason: str
    account: str
    free: bool  # Lines that are worth nothing; for account "" always false.
    linked: bool  # Credited: to a line of a sale.
    currency: str
    documents: int
    lines: int
    quantity_micro: int  # Positive for booked, negative for credited.
    net_minor: int  # Signed like the quantity.
    tax_minor: int
    value_minor: int  # Stock value of the goods, signed as stock moves; functional currency.


class FinanceOutcomes(Struct, frozen=True):
    outcomes: tuple[FinanceOutcome, ...]


class AccountTurnoverRequest(Struct, frozen=True):
    company: str = ""
    by: Literal["posting", "business"] = "posting"  # Month of the posting date, or of the business date.


class AccountTurnover(Struct, frozen=True):
    """Turnover of an account in a month, functional currency.

    `debit_minor` and `credit_minor` are as the ledger shows them: red figures shrink them. `red_debit_minor` and
    `red_credit_minor` are those red figures as positive numbers.
    """

    company: str
    month: str
    account: str
    debit_minor: int
    credit_minor: int
    red_debit_minor: int
    red_credit_minor: int


class AccountTurnovers(Struct, frozen=True):
    turnovers: tuple[AccountTurnover, ...]


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
ISSUE_INVOICE = Operation(
    "finance.issue_invoice",
    "POST",
    "/v1/companies/{company}/invoices",
    IssueInvoice,
    InvoiceView,
    "Record an invoice of an order: its tax has reached its tax point",
    scope="write",
)
TAKE_DISCOUNT = Operation(
    "finance.take_discount",
    "POST",
    "/v1/companies/{company}/cash-discounts",
    TakeDiscount,
    DiscountView,
    "Record a cash discount that a customer took",
    scope="write",
)
DECLARE_FREE_GOODS = Operation(
    "finance.declare_free_goods",
    "POST",
    "/v1/companies/{company}/free-goods",
    DeclareFreeGoods,
    FreeGoodsView,
    "Declare the output tax on goods that were given away",
    scope="write",
)
PUT_RATE = Operation(
    "finance.put_rate",
    "PUT",
    "/v1/companies/{company}/rates/{currency}/{date}",
    PutRate,
    RateView,
    "Record the closing rate of a currency",
    scope="write",
)
REVALUE_PERIOD = Operation(
    "finance.revalue_period",
    "POST",
    "/v1/companies/{company}/periods/{period}/revalue",
    RevaluePeriod,
    PeriodRevalued,
    "Value open foreign items at closing rates; reversed on the first day of the next period",
    scope="write",
)
CHART = Operation(
    "finance.chart", "GET", "/v1/companies/{company}/chart", ShowChart, Chart, "The chart of accounts and its roles"
)
VOUCHERS = Operation("finance.vouchers", "GET", "/v1/vouchers", ListVouchers, VoucherPage, "Vouchers, newest first")
VOUCHER = Operation(
    "finance.voucher", "GET", "/v1/vouchers/{voucher_no}", ShowVoucher, VoucherView, "One voucher with its lines"
)
TRIAL_BALANCE = Operation(
    "finance.trial_balance",
    "GET",
    "/v1/trial-balance",
    TrialBalanceRequest,
    TrialBalance,
    "Opening balance, turnover and closing balance per account",
)
RECEIVABLES = Operation(
    "finance.receivables",
    "GET",
    "/v1/receivables",
    ListReceivables,
    ReceivablePage,
    "Open items per order with their age",
)
FINANCE_OUTCOMES = Operation(
    "finance.outcomes",
    "GET",
    "/v1/finance-outcomes",
    FinanceOutcomesRequest,
    FinanceOutcomes,
    "What was booked, credited, paid and refunded, by source, month and class of line",
)
ACCOUNTS = Operation(
    "finance.accounts",
    "GET",
    "/v1/account-turnovers",
    AccountTurnoverRequest,
    AccountTurnovers,
    "Debits and credits per account and month",
)

OPERATIONS = (
    PUT_COMPANY,
    COMPANIES,
    CLOSE_PERIOD,
    REQUEST_REOPENING,
    REQUEST_WRITE_OFF,
    REQUEST_COUNT_APPROVAL,
    DECIDE_REQUEST,
    REQUESTS,
    ISSUE_INVOICE,
    TAKE_DISCOUNT,
    DECLARE_FREE_GOODS,
    PUT_RATE,
    REVALUE_PERIOD,
    CHART,
    VOUCHERS,
    VOUCHER,
    TRIAL_BALANCE,
    RECEIVABLES,
    FINANCE_OUTCOMES,
    ACCOUNTS,
)
