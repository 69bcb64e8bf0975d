"""order.cancel_requested -> inventory.cancel_decided; inventory.recalled where goods were stopped on their way

Whoever holds the stock decides: back-ordered quantity is stopped first, then reserved; what has left is too late, but
where control passes at delivery it is stopped on its way, and comes back at the cost it left with. What was set free
goes to those who wait. A request that comes before its order leaves a mark on the order's place, so that
nothing of it leaves before the request has been decided.
"""

from collections import defaultdict
from datetime import date
from typing import Any
from uuid import UUID

from tieout.contracts.order import CancelRequested
from tieout.inventory import deliveries, domain
from tieout.inventory.domain import Stop
from tieout.inventory.journal import Moved
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
        requests = {(received.data.cancel_id, received.data.void): received for received in reversed(batch)}
        for row in await tx.fetch(statements.decided, [cancel_id for cancel_id, _ in requests]):
            requests.pop((row["cancel_id"], False), None)

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
            if request.void:
                continue  # What was held back for it may leave.
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
                if (stop.reserved or stop.issued) and stop.line.stock_id is not None:
                    brought[stop.line.stock_id] = (received, request.business_date)
            room.journal.cancelled(order, request.cancel_id, 1, stops, request.business_date, received)
            recall(room, order, received, [stop for stop in stops if stop.issued])

        for order, received in decided.values():
            # Held back for a cancellation that came first, or services whose goods will never leave.
            lines = order.lines.values()
            room.journal.left(order, domain.due_at_once(lines), order.business_date, received)
            day = max(order.business_date, received.data.business_date)
            room.journal.delivered(order, deliveries.pass_services(lines), day, "", received)
        if early:
            await tx.execute(statements.mark_waiting, list(early))
        await room.serve(brought)
        await room.leave()
        tx.wake(str(order_id) for order_id in decided)  # A confirmation may have waited for what was stopped now.


def recall(room: Stockroom, order: Order, received: Received[CancelRequested], stops: list[Stop]) -> None:
    """Goods that were stopped on their way are back in stock, at the cost they left with."""
    if not stops:
        return
    day = max(order.business_date, received.data.business_date)
    back: list[Moved] = []
    revalued: defaultdict[str, list[Moved]] = defaultdict(list)
    for stop in stops:
        line, stock = stop.line, stop.line.stock
        if stock is None:
            continue  # A service leaves nothing to put back.
        revaluation = stock.receive(stop.issued, stop.value)
        moved = Moved(line.line_no, stock, stop.issued, stop.value, stock.seq - bool(revaluation))
        moved.order_position, moved.order_line_no = order.position, line.line_no
        back.append(moved)
        if revaluation:
            revalued[line.warehouse].append(Moved(line.line_no, stock, 0, revaluation, stock.seq))
    room.journal.recalled(order, received.data.cancel_id, stops, back, day, received)
    for warehouse, lines in revalued.items():
        document = received.data.cancel_id, order.order_no, day
        room.journal.revalued(order.company, warehouse, document, lines, received)
