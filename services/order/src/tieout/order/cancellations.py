"""Requests to stop an order: asked by a satellite, by a clerk, or by a credit for what has not left yet.

However it began, it is one row, its lines, and one `order.cancel_requested`; inventory decides.
"""

from collections.abc import Collection
from datetime import date
from typing import Any
from uuid import UUID

from msgspec import Struct
from tieout.contracts.order import CancelLine, CancelRequested
from tieout.order.domain import Known
from tieout.servicekit import Received, Transaction, sql

statements = sql.load(__file__)

COLUMNS = (
    "position",
    "order_position",
    "cancel_id",
    "intake_id",
    "business_date",
    "source",
    "number",
    "version",
    "fingerprint",
    "reason",
)


class Request(Struct, frozen=True):
    position: int  # Of the event that announces it.
    cancel_id: UUID
    order_id: UUID
    order_position: int
    company: str
    order_no: str
    source: str  # Who asks.
    number: str  # Of the cancellation.
    version: str
    fingerprint: str
    business_date: date
    lines: tuple[CancelLine, ...]  # None: all that can still be stopped.
    reason: str
    intake_id: UUID | None = None


async def accepted(tx: Transaction, positions: Collection[int]) -> dict[int, Known]:
    rows = await tx.fetch(statements.accepted, sorted(positions)) if positions else ()
    return {position: Known(version, fingerprint) for position, version, fingerprint in rows}


async def ordered(tx: Transaction, positions: Collection[int]) -> dict[int, dict[int, int]]:
    """Ordered quantity by order position and line number."""
    found: dict[int, dict[int, int]] = {}
    for position, line_no, quantity in await tx.fetch(statements.ordered, sorted(positions)) if positions else ():
        found.setdefault(position, {})[line_no] = quantity
    return found


async def void(tx: Transaction, asked: list[tuple[Request, Received[Any]]]) -> None:
    """These came before their orders, which were placed with the word that they wait, and then did not fit them. They
    are kept as conflicts only; inventory must hear that there is nothing to wait for."""
    for (one, cause), position in zip(asked, await tx.positions(len(asked)), strict=True):
        tx.announce(
            CancelRequested(one.cancel_id, one.order_id, one.company, one.order_no, one.business_date, void=True),
            position=position,
            key=(one.cancel_id, "void", one.intake_id),
            chain=one.order_id,
            order_no=one.order_no,
            company=one.company,
            cause=cause,
        )


async def request(tx: Transaction, asked: list[tuple[Request, Received[Any] | None]]) -> None:
    """Writes and announces these requests; the second of each pair is what caused it."""
    if not asked:
        return
    await tx.copy(
        "cancellation",
        columns=COLUMNS,
        records=[tuple(getattr(one, column) for column in COLUMNS) for one, _ in asked],
    )
    lines = [(one.position, line.quantity_micro, line.line_no) for one, _ in asked for line in one.lines]
    if lines:
        await tx.copy("cancellation_line", columns=("position", "quantity_micro", "line_no"), records=lines)
    for one, cause in asked:
        tx.announce(
            CancelRequested(
                cancel_id=one.cancel_id,
                order_id=one.order_id,
                company=one.company,
                order_no=one.order_no,
                business_date=one.business_date,
                lines=one.lines,
                reason=one.reason,
            ),
            position=one.position,
            key=(one.cancel_id,),
            chain=one.order_id,
            order_no=one.order_no,
            company=one.company,
            cause=cause,
        )
