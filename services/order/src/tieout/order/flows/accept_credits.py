"""order.credit -> order.returned | order.cancel_requested | order.repeated | order.conflicted

A credit whose sale is unknown, or not yet shipped far enough, waits under the sale's lock. What had not left when a
credit `if_fulfilled` comes, and returned goods that were not delivered yet where control passes then, are asked to be
stopped first; what that is too late for comes back as a credit (note_inventory).
"""

from collections.abc import Collection, Iterator
from uuid import UUID

from tieout.contracts.event import document_id
from tieout.contracts.order import CancelLine, SubmitCredit
from tieout.order import anchors, balances, cancellations, completion, credits, submissions
from tieout.order.anchors import Anchor, Waiting
from tieout.order.cancellations import Request
from tieout.order.credits import Credits
from tieout.order.domain import Conditional, Known, OrderBalance, judge_credit, judge_repeat, linked_orders
from tieout.order.submissions import Submissions
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("order-accept-credits", SubmitCredit, size=500)
async def accept_credits(batch: list[Received[SubmitCredit]], database: Database) -> None:
    async with database.transaction() as tx:
        book = Submissions("credit")
        notes = Credits()
        waiting = Waiting()
        batch = book.admit(tx, batch)
        links = [linked_orders(r.data) for r in batch]
        ids = [document_id("credit", r.data.company, r.data.source, r.data.number) for r in batch]
        sales = {id for linked in links for id in linked if id is not None}
        stops = [_stops(r.data, linked) for r, linked in zip(batch, links, strict=True)]
        held = await anchors.claim(tx, {*ids, *sales, *(stop for each in stops for stop in each.values())})

        fresh = await submissions.new_ones(tx, batch)
        before = await credits.accepted(tx, [p for id in ids if (p := held[id].position) is not None])
        known = {id: before[p] for id in ids if (p := held[id].position) is not None}
        loaded = await balances.load(tx, {p for id in sales if (p := held[id].position) is not None})
        orders = {order.order_id: order for order in loaded.values()}
        if late := {id for id, order in orders.items() if order.at_delivery}:
            stops = [_stops(r.data, linked, late) for r, linked in zip(batch, links, strict=True)]
            # Ids that only the holder of a credit's anchor names, and we hold it: nobody waits for us with one of them.
            await anchors.claim(tx, {stop for each in stops for stop in each.values()} - held.keys())
        positions = iter(await tx.positions(len(batch) + sum(map(len, stops))))

        accepted: list[Anchor] = []
        credited: set[int] = set()
        asked: list[tuple[Request, Received[SubmitCredit] | None]] = []
        for received, new, credit_id, linked, stop_ids in zip(batch, fresh, ids, links, stops, strict=True):
            if not new:
                continue
            credit = received.data
            position = next(positions)
            earlier = known.get(credit_id)
            conflict = judge_repeat(earlier, credit.version, credit.fingerprint) if earlier else None
            decision = None if earlier else judge_credit(credit, linked, orders)
            if decision is None or decision.conflict is not None:
                sale = orders.get(linked[0]) if linked[0] and len(set(linked)) == 1 else None
                book.settle(
                    tx,
                    received,
                    credit_id,
                    decision.conflict if decision else conflict,
                    position=position,
                    chain=sale.order_id if sale else credit_id,
                    order_no=sale.order_no if sale else credit.number,
                )
                continue
            if decision.waits_for is not None:
                waiting.park(tx, received, held[decision.waits_for], _wait(credit, linked, decision.waits_for))
                continue
            known[credit_id] = Known(credit.version, credit.fingerprint)
            book.accepted(received, credit_id)
            accepted.append(Anchor(credit_id, position, False))
            waiting.serve(held[credit_id])
            rate = next((orders[id].rate_micro for id in linked if id is not None), 1_000_000)
            notes.note(
                tx,
                credits.note_of(credit, credit_id, position, rate),
                decision.returned,
                {line.line_no: line.rounding_micro for line in credit.lines},
                orders,
                received,
            )
            credited.update(orders[line.order_id].position for line in decision.returned if line.order_id)
            for request, parts in _requests(credit, decision.conditional, stop_ids, orders, positions):
                asked.append((request, received))
                accepted.append(Anchor(request.cancel_id, request.position, False))
                for part in parts:
                    notes.ask_first(position, request.position, request.order_position, part)

        await anchors.accept(tx, accepted)
        await notes.save(tx)
        await cancellations.request(tx, asked)
        await book.save(tx)
        await completion.complete(tx, credited)
        await waiting.save(tx)


def _wait(credit: SubmitCredit, linked: list[UUID | None], sale: UUID) -> str:
    """For whom, as people call it; `journey` shows it."""
    number = next(line.order_number for line, order in zip(credit.lines, linked, strict=True) if order == sale)
    return f"waits for order {number} to ship"


def _stops(credit: SubmitCredit, linked: list[UUID | None], late: Collection[UUID] = frozenset()) -> dict[UUID, UUID]:
    """By order: the id of the cancellation that this credit may have to ask for; a kind of its own, so that no
    satellite's cancellation number can meet it. `late`: orders whose returned goods may not be delivered yet."""
    return {
        order: document_id("cancel_of_credit", credit.company, credit.source, f"{credit.number}|{order}")
        for line, order in zip(credit.lines, linked, strict=True)
        if order is not None and (line.restock == "if_fulfilled" or (line.restock != "no" and order in late))
    }


def _requests(
    credit: SubmitCredit,
    conditional: tuple[tuple[UUID, Conditional], ...],
    stop_ids: dict[UUID, UUID],
    orders: dict[UUID, OrderBalance],
    positions: Iterator[int],
) -> Iterator[tuple[Request, list[Conditional]]]:
    """One request per order; two credit lines on one order line are one wish."""
    by_order: dict[UUID, list[Conditional]] = {}
    for order_id, part in conditional:
        by_order.setdefault(order_id, []).append(part)
    for order_id, parts in by_order.items():
        wished: dict[int, int] = {}
        for part in parts:
            wished[part.line.order_line_no] = wished.get(part.line.order_line_no, 0) + part.asked_micro
        order = orders[order_id]
        yield (
            Request(
                position=next(positions),
                cancel_id=stop_ids[order_id],
                order_id=order_id,
                order_position=order.position,
                company=credit.company,
                order_no=order.order_no,
                source=credit.source,
                number=credit.number,
                version=credit.version,
                fingerprint=credit.fingerprint,
                business_date=credit.business_date,
                lines=tuple(CancelLine(line_no, quantity) for line_no, quantity in sorted(wished.items())),
                reason=credit.reason,
            ),
            parts,
        )
