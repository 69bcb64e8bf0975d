"""order.placed -> inventory.reserved | inventory.shipped | inventory.refused

The hot path. One batch is one transaction with a fixed number of round trips: lock the stock, take the orders in,
decide them in their order of arrival, write facts by COPY, announce.
"""

from typing import Any
from uuid import UUID

from tieout.contracts.order import OrderPlaced
from tieout.inventory import domain
from tieout.inventory.journal import columns
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.inventory.valuation import Stock
from tieout.servicekit import Database, Received, Transaction, batch_flow, sql

statements = sql.load(__file__)

DEMAND = columns(
    "position line_no order_id stock_id sku warehouse account cost_account quantity_micro net_minor tax_minor "
    "residual_minor"
)


@batch_flow("inventory-reserve-stock", OrderPlaced, size=1000)
async def reserve_stock(batch: list[Received[OrderPlaced]], database: Database) -> None:
    async with database.transaction() as tx:
        room = Stockroom(tx)
        placed: dict[UUID, Received[OrderPlaced]] = {}
        for received in batch:
            if broken := _broken(received.data):
                tx.bury(received, reason="broken_order", field=broken[0], detail=broken[1])
            else:
                placed.setdefault(received.data.order_id, received)

        await room.enter({received.data.company for received in placed.values()})
        for order_id in [i for i, received in placed.items() if received.data.company not in room.houses]:
            received = placed.pop(order_id)
            tx.park(received, key=company_key(received.data.company), reason="unknown_company")
        if not placed:
            return
        await room.lock(
            {
                (order.company, line.warehouse, line.sku)
                for order in (received.data for received in placed.values())
                for line in order.lines
                if line.kind == "goods"
            }
        )
        await room.learn_costs(s for s in room.stocks.values() if s.policy == "allow_negative")
        fresh = await _place(tx, placed)

        demand: list[tuple[Any, ...]] = []
        stocks, journal = room.by_key, room.journal
        for order_id, cancel_waits in fresh:
            received = placed[order_id]
            order, position = received.data, received.position
            company, lines = order.company, order.lines
            beside: list[Stock | None] = []
            for line in lines:
                stock = stocks[company, line.warehouse, line.sku] if line.kind == "goods" else None
                beside.append(stock)
                demand.append(
                    (
                        position,
                        line.line_no,
                        order_id,
                        None if stock is None else stock.stock_id,
                        line.sku,
                        line.warehouse,
                        line.account,
                        line.cost_account,
                        line.quantity_micro,
                        line.net_minor,
                        line.tax_minor,
                        line.residual_minor,
                    )
                )
            decided = domain.allocate(lines, beside, cancel_waits)
            if decided.short:
                reasons = [(line, stock in decided.short) for line, stock in zip(lines, beside, strict=True)]
                journal.refused(order, position, reasons, received)
                continue
            if decided.holds:
                journal.placed_promised(order, position, decided.holds, received)
            if decided.parts:
                journal.placed_left(order, position, decided.parts, order.business_date, received)

        await tx.copy("demand", columns=DEMAND, records=demand)
        await room.leave()
        tx.wake(str(order_id) for order_id, _ in fresh)  # A cancellation, confirmation or return may have come first.


async def _place(tx: Transaction, placed: dict[UUID, Received[OrderPlaced]]) -> list[tuple[UUID, bool]]:
    """Take the orders in; answers those that are new, in their order of arrival, and whether a cancellation waits."""
    rows = []
    for order_id, received in placed.items():
        o = received.data
        rows.append(
            (
                order_id,
                received.position,
                o.company,
                o.source,
                o.order_no,
                o.customer,
                o.currency,
                o.business_date,
                o.due_days,
                o.rate_micro,
                o.net_minor,
                o.tax_minor,
                o.control_passes == "delivery",
            )
        )
    new = await tx.fetch(statements.place_orders, *map(list, zip(*rows, strict=True)))
    waits = {order_id: cancel_waits for order_id, cancel_waits in new}
    return [(i, waits[i] or received.data.cancel_waits) for i, received in placed.items() if i in waits]


def _broken(order: OrderPlaced) -> tuple[str, str] | None:
    """What no order of ours can look like: field and explanation."""
    if not order.lines:
        return "lines", "An order has at least one line."
    numbers = set()
    for line in order.lines:
        if line.quantity_micro <= 0:
            return f"lines[{line.line_no}].quantity_micro", f"{line.quantity_micro} is not above zero."
        numbers.add(line.line_no)
    if len(numbers) < len(order.lines):
        return "lines", "Two lines have the same line_no."
    return None
