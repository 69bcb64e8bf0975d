"""Receipts and counts: papers whose lines move the stock of one warehouse. Their flows say what they do not share."""

from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

from tieout.contracts.event import Event
from tieout.contracts.inventory import AdjustmentLine, MovedLine, ReceiptLine, SubmitAdjustment, SubmitReceipt
from tieout.inventory.journal import Moved
from tieout.inventory.papers import Kind, Paper, Papers
from tieout.inventory.stockroom import House, Stockroom, company_key
from tieout.inventory.valuation import Stock
from tieout.servicekit import Database, Received

P = TypeVar("P", SubmitReceipt, SubmitAdjustment)

Refusal = tuple[str, str]  # Reason and what to do about it.
REPEATED_LINE: Refusal = ("repeated_line", "Two lines have the same line_no; number them apart and submit again.")


async def book(
    kind: Kind,
    batch: list[Received[P]],
    database: Database,
    *,
    refusal: Callable[[P, Stockroom], Refusal | None],
    move: Callable[[Stock, Any], tuple[int, int]],
    announce: Callable[[Paper[P], House, tuple[MovedLine, ...]], tuple[str, Event]],
) -> None:
    """One batch, one transaction. `move` moves a line's goods and answers their value and the revaluation that they
    led to, both signed; `announce` answers what the moves are called and the event that tells of them."""
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[P] = Papers(kind, tx, room.journal)
        await room.enter({received.data.company for received in batch})
        for received in batch:
            if received.data.company not in room.houses:
                tx.park(received, key=company_key(received.data.company), reason="unknown_company")
        to_decide = await papers.admit(papers.read(r for r in batch if r.data.company in room.houses))
        await room.lock(
            {(p.content.company, p.content.warehouse, line.sku) for p in to_decide for line in p.content.lines}
        )
        await room.learn_costs(room.stocks.values())

        brought: dict[int, tuple[Received[Any] | None, date]] = {}
        for paper in to_decide:
            content = paper.content
            if refused := refusal(content, room):
                papers.refuse(paper, *refused)
                continue
            moved, revalued = [], []
            lines: tuple[ReceiptLine | AdjustmentLine, ...] = content.lines
            for line in lines:
                stock = room.by_key[content.company, content.warehouse, line.sku]
                value, revaluation = move(stock, line)
                moved.append(Moved(line.line_no, stock, line.quantity_micro, value, stock.seq - bool(revaluation)))
                if revaluation:
                    revalued.append(Moved(line.line_no, stock, 0, revaluation, stock.seq))
                if line.quantity_micro > 0:
                    brought[stock.stock_id] = (paper.cause, content.business_date)
            house = room.houses[content.company]
            called, event = announce(paper, house, tuple(line.told for line in moved))
            document = paper.document_id, content.number, content.business_date
            room.journal.moved(called, event, content.company, document, moved, paper.cause)
            room.journal.revalued(content.company, content.warehouse, document, revalued, paper.cause)
            papers.accept(paper, sum(m.quantity for m in moved), sum(m.value for m in moved))

        await room.serve(brought)
        await room.leave()
        await papers.save()
