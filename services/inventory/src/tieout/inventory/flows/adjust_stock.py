"""inventory.adjust -> inventory.adjusted

A count found more or less than the books say. What is missing leaves at its cost; what was found comes in at the
present average, else the last one, else the article's standard cost.
"""

from collections import Counter
from datetime import date
from typing import Any

from tieout.contracts.inventory import StockAdjusted, SubmitAdjustment
from tieout.inventory.journal import Moved
from tieout.inventory.papers import Paper, Papers
from tieout.inventory.stockroom import Stockroom, company_key
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("inventory-adjust-stock", SubmitAdjustment, size=100)
async def adjust_stock(batch: list[Received[SubmitAdjustment]], database: Database) -> None:
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitAdjustment] = Papers("adjustment", tx, room.journal)
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
            refusal = _refusal(paper.content, room)
            if refusal:
                papers.refuse(paper, *refusal)
            else:
                _adjust(room, papers, paper, brought)

        await room.serve(brought)
        await room.leave()
        await papers.save()


def _adjust(
    room: Stockroom,
    papers: Papers[SubmitAdjustment],
    paper: Paper[SubmitAdjustment],
    brought: dict[int, tuple[Received[Any] | None, date]],
) -> None:
    count = paper.content
    moved, revalued, total = [], [], 0
    for line in count.lines:
        stock = room.by_key[count.company, count.warehouse, line.sku]
        quantity = line.quantity_micro
        if quantity < 0:
            value, revaluation = -stock.issue(-quantity), 0
        else:
            value = stock.estimate(quantity)
            revaluation = stock.receive(quantity, value)
            brought[stock.stock_id] = (paper.cause, count.business_date)
        total += value
        moved.append(Moved(line.line_no, stock, quantity, value, stock.seq - bool(revaluation)))
        if revaluation:
            revalued.append(Moved(line.line_no, stock, 0, revaluation, stock.seq))
    house, day = room.houses[count.company], count.business_date
    event = StockAdjusted(
        paper.document_id,
        count.company,
        count.warehouse,
        count.number,
        count.source,
        house.currency,
        day,
        house.period(day),
        tuple(line.told for line in moved),
        count.reason,
    )
    document = paper.document_id, count.number, day
    room.journal.moved("count", event, count.company, document, moved, paper.cause)
    room.journal.revalued(count.company, count.warehouse, document, revalued, paper.cause)
    papers.accept(paper, sum(line.quantity_micro for line in count.lines), total)


def _refusal(count: SubmitAdjustment, room: Stockroom) -> tuple[str, str] | None:
    if len({line.line_no for line in count.lines}) < len(count.lines):
        return "repeated_line", "Two lines have the same line_no; number them apart and submit again."
    change: Counter[str] = Counter()
    for line in count.lines:
        if line.quantity_micro == 0:
            return "zero_quantity", f"Line {line.line_no} changes nothing; leave it out and submit again."
        change[line.sku] += line.quantity_micro
        stock = room.by_key[count.company, count.warehouse, line.sku]
        if stock.policy != "allow_negative" and line.quantity_micro < 0 and stock.on_hand + change[line.sku] < 0:
            return (
                "above_on_hand",
                f"Line {line.line_no}: {stock.on_hand} of {line.sku} are on hand (millionths), and warehouse "
                f"{count.warehouse} does not go below zero. Enter the missing receipt first.",
            )
    return None
