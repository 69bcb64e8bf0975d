"""What may become of a sales order. Pure rules: no I/O, no clock, no logging.

Only sums of facts are true: an order has no status column. Quantities are millionths, amounts minor units.
"""

from collections.abc import Iterable, Mapping
from typing import Literal
from uuid import UUID

from msgspec import Struct
from tieout.contracts.currency import spelled
from tieout.contracts.event import order_id
from tieout.contracts.order import (
    Billing,
    CancelLine,
    CostAccount,
    CreditLine,
    Fulfilment,
    PaymentStatus,
    ReturnedLine,
    SubmitCredit,
    SubmitOrder,
)

LARGEST_TOTAL = 10**18  # What a bigint column and the sums over it bear without overflow.


def portion(amount_minor: int, upto_micro: int, whole_micro: int) -> int:
    """A(q) = half_up(amount * q / whole): what the first `upto_micro` of a line are worth."""
    if upto_micro == whole_micro:
        return amount_minor
    return (2 * amount_minor * upto_micro + whole_micro) // (2 * whole_micro)


def part(amount_minor: int, from_micro: int, to_micro: int, whole_micro: int) -> int:
    """A(to) - A(from). Parts add up to the whole line, in whatever order they come."""
    return portion(amount_minor, to_micro, whole_micro) - portion(amount_minor, from_micro, whole_micro)


# ---------------------------------------------------------------------------------------------------- documents


class Conflict(Struct, frozen=True):
    """Why a document changes nothing. It is told to its sender and kept as a fact, never dropped or written over."""

    reason: str
    detail: str


class Known(Struct, frozen=True):
    """A document of this number that was accepted before."""

    version: str
    fingerprint: str


def judge_repeat(known: Known, version: str, fingerprint: str) -> Conflict | None:
    """The same content again is a success without effect (None); other content under the same number is a conflict."""
    if known.fingerprint == fingerprint:
        return None
    if known.version == version:
        detail = f"Version {version} was accepted with fingerprint {known.fingerprint[:16]}, not {fingerprint[:16]}."
    else:
        detail = f"Version {known.version} was accepted with other content than version {version}."
    return Conflict("other_content", detail)


def judge_order(order: SubmitOrder) -> Conflict | None:
    """What no channel should let through, and no book could carry."""
    if len({line.line_no for line in order.lines}) != len(order.lines):
        return Conflict("repeated_line", "Two lines have the same line number; number them apart and submit again.")
    return None


def worth(order: SubmitOrder) -> int:
    """Net and tax of all its lines."""
    return sum(line.net_minor + line.tax_minor for line in order.lines)


def judge_credit_limit(order: SubmitOrder, used_minor: int, limit_minor: int) -> Conflict | None:
    """Exactly the limit is not above it. What costs nothing is never above it."""
    total = worth(order)
    if not total or used_minor + total <= limit_minor:
        return None
    detail = (
        f"Customer {order.customer} uses {spelled(used_minor, order.currency)} of "
        f"{spelled(limit_minor, order.currency)}; this order of {spelled(total, order.currency)} is above that. "
        "Submit it again when something was paid, or raise the limit."
    )
    return Conflict("above_credit_limit", detail)


def passes_at_delivery(order: SubmitOrder) -> bool:
    """An order without goods has nothing to deliver: its services are due when it is accepted, whatever the policy."""
    return order.control_passes == "delivery" and any(line.kind == "goods" for line in order.lines)


def cost_account_of(total_minor: int) -> CostAccount:
    """An order that is free altogether is a sample; a free line beside priced ones is cost of goods sold."""
    return "cogs" if total_minor else "sample"


# ----------------------------------------------------------------------------------------------------- balances


class LineBalance(Struct, gc=False):
    """The sums of facts of one line."""

    sku: str
    ordered_micro: int
    net_minor: int  # Of the whole line, as placed.
    tax_minor: int
    refused_micro: int = 0
    cancelled_micro: int = 0
    reserved_micro: int = 0  # Announced reserved, less what was stopped or shipped out of it.
    back_ordered_micro: int = 0
    shipped_micro: int = 0
    billed_net_minor: int = 0
    billed_tax_minor: int = 0
    credited_micro: int = 0
    credited_net_minor: int = 0
    credited_tax_minor: int = 0
    on_way_micro: int = 0  # Of shipped: not delivered yet, where control passes then. What was stopped there is not.

    @property
    def passed_micro(self) -> int:
        """What is the customer's: only this is billed, and only this comes back as a return."""
        return self.shipped_micro - self.on_way_micro

    @property
    def stopped_micro(self) -> int:
        return self.refused_micro + self.cancelled_micro

    @property
    def open_micro(self) -> int:
        """What still may ship: reserved, back-ordered and unallocated together."""
        return self.ordered_micro - self.stopped_micro - self.shipped_micro

    @property
    def unallocated_micro(self) -> int:
        return self.open_micro - self.reserved_micro - self.back_ordered_micro

    @property
    def fulfillable_micro(self) -> int:
        """The most that can ever have shipped, as far as is known now."""
        return max(self.ordered_micro - self.stopped_micro, self.shipped_micro)

    @property
    def billable(self) -> tuple[int, int]:
        """The most net and tax that can ever have been billed."""
        upto = min(self.fulfillable_micro, self.ordered_micro)
        return (
            max(portion(self.net_minor, upto, self.ordered_micro), self.billed_net_minor),
            max(portion(self.tax_minor, upto, self.ordered_micro), self.billed_tax_minor),
        )


class OrderBalance(Struct):
    """The sums of facts of one order."""

    order_id: UUID
    position: int  # Of its OrderPlaced; the key of its facts.
    company: str
    order_no: str
    currency: str
    rate_micro: int  # As placed; a credit mirrors it.
    lines: dict[int, LineBalance]
    received_minor: int = 0  # Money applied.
    refunded_minor: int = 0  # Money taken back, as a positive number.
    held_minor: int = 0  # Money held for it besides: a deposit, or what is owed back.
    came_minor: int = 0  # Money of the customer, applied or held.
    went_minor: int = 0  # Paid back to him, as a positive number.
    loose_credit_minor: int = 0  # Net and tax of credits that name the order but none of its lines.
    completed: bool = False  # Announced as completed.
    at_delivery: bool = False  # Control passes then.

    @property
    def billed_minor(self) -> int:
        return sum(line.billed_net_minor + line.billed_tax_minor for line in self.lines.values())

    @property
    def billable_minor(self) -> int:
        return sum(sum(line.billable) for line in self.lines.values())

    @property
    def credited_minor(self) -> int:
        by_line = sum(line.credited_net_minor + line.credited_tax_minor for line in self.lines.values())
        return by_line + self.loose_credit_minor

    @property
    def settled_minor(self) -> int:
        return self.received_minor - self.refunded_minor

    @property
    def owed_minor(self) -> int:
        return self.billed_minor - self.credited_minor - self.settled_minor


def is_complete(order: OrderBalance) -> bool:
    """Nothing is unallocated, reserved, back-ordered or on its way, and the open amount is 0."""
    return order.owed_minor == 0 and all(line.open_micro + line.on_way_micro <= 0 for line in order.lines.values())


def fulfilment_of(order: OrderBalance) -> Fulfilment:
    lines = order.lines.values()
    if all(line.open_micro <= 0 for line in lines):
        if any(line.on_way_micro for line in lines):
            return "shipped"
        if order.at_delivery and not any(line.stopped_micro for line in lines):
            return "delivered"
        return "closed_short" if any(line.stopped_micro for line in lines) else "shipped"
    if any(line.shipped_micro for line in lines):
        return "part_shipped"
    if any(line.back_ordered_micro > 0 for line in lines):
        return "back_ordered"
    if any(line.reserved_micro > 0 for line in lines) and all(line.unallocated_micro <= 0 for line in lines):
        return "reserved"
    return "open"


def billing_of(order: OrderBalance) -> Billing:
    billed, credited = order.billed_minor, order.credited_minor
    if credited and billed:
        return "credited" if credited >= billed else "part_credited"
    if not any(line.passed_micro for line in order.lines.values()):
        return "unbilled"
    to_come = any(line.open_micro + line.on_way_micro > 0 for line in order.lines.values())
    return "part_billed" if to_come else "billed"


def payment_of(order: OrderBalance) -> PaymentStatus:
    """Money that is held counts against all that the order can still cost, so an order may be paid before it ships;
    without such money, paid is what was billed. More paid back than ever came is no refund: its customer owes it."""
    if order.settled_minor + order.held_minor <= 0:
        return "refunded" if order.came_minor and order.went_minor else "unpaid"
    to_pay = order.owed_minor
    if order.held_minor:
        to_pay += order.billable_minor - order.billed_minor - order.held_minor
    if to_pay < 0:
        return "overpaid"
    return "part_paid" if to_pay else "paid"


# ------------------------------------------------------------------------------------------------ cancellations


def judge_cancellation(lines: Iterable[CancelLine], ordered_micro: Mapping[int, int]) -> Conflict | None:
    """Only what the order itself can tell is judged here; how much can still be stopped is inventory's decision."""
    seen: set[int] = set()
    for line in lines:
        if line.line_no not in ordered_micro:
            return Conflict("unknown_line", f"The order has no line {line.line_no}.")
        if line.line_no in seen:
            return Conflict(
                "repeated_line", f"Line {line.line_no} stands twice in the cancellation; add the quantities."
            )
        if line.quantity_micro > ordered_micro[line.line_no]:
            return Conflict("above_ordered", f"Line {line.line_no} was ordered with a smaller quantity.")
        seen.add(line.line_no)
    return None


# ------------------------------------------------------------------------------------------------------ credits


class Conditional(Struct, frozen=True):
    """The part of a credit line that had not left, or was still on its way, when the credit came: first asked to be
    stopped.

    What inventory answers as too late comes back as a credit after all, priced A(credited + late) - A(credited) of the
    credit line, so that stopped and returned parts add up whatever came first.
    """

    line: CreditLine
    credited_micro: int  # Of this line, credited at once.
    asked_micro: int  # Asked to be stopped.


class CreditDecision(Struct, frozen=True):
    """Exactly one of three: in conflict, waiting for an order's next fact, or accepted."""

    conflict: Conflict | None = None
    waits_for: UUID | None = None
    returned: tuple[ReturnedLine, ...] = ()
    conditional: tuple[tuple[UUID, Conditional], ...] = ()


def linked_orders(credit: SubmitCredit) -> list[UUID | None]:
    """The order that each line credits; None where a line names none. Links never leave the company and satellite."""
    ids: dict[str, UUID | None] = {"": None}
    found: list[UUID | None] = []
    for line in credit.lines:
        number = line.order_number or credit.order_number
        if number not in ids:
            ids[number] = order_id(credit.company, credit.source, number)
        found.append(ids[number])
    return found


def judge_credit(credit: SubmitCredit, links: list[UUID | None], orders: Mapping[UUID, OrderBalance]) -> CreditDecision:
    """Linked lines: credited <= billed and returned <= shipped, per line and, for money, per order.

    What can fit later (its sale is unknown, or not yet shipped far enough) waits; what never can is a conflict.
    Accepted lines are added to the balances, so that the next credit of the same batch sees them.
    """
    if len({line.line_no for line in credit.lines}) != len(credit.lines):
        return CreditDecision(Conflict("repeated_line", "Two lines have the same line number."))
    waits_for: UUID | None = None
    returned: list[ReturnedLine] = []
    conditional: list[tuple[UUID, Conditional]] = []
    claims = _Claims()
    for line, link in zip(credit.lines, links, strict=True):
        if link is None:
            returned.append(_returned(line, None, line.quantity_micro, line.net_minor, line.tax_minor))
            continue
        order = orders.get(link)
        if order is None:
            waits_for = waits_for or link
            continue
        verdict, now_micro = _fit(credit, line, order, claims)
        if isinstance(verdict, Conflict):
            return CreditDecision(verdict)
        if verdict == "later":
            waits_for = waits_for or link
            continue
        later_micro = line.quantity_micro - now_micro
        net, tax = _worth(line, now_micro)
        if now_micro or not line.quantity_micro:
            returned.append(_returned(line, link, now_micro, net, tax))
        if later_micro:
            conditional.append((link, Conditional(line, now_micro, later_micro)))
    if waits_for is not None:
        return CreditDecision(waits_for=waits_for)
    claims.apply(orders)
    return CreditDecision(returned=tuple(returned), conditional=tuple(conditional))


def late_return(
    conditional: Conditional, too_late_micro: int, order: OrderBalance
) -> ReturnedLine | Literal["later"] | None:
    """The credit for what inventory could not stop any more, or "later" while its shipment is not noted yet.

    Never above what has shipped and was billed: None where nothing of it did.
    """
    line = conditional.line
    sold = order.lines[line.order_line_no]
    left_micro = sold.passed_micro - sold.credited_micro
    late_micro = min(too_late_micro, conditional.asked_micro)
    if late_micro > left_micro and sold.open_micro + sold.on_way_micro > 0:
        return "later"
    late_micro = min(late_micro, left_micro)
    if late_micro <= 0:
        return None
    start, end = conditional.credited_micro, conditional.credited_micro + late_micro
    net = min(part(line.net_minor, start, end, line.quantity_micro), sold.billed_net_minor - sold.credited_net_minor)
    tax = min(part(line.tax_minor, start, end, line.quantity_micro), sold.billed_tax_minor - sold.credited_tax_minor)
    sold.credited_micro += late_micro
    sold.credited_net_minor += net
    sold.credited_tax_minor += tax
    return _returned(line, order.order_id, late_micro, net, tax, continued=start > 0)


class _Claims:
    """What the lines of one credit take so far, kept apart from the balances until the whole credit fits."""

    def __init__(self) -> None:
        self.by_line: dict[tuple[UUID, int], list[int]] = {}
        self.by_order: dict[UUID, int] = {}
        self._bounds: dict[UUID, tuple[int, int, int]] = {}

    def bounds(self, order: OrderBalance) -> tuple[int, int, int]:
        """Credited before, billable and billed. Added up once: both may have ten thousand lines."""
        found = self._bounds.get(order.order_id)
        if found is None:
            found = self._bounds[order.order_id] = (order.credited_minor, order.billable_minor, order.billed_minor)
        return found

    def taken(self, order: UUID, line_no: int) -> list[int]:
        return self.by_line.setdefault((order, line_no), [0, 0, 0])

    def apply(self, orders: Mapping[UUID, OrderBalance]) -> None:
        for (order, line_no), (quantity, net, tax) in self.by_line.items():
            if line_no:
                line = orders[order].lines[line_no]
                line.credited_micro += quantity
                line.credited_net_minor += net
                line.credited_tax_minor += tax
            else:
                orders[order].loose_credit_minor += net + tax


def _pieces(micro: int) -> str:
    """1_500_000 -> 1.5"""
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}".rstrip("0").rstrip(".")


def _fit(
    credit: SubmitCredit, line: CreditLine, order: OrderBalance, claims: _Claims
) -> tuple[Conflict | Literal["now", "later"], int]:
    """Whether a linked line fits its sale now, later or never, and the quantity that is credited at once."""
    if credit.currency != order.currency:
        return Conflict("other_currency", f"Order {order.order_no} is in {order.currency}."), 0
    taken = claims.taken(order.order_id, line.order_line_no)
    now_micro = line.quantity_micro
    later = False
    if line.order_line_no == 0:
        if line.quantity_micro and line.restock != "no":
            return Conflict(
                "line_not_named", f"Line {line.line_no} returns goods; name the order line they left on."
            ), 0
    else:
        sold = order.lines.get(line.order_line_no)
        if sold is None:
            return Conflict("unknown_line", f"Order {order.order_no} has no line {line.order_line_no}."), 0
        if line.quantity_micro and line.sku != sold.sku:
            return Conflict("other_sku", f"Line {line.order_line_no} of order {order.order_no} sold {sold.sku}."), 0
        returned_micro = sold.credited_micro + taken[0]
        if returned_micro + line.quantity_micro > sold.fulfillable_micro:
            left = max(sold.fulfillable_micro - returned_micro, 0)
            return Conflict(
                "above_shipped",
                f"Line {line.order_line_no} of order {order.order_no} can bear {_pieces(left)} more, "
                f"not {_pieces(line.quantity_micro)}: {_pieces(sold.fulfillable_micro)} were sold and not stopped, "
                f"{_pieces(returned_micro)} are credited.",
            ), 0
        left_micro = max(sold.passed_micro - returned_micro, 0)
        # Goods that come back without having been delivered were never sold: they are asked to be stopped (T04).
        undelivered = line.restock in ("yes", "scrap") and left_micro < now_micro <= left_micro + sold.on_way_micro
        if line.restock == "if_fulfilled" or undelivered:
            now_micro = min(now_micro, left_micro)
        later = now_micro > left_micro
        net, tax = _worth(line, now_micro)
        net_after, tax_after = sold.credited_net_minor + taken[1] + net, sold.credited_tax_minor + taken[2] + tax
        billable_net, billable_tax = sold.billable
        if net_after > billable_net or tax_after > billable_tax:
            left_net = max(billable_net - sold.credited_net_minor - taken[1], 0)
            left_tax = max(billable_tax - sold.credited_tax_minor - taken[2], 0)
            return Conflict(
                "above_billed",
                f"Line {line.order_line_no} of order {order.order_no} was sold for less: it can bear "
                f"{spelled(left_net, order.currency)} net and {spelled(left_tax, order.currency)} tax more, not "
                f"{spelled(net, order.currency)} and {spelled(tax, order.currency)}.",
            ), 0
        later = later or net_after > sold.billed_net_minor or tax_after > sold.billed_tax_minor
    net, tax = _worth(line, now_micro)
    credited, billable, billed = claims.bounds(order)
    before = credited + claims.by_order.get(order.order_id, 0)
    total = before + net + tax
    if total > billable:
        return Conflict(
            "above_billed",
            f"Order {order.order_no} would be credited above what is billed: it can bear "
            f"{spelled(max(billable - before, 0), order.currency)} more, not {spelled(net + tax, order.currency)}.",
        ), 0
    if later or total > billed:
        return "later", 0
    claims.by_order[order.order_id] = claims.by_order.get(order.order_id, 0) + net + tax
    taken[0] += now_micro
    taken[1] += net
    taken[2] += tax
    return "now", now_micro


def _worth(line: CreditLine, quantity_micro: int) -> tuple[int, int]:
    if quantity_micro == line.quantity_micro:
        return line.net_minor, line.tax_minor
    return (
        portion(line.net_minor, quantity_micro, line.quantity_micro),
        portion(line.tax_minor, quantity_micro, line.quantity_micro),
    )


def _returned(
    line: CreditLine, order: UUID | None, quantity_micro: int, net: int, tax: int, *, continued: bool = False
) -> ReturnedLine:
    """`continued`: some of this line was credited before, and that has been counted as a line."""
    return ReturnedLine(
        line_no=line.line_no,
        sku=line.sku,
        quantity_micro=quantity_micro,
        net_minor=net,
        tax_minor=tax,
        order_id=order,
        order_line_no=line.order_line_no if order else 0,
        warehouse=line.warehouse,
        kind=line.kind,
        account=line.account,
        restock=line.kind == "goods" and quantity_micro > 0 and line.restock != "no",
        scrap=line.kind == "goods" and quantity_micro > 0 and line.restock == "scrap",
        part=line.part + continued,
    )
