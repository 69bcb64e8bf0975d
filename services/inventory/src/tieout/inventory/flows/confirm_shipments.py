"""inventory.confirm -> inventory.shipped

A warehouse's own system says what has left, in part or whole. A confirmation that comes before its order, or before its
stock, waits. Goods that were cancelled and left all the same are booked as they left: the cancellation is announced
again, as too late for them.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from tieout.contracts.event import document_id, order_id
from tieout.contracts.inventory import CONFIRM, Confirmation, ConfirmedLine, ConfirmRequest, SubmitConfirmation
from tieout.inventory import domain
from tieout.inventory.domain import Line, Part
from tieout.inventory.papers import Paper, Papers
from tieout.inventory.stockroom import Order, Stockroom, company_key
from tieout.servicekit import Database, Received, Refused, batch_flow, operation, sql

statements = sql.load(__file__)

BY_HAND = "staff"  # Source of confirmations that a person enters.


@batch_flow("inventory-confirm-shipments", SubmitConfirmation, size=200)
async def confirm_shipments(batch: list[Received[SubmitConfirmation]], database: Database) -> None:
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitConfirmation] = Papers("confirmation", tx, room.journal)
        await room.enter({received.data.company for received in batch})
        for received in batch:
            if received.data.company not in room.houses:
                tx.park(received, key=company_key(received.data.company), reason="unknown_company")
        to_decide = await papers.admit(papers.read(r for r in batch if r.data.company in room.houses))
        yard = await _open_yard(room, to_decide)
        for paper in to_decide:
            verdict, key = yard.confirm(paper), str(_order_of(paper.content))
            if verdict.wait and paper.cause is not None:
                tx.park(paper.cause, key=key, reason=verdict.wait)
            elif verdict.refusal:
                papers.refuse(paper, verdict.refusal, verdict.detail)
            else:
                papers.accept(paper, sum(part.end - part.start for part in verdict.parts), _cost(verdict.parts))
                tx.wake([key])  # A return may have waited for these goods.
            if verdict.wait == CAME_MEANWHILE:
                tx.wake([key])
        await room.leave()
        await papers.save()


@operation(CONFIRM)
async def confirm_shipment(request: ConfirmRequest, database: Database) -> Confirmation:
    """The same by hand. What would wait is refused instead: a person can look and try again."""
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitConfirmation] = Papers("confirmation", tx, room.journal)
        await room.enter({request.company})
        if request.company not in room.houses:
            detail = f"No company {request.company} is open. Open it in finance first."
            raise Refused("unknown_company", detail, field="company", status=404)
        zone = await tx.fetchval(statements.zone_of, request.company)
        paper = Paper("confirmation", _by_hand(request, datetime.now(ZoneInfo(zone))), None)
        if not await papers.admit([paper]):
            if papers.conflicts:
                detail = f"The key {request.idempotency_key} was used with other content. Use a new key."
                raise Refused("conflict", detail, field="idempotency_key", status=409)
            return Confirmation(True, ())
        yard = await _open_yard(room, [paper])
        verdict = yard.confirm(paper)
        if verdict.wait or verdict.refusal:
            _refuse(request, verdict)
        papers.accept(paper, sum(part.end - part.start for part in verdict.parts), _cost(verdict.parts))
        tx.wake([str(_order_of(paper.content))])
        await room.leave()
        await papers.save()
    lines = [ConfirmedLine(p.line.line_no, p.line.sku, p.end - p.start, p.cost) for p in verdict.parts]
    return Confirmation(False, tuple(lines))


NO_ORDER = "waits_for_its_order"
CAME_MEANWHILE = "came_with_its_order"


class Verdict(NamedTuple):
    parts: Sequence[Part] = ()
    wait: str = ""
    refusal: str = ""
    detail: str = ""


class Yard:
    """Everything that is locked for a batch of confirmations."""

    def __init__(self, room: Stockroom, stopped: dict[tuple[int, int], list[list[Any]]]) -> None:
        self._room = room
        self._stopped = stopped

    def confirm(self, paper: Paper[SubmitConfirmation]) -> Verdict:
        said = paper.content
        order = self._room.orders.get(_order_of(said))
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
            self._room.journal.cancelled(order, cancel_id, ordinal, domain.take_stops_back(lines), paper.cause)
            for entries in self._stopped.values():
                for entry in entries:
                    if entry[0] == cancel_id:
                        entry[1] = ordinal + 1


async def _open_yard(room: Stockroom, papers: Sequence[Paper[SubmitConfirmation]]) -> Yard:
    order_ids = {_order_of(paper.content) for paper in papers}
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


def _order_of(said: SubmitConfirmation) -> UUID:
    return order_id(said.company, said.order_source, said.order_number)


def _cost(parts: Sequence[Part]) -> int:
    return sum(part.cost for part in parts)


def _by_hand(request: ConfirmRequest, now: datetime) -> SubmitConfirmation:
    fingerprint = sha256(msgspec.json.encode(request)).hexdigest()
    return SubmitConfirmation(
        intake_id=document_id("confirmation-by-hand", request.company, request.idempotency_key, fingerprint),
        company=request.company,
        source=BY_HAND,
        number=request.idempotency_key,
        version="1",
        fingerprint=fingerprint,
        warehouse=request.warehouse,
        order_source=request.order_source,
        order_number=request.order_no,
        occurred_at=now,
        zone=str(now.tzinfo),
        business_date=request.business_date or now.date(),
        lines=request.lines,
    )


def _refuse(request: ConfirmRequest, verdict: Verdict) -> None:
    number = request.order_no
    if verdict.wait == NO_ORDER:
        detail = f"No order {number} of {request.order_source} in company {request.company}."
        raise Refused("not_found", detail, field="order_no", status=404)
    if verdict.wait == CAME_MEANWHILE:
        raise Refused("busy", f"Order {number} is being placed at this moment. Try again.", status=503)
    if verdict.wait:
        raise Refused(verdict.wait, f"Part of order {number} is back-ordered; confirm what is reserved.", status=409)
    raise Refused(verdict.refusal, verdict.detail, field="lines", status=409)
