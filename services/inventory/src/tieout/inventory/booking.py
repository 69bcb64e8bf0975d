"""Receipts and counts: papers whose lines move the stock of one warehouse. Their flows say what they do not share."""

from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

from tieout.contracts.event import Event
from tieout.contracts.inventory import AdjustmentLine, MovedLine, ReceiptLine, SubmitAdjustment, SubmitReceipt
from tieout.inventory.journal import Moved
from tieout.inventory.papers import Kind, Paper, take_in
from tieout.inventory.stockroom import House, Stockroom
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
        room, papers, to_decide = await take_in(kind, batch, tx)
        await room.lock(
            {(p.content.company, p.content.warehouse, line.sku) for p in to_decide for line in p.content.lines}
        )
        await room.learn_costs(room.stocks.values())

        brought: dict[int, tuple[Received[Any] | None, date]] = {}
        missing: dict[int, Received[Any] | None] = {}
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
                else:
                    missing[stock.stock_id] = paper.cause
            house = room.houses[content.company]
            called, event = announce(paper, house, tuple(line.told for line in moved))
            document = paper.document_id, content.number, content.business_date
            room.journal.moved(called, event, content.company, document, moved, paper.cause)
            room.journal.revalued(content.company, content.warehouse, document, revalued, paper.cause)
            papers.accept(paper, sum(m.quantity for m in moved), sum(m.value for m in moved))

        await room.call_back(missing)
        await room.serve(brought)
        await room.leave()
        await papers.save()
