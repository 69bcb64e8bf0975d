"""What the customer of one order owes, and what money of his is held for it.

The upper half (billed, credited, received, refunded, stopped) are sums of facts. Everything else follows from them by
`settle`, a pure function: so whichever of payment, shipment, credit and refund comes first, the balances end the same.

    1122 receivable   billed - credited - settled
    2204 + 2221.06    deposit: money for what is still to be shipped, split as the order splits into net and tax
    2241.01           refundable: money for what was stopped and will never ship
    2203              unapplied: money without an order, or above what the order can still cost

Where the tax point is later than goods issue, the tax of what was billed waits in 2221.06 (`tax_billed`); what of it
has reached its tax point (`tax_due`) stands in 2221.01.01, and follows from the upper half too.
"""

from copy import copy
from datetime import date
from uuid import UUID

from msgspec import Struct
from tieout.contracts.event import document_id
from tieout.finance.domain.amounts import convert, half_up

# Role of each balance in the chart, in the order of `OpenItem.held`.
HELD_ROLES = ("receivable", "deposit", "deposit_tax", "refundable", "unapplied")


def customer_item(company: str, customer: str) -> UUID:
    """The open item of what names no order: unlinked credits, money without an order."""
    return document_id("customer", company, "", customer)


class OpenItem(Struct, gc=False):
    item_id: UUID
    currency: str
    company: str
    customer: str
    source: str
    order_no: str
    of_order: bool
    awaited: bool = False
    order_net: int | None = None
    order_tax: int | None = None
    rate_micro: int | None = None
    billed: int = 0
    credited: int = 0
    received: int = 0
    refunded: int = 0
    stopped: int = 0
    settled: int = 0
    deposit_net: int = 0
    deposit_tax: int = 0
    refundable: int = 0
    unapplied: int = 0
    forgiven: int = 0  # Cash discounts taken and written off: closes the receivable without money.
    tax_point: str | None = None  # Policy; None: at goods issue and never invoiced before it, the taxes below stay 0.
    tax_billed: int = 0  # Minus credited. Billed and credited into 2221.06.
    tax_invoiced: int = 0  # On invoices (发票), minus red ones.
    tax_due: int = 0  # Of tax_billed: has reached its tax point.
    money_date: date | None = None  # Business date of the latest money that came or went: none of it moves before.

    @property
    def key(self) -> tuple[UUID, str]:
        return self.item_id, self.currency

    @property
    def owed(self) -> int:
        """What 1122 shows: negative where we owe the customer."""
        return self.billed - self.credited - self.settled

    @property
    def claim(self) -> int:
        """What of 1122 is money that went back and never came. 0 once it came, or is owed for nothing more: credited
        without an order, or written off."""
        if self.refunded <= self.received:
            return 0  # Nearly always.
        return max(min(self.refunded - self.received, self.owed), 0)

    @property
    def told(self) -> tuple[int, int]:
        """What its order hears of money: applied to the receivable, and held besides, once the order is known."""
        if self.order_net is None:
            return self.settled, 0
        return self.settled, self.deposit_net + self.deposit_tax + self.refundable + self.unapplied

    @property
    def to_pay(self) -> int:
        """What a payment that names no amount should bring: the whole order, or what was billed of it by now.
        Negative where more has come than that.

        Also what was stopped of it: money for that is owed back (2241.01), whether it came before the stop or after it.
        """
        return self.room - self.credited + self.refunded

    @property
    def room(self) -> int:
        """What the order costs, as it was placed or billed, above all the money that came for it. Negative where more
        has come than that."""
        whole = max(self.billed, (self.order_net or 0) + (self.order_tax or 0))
        return whole - self.forgiven - self.received

    def not_before_its_money(self, day: date) -> date:
        """The business date of what moves this money: a shipment that is told late cannot use a payment of tomorrow."""
        return day if self.money_date is None else max(day, self.money_date)

    def take_tax_point(self, policy: str) -> None:
        """An order keeps the policy that its company had when the first of it was billed, invoiced or credited."""
        if policy != "goods_issue" and self.tax_point is None and not self.billed and not self.credited:
            self.tax_point = policy

    def held(self) -> tuple[int, int, int, int, int]:
        """Balances as credits, in the order of HELD_ROLES; the first is what was applied to the receivable."""
        return self.settled, self.deposit_net, self.deposit_tax, self.refundable, self.unapplied

    def settle(self) -> bool:
        """Derive the lower half from the upper one. True where something moved."""
        money = self.received - self.refunded
        before = self.held()
        if not money and not any(before) and not self.forgiven and self.tax_point is None:
            return False  # No money: by far the most common case.
        # Money covers what is due; without a due amount it may still be negative: paid back more than came in.
        applied = min(money, max(self.billed - self.credited - self.forgiven, 0))
        self.settled = applied + self.forgiven
        rest = money - applied
        deposit = tax = 0
        if self.order_net is not None and self.order_tax is not None:
            whole = self.order_net + self.order_tax
            deposit = min(rest, max(whole - self.stopped - self.billed, 0))
            tax = half_up(self.order_tax * deposit, whole) if whole else 0
        self.deposit_net = deposit - tax
        self.deposit_tax = tax
        self.refundable = min(rest - deposit, self.stopped)
        self.unapplied = rest - deposit - self.refundable
        if self.tax_point is None:
            return self.held() != before
        tax_before, self.tax_due = self.tax_due, self._reached()
        return self.held() != before or self.tax_due != tax_before

    def _reached(self) -> int:
        """How much tax has reached its tax point: by the policy, or by an invoice that was issued before.

        A deposit can be invoiced before its goods leave. What is credited needs a red invoice, but owes no tax.
        """
        by_policy = {"payment": self._tax_settled(), "invoice": 0}.get(self.tax_point or "", self.tax_billed)
        covered = min(self.tax_invoiced, self.tax_billed + self.deposit_tax)
        return max(by_policy, covered) if covered > 0 else by_policy

    def _tax_settled(self) -> int:
        """The share of what is settled; cumulative, so that the transfers of many parts add up to the tax exactly."""
        gross = self.billed - self.credited
        if abs(self.settled) >= abs(gross):
            return self.tax_billed if self.settled * gross >= 0 else 0
        return half_up(self.tax_billed * abs(self.settled), abs(gross)) if self.settled * gross > 0 else 0

    def tax_due_then(self) -> int:
        """What `settle` would find as the tax due."""
        other = copy(self)
        other.settle()
        return other.tax_due

    def pending(self, functional: str) -> int:
        """What of the tax waits in 2221.06, in the company's currency."""
        rate = self.rate_micro or 1_000_000
        billed = convert(self.tax_billed, rate, self.currency, functional)
        return billed - convert(self.tax_due, rate, self.currency, functional)

    def functional(self, functional: str) -> tuple[int, int, int, int, int]:
        """The balances of 1122 (as a credit) and the others in the company's currency, at the item's own rate.

        A function of the balance alone, so that what is left of a balance of 0 is 0, whatever happened before.
        """
        rate = self.rate_micro or 1_000_000
        balances = (-self.owed, *self.held()[1:])
        return tuple(convert(balance, rate, self.currency, functional) for balance in balances)  # type: ignore[return-value]
