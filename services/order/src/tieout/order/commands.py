"""What a clerk may order by hand."""

import hashlib

import msgspec
from tieout.contracts.event import document_id
from tieout.contracts.order import CANCEL_ORDER, CancelAnswer, CancelOrder
from tieout.order import anchors, cancellations, reads
from tieout.order.anchors import Anchor
from tieout.order.cancellations import Request
from tieout.order.domain import judge_cancellation, judge_repeat
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

STAFF = "staff"  # The source of what no satellite has asked for.


@operation(CANCEL_ORDER)
async def cancel_order(command: CancelOrder, database: Database) -> CancelAnswer:
    """Asks inventory to stop an order. The answer says that it was asked, not that anything was stopped."""
    fingerprint = hashlib.sha256(msgspec.json.encode((command.order_no, command.lines, command.reason))).hexdigest()
    async with database.transaction() as tx:
        row = await reads.only_order(tx, command.order_no, command.company, command.source)
        order_id, order_position = row["order_id"], row["position"]
        cancel_id = document_id("cancel_by_staff", row["company"], row["source"], command.idempotency_key)
        held = await anchors.claim(tx, {order_id, cancel_id})
        if (before := held[cancel_id].position) is not None:
            known = (await cancellations.accepted(tx, [before]))[before]
            if conflict := judge_repeat(known, "", fingerprint):
                raise Refused(
                    "conflict",
                    "This idempotency key was used for another cancellation. Take a new key for a new wish.",
                    field="idempotency_key",
                    status=409,
                )
            return CancelAnswer(cancel_id, order_id, repeated=True)
        ordered = await cancellations.ordered(tx, [order_position])
        if conflict := judge_cancellation(command.lines, ordered[order_position]):
            raise Refused(conflict.reason, conflict.detail, field="lines", status=422)
        (position,) = await tx.positions(1)
        request = Request(
            position=position,
            cancel_id=cancel_id,
            order_id=order_id,
            order_position=order_position,
            company=row["company"],
            order_no=row["order_no"],
            source=STAFF,
            number=command.idempotency_key,
            version="",
            fingerprint=fingerprint,
            business_date=await tx.fetchval(statements.today_there, order_position),
            lines=command.lines,
            reason=command.reason,
        )
        await cancellations.request(tx, [(request, None)])
        await anchors.accept(tx, [Anchor(cancel_id, position, False)])
    return CancelAnswer(cancel_id, order_id, repeated=False)
