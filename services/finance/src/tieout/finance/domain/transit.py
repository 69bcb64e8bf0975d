"""Goods on their way, where control passes at delivery: T02 when they leave, T04 when they are stopped. No revenue yet.

Cost is posted exactly as inventory announced it; T02b, which sells them, is domain/billing.py's.
"""

from collections.abc import Iterator
from uuid import UUID

from tieout.contracts.inventory import GoodsDelivered, GoodsRecalled, GoodsShipped
from tieout.finance.domain.billing import PostedLine
from tieout.finance.domain.periods import Posting
from tieout.finance.domain.voucher import Company, Draft

# position, quantity, value, chain, line number, kind, document number: transit's columns.
TransitLine = tuple[int, int, int, UUID, int, str, str]


def send(event: GoodsShipped, cause_position: int, company: Company, when: Posting) -> Draft:
    """T02: D 1406 C 1405. Without lines where the goods are worth nothing."""
    draft = Draft(
        company,
        "T02",
        when.period,
        when.day,
        when.deferred_from,
        event.business_date,
        event.order_id,
        event.shipment_id,
        event.order_no,
        event.order_no,
        event.customer,
        event.cost_currency,
        "inventory",
        cause_position,
        lines=[],
    )
    cost = sum(line.cost_minor for line in event.lines)
    draft.debit("in_transit", cost, cost, event.cost_currency)
    draft.credit("stock", cost, cost, event.cost_currency)
    return draft


def sent_lines(event: GoodsShipped, position: int) -> Iterator[PostedLine]:
    """They have left stock and are billed with nothing."""
    for line in event.lines:
        kind = "shipped" if line.kind == "goods" else "service"
        quantity = line.from_micro - line.to_micro
        what = (quantity, -line.cost_minor, 0, 0, event.order_id, line.line_no, kind, line.account)
        yield position, *what, False, event.order_no, event.currency


def transit_lines(event: GoodsShipped | GoodsDelivered | GoodsRecalled, position: int) -> Iterator[TransitLine]:
    chain, number = event.order_id, event.order_no
    if isinstance(event, GoodsRecalled):
        for back in event.lines:
            yield position, -back.quantity_micro, -back.value_minor, chain, back.line_no, "recalled", number
        return
    sign, kind = (1, "sent") if isinstance(event, GoodsShipped) else (-1, "delivered")
    for line in event.lines:
        quantity = line.to_micro - line.from_micro
        yield position, sign * quantity, sign * line.cost_minor, chain, line.line_no, kind, number
