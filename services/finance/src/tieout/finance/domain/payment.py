"""Which order gets how much of a payment, and the lines that a payment or a refund posts besides the open items."""

from collections.abc import Mapping
from uuid import UUID

from tieout.contracts.event import order_id
from tieout.contracts.finance import SubmitPayment, SubmitRefund
from tieout.finance.domain.allocation import spread
from tieout.finance.domain.amounts import convert
from tieout.finance.domain.open_item import OpenItem, customer_item
from tieout.finance.domain.voucher import Draft


def items_of(event: SubmitPayment | SubmitRefund) -> list[OpenItem]:
    """The open items that a document may touch, as they are described if nobody has named them before."""
    if isinstance(event, SubmitPayment):
        orders = [(allocation.order_source, allocation.order_number) for allocation in event.allocations]
        own = True  # What the orders leave.
    else:
        orders = [(event.order_source or event.source, event.order_number)] if event.order_number else []
        own = not orders
    found = [
        OpenItem(
            order_id(event.company, source, number),
            event.currency,
            event.company,
            event.customer,
            source,
            number,
            True,
            rate_micro=event.rate_micro,
        )
        for source, number in dict.fromkeys(orders)
    ]
    if own:
        item_id = customer_item(event.company, event.customer)
        found.append(
            OpenItem(item_id, event.currency, event.company, event.customer, "", "", False, rate_micro=event.rate_micro)
        )
    return found


def orders_named(event: SubmitPayment | SubmitRefund) -> tuple[str, ...]:
    """Numbers of the orders that it names, sorted."""
    if isinstance(event, SubmitPayment):
        return tuple(sorted({allocation.order_number for allocation in event.allocations}))
    return (event.order_number,) if event.order_number else ()


def faulty(event: SubmitPayment) -> str:
    """A sentence where the parts of a payment exceed it; "" otherwise."""
    if event.fee_minor > event.received_minor:
        return f"The fee of {event.fee_minor} exceeds the payment of {event.received_minor}. Correct one of them."
    named = sum(allocation.amount_minor or 0 for allocation in event.allocations)
    if named > event.received_minor:
        return f"Allocations of {named} exceed the payment of {event.received_minor}. Correct one of them."
    negative = next((a for a in event.allocations if a.amount_minor is not None and a.amount_minor < 0), None)
    return f"The allocation for order {negative.order_number} is negative. Send a refund." if negative else ""


def allocate(
    event: SubmitPayment, items: Mapping[UUID, OpenItem], unlinked: UUID
) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """Amount per open item, the sum of which is the payment; and of these, what orders without an amount took.

    Named amounts first: what an order does not need is held for it as unapplied cash. Orders named without an amount
    get what they owe, less a discount taken, in the order that they are named. What is left belongs to the customer;
    while one of these orders is unknown, it is held for that.
    """
    shares: dict[UUID, int] = {}
    open_ended: list[UUID] = []
    for allocation in event.allocations:
        item_id = order_id(event.company, allocation.order_source, allocation.order_number)
        if allocation.amount_minor is None:
            open_ended.append(item_id)
        else:
            shares[item_id] = shares.get(item_id, 0) + allocation.amount_minor
    besides = dict(shares)
    for item_id, discount in discounts(event).items():
        besides[item_id] = besides.get(item_id, 0) + discount
    left = event.received_minor - sum(shares.values())
    taken, left = spread(list(dict.fromkeys(open_ended)), {}, left, items, besides)
    for item_id, amount in (*taken.items(), (unlinked, left)):
        shares[item_id] = shares.get(item_id, 0) + amount
    return {item_id: amount for item_id, amount in shares.items() if amount}, taken


def discounts(event: SubmitPayment | SubmitRefund) -> dict[UUID, int]:
    """Cash discounts that were taken with a payment, by open item."""
    found: dict[UUID, int] = {}
    for allocation in event.allocations if isinstance(event, SubmitPayment) else ():
        if allocation.discount_minor:
            item_id = order_id(event.company, allocation.order_source, allocation.order_number)
            found[item_id] = found.get(item_id, 0) + allocation.discount_minor
    return found


def discount_too_large(event: SubmitPayment | SubmitRefund, items: Mapping[UUID, OpenItem]) -> OpenItem | None:
    """The first order of which less is open than the discount that was taken."""
    return next((items[item_id] for item_id, amount in discounts(event).items() if amount > items[item_id].owed), None)


def to_come(item: OpenItem) -> bool:
    """Whether more of the order may still be billed, as far as anybody knows."""
    return item.order_net is None or item.order_net + (item.order_tax or 0) - item.stopped > item.billed


def template_of(draft: Draft, refund: bool) -> str:
    """T08 refund, T11 deposit, T10 in excess or owed back at once, T09 the rest: by where the money went."""
    roles = {line[7] for line in draft.lines}
    if refund:
        return "T08"
    if "unapplied" in roles or "refundable" in roles:
        return "T10"
    return "T11" if "deposit" in roles else "T09"


def money_lines(draft: Draft, event: SubmitPayment | SubmitRefund) -> None:
    """Bank or provider, and the fee. A payment's fee was withheld from it; a refund's fee was paid beside it."""
    functional = draft.company.currency
    cash_role = "bank" if event.method == "bank" else f"wallet:{event.method}"
    fee_role = "bank_fee" if event.method == "bank" else "platform_fee"
    fee = event.fee_minor
    fee_booked = convert(fee, event.rate_micro, event.currency, functional)
    if isinstance(event, SubmitPayment):
        amount = event.received_minor
        booked = convert(amount, event.rate_micro, event.currency, functional)
        draft.debit(cash_role, amount - fee, booked - fee_booked, event.currency)
        draft.debit(fee_role, fee, fee_booked, event.currency)
    else:
        amount = event.paid_minor
        booked = convert(amount, event.rate_micro, event.currency, functional)
        draft.debit(fee_role, fee, fee_booked, event.currency)
        draft.credit(cash_role, amount + fee, booked + fee_booked, event.currency)
