"""order.cancel -> order.cancel_requested | order.repeated | order.conflicted

A cancellation that comes before its order waits for it under the order's lock, and the order is placed with the word
that it does, so that nothing leaves before it was decided. How much can still be stopped is inventory's decision, never
this one's.
"""

from tieout.contracts.event import document_id, order_id
from tieout.contracts.order import SubmitCancel
from tieout.order import anchors, cancellations, submissions
from tieout.order.anchors import Waiting
from tieout.order.cancellations import Request
from tieout.order.domain import Known, judge_cancellation, judge_repeat
from tieout.order.submissions import Submissions
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("order-request-cancellations", SubmitCancel, size=500)
async def request_cancellations(batch: list[Received[SubmitCancel]], database: Database) -> None:
    async with database.transaction() as tx:
        book = Submissions("cancel")
        waiting = Waiting()
        batch = book.admit(tx, batch)
        orders = [order_id(r.data.company, r.data.source, r.data.order_number) for r in batch]
        cancels = [document_id("cancel", r.data.company, r.data.source, r.data.number) for r in batch]
        held = await anchors.claim(tx, {*orders, *cancels})

        fresh = await submissions.new_ones(tx, batch)
        before = await cancellations.accepted(tx, [p for id in cancels if (p := held[id].position) is not None])
        known = {id: before[p] for id in cancels if (p := held[id].position) is not None}
        ordered = await cancellations.ordered(tx, {p for id in orders if (p := held[id].position) is not None})
        positions = await tx.positions(len(batch))

        asked: list[tuple[Request, Received[SubmitCancel] | None]] = []
        voided: list[tuple[Request, Received[SubmitCancel]]] = []
        for received, new, order, cancel, position in zip(batch, fresh, orders, cancels, positions, strict=True):
            if not new:
                continue
            wish = received.data
            order_position = held[order].position
            if (earlier := known.get(cancel)) is not None:
                conflict = judge_repeat(earlier, wish.version, wish.fingerprint)
            elif order_position is None:
                waiting.park(tx, received, held[order], f"waits for order {wish.order_number}")
                waiting.hold(held[order])
                continue
            else:
                conflict = judge_cancellation(wish.lines, ordered[order_position])
            request = Request(
                position=position,
                cancel_id=cancel,
                order_id=order,
                order_position=order_position or 0,
                company=wish.company,
                order_no=wish.order_number,
                source=wish.source,
                number=wish.number,
                version=wish.version,
                fingerprint=wish.fingerprint,
                business_date=wish.business_date,
                lines=wish.lines,
                reason=wish.reason,
                intake_id=wish.intake_id,
            )
            if earlier is not None or conflict is not None:
                book.settle(tx, received, cancel, conflict, position=position, chain=order, order_no=wish.order_number)
                if conflict is not None and order_position is not None and held[order].cancel_waits:
                    voided.append((request, received))
                continue
            known[cancel] = Known(wish.version, wish.fingerprint)
            held[cancel].position = position
            book.accepted(received, cancel)
            asked.append((request, received))

        await anchors.accept(tx, [held[one.cancel_id] for one, _ in asked])
        await cancellations.request(tx, asked)
        await cancellations.void(tx, voided)
        await book.save(tx)
        await waiting.save(tx)
