"""What the customer of one order owes, and what money of his is held for it.

The upper half (billed, credited, received, refunded, stopped) are sums of facts. Everything else follows from them by
`settle`, a pure function: so whichever of payment, shipment, credit and refund comes first, the balances end the same.

    1122 receivable   billed - credited - settled
    2204 + 2221.06    deposit: money for what is still to be shipped, split as the order splits into net and tax
    2241.01           refundable: money for what was stopped and will never ship
    2203              unapplied: money without an order, or above what the order can still cost
"""

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

    @property
    def key(self) -> tuple[UUID, str]:
        return self.item_id, self.currency

    @property
    def owed(self) -> int:
        """What 1122 shows: negative where we owe the customer."""
        return self.billed - self.credited - self.settled

    @property
    def expected(self) -> int:
        """What a payment that names no amount should bring: the whole order, or what was billed of it by now."""
        whole = max(self.billed, (self.order_net or 0) + (self.order_tax or 0) - self.stopped)
        return max(whole - self.credited - self.received + self.refunded, 0)

    def held(self) -> tuple[int, int, int, int, int]:
        """Balances as credits, in the order of HELD_ROLES; the first is money applied to the receivable."""
        return self.settled, self.deposit_net, self.deposit_tax, self.refundable, self.unapplied

    def settle(self) -> bool:
        """Derive the lower half from the upper one. True where something moved."""
        money = self.received - self.refunded
        before = self.held()
        if not money and not any(before):
            return False  # No money: by far the most common case.
        # Money covers what is due; without a due amount it may still be negative: paid back more than came in.
        self.settled = min(money, max(self.billed - self.credited, 0))
        rest = money - self.settled
        deposit = tax = 0
        if self.order_net is not None and self.order_tax is not None:
            whole = self.order_net + self.order_tax
            deposit = min(rest, max(whole - self.stopped - self.billed, 0))
            tax = half_up(self.order_tax * deposit, whole) if whole else 0
        self.deposit_net = deposit - tax
        self.deposit_tax = tax
        self.refundable = min(rest - deposit, self.stopped)
        self.unapplied = rest - deposit - self.refundable
        return self.held() != before

    def functional(self, functional: str) -> tuple[int, int, int, int, int]:
        """The balances of 1122 (as a credit) and the others in the company's currency, at the item's own rate.

        A function of the balance alone, so that what is left of a balance of 0 is 0, whatever happened before.
        """
        rate = self.rate_micro or 1_000_000
        balances = (-self.owed, *self.held()[1:])
        return tuple(convert(balance, rate, self.currency, functional) for balance in balances)  # type: ignore[return-value]
