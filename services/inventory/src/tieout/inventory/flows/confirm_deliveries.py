"""inventory.deliver -> inventory.delivered

A carrier, a shop or a person says what has reached its customer. Only of orders whose control passes at delivery, and
never more than is on its way. A word that comes before its order, or before the goods have left, waits.
"""

from collections import defaultdict
from collections.abc import Sequence

from tieout.contracts.inventory import DELIVER, DeliverRequest, Delivery, SubmitDelivery
from tieout.inventory import by_order, deliveries
from tieout.inventory.by_order import NO_ORDER, Verdict, order_of
from tieout.inventory.papers import Paper, Papers, take_in
from tieout.inventory.stockroom import Stockroom
from tieout.servicekit import Database, Received, batch_flow, operation, sql

statements = sql.load(__file__)

NO_SHIPMENT = "waits_for_its_shipment"


@batch_flow("inventory-confirm-deliveries", SubmitDelivery, size=200)
async def confirm_deliveries(batch: list[Received[SubmitDelivery]], database: Database) -> None:
    async with database.transaction() as tx:
        room, papers, to_decide = await take_in("delivery", batch, tx)
        road = await _look_at_the_road(room, to_decide)
        for paper in to_decide:
            by_order.settle(papers, paper, road.deliver(paper), str(order_of(paper.content)), tx)
        await room.leave()
        await papers.save()


@operation(DELIVER)
async def deliver_shipment(request: DeliverRequest, database: Database) -> Delivery:
    """The same by hand. What would wait is refused instead: a person can look and try again."""
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitDelivery] = Papers("delivery", tx, room.journal)
        head = by_order.head_by_hand("delivery", request, await by_order.enter_by_hand(room, request))
        paper = Paper("delivery", SubmitDelivery(**head, shipment=request.shipment), None)
        if not await by_order.is_new(papers, paper, request):
            return Delivery(True, ())
        road = await _look_at_the_road(room, [paper])
        verdict = road.deliver(paper)
        by_order.refuse_to_wait(request, verdict, "has not left yet; confirm that it left, or deliver what has.")
        by_order.settle(papers, paper, verdict, str(order_of(paper.content)), tx)
        await room.leave()
        await papers.save()
    return Delivery(False, verdict.lines)


class Road:
    """What is on its way of the orders of a batch; their anchors are locked."""

    def __init__(self, room: Stockroom, shipments: dict[tuple[int, int], dict[int, int]]) -> None:
        self._room = room
        self._shipments = shipments  # Quantity by line, by (position of the order, number of the shipment).

    def deliver(self, paper: Paper[SubmitDelivery]) -> Verdict:
        said = paper.content
        order = self._room.orders.get(order_of(said))
        if order is None:
            return Verdict(wait=NO_ORDER)
        if order.control_passes != "delivery":
            detail = f"Order {order.order_no} was the customer's when its goods left; a delivery changes nothing."
            return Verdict(refusal="passed_at_issue", detail=detail)
        shipment = None
        if said.shipment:
            shipment = self._shipments.get((order.position, said.shipment))
            if shipment is None:
                if any(line.reserved or line.back_ordered for line in order.lines.values()):
                    return Verdict(wait=NO_SHIPMENT)
                detail = f"Order {order.order_no} has had {order.shipments} shipments."
                return Verdict(refusal="unknown_shipment", detail=detail)
        lines = [(line.line_no, line.quantity_micro) for line in said.lines] or None
        decided = deliveries.check(order.lines, lines, shipment)
        if decided.wait or decided.refusal:
            return Verdict((), decided.wait, decided.refusal, decided.detail)
        parts = deliveries.deliver(decided.arriving, order.lines.values())
        day = max(order.business_date, said.business_date)
        self._room.journal.delivered(order, parts, day, said.number, paper.cause)
        return Verdict(parts)


async def _look_at_the_road(room: Stockroom, papers: Sequence[Paper[SubmitDelivery]]) -> Road:
    await room.anchor({order_of(paper.content) for paper in papers})
    named = {order_of(paper.content) for paper in papers if paper.content.shipment} & room.orders.keys()
    shipments: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    if named:
        positions = [room.orders[one].position for one in named]
        for position, ordinal, line_no, quantity in await room.tx.fetch(statements.shipments_of, positions):
            shipments[position, ordinal][line_no] = quantity
    return Road(room, dict(shipments))
