"""What became of fed documents, asked from the books of every service; nothing here is counted by the feeder.

`Books` holds the answers of one moment. `documents` counts them by satellite, kind and outcome, to be compared with
what was to be expected; `terms` weighs them by month for the conservation law.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
from msgspec import Struct
from tieout.contracts.finance import FINANCE_OUTCOMES, FinanceOutcome, FinanceOutcomesRequest
from tieout.contracts.gateway import (
    GATEWAY_OUTCOMES,
    PROGRESS,
    GatewayOutcome,
    GatewayOutcomesRequest,
    Progress,
    ProgressRequest,
)
from tieout.contracts.inventory import INVENTORY_OUTCOMES, InventoryOutcome, InventoryOutcomesRequest
from tieout.contracts.order import OUTCOMES, Outcome, OutcomesRequest
from tieout.devstack.calling import call
from tieout.devstack.conservation import Term
from tieout.devstack.formats.tieout_ndjson import WITHOUT_GOODS_LINES

Key = tuple[str, str, str]  # Satellite, kind of document, outcome.

_STOCK_PAPERS = {
    "opening": "receipt",
    "purchase": "receipt",
    "adjusted_gain": "adjustment",
    "adjusted_loss": "adjustment",
}
STOCK_PAPER, MONEY_PAPER = "stock paper", "money paper"  # Of a repeated paper its service tells no finer kind.
DOCUMENT = "document"  # What a quarantined one was meant to be may be unreadable.
_PAPER = {
    "receipt": STOCK_PAPER,
    "adjustment": STOCK_PAPER,
    "confirmation": STOCK_PAPER,
    "delivery": STOCK_PAPER,
    "payment": MONEY_PAPER,
    "refund": MONEY_PAPER,
}


def key(satellite: str, kind: str, outcome: str) -> Key:
    """Under which key the books count a document of this kind with this outcome."""
    if outcome == "quarantined":
        return satellite, DOCUMENT, outcome
    return satellite, kind if outcome == "accepted" else _PAPER.get(kind, kind), outcome


class Books(Struct, frozen=True):
    order: tuple[Outcome, ...]
    inventory: tuple[InventoryOutcome, ...]
    finance: tuple[FinanceOutcome, ...]
    gateway: tuple[GatewayOutcome, ...]
    progress: tuple[Progress, ...]

    @property
    def under_way(self) -> int:
        """Documents that the gateway has taken and not yet handed over or refused."""
        return sum(lane.pending + lane.waiting for lane in self.progress)

    def documents(self) -> Counter[Key]:
        """By satellite, kind and outcome. A confirmation or delivery counts as soon as it is handed over."""
        counted: Counter[Key] = Counter()
        for row in self.order:
            counted[row.source, row.kind, row.outcome] += row.documents
        for stock in self.inventory:
            if stock.outcome in _STOCK_PAPERS:
                counted[stock.source, _STOCK_PAPERS[stock.outcome], "accepted"] += stock.documents
            elif stock.outcome in ("duplicate", "conflict"):
                counted[stock.source, STOCK_PAPER, stock.outcome] += stock.documents
        for money in self.finance:
            if money.outcome in ("payment", "refund") and not money.account:
                counted[money.source, money.outcome, "accepted"] += money.documents
            elif money.outcome in ("duplicate", "conflict"):
                counted[money.source, MONEY_PAPER, money.outcome] += money.documents
        for refused in self.gateway:
            counted[refused.source, DOCUMENT, refused.outcome] += refused.documents
        for lane in self.progress:
            for kind in ("confirmation", "delivery"):
                if lane.commands.get(kind):
                    counted[lane.source, kind, "accepted"] += lane.commands[kind]
        return counted

    def terms(self) -> Iterator[Term]:
        """What became of lines of orders, credits and adjustments, for the conservation law."""
        for booked in self.finance:
            if booked.outcome in ("booked", "credited") and not booked.account:
                yield Term(
                    booked.month,
                    booked.outcome,
                    "finance",
                    booked.documents,
                    booked.lines,
                    booked.quantity_micro,
                    booked.net_minor + booked.tax_minor,
                )
        for stock in self.inventory:
            if stock.outcome in ("adjusted_gain", "adjusted_loss"):
                yield Term(stock.month, "adjusted", "inventory", stock.documents, stock.lines, stock.quantity_micro)
            elif stock.outcome in ("refused", "cancelled", "back_ordered", "reserved", "in_transit"):
                yield Term(
                    stock.month,
                    stock.outcome,
                    "inventory",
                    stock.documents,
                    stock.lines,
                    stock.quantity_micro,
                    stock.amount_minor,
                )
            elif stock.outcome in ("duplicate", "conflict") and stock.kind == "adjustment":
                yield Term(
                    stock.month,
                    stock.outcome,
                    "inventory",
                    stock.documents,
                    stock.lines,
                    stock.quantity_micro,
                    reason=stock.reason,
                )
        for row in self.order:
            if row.kind == "cancel":
                continue
            sign = -1 if row.kind == "credit" else 1
            if row.outcome == "accepted":
                yield Term(row.month, "rounding", "order", rounding_micro=sign * row.rounding_micro)
            else:
                yield Term(
                    row.month,
                    row.outcome,
                    "order",
                    row.documents,
                    row.lines,
                    sign * row.quantity_micro,
                    sign * row.amount_minor,
                    sign * row.rounding_micro,
                    row.reason,
                )
        for refused in self.gateway:
            if refused.kind in WITHOUT_GOODS_LINES:
                continue
            yield Term(
                refused.month,
                "quarantined",
                "gateway",
                refused.documents,
                refused.lines,
                refused.quantity_micro,
                refused.amount_minor,
                reason=refused.reason,
            )


async def read(client: httpx.AsyncClient, *, source: str = "") -> Books:
    """All answers, of one satellite or of all. They are of one moment only once nothing is under way any more."""
    order, inventory, finance, gateway, progress = await asyncio.gather(
        call(client, OUTCOMES, OutcomesRequest(source=source)),
        call(client, INVENTORY_OUTCOMES, InventoryOutcomesRequest(source=source)),
        call(client, FINANCE_OUTCOMES, FinanceOutcomesRequest(source=source)),
        call(client, GATEWAY_OUTCOMES, GatewayOutcomesRequest(source=source)),
        call(client, PROGRESS, ProgressRequest(source=source)),
    )
    return Books(order.outcomes, inventory.outcomes, finance.outcomes, gateway.outcomes, progress.satellites)
