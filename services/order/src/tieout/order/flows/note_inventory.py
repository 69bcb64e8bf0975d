"""inventory.reserved | refused | cancel_decided | shipped | delivered | returned -> facts per line, order.completed,
order.returned

Quantities and parts of amounts are noted as facts; nothing is counted up. Whatever waits for an order's next fact (a
credit that came before its sale had shipped) is woken here.
"""

import copy
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import structs
from tieout.contracts.event import document_id
from tieout.contracts.inventory import (
    CancelDecided,
    GoodsDelivered,
    GoodsReturned,
    GoodsShipped,
    OrderRefused,
    StockReserved,
)
from tieout.contracts.order import ReturnedLine
from tieout.order import anchors, balances, completion, credits
from tieout.order.anchors import Anchor, Waiting
from tieout.order.credits import Credits
from tieout.order.domain import Conditional, OrderBalance, late_return, part
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

Noted = StockReserved | OrderRefused | CancelDecided | GoodsShipped | GoodsDelivered | GoodsReturned

SHIPPED_COLUMNS = (
    "position",
    "order_position",
    "from_micro",
    "to_micro",
    "net_minor",
    "tax_minor",
    "line_no",
    "from_reserved",
    "leaves",
    "passes",
)
STOP_COLUMNS = (
    "position",
    "order_position",
    "quantity_micro",
    "of_back_ordered_micro",
    "of_reserved_micro",
    "too_late_micro",
    "of_issued_micro",
    "line_no",
    "kind",
)
RESERVATION_COLUMNS = ("position", "order_position", "reserved_micro", "back_ordered_micro", "line_no")
TAKEN_BACK_COLUMNS = ("position", "credit_position", "quantity_micro", "line_no")


@batch_flow(
    "order-note-inventory",
    StockReserved,
    OrderRefused,
    CancelDecided,
    GoodsShipped,
    GoodsDelivered,
    GoodsReturned,
    size=500,
)
async def note_inventory(batch: list[Received[Any]], database: Database) -> None:
    async with database.transaction() as tx:
        held = await _hold(tx, batch)
        noted = await _noted(tx, batch)
        lines = await _own_lines(tx, batch, held)
        waiting = Waiting()
        facts = _Facts()
        decided: list[tuple[Received[CancelDecided], Anchor]] = []
        for received in batch:
            event: Noted = received.data
            anchor = held[_partner(event)]
            if anchor.position is None:
                waiting.park(tx, received, anchor, "waits for its document")
                continue
            if type(event) is CancelDecided:
                decided.append((received, anchor))  # Also when it is noted: its late credit may still be missing.
            if received.position in noted:
                continue
            noted.add(received.position)
            if event.lines:
                tx.changed(received)
            if type(event) is GoodsShipped or type(event) is GoodsDelivered:
                fault = facts.shipped(received.position, anchor.position, event, lines)
                if fault:
                    tx.bury(received, reason="unknown_line", field="lines", detail=fault)
                    continue
            elif type(event) is StockReserved:
                facts.reserved(received.position, anchor.position, event)
                continue  # Frees nobody who waits, and completes nothing.
            elif type(event) is OrderRefused:
                facts.refused(received.position, anchor.position, event)
            elif type(event) is CancelDecided:
                facts.cancelled(received.position, anchor.position, event)
            elif type(event) is GoodsReturned:
                facts.taken_back(received.position, anchor.position, event)
                continue
            waiting.serve(anchor)
        await facts.save(tx)
        credited = await _credit_what_was_too_late(tx, decided, held, waiting) if decided else set()
        await completion.complete(tx, facts.worth_a_look | credited | await facts.paid(tx))
        await waiting.save(tx)


def _partner(event: Noted) -> UUID:
    """The document whose lock guards the facts of this event."""
    return event.credit_id if isinstance(event, GoodsReturned) else event.order_id


async def _hold(tx: Transaction, batch: list[Received[Any]]) -> dict[UUID, Anchor]:
    ids = {_partner(received.data) for received in batch}
    ids.update(received.data.cancel_id for received in batch if type(received.data) is CancelDecided)
    return await anchors.claim(tx, ids)


async def _noted(tx: Transaction, batch: list[Received[Any]]) -> set[int]:
    asked: dict[type[Noted], list[int]] = {
        GoodsShipped: [],
        StockReserved: [],
        OrderRefused: [],
        GoodsReturned: [],
    }
    asked[CancelDecided] = asked[OrderRefused]
    asked[GoodsDelivered] = asked[GoodsShipped]
    for received in batch:
        asked[type(received.data)].append(received.position)
    rows = await tx.fetch(
        statements.noted, asked[GoodsShipped], asked[StockReserved], asked[OrderRefused], asked[GoodsReturned]
    )
    return {row[0] for row in rows}


Lines = dict[tuple[int, int], tuple[int, int, int]]


async def _own_lines(tx: Transaction, batch: list[Received[Any]], held: dict[UUID, Anchor]) -> Lines:
    """Ordered quantity, net and tax by (position of the order, line number), of orders that shipped."""
    shipped = {held[r.data.order_id].position for r in batch if type(r.data) in (GoodsShipped, GoodsDelivered)} - {None}
    if not shipped:
        return {}
    rows = await tx.fetch(statements.own_lines, sorted(p for p in shipped if p is not None))
    return {(position, line_no): (quantity, net, tax) for position, line_no, quantity, net, tax in rows}


class _Facts:
    """Rows of one batch."""

    def __init__(self) -> None:
        self._shipped: list[tuple[Any, ...]] = []
        self._reserved: list[tuple[Any, ...]] = []
        self._stopped: list[tuple[Any, ...]] = []
        self._taken_back: list[tuple[Any, ...]] = []
        self._billed: set[int] = set()
        self.worth_a_look: set[int] = set()  # Orders that these facts may complete whether or not anybody paid.

    def shipped(self, position: int, order: int, event: GoodsShipped | GoodsDelivered, lines: Lines) -> str:
        """Answers what is wrong, or nothing. Billed is what passes: with the goods, or where it passes then, later."""
        leaves = type(event) is GoodsShipped
        passes = type(event) is GoodsDelivered or event.control_passes == "issue"  # type: ignore[union-attr]
        rows: list[tuple[Any, ...]] = []
        billed = 0
        for line in event.lines:
            own = lines.get((order, line.line_no))
            if own is None:
                return f"Order {event.order_no} has no line {line.line_no}."
            quantity, net, tax = own
            start, end = line.from_micro, line.to_micro
            if start or end != quantity:
                net, tax = part(net, start, end, quantity), part(tax, start, end, quantity)
            if not passes:
                net = tax = 0
            billed += net + tax
            rows.append((position, order, start, end, net, tax, line.line_no, line.from_reserved, leaves, passes))
        self._shipped += rows
        if not passes:
            return ""  # On its way: it completes nothing.
        (self._billed if billed else self.worth_a_look).add(order)
        return ""

    def reserved(self, position: int, order: int, event: StockReserved) -> None:
        self._reserved += [
            (position, order, line.reserved_micro, line.back_ordered_micro, line.line_no) for line in event.lines
        ]

    def refused(self, position: int, order: int, event: OrderRefused) -> None:
        self._stopped += [
            (position, order, line.quantity_micro, 0, 0, 0, 0, line.line_no, "refused") for line in event.lines
        ]
        self.worth_a_look.add(order)

    def cancelled(self, position: int, order: int, event: CancelDecided) -> None:
        self._stopped += [
            (
                position,
                order,
                line.back_ordered_micro + line.reserved_micro + line.issued_micro,
                line.back_ordered_micro,
                line.reserved_micro,
                line.too_late_micro,
                line.issued_micro,
                line.line_no,
                "cancelled",
            )
            for line in event.lines
        ]
        self.worth_a_look.add(order)

    def taken_back(self, position: int, credit: int, event: GoodsReturned) -> None:
        self._taken_back += [(position, credit, line.quantity_micro, line.line_no) for line in event.lines]

    async def save(self, tx: Transaction) -> None:
        for table, columns, rows in (
            ("shipped_line", SHIPPED_COLUMNS, self._shipped),
            ("reservation", RESERVATION_COLUMNS, self._reserved),
            ("stop", STOP_COLUMNS, self._stopped),
            ("taken_back", TAKEN_BACK_COLUMNS, self._taken_back),
        ):
            if rows:
                await tx.copy(table, columns=columns, records=rows)

    async def paid(self, tx: Transaction) -> set[int]:
        """Of the orders that were billed just now, those that may be complete: an unpaid one still owes it all."""
        return await completion.touched_by_money(tx, self._billed) if self._billed else set()


async def _credit_what_was_too_late(
    tx: Transaction,
    decided: list[tuple[Received[CancelDecided], Anchor]],
    held: dict[UUID, Anchor],
    waiting: Waiting,
) -> set[int]:
    """Cancellations that a credit `if_fulfilled` asked for: what had left already is a return after all.

    Answers the orders that were credited. A message waits where its goods are said to have left but their shipment is
    not noted yet; its stops are noted all the same. A decision that inventory corrects later is credited once more.
    """
    late = [(r, a) for r, a in decided if any(line.too_late_micro > 0 for line in r.data.lines)]
    cancels = {p for r, _ in late if (p := held[r.data.cancel_id].position) is not None}
    conditional = await credits.conditional_of(tx, sorted(cancels)) if cancels else {}
    late = [(r, a) for r, a in late if conditional.get(held[r.data.cancel_id].position or 0)]  # The others keep no id.
    if not late:
        return set()
    loaded = await balances.load(tx, {anchor.position for _, anchor in late if anchor.position is not None})
    orders = {order.order_id: order for order in loaded.values()}
    ids = {r.business_id: document_id("late_credit", r.data.company, "", r.business_id) for r, _ in late}
    made = await anchors.claim(tx, ids.values())  # One credit per decision: whoever sees a position was second.
    positions = iter(await tx.positions(len(late)))
    notes = Credits()
    credited: set[int] = set()
    for received, anchor in late:
        event = received.data
        parts = conditional[held[event.cancel_id].position or 0]
        credit = made[ids[received.business_id]]
        if credit.position is not None:
            continue
        trial = copy.deepcopy(orders[event.order_id])
        returned = _late_lines(event, [one for _, one in parts], trial)
        if returned is None:
            waiting.park(tx, received, anchor, "waits for the shipment of what it was too late to stop")
            continue
        if not returned:
            continue
        orders[event.order_id] = trial
        conditional[held[event.cancel_id].position or 0] = [(note, _less(one, returned)) for note, one in parts]
        credit.position = next(positions)
        note = structs.replace(parts[0][0], position=credit.position, credit_id=credit.id)
        notes.note(tx, note, tuple(returned), {}, orders, received)
        credited.add(trial.position)
    await anchors.accept(tx, [one for one in made.values() if one.position is not None])
    await notes.save(tx)
    return credited


def _late_lines(event: CancelDecided, parts: Iterable[Conditional], order: OrderBalance) -> list[ReturnedLine] | None:
    """None while a shipment is missing. What was too late for a line is given to its credit lines in turn."""
    too_late = {line.line_no: line.too_late_micro for line in event.lines}
    returned: list[ReturnedLine] = []
    for one in parts:
        line_no = one.line.order_line_no
        line = late_return(one, too_late.get(line_no, 0), order)
        if line == "later":
            return None
        if line is not None:
            too_late[line_no] -= line.quantity_micro
            returned.append(line)
    return returned


def _less(one: Conditional, returned: list[ReturnedLine]) -> Conditional:
    """What is left of a conditional line after these credits."""
    micro = sum(line.quantity_micro for line in returned if line.line_no == one.line.line_no)
    return Conditional(one.line, one.credited_micro + micro, one.asked_micro - micro)
