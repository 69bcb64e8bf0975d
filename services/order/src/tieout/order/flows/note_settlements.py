"""finance.settled -> settlement facts, order.completed

Money is finance's business; the order only notes what was applied to it or is held for it, so that it can tell when
nothing is owed.
"""

from tieout.contracts.finance import OrdersSettled
from tieout.order import anchors, completion
from tieout.order.anchors import Waiting
from tieout.servicekit import Database, Received, batch_flow, sql

statements = sql.load(__file__)

COLUMNS = ("position", "order_position", "amount_minor", "held_minor", "line_no", "cause", "document_no")


@batch_flow("order-note-settlements", OrdersSettled, size=1000)
async def note_settlements(batch: list[Received[OrdersSettled]], database: Database) -> None:
    async with database.transaction() as tx:
        held = await anchors.claim(tx, {item.order_id for received in batch for item in received.data.items})
        noted = {row[0] for row in await tx.fetch(statements.noted, [received.position for received in batch])}
        waiting = Waiting()
        rows: list[tuple[int, int, int, int, int, str, str]] = []
        touched: set[int] = set()
        for received in batch:
            if received.position in noted:
                continue
            noted.add(received.position)
            event = received.data
            missing = next((held[item.order_id] for item in event.items if held[item.order_id].position is None), None)
            if missing is not None:
                waiting.park(tx, received, missing, "waits for its order")
                continue
            if event.items:
                tx.changed(received)
            for line_no, item in enumerate(event.items, 1):
                position = held[item.order_id].position
                assert position is not None
                amounts = item.amount_minor, item.held_minor
                rows.append((received.position, position, *amounts, line_no, event.cause, event.document_no))
                touched.add(position)
        if rows:
            await tx.copy("settlement", columns=COLUMNS, records=rows)
        await completion.complete(tx, touched)
        await waiting.save(tx)
