"""inventory.receive -> inventory.received (and inventory.revalued where goods had left below zero)

Purchases and opening stock. Who waits for the goods is served in the same transaction.
"""

from datetime import date
from typing import Any

from tieout.contracts.inventory import GoodsReceived, SubmitReceipt
from tieout.inventory.journal import Moved
from tieout.inventory.papers import Paper, Papers
from tieout.inventory.stockroom import House, Stockroom, company_key
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("inventory-receive-goods", SubmitReceipt, size=100)
async def receive_goods(batch: list[Received[SubmitReceipt]], database: Database) -> None:
    async with database.transaction() as tx:
        room = Stockroom(tx)
        papers: Papers[SubmitReceipt] = Papers("receipt", tx, room.journal)
        await room.enter({received.data.company for received in batch})
        for received in batch:
            if received.data.company not in room.houses:
                tx.park(received, key=company_key(received.data.company), reason="unknown_company")
        to_decide = await papers.admit(papers.read(r for r in batch if r.data.company in room.houses))
        await room.lock(
            {(p.content.company, p.content.warehouse, line.sku) for p in to_decide for line in p.content.lines}
        )

        brought: dict[int, tuple[Received[Any] | None, date]] = {}
        for paper in to_decide:
            refusal = _refusal(paper.content, room.houses[paper.content.company])
            if refusal:
                papers.refuse(paper, *refusal)
            else:
                _receive(room, papers, paper, brought)

        await room.serve(brought)
        await room.leave()
        await papers.save()


def _receive(
    room: Stockroom,
    papers: Papers[SubmitReceipt],
    paper: Paper[SubmitReceipt],
    brought: dict[int, tuple[Received[Any] | None, date]],
) -> None:
    receipt = paper.content
    moved, revalued = [], []
    for line in receipt.lines:
        stock = room.by_key[receipt.company, receipt.warehouse, line.sku]
        revaluation = stock.receive(line.quantity_micro, line.value_minor)
        brought[stock.stock_id] = (paper.cause, receipt.business_date)
        moved.append(Moved(line.line_no, stock, line.quantity_micro, line.value_minor, stock.seq - bool(revaluation)))
        if revaluation:
            revalued.append(Moved(line.line_no, stock, 0, revaluation, stock.seq))
    house, day = room.houses[receipt.company], receipt.business_date
    event = GoodsReceived(
        paper.document_id,
        receipt.company,
        receipt.warehouse,
        receipt.number,
        receipt.source,
        receipt.kind,
        house.currency,
        day,
        house.period(day),
        tuple(line.told for line in moved),
    )
    document = paper.document_id, receipt.number, day
    room.journal.moved(receipt.kind, event, receipt.company, document, moved, paper.cause)
    room.journal.revalued(receipt.company, receipt.warehouse, document, revalued, paper.cause)
    papers.accept(
        paper, sum(line.quantity_micro for line in receipt.lines), sum(line.value_minor for line in receipt.lines)
    )


def _refusal(receipt: SubmitReceipt, house: House) -> tuple[str, str] | None:
    if receipt.currency != house.currency:
        return (
            "other_currency",
            f"Stock of {house.company} is valued in {house.currency}; the receipt says {receipt.currency}.",
        )
    if len({line.line_no for line in receipt.lines}) < len(receipt.lines):
        return "repeated_line", "Two lines have the same line_no; number them apart and submit again."
    return None
