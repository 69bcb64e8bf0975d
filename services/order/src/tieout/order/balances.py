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
            order_id=id,
            position=position,
            company=company,
            order_no=number,
            currency=currency,
            rate_micro=rate,
            lines={},
            received_minor=received,
            refunded_minor=refunded,
            held_minor=money[0],
            came_minor=money[1],
            went_minor=money[2],
            loose_credit_minor=loose,
            completed=done,
            at_delivery=late,
        )
        for position, id, company, number, currency, rate, received, refunded, *money, loose, done, late in rows
    }
    for position, line_no, *sums in await source.fetch(statements.lines, wanted):
        orders[position].lines[line_no] = LineBalance(*sums)
    return orders
