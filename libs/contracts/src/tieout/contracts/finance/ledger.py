"""What anybody may ask the books."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import Company
from tieout.contracts.finance.approvals import Limit
from tieout.contracts.operation import Operation


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
