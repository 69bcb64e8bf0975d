"""Announces once that an order is complete, in the transaction that brings its last fact.

Every flow that adds a fact calls this at its end, under the locks of the orders: whichever comes last sees all.
"""

from collections.abc import Collection

from tieout.contracts.order import OrderCompleted
from tieout.order import balances
from tieout.order.domain import is_complete
from tieout.servicekit import Transaction, sql

statements = sql.load(__file__)


async def touched_by_money(tx: Transaction, positions: Collection[int]) -> set[int]:
    """Which of these orders were paid or credited at all; most shipments need no further look."""
    return {row[0] for row in await tx.fetch(statements.touched_by_money, sorted(positions))}


async def complete(tx: Transaction, positions: Collection[int]) -> None:
    """`positions`: of the orders to look at."""
    orders = [order for order in (await balances.load(tx, positions)).values() if not order.completed]
    # Sorted: a recovery runs this twice, and must announce the same in the same order.
    done = sorted((order for order in orders if is_complete(order)), key=lambda order: order.position)
    if not done:
        return
    announced = await tx.positions(len(done))
    await tx.copy(
        "completion",
        columns=("order_position", "position"),
        records=[(order.position, position) for order, position in zip(done, announced, strict=True)],
    )
    for order, position in zip(done, announced, strict=True):
        tx.announce(
            OrderCompleted(order_id=order.order_id, company=order.company, order_no=order.order_no),
            position=position,
            key=(order.order_id,),
            chain=order.order_id,
            order_no=order.order_no,
            company=order.company,
            cause=None,
        )
