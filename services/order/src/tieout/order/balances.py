"""Reads what orders stand at: sums of their facts, never a number kept beside them."""

from collections.abc import Collection
from typing import Any, Protocol

from tieout.order.domain import LineBalance, OrderBalance
from tieout.servicekit import sql

statements = sql.load(__file__)


class Reads(Protocol):
    """A transaction, or a connection that only reads."""

    async def fetch(self, query: str, *args: Any) -> Any: ...


async def load(source: Reads, positions: Collection[int]) -> dict[int, OrderBalance]:
    """By position of the order. Callers that decide on a balance hold the order's anchor."""
    if not positions:
        return {}
    wanted = sorted(positions)
    rows = await source.fetch(statements.orders, wanted)
    orders = {
        position: OrderBalance(
            order_id=order_id,
            position=position,
            company=company,
            order_no=order_no,
            currency=currency,
            rate_micro=rate,
            lines={},
            received_minor=received,
            refunded_minor=refunded,
            loose_credit_minor=loose,
            completed=completed,
            at_delivery=late,
        )
        for position, order_id, company, order_no, currency, rate, received, refunded, loose, completed, late in rows
    }
    for position, line_no, *sums in await source.fetch(statements.lines, wanted):
        orders[position].lines[line_no] = LineBalance(*sums)
    return orders
