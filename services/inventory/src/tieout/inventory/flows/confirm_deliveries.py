"""inventory.deliver -> inventory.delivered

A carrier, a shop or a person says what has reached its customer. Only of orders whose control passes at delivery, and
never more than is on its way. A word that comes before its order, or before the goods have left, waits.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from tieout.contracts.event import document_id, order_id
from tieout.contracts.inventory import DELIVER, ConfirmedLine, DeliverRequest, Delivery, SubmitDelivery
from tieout.inventory import deliveries
from tieout.inventory.domain import Part
from tieout.inventory.papers import Paper, Papers
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.servicekit import Database, Received, Refused, batch_flow, operation, sql

statements = sql.load(__file__)

BY_HAND = "staff"  # Source of deliveries that a person enters.
NO_ORDER = "waits_for_its_order"
NO_SHIPMENT = "waits_for_its_shipment"


@batch_flow("inventory-confirm-deliveries", SubmitDelivery, size=200)
async def confirm_deliveries(batch: list[Received[SubmitDelivery]], database: Database) -> None:
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitDelivery] = Papers("delivery", tx, room.journal)
        await room.enter({received.data.company for received in batch})
        for received in batch:
            if received.data.company not in room.houses:
                tx.park(received, key=company_key(received.data.company), reason="unknown_company")
        to_decide = await papers.admit(papers.read(r for r in batch if r.data.company in room.houses))
        road = await _look_at_the_road(room, to_decide)
        for paper in to_decide:
            verdict, key = road.deliver(paper), str(_order_of(paper.content))
            if verdict.wait and paper.cause is not None:
                tx.park(paper.cause, key=key, reason=verdict.wait)
            elif verdict.refusal:
                papers.refuse(paper, verdict.refusal, verdict.detail)
            else:
                papers.accept(paper, sum(part.end - part.start for part in verdict.parts), _cost(verdict.parts))
                tx.wake([key])  # A return may have waited for these goods.
        await room.leave()
        await papers.save()


@operation(DELIVER)
async def deliver_shipment(request: DeliverRequest, database: Database) -> Delivery:
    """The same by hand. What would wait is refused instead: a person can look and try again."""
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitDelivery] = Papers("delivery", tx, room.journal)
        await room.enter({request.company})
        if request.company not in room.houses:
            detail = f"No company {request.company} is open. Open it in finance first."
            raise Refused("unknown_company", detail, field="company", status=404)
        zone = await tx.fetchval(statements.zone_of, request.company)
        paper = Paper("delivery", _by_hand(request, datetime.now(ZoneInfo(zone))), None)
        if not await papers.admit([paper]):
            if papers.conflicts:
                detail = f"The key {request.idempotency_key} was used with other content. Use a new key."
                raise Refused("conflict", detail, field="idempotency_key", status=409)
            return Delivery(True, ())
        road = await _look_at_the_road(room, [paper])
        verdict = road.deliver(paper)
        if verdict.wait or verdict.refusal:
            _refuse(request, verdict)
        papers.accept(paper, sum(part.end - part.start for part in verdict.parts), _cost(verdict.parts))
        tx.wake([str(_order_of(paper.content))])
        await room.leave()
        await papers.save()
    lines = [ConfirmedLine(p.line.line_no, p.line.sku, p.end - p.start, p.cost) for p in verdict.parts]
    return Delivery(False, tuple(lines))


class Verdict(NamedTuple):
    parts: Sequence[Part] = ()
    wait: str = ""
    refusal: str = ""
    detail: str = ""


class Road:
    """What is on its way of the orders of a batch; their anchors are locked."""

    def __init__(self, room: Stockroom, shipments: dict[tuple[int, int], dict[int, int]]) -> None:
        self._room = room
        self._shipments = shipments  # Quantity by line, by (position of the order, number of the shipment).

    def deliver(self, paper: Paper[SubmitDelivery]) -> Verdict:
        said = paper.content
        order = self._room.orders.get(_order_of(said))
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
    await room.anchor({_order_of(paper.content) for paper in papers})
    named = {_order_of(paper.content) for paper in papers if paper.content.shipment} & room.orders.keys()
    shipments: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    if named:
        positions = [room.orders[one].position for one in named]
        for position, ordinal, line_no, quantity in await room.tx.fetch(statements.shipments_of, positions):
            shipments[position, ordinal][line_no] = quantity
    return Road(room, dict(shipments))


def _order_of(said: SubmitDelivery) -> UUID:
    return order_id(said.company, said.order_source, said.order_number)


def _cost(parts: Sequence[Part]) -> int:
    return sum(part.cost for part in parts)


def _by_hand(request: DeliverRequest, now: datetime) -> SubmitDelivery:
    fingerprint = sha256(msgspec.json.encode(request)).hexdigest()
    return SubmitDelivery(
        intake_id=document_id("delivery-by-hand", request.company, request.idempotency_key, fingerprint),
        company=request.company,
        source=BY_HAND,
        number=request.idempotency_key,
        version="1",
        fingerprint=fingerprint,
        order_source=request.order_source,
        order_number=request.order_no,
        occurred_at=now,
        zone=str(now.tzinfo),
        business_date=request.business_date or now.date(),
        shipment=request.shipment,
        lines=request.lines,
    )


def _refuse(request: DeliverRequest, verdict: Verdict) -> None:
    number = request.order_no
    if verdict.wait == NO_ORDER:
        detail = f"No order {number} of {request.order_source} in company {request.company}."
        raise Refused("not_found", detail, field="order_no", status=404)
    if verdict.wait:
        detail = f"Part of order {number} has not left yet; confirm that it left, or deliver what has."
        raise Refused(verdict.wait, detail, field="lines", status=409)
    raise Refused(verdict.refusal, verdict.detail, field="lines", status=409)
