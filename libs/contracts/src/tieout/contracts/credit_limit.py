"""What a customer may owe at most. Checked when an order is placed; it is no booking, and no book knows of it."""

from typing import Annotated

from msgspec import Meta, Struct
from tieout.contracts.event import Company, Currency
from tieout.contracts.operation import Operation


class PutCreditLimit(Struct, frozen=True, kw_only=True):
    """Orders that would bring the customer above it are in conflict (`above_credit_limit`). None: no limit any more."""

    company: Company
    customer: Annotated[str, Meta(min_length=1, max_length=200)]
    currency: Currency
    limit_minor: Annotated[int, Meta(ge=0, le=10**15)] | None


class CreditLimitView(Struct, frozen=True):
    company: str
    customer: str
    currency: str
    limit_minor: int | None
    used_minor: int  # Of open orders: what was, or can still be, billed of them, less credits and money applied.


class ListCreditLimits(Struct, frozen=True):
    company: Company
    customer: str = ""
    after: Annotated[str, Meta(max_length=300)] = ""  # The `next` of the page before.
    limit: Annotated[int, Meta(ge=1, le=200)] = 100


class CreditLimits(Struct, frozen=True):
    """By customer and currency."""

    limits: tuple[CreditLimitView, ...]
    next: str = ""  # "": this was the last page.


PUT_CREDIT_LIMIT = Operation(
    "order.put_credit_limit",
    "PUT",
    "/v1/companies/{company}/customers/{customer}/credit-limits/{currency}",
    PutCreditLimit,
    CreditLimitView,
    "Limit what a customer may owe; checked when his orders are placed",
    scope="write",
)
CREDIT_LIMITS = Operation(
    "order.credit_limits",
    "GET",
    "/v1/companies/{company}/credit-limits",
    ListCreditLimits,
    CreditLimits,
    "Customers with a credit limit, and how much of it they use",
)

OPERATIONS = (PUT_CREDIT_LIMIT, CREDIT_LIMITS)
