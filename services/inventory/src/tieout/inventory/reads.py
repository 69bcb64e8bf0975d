"""Questions to inventory. No rules, no locks."""

from typing import Any
from uuid import UUID

from tieout.contracts.event import event_id
from tieout.contracts.inventory import (
    INVENTORY_OUTCOMES,
    MOVES,
    STOCK,
    WAREHOUSES,
    CancelDecided,
    DocumentSettled,
    GoodsDelivered,
    GoodsRecalled,
    GoodsReturned,
    GoodsShipped,
    InventoryOutcome,
    InventoryOutcomes,
    InventoryOutcomesRequest,
    ListMoves,
    ListStock,
    ListWarehouses,
    MovePage,
    MoveView,
    OrderRefused,
    StockAdjusted,
    StockPage,
    StockReserved,
    StockView,
    Warehouses,
    WarehouseView,
)
from tieout.contracts.operation import Trail, TrailEntry, TrailRequest
from tieout.inventory.wording import pieces
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(WAREHOUSES)
async def list_warehouses(request: ListWarehouses, database: Database) -> Warehouses:
    async with database.read() as connection:
        rows = await connection.fetch(statements.list_warehouses, request.company)
    return Warehouses(tuple(WarehouseView(*row) for row in rows))


@operation(STOCK)
async def list_stock(request: ListStock, database: Database) -> StockPage:
    after = request.after.split("|") if request.after else ["", "", ""]
    if len(after) != 3:
        raise Refused("invalid", "Pass on the `next` of the page before, unchanged.", field="after", status=422)
    async with database.read() as connection:
        rows = await connection.fetch(
            statements.list_stock,
            request.company,
            request.warehouse,
            request.sku,
            request.back_ordered_only,
            *after,
            request.limit + 1,
        )
    page = tuple(StockView(*row) for row in rows[: request.limit])
    more = len(rows) > request.limit
    return StockPage(page, "|".join((page[-1].company, page[-1].warehouse, page[-1].sku)) if more else "")


@operation(MOVES)
async def list_moves(request: ListMoves, database: Database) -> MovePage:
    try:
        position, line_no = map(int, request.after.split("-")) if request.after else (0, 0)
    except ValueError:
        raise Refused(
            "invalid", "Pass on the `next` of the page before, unchanged.", field="after", status=422
        ) from None
    async with database.read() as connection:
        rows = await connection.fetch(
            statements.list_moves,
            request.company,
            request.warehouse,
            request.sku,
            request.document_no,
            position,
            line_no,
            request.limit + 1,
        )
    page = tuple(MoveView(*row) for row in rows[: request.limit])
    return MovePage(page, f"{page[-1].position}-{page[-1].line_no}" if len(rows) > request.limit else "")


@operation(INVENTORY_OUTCOMES)
async def outcomes(request: InventoryOutcomesRequest, database: Database) -> InventoryOutcomes:
    """Order lines and documents together; each row of the answer is a sum over facts."""
    async with database.read() as connection:
        rows = [
            *await connection.fetch(statements.outcomes_of_order_lines, request.company, request.source),
            *await connection.fetch(statements.outcomes_of_documents, request.company, request.source),
        ]
    return InventoryOutcomes(tuple(InventoryOutcome(*sql.exact(row)) for row in rows))


async def trail(request: TrailRequest, database: Database) -> Trail:
    """What was promised, what left, was stopped, came back, and what changed nothing: for one order or document."""
    try:
        chain = UUID(request.chain_id)
    except ValueError:
        raise Refused("invalid", "A chain id is a UUID.", field="chain_id", status=422) from None
    async with database.read() as connection:
        entries = [
            *map(_promised, await connection.fetch(statements.trail_of_promises, chain)),
            *map(_stopped, await connection.fetch(statements.trail_of_stops, chain)),
            *map(_moved, await connection.fetch(statements.trail_of_moves, chain)),
            *map(_without_effect, await connection.fetch(statements.trail_of_papers, chain)),
        ]
    return Trail(tuple(sorted(entries, key=lambda entry: entry.at)))


def _lines(number: int) -> str:
    return f"{number} line" if number == 1 else f"{number} lines"


def _promised(row: Any) -> TrailEntry:
    if row["reserved"] < 0:
        gone = f", gone with {row['gone_with']}" if row["gone_with"] else ""
        return TrailEntry(
            at=row["at"],
            step="called back",
            document=row["order_no"],
            event_id=event_id(StockReserved.SUBJECT, row["order_id"], row["ordinal"]),
            quantity_micro=-row["reserved"],
            detail=f"less lies there than was promised{gone}; the order waits again",
        )
    back_ordered = f", {pieces(row['back_ordered'])} back-ordered" if row["back_ordered"] > 0 else ""
    return TrailEntry(
        at=row["at"],
        step="reserved" if row["reserved"] > 0 else "back_ordered",
        document=row["order_no"],
        event_id=event_id(StockReserved.SUBJECT, row["order_id"], row["ordinal"]),
        quantity_micro=row["reserved"] if row["reserved"] > 0 else row["back_ordered"],
        detail=f"{_lines(row['lines'])}{back_ordered}" if row["reserved"] > 0 else _lines(row["lines"]),
    )


def _stopped(row: Any) -> TrailEntry:
    if row["kind"] == "refused":
        step, identity = "refused", event_id(OrderRefused.SUBJECT, row["order_id"])
        detail = f"short of {row['skus']}"
    else:
        step, identity = "cancelled", event_id(CancelDecided.SUBJECT, row["cancel_id"], row["ordinal"])
        detail = f"too late for {pieces(row['too_late'])}" if row["too_late"] else ""
        if not row["quantity"]:
            step, detail = "nothing to cancel", detail or "nothing was left to stop"
        if row["quantity"] < 0:  # A correction of an earlier decision.
            step, detail = "left although cancelled", f"{detail}: the warehouse had sent it"
    return TrailEntry(
        at=row["at"],
        step=step,
        document=row["order_no"],
        event_id=identity,
        quantity_micro=abs(row["quantity"]),
        detail=detail,
    )


def _without_effect(row: Any) -> TrailEntry:
    told = ": ".join(part for part in (row["reason"], row["detail"]) if part)
    return TrailEntry(
        at=row["at"],
        step=row["outcome"],
        document=row["number"],
        event_id=event_id(DocumentSettled.SUBJECT, row["intake_id"]),
        detail=told or f"a {row['kind']} that came again",
    )


def _moved(row: Any) -> TrailEntry:
    kind, told = row["kind"], "stock value"
    if kind in ("issue", "service"):
        step, identity = "shipped", event_id(GoodsShipped.SUBJECT, row["chain_id"], row["ordinal"])
        told = "stock value; on its way, not sold before it is delivered" if row["at_delivery"] else told
    elif kind == "delivery":
        step, identity = "delivered", event_id(GoodsDelivered.SUBJECT, row["chain_id"], row["ordinal"])
        told = "the customer has it: sold now"
    elif kind == "recall":
        step, identity = "stopped on its way", event_id(GoodsRecalled.SUBJECT, row["cancel_id"])
        told = "back in stock at the cost it left with"
    elif kind == "return":
        step, identity = "returned", event_id(GoodsReturned.SUBJECT, row["chain_id"])
    elif kind == "scrap":
        step, identity = "scrapped", event_id(StockAdjusted.SUBJECT, row["chain_id"])
        told = "of what came back; a shortage to be approved"
    else:
        step, identity = {"count": "adjusted", "revaluation": "revalued"}.get(kind, "received"), ""
    services = f" with {pieces(row['services'])} of carriage or another service" if row["services"] else ""
    return TrailEntry(
        at=row["at"],
        step=step,
        document=row["document_no"],
        event_id=identity,
        quantity_micro=abs(row["quantity"]),
        amount_minor=abs(row["value"]),
        currency=row["currency"] or "",
        detail=f"{_lines(row['lines'])}{services}, {told}",
    )
