"""order.submit -> order.placed | order.repeated | order.conflicted

One batch is one transaction, acked after its commit. The hot path is a batch of orders that nobody has heard of: one
upsert of their anchors, three COPYs, and the outbox.
"""

from typing import Any
from uuid import UUID

from tieout.contracts.event import event_id
from tieout.contracts.order import OrderPlaced, PlacedLine, SubmitOrder
from tieout.order import anchors, credit_limits, submissions
from tieout.order.anchors import Anchor, Waiting
from tieout.order.domain import Known, cost_account_of, judge_order, judge_repeat, passes_at_delivery
from tieout.order.submissions import Submissions
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

HEADER_COLUMNS = (
    "position",
    "net_minor",
    "tax_minor",
    "rate_micro",
    "occurred_at",
    "order_id",
    "intake_id",
    "business_date",
    "rate_date",
    "due_days",
    "at_delivery",
    "company",
    "source",
    "order_no",
    "version",
    "fingerprint",
    "customer",
    "currency",
    "zone",
)
LINE_COLUMNS = (
    "position",
    "quantity_micro",
    "net_minor",
    "tax_minor",
    "unit_price_micro",
    "rounding_micro",
    "line_no",
    "sku",
    "uom",
    "warehouse",
    "kind",
    "account",
    "cost_account",
)


@batch_flow("order-place-orders", SubmitOrder, size=1000)
async def place_orders(batch: list[Received[SubmitOrder]], database: Database) -> None:
    async with database.transaction() as tx:
        book = Submissions("order")
        batch = book.admit(tx, batch)
        positions = await tx.positions(len(batch))  # One for each command: every one of them is answered by an event.
        keys = [event_id("order", r.data.company, r.data.source, r.data.number) for r in batch]
        ids = [UUID(key) for key in keys]
        first = dict(zip(reversed(ids), reversed(positions), strict=True))  # The first of two in one batch is placed.

        known, limited = await _anchor(tx, first)
        if known or len(first) < len(ids):
            fresh = await submissions.new_ones(tx, batch)
            accepted = await _accepted(tx, known)
        else:
            fresh, accepted = [True] * len(batch), {}

        limits = await credit_limits.lock(tx, batch) if limited and batch else None
        waiting = Waiting()
        placed = _Placed()
        brought: list[Anchor] = []
        for received, new, key, order_id, position in zip(batch, fresh, keys, ids, positions, strict=True):
            if not new:
                continue
            order = received.data
            if (earlier := accepted.get(order_id)) is not None:
                conflict = judge_repeat(earlier, order.version, order.fingerprint)
                book.settle(tx, received, order_id, conflict, position=position, chain=order_id, order_no=order.number)
                continue
            conflict = judge_order(order)
            if conflict is None and limits is not None:
                conflict = limits.judge(order)
            if conflict is not None:
                book.settle(tx, received, order_id, conflict, position=position, chain=order_id, order_no=order.number)
                continue
            accepted[order_id] = Known(order.version, order.fingerprint)
            if limits is not None:
                limits.take(order, position)
            if (anchor := known.get(order_id)) is not None:
                waiting.serve(anchor)
            if anchor is not None or first[order_id] != position:
                brought.append(Anchor(order_id, position, False))
            book.accepted(received, order_id)
            tx.announce(
                placed.add(order, order_id, position, anchor is not None and anchor.cancel_waits),
                position=position,
                key=(key,),
                chain=key,
                order_no=order.number,
                company=order.company,
                cause=received,
            )
        # Those whose only submission was in conflict are not placed after all.
        brought += [Anchor(order_id, None, False) for order_id in first.keys() - accepted.keys() - known.keys()]

        await anchors.accept(tx, brought)
        await tx.copy("order_header", columns=HEADER_COLUMNS, records=placed.headers)
        await tx.copy("order_line", columns=LINE_COLUMNS, records=placed.lines)
        if limits is not None:
            await limits.save(tx)
        await book.save(tx)
        await waiting.save(tx)


async def _anchor(tx: Transaction, first: dict[UUID, int]) -> tuple[dict[UUID, Anchor], bool]:
    """Locks the orders; answers those that somebody had named or placed before, and whether anybody has a limit."""
    ids, positions = list(first), list(first.values())
    row = await tx.fetchrow(statements.anchor_orders, ids, positions)
    assert row is not None
    new, limited = row
    if new == len(ids):
        return {}, limited
    rows = await tx.fetch(statements.lock_known, ids, positions)
    return {row["id"]: Anchor(*row) for row in rows}, limited


async def _accepted(tx: Transaction, known: dict[UUID, Anchor]) -> dict[UUID, Known]:
    orders = {anchor.position: id for id, anchor in known.items() if anchor.position is not None}
    rows = await tx.fetch(statements.accepted, list(orders)) if orders else ()
    return {orders[position]: Known(version, fingerprint) for position, version, fingerprint in rows}


class _Placed:
    """Rows of the orders of one batch."""

    def __init__(self) -> None:
        self.headers: list[tuple[Any, ...]] = []
        self.lines: list[tuple[Any, ...]] = []

    def add(self, order: SubmitOrder, order_id: UUID, position: int, cancel_waits: bool) -> OrderPlaced:
        net = tax = 0
        for line in order.lines:
            net += line.net_minor
            tax += line.tax_minor
        cost_account = cost_account_of(net + tax)
        late = passes_at_delivery(order)
        placed = []
        for line in order.lines:
            self.lines.append(
                (
                    position,
                    line.quantity_micro,
                    line.net_minor,
                    line.tax_minor,
                    line.unit_price_micro,
                    line.rounding_micro,
                    line.line_no,
                    line.sku,
                    line.uom,
                    line.warehouse,
                    line.kind,
                    line.account,
                    cost_account,
                )
            )
            placed.append(
                PlacedLine(
                    line.line_no,
                    line.sku,
                    line.quantity_micro,
                    line.net_minor,
                    line.tax_minor,
                    line.warehouse,
                    line.kind,
                    line.account,
                    cost_account,
                    line.residual_minor,
                )
            )
        self.headers.append(
            (
                position,
                net,
                tax,
                order.rate_micro,
                order.occurred_at,
                order_id,
                order.intake_id,
                order.business_date,
                order.rate_date,
                order.due_days,
                late,
                order.company,
                order.source,
                order.number,
                order.version,
                order.fingerprint,
                order.customer,
                order.currency,
                order.zone,
            )
        )
        return OrderPlaced(
            order_id=order_id,
            company=order.company,
            source=order.source,
            order_no=order.number,
            customer=order.customer,
            currency=order.currency,
            occurred_at=order.occurred_at,
            zone=order.zone,
            business_date=order.business_date,
            net_minor=net,
            tax_minor=tax,
            lines=tuple(placed),
            due_days=order.due_days,
            rate_micro=order.rate_micro,
            rate_date=order.rate_date,
            cancel_waits=cancel_waits,
            control_passes="delivery" if late else "issue",
        )
