"""What a person enters: invoices, discounts, free goods, exchange rates."""

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct
from tieout.contracts.event import Company, Currency, Minor, Number, Period
from tieout.contracts.finance.approvals import Source
from tieout.contracts.operation import Operation


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


class ApplyMoney(Struct, frozen=True, kw_only=True):
    """Money of a customer that named no order (2203) is applied to one (T10a): D 2203 C 1122, or a deposit of it."""

    company: Company
    number: Number
    customer: Annotated[str, Meta(min_length=1, max_length=200)]
    order_source: Source
    order_no: Number
    currency: Currency
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    business_date: date


class MoneyApplied(Struct, frozen=True):
    number: str
    order_no: str
    currency: str
    amount_minor: int
    open_minor: int  # What the order still owes.
    unapplied_minor: int  # Of the customer's money, still in 2203.
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

APPLY_MONEY = Operation(
    "finance.apply_money",
    "POST",
    "/v1/companies/{company}/applications",
    ApplyMoney,
    MoneyApplied,
    "Apply a customer's unapplied money to an order",
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
