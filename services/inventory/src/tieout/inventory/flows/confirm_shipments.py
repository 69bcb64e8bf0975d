"""inventory.confirm -> inventory.shipped

A warehouse's own system says what has left, in part or whole. A confirmation that comes before its order, or before its
stock, waits. Goods that were cancelled and left all the same are booked as they left: the cancellation is announced
again, as too late for them; and if they had been promised to somebody else meanwhile, he waits for goods again.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tieout.contracts.inventory import CONFIRM, Confirmation, ConfirmRequest, SubmitConfirmation
from tieout.inventory import by_order, domain
from tieout.inventory.by_order import NO_ORDER, Verdict, order_of
from tieout.inventory.domain import Line
from tieout.inventory.papers import Paper, Papers, take_in
from tieout.inventory.stockroom import Order, Stockroom
from tieout.servicekit import Database, Received, Refused, batch_flow, operation, sql

statements = sql.load(__file__)

CAME_MEANWHILE = "came_with_its_order"


@batch_flow("inventory-confirm-shipments", SubmitConfirmation, size=200)
async def confirm_shipments(batch: list[Received[SubmitConfirmation]], database: Database) -> None:
    async with database.transaction() as tx:
        room, papers, to_decide = await take_in("confirmation", batch, tx)
        yard = await _open_yard(room, to_decide)
        for paper in to_decide:
            verdict, key = yard.confirm(paper), str(order_of(paper.content))
            by_order.settle(papers, paper, verdict, key, tx)
            if verdict.wait == CAME_MEANWHILE:
                tx.wake([key])
            await yard.call_back(verdict, paper)
        await room.leave()
        await papers.save()


@operation(CONFIRM)
async def confirm_shipment(request: ConfirmRequest, database: Database) -> Confirmation:
    """The same by hand. What would wait is refused instead: a person can look and try again."""
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitConfirmation] = Papers("confirmation", tx, room.journal)
        head = by_order.head_by_hand("confirmation", request, await by_order.enter_by_hand(room, request))
        paper = Paper("confirmation", SubmitConfirmation(**head, warehouse=request.warehouse), None)
        if not await by_order.is_new(papers, paper, request):
            return Confirmation(True, ())
        yard = await _open_yard(room, [paper])
        verdict = yard.confirm(paper)
        if verdict.wait == CAME_MEANWHILE:
            detail = f"Order {request.order_no} is being placed at this moment. Try again."
            raise Refused("busy", detail, status=503)
        by_order.refuse_to_wait(request, verdict, "is back-ordered; confirm what is reserved.")
        by_order.settle(papers, paper, verdict, str(order_of(paper.content)), tx)
        await yard.call_back(verdict, paper)
        await room.leave()
        await papers.save()
    return Confirmation(False, verdict.lines)


class Yard:
    """Everything that is locked for a batch of confirmations."""

    def __init__(self, room: Stockroom, stopped: dict[tuple[int, int], list[list[Any]]]) -> None:
        self._room = room
        self._stopped = stopped

    def confirm(self, paper: Paper[SubmitConfirmation]) -> Verdict:
        said = paper.content
        order = self._room.orders.get(order_of(said))
        if order is None:
            return Verdict(wait=NO_ORDER)
        if not self._room.holds_goods_of(order):
            return Verdict(wait=CAME_MEANWHILE)
        lines = [(line.line_no, line.quantity_micro) for line in said.lines] or None
        decided = domain.confirm(order.lines, said.warehouse, lines)
        if decided.wait or decided.refusal:
            return Verdict((), decided.wait, decided.refusal, decided.detail)
        self._take_stops_back(order, decided.back_again, paper)
        parts = domain.ship(decided.leaving, order.lines.values())
        self._room.journal.left(order, parts, max(order.business_date, said.business_date), paper.cause)
        return Verdict(parts)

    async def call_back(self, verdict: Verdict, paper: Paper[SubmitConfirmation]) -> None:
        """What left although it had been cancelled may have been promised again."""
        await self._room.call_back({part.stock.stock_id: paper.cause for part in verdict.parts if part.stock})

    def _take_stops_back(
        self, order: Order, back_again: Sequence[tuple[Line, int]], paper: Paper[SubmitConfirmation]
    ) -> None:
        """The latest cancellations are corrected first: each told what it came too late for."""
        corrections: defaultdict[tuple[UUID, int], list[tuple[Line, int]]] = defaultdict(list)
        for line, quantity in back_again:
            for entry in self._stopped[order.position, line.line_no]:
                cancel_id, ordinal, stopped = entry
                taken = min(quantity, stopped)
                if taken:
                    corrections[cancel_id, ordinal].append((line, taken))
                    entry[2] = stopped - taken
                    quantity -= taken
        for (cancel_id, ordinal), lines in corrections.items():
            stops, day = domain.take_stops_back(lines), paper.content.business_date
            self._room.journal.cancelled(order, cancel_id, ordinal, stops, day, paper.cause)
            for entries in self._stopped.values():
                for entry in entries:
                    if entry[0] == cancel_id:
                        entry[1] = ordinal + 1


async def _open_yard(room: Stockroom, papers: Sequence[Paper[SubmitConfirmation]]) -> Yard:
    order_ids = {order_of(paper.content) for paper in papers}
    await room.lock_goods_of(order_ids)
    await room.anchor(order_ids)
    stopped: dict[tuple[int, int], list[list[Any]]] = defaultdict(list)
    suspects = [o.position for o in room.orders.values() if any(line.reserved_stopped for line in o.lines.values())]
    if suspects:
        for position, line_no, cancel_id, ordinal, quantity in await room.tx.fetch(
            statements.stopped_reservations, suspects
        ):
            stopped[position, line_no].append([cancel_id, ordinal, quantity])
    return Yard(room, stopped)
