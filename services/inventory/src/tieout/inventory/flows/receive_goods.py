"""inventory.receive -> inventory.received (and inventory.revalued where goods had left below zero)

Purchases and opening stock. Who waits for the goods is served in the same transaction.
"""

from tieout.contracts.inventory import GoodsReceived, MovedLine, ReceiptLine, SubmitReceipt
from tieout.inventory.booking import REPEATED_LINE, Refusal, book
from tieout.inventory.papers import Paper
from tieout.inventory.stockroom import House, Stockroom
from tieout.inventory.valuation import Stock
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("inventory-receive-goods", SubmitReceipt, size=100)
async def receive_goods(batch: list[Received[SubmitReceipt]], database: Database) -> None:
    await book("receipt", batch, database, refusal=_refusal, move=_receive, announce=_announce)


def _refusal(receipt: SubmitReceipt, room: Stockroom) -> Refusal | None:
    house = room.houses[receipt.company]
    if receipt.currency != house.currency:
        return (
            "other_currency",
            f"Stock of {house.company} is valued in {house.currency}; the receipt says {receipt.currency}.",
        )
    if len({line.line_no for line in receipt.lines}) < len(receipt.lines):
        return REPEATED_LINE
    return None


def _receive(stock: Stock, line: ReceiptLine) -> tuple[int, int]:
    return line.value_minor, stock.receive(line.quantity_micro, line.value_minor)


def _announce(paper: Paper[SubmitReceipt], house: House, lines: tuple[MovedLine, ...]) -> tuple[str, GoodsReceived]:
    receipt, day = paper.content, paper.content.business_date
    head = paper.document_id, receipt.company, receipt.warehouse, receipt.number, receipt.source, receipt.kind
    return receipt.kind, GoodsReceived(*head, house.currency, day, house.period(day), lines)
