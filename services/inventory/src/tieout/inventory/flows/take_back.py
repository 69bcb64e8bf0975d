"""order.returned -> inventory.returned; inventory.adjusted where goods came back to be scrapped

Goods of a credit note go back into stock: linked ones at the value of their original issue, part by part so that all
parts add up to it; others at the present average, else the last one, else the standard cost. A return that comes before
its goods have left waits for them. What is scrapped leaves again at the value it came with, so that no average moves.
"""

from collections import Counter, defaultdict
from datetime import date
from typing import Any
from uuid import UUID

from tieout.contracts import inventory
from tieout.contracts.event import event_id
from tieout.contracts.order import CostAccount, OrderReturned, ReturnedLine
from tieout.inventory.journal import Moved, columns
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.inventory.valuation import value_of_first
from tieout.inventory.wording import pieces
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

UNLINKED: CostAccount = "cogs"  # What an unlinked return was sold as is not known.
TAKE_BACK = columns("position line_no credit_id credit_no source quantity_micro")

SoldLine = tuple[int, int]  # Position of the sale's order.placed, line number.


@batch_flow("inventory-take-back", OrderReturned, size=200)
async def take_back(batch: list[Received[OrderReturned]], database: Database) -> None:
    credits = {received.data.credit_id: received for received in reversed(batch) if _goods(received.data)}
    if not credits:
        return
    async with database.transaction() as tx:
        room = Stockroom(tx)
        await room.enter({received.data.company for received in credits.values()})
        for credit_id in [i for i, received in credits.items() if received.data.company not in room.houses]:
            received = credits.pop(credit_id)
            tx.park(received, key=company_key(received.data.company), reason="unknown_company")
        lines = [(received.data, line) for received in credits.values() for line in _goods(received.data)]
        await room.lock({(credit.company, line.warehouse, line.sku) for credit, line in lines})
        await room.learn_costs(room.stocks.values())
        for row in await tx.fetch(statements.taken_back, list(credits)):
            credits.pop(row["credit_id"], None)

        coming: Counter[int] = Counter()
        for credit, line in lines:
            if line.scrap:
                continue
            coming[room.by_key[credit.company, line.warehouse, line.sku].stock_id] += line.quantity_micro
        linked = {line.order_id for _, line in lines if line.order_id is not None}
        await room.anchor(linked.union(await room.waiting_for(coming)))  # All at once, in order.
        sales = Sales(room)
        await sales.read(tx, linked)

        rows = []
        brought: dict[int, tuple[Received[Any] | None, date]] = {}
        for received in reversed(credits.values()):
            if not sales.bear(received, tx):
                continue
            _put_back(room, sales, received, brought)
            credit = received.data
            rows += [
                (
                    received.position,
                    line.line_no,
                    credit.credit_id,
                    credit.credit_no,
                    credit.source,
                    line.quantity_micro,
                )
                for line in _goods(credit)
            ]
        await tx.copy("take_back", columns=TAKE_BACK, records=rows)
        await room.serve(brought)
        await room.leave()


class Sales:
    """What the sold lines of linked returns cost when they left, and how much of them has come back before."""

    def __init__(self, room: Stockroom) -> None:
        self._room = room
        self._issues: defaultdict[SoldLine, list[tuple[int, int]]] = defaultdict(list)
        self._returned: Counter[SoldLine] = Counter()

    async def read(self, tx: Transaction, order_ids: set[UUID]) -> None:
        positions = [order.position for order in self._room.orders.values() if order.order_id in order_ids]
        late = {order.position for order in self._room.orders.values() if order.control_passes == "delivery"}
        for position, line_no, kind, quantity, value in await tx.fetch(statements.moves_of, positions):
            if kind == "issue":
                if position in late:
                    continue
                self._issues[position, line_no].append((-quantity, -value))
            else:
                self._returned[position, line_no] += quantity
        sent = [self._room.orders[one].position for one in order_ids & self._room.orders.keys() if self._late(one)]
        for position, line_no, quantity, value in await tx.fetch(statements.delivered_of, sent) if sent else ():
            self._issues[position, line_no].append((quantity, value))

    def _late(self, order_id: UUID) -> bool:
        """Whether only what was delivered can come back, at the cost it was delivered with."""
        return self._room.orders[order_id].control_passes == "delivery"

    def bear(self, received: Received[OrderReturned], tx: Transaction) -> bool:
        """Whether all its goods have left and none came back before; else it is parked, or buried if never."""
        claims: Counter[SoldLine] = Counter()
        for line in _goods(received.data):
            if line.order_id is None:
                continue
            order = self._room.orders.get(line.order_id)
            if order is None:
                tx.park(received, key=str(line.order_id), reason="waits_for_its_order")
                return False
            sold = order.lines.get(line.order_line_no)
            where = f"lines[{line.line_no}]"
            if sold is None or sold.service or sold.sku != line.sku:
                detail = f"Line {line.order_line_no} of order {order.order_no} is no {line.sku}."
                tx.bury(received, reason="unknown_line", field=f"{where}.order_line_no", detail=detail)
                return False
            key = order.position, line.order_line_no
            claims[key] += line.quantity_micro
            upto = self._returned[key] + claims[key]
            if upto > sold.quantity_micro - sold.stopped:
                most = sold.quantity_micro - sold.stopped
                detail = f"{pieces(upto)} would be back, but at most {pieces(most)} can have left."
                tx.bury(received, reason="above_shipped", field=f"{where}.quantity_micro", detail=detail)
                return False
            if upto > sold.passed:
                tx.park(received, key=str(line.order_id), reason="waits_for_its_shipment")
                return False
        return True

    def value_of(self, order_position: int, line: ReturnedLine) -> int:
        """The cost of the next `line.quantity_micro` of the sold line to come back."""
        key = order_position, line.order_line_no
        issues = self._issues[key]
        before = self._returned[key]
        self._returned[key] += line.quantity_micro
        return value_of_first(self._returned[key], issues) - value_of_first(before, issues)


def _put_back(
    room: Stockroom,
    sales: Sales,
    received: Received[OrderReturned],
    brought: dict[int, tuple[Received[Any] | None, date]],
) -> None:
    credit = received.data
    back: list[Moved] = []
    told: list[inventory.ReturnedLine] = []
    revalued: defaultdict[str, list[Moved]] = defaultdict(list)
    scrapped: defaultdict[str, list[Moved]] = defaultdict(list)
    for line in _goods(credit):
        stock = room.by_key[credit.company, line.warehouse, line.sku]
        order = room.orders[line.order_id] if line.order_id is not None else None
        value = stock.estimate(line.quantity_micro) if order is None else sales.value_of(order.position, line)
        revaluation = 0
        if line.scrap:
            moved = Moved(line.line_no, stock, line.quantity_micro, value, stock.come_back_as_scrap())
            gone = Moved(line.line_no, stock, -line.quantity_micro, -value, stock.seq)
            scrapped[line.warehouse].append(gone)
        else:
            revaluation = stock.receive(line.quantity_micro, value)
            brought[stock.stock_id] = (received, credit.business_date)
            moved = Moved(line.line_no, stock, line.quantity_micro, value, stock.seq - bool(revaluation))
        if order is not None:
            moved.order_position, moved.order_line_no = order.position, line.order_line_no
            if line.scrap:
                gone.order_position, gone.order_line_no = order.position, line.order_line_no
        back.append(moved)
        told.append(
            inventory.ReturnedLine(
                line.line_no,
                line.sku,
                line.quantity_micro,
                value,
                line.warehouse,
                UNLINKED if order is None else order.lines[line.order_line_no].cost_account,
                line.order_id,
                line.order_line_no,
            )
        )
        if revaluation:
            revalued[line.warehouse].append(Moved(line.line_no, stock, 0, revaluation, stock.seq))
    house, day = room.houses[credit.company], credit.business_date
    event = inventory.GoodsReturned(
        credit.credit_id,
        credit.company,
        credit.credit_no,
        credit.customer,
        house.currency,
        day,
        house.period(day),
        tuple(told),
    )
    document = credit.credit_id, credit.credit_no, day
    envelope = received.envelope  # The journey of its order, where there is one.
    room.journal.moved(
        "return", event, credit.company, document, back, received, chain=envelope.chainid, order_no=envelope.orderno
    )
    for warehouse, lines in revalued.items():
        room.journal.revalued(credit.company, warehouse, document, lines, received)
    for warehouse, lines in scrapped.items():
        _scrap(room, warehouse, lines, received)


def _scrap(room: Stockroom, warehouse: str, lines: list[Moved], received: Received[OrderReturned]) -> None:
    """A shortage like one that a count finds, under the credit note's number; 1901 waits for its approval."""
    credit, envelope = received.data, received.envelope
    house, day = room.houses[credit.company], credit.business_date
    identity = UUID(event_id("scrap", credit.credit_id, warehouse))
    event = inventory.StockAdjusted(
        identity,
        credit.company,
        warehouse,
        credit.credit_no,
        credit.source,
        house.currency,
        day,
        house.period(day),
        tuple(line.told for line in lines),
        "scrapped",
    )
    document = identity, credit.credit_no, day
    room.journal.moved(
        "scrap", event, credit.company, document, lines, received, chain=envelope.chainid, order_no=envelope.orderno
    )


def _goods(credit: OrderReturned) -> list[ReturnedLine]:
    """The lines that inventory takes back; credits without goods are none of its business."""
    return [line for line in credit.lines if line.restock and line.kind == "goods" and line.quantity_micro > 0]
