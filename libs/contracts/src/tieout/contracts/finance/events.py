"""What finance hears about money, and what it announces."""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct
from tieout.contracts.event import Company, Currency, Event, Minor, Number, Period
from tieout.contracts.order import ControlPasses


class Allocation(Struct, frozen=True, omit_defaults=True):
    """Money for one order. The amount may be left out: then as much as the order owes.

    A discount is what the customer kept for paying early (T14b), beside the money; it closes as much of the bill.
    """

    order_source: str
    order_number: Number
    amount_minor: int | None = None
    discount_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0


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
    amount_minor: Minor  # Signed: a refund or a reversal takes back. 0 where only what is held has changed.
    held_minor: Minor = 0  # Change of what is held for it besides: a deposit, or money that is owed back.


class OrdersSettled(Event, frozen=True):
    """Money (or prepaid money) was applied to the receivables of orders, taken back from them, or is held for them."""

    SUBJECT: ClassVar = "finance.settled.v1"
    PRODUCER: ClassVar = "finance"

    settlement_id: UUID
    company: Company
    currency: Currency
    cause: Literal["payment", "prepayment", "refund", "credit", "write_off"]
    document_no: str
    items: tuple[SettledItem, ...]


class DocumentSettled(Event, frozen=True):
    """What became of a payment or refund that changed nothing: repeated, or in conflict.

    One conflict is `booked`: a refund `above_received`, of more than came, for that money has left.
    """

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
    booked: bool = False
    orders: tuple[str, ...] = ()  # In conflict: the numbers of the orders that it names, sorted.


class ClaimSettled(Event, frozen=True):
    """Nothing is left to claim of what refunds `above_received` paid: the money came, or was credited or given up."""

    SUBJECT: ClassVar = "finance.claim_settled.v1"
    PRODUCER: ClassVar = "finance"

    document_id: UUID  # What ended it: a payment, an application of one, a credit note, a discount, or a write-off.
    document_no: Number
    company: Company
    currency: Currency
    order_no: str  # "": refunds of a customer without an order.
    refunds: tuple[UUID, ...]  # Documents of all refunds that were told as above what came of this order, sorted.


class ClaimReopened(Event, frozen=True):
    """What was written off is owed after all, and with it what refunds `above_received` paid: their end, which was told
    before this, is none. One event for each source of these refunds."""

    SUBJECT: ClassVar = "finance.claim_reopened.v1"
    PRODUCER: ClassVar = "finance"

    document_id: UUID  # Of the recovery.
    document_no: Number
    company: Company
    currency: Currency
    order_no: str
    source: str  # Who sent the refunds.
    refunds: tuple[UUID, ...]  # The latest that make up the claim again, sorted.


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
