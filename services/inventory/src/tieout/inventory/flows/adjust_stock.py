"""inventory.adjust -> inventory.adjusted

A count found more or less than the books say. What is missing leaves at its cost; what was found comes in at the
present average, else the last one, else the article's standard cost.
"""

from collections import Counter

from tieout.contracts.inventory import AdjustmentLine, MovedLine, StockAdjusted, SubmitAdjustment
from tieout.inventory.booking import REPEATED_LINE, Refusal, book
from tieout.inventory.papers import Paper
from tieout.inventory.stockroom import House, Stockroom
from tieout.inventory.valuation import Stock
from tieout.inventory.wording import pieces
from tieout.servicekit import Database, Received, batch_flow


@batch_flow("inventory-adjust-stock", SubmitAdjustment, size=100)
async def adjust_stock(batch: list[Received[SubmitAdjustment]], database: Database) -> None:
    await book("adjustment", batch, database, refusal=_refusal, move=_adjust, announce=_announce)


def _refusal(count: SubmitAdjustment, room: Stockroom) -> Refusal | None:
    if len({line.line_no for line in count.lines}) < len(count.lines):
        return REPEATED_LINE
    change: Counter[str] = Counter()
    for line in count.lines:
        if line.quantity_micro == 0:
            return "zero_quantity", f"Line {line.line_no} changes nothing; leave it out and submit again."
        change[line.sku] += line.quantity_micro
        stock = room.by_key[count.company, count.warehouse, line.sku]
        if stock.policy != "allow_negative" and line.quantity_micro < 0 and stock.on_hand + change[line.sku] < 0:
            return (
                "above_on_hand",
                f"Line {line.line_no}: {pieces(stock.on_hand)} of {line.sku} are on hand, and warehouse "
                f"{count.warehouse} does not go below zero. Enter the missing receipt first.",
            )
    return None


def _adjust(stock: Stock, line: AdjustmentLine) -> tuple[int, int]:
    if line.quantity_micro < 0:
        return -stock.issue(-line.quantity_micro), 0
    value = stock.estimate(line.quantity_micro)
    return value, stock.receive(line.quantity_micro, value)


def _announce(paper: Paper[SubmitAdjustment], house: House, lines: tuple[MovedLine, ...]) -> tuple[str, StockAdjusted]:
    count, day = paper.content, paper.content.business_date
    head = paper.document_id, count.company, count.warehouse, count.number, count.source
    return "count", StockAdjusted(*head, house.currency, day, house.period(day), lines, count.reason)
