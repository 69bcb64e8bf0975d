"""order.cancel_requested -> inventory.cancel_decided

Whoever holds the stock decides: back-ordered quantity is stopped first, then reserved; what has left is too late. What
was set free goes to those who wait. A request that comes before its order leaves a mark on the order's place, so that
nothing of it leaves before the request has been decided.
"""

from datetime import date
from typing import Any
from uuid import UUID

from tieout.contracts.order import CancelRequested
from tieout.inventory import domain
from tieout.inventory.stockroom import Order, Stockroom
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)


@batch_flow("inventory-decide-cancellations", CancelRequested, size=200)
async def decide_cancellations(batch: list[Received[CancelRequested]], database: Database) -> None:
    async with database.transaction() as tx:
        room = Stockroom(tx)
        await room.enter({received.data.company for received in batch})
        order_ids = {received.data.order_id for received in batch}
        await room.lock_goods_of(order_ids)
        await room.anchor(order_ids)
        requests = {received.data.cancel_id: received for received in reversed(batch)}
        for row in await tx.fetch(statements.decided, list(requests)):
            del requests[row["cancel_id"]]

        early: set[UUID] = set()
        brought: dict[int, tuple[Received[Any] | None, date]] = {}
        decided: dict[UUID, tuple[Order, Received[CancelRequested]]] = {}
        for received in reversed(requests.values()):
            request = received.data
            order = room.orders.get(request.order_id)
            if order is None:
                early.add(request.order_id)
                tx.park(received, key=str(request.order_id), reason="waits_for_its_order")
                continue
            if not room.holds_goods_of(order):  # It was placed after we had asked for its stock: once more, at once.
                tx.park(received, key=str(request.order_id), reason="came_with_its_order")
                tx.wake([str(request.order_id)])
                continue
            decided[order.order_id] = order, received
            unknown = [line.line_no for line in request.lines if line.line_no not in order.lines]
            if unknown:
                tx.bury(
                    received,
                    reason="unknown_line",
                    field="lines",
                    detail=f"Order {order.order_no} has no line {unknown[0]}.",
                )
                continue
            wanted = [(line.line_no, line.quantity_micro) for line in request.lines] or None
            stops = domain.cancel(order.lines, wanted)
            for stop in stops:
                if stop.reserved and stop.line.stock_id is not None:
                    brought[stop.line.stock_id] = (received, request.business_date)
            room.journal.cancelled(order, request.cancel_id, 1, stops, received)

        for order, received in decided.values():
            # Held back for a cancellation that came first, or services whose goods will never leave.
            room.journal.left(order, domain.due_at_once(order.lines.values()), order.business_date, received)
        if early:
            await tx.execute(statements.mark_waiting, list(early))
        await room.serve(brought)
        await room.leave()
        tx.wake(str(order_id) for order_id in decided)  # A confirmation may have waited for what was stopped now.
