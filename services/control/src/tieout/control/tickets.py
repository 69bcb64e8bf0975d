"""Opening tickets: the one way for whoever notices that a person is needed.

One ticket per cause: its fingerprint, which begins with its kind and names no single document. The same cause again is
counted; a resolved ticket opens again. Ticket, history, what has to be told outside, and the event leave in the
caller's transaction.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tieout.contracts.event import event_id
from tieout.contracts.ticket import Kind, TicketOpened, TicketResolved
from tieout.control import office
from tieout.control.domain.hours import Clock
from tieout.control.domain.letters import clean
from tieout.control.domain.opening import Affected as Affected  # For those who open tickets.
from tieout.control.domain.opening import Opening as Opening
from tieout.servicekit import ACTOR, Transaction, sql

statements = sql.load(__file__)

SELF = "control"  # Who acts where nobody asked.
DETAIL_CHARACTERS_MAX = 2_000
TITLE_CHARACTERS_MAX = 300

# 1 at once, 2 today, 3 this week: what a ticket of a kind gets where its opener does not know better.
PRIORITIES: dict[Kind, int] = {
    "dead_letter": 2,
    "flow_stopped": 1,
    "stall": 1,
    "silence": 2,
    "satellite": 2,
    "disagreement": 1,
    "finding": 1,
    "conflict": 3,
    "cancelled_but_shipped": 2,
    "deadline": 3,
    "broker_loss": 2,
    "replay": 2,
}
RUNBOOKS: dict[Kind, str] = {
    "dead_letter": "DeadLetters",
    "flow_stopped": "FlowStopped",
    "stall": "ConsumerStalled",
    "disagreement": "BooksDiffer",
}


async def open_ticket(tx: Transaction, kind: Kind, fingerprint: str, title_en: str, title_zh: str, **more: Any) -> int:
    """Open, count, or open again the one ticket of this cause; `more` are fields of Opening. Its number."""
    opening = Opening(kind=kind, fingerprint=fingerprint, title_en=title_en, title_zh=title_zh, **more)
    return (await open_tickets(tx, [opening]))[fingerprint]


async def lock(tx: Transaction, fingerprints: set[str]) -> dict[str, str]:
    """fingerprint -> state, of those that are known. Whoever opens some and settles others locks all of them first."""
    rows = await tx.fetch(statements.lock, sorted(fingerprints)) if fingerprints else ()
    return {row["fingerprint"]: row["state"] for row in rows}


async def open_tickets(tx: Transaction, openings: Sequence[Opening]) -> dict[str, int]:
    """The same for many causes at once: fingerprint -> number. Each fingerprint once."""
    if not openings:
        return {}
    before = await lock(tx, {opening.fingerprint for opening in openings})
    now = datetime.now(UTC)
    clocks = await office.clocks(tx)
    columns = zip(*(_columns(opening, now, clocks) for opening in openings), strict=True)
    rows = await tx.fetch(statements.open, *map(list, columns))
    numbers = {row["fingerprint"]: row["number"] for row in rows}
    orders = [
        (numbers[opening.fingerprint], order.company, order.order_no, order.currency, order.amount_minor, order.paper)
        for opening in openings
        for order in opening.orders
    ]
    if orders:
        await tx.execute(statements.note_orders, *map(list, zip(*orders, strict=True)))
    counts = {opening.fingerprint: opening.count for opening in openings}
    fresh = [row for row in rows if _is_fresh(row, before.get(row["fingerprint"], ""), counts[row["fingerprint"]])]
    if fresh:
        await _tell_opened(tx, fresh)
    return numbers


def _columns(opening: Opening, now: datetime, clocks: Mapping[int, Clock]) -> tuple[Any, ...]:
    priority = opening.priority or PRIORITIES[opening.kind]
    return (
        opening.fingerprint,
        opening.kind,
        opening.service,
        opening.flow,
        opening.reason,
        opening.field,
        clean(opening.title_en[:TITLE_CHARACTERS_MAX]),
        clean(opening.title_zh[:TITLE_CHARACTERS_MAX]),
        clean(opening.detail[:DETAIL_CHARACTERS_MAX]),
        opening.runbook or RUNBOOKS.get(opening.kind, ""),
        priority,
        opening.count,
        opening.first_at or opening.last_at or now,
        opening.last_at or now,
        clocks[priority].due(now),
    )


def _is_fresh(row: Any, before: str, count: int) -> bool:
    """Opened by this transaction: it was resolved, or nobody knew it. Another replica's has its count already."""
    return before == "resolved" or (not before and row["count"] == count)


async def _tell_opened(tx: Transaction, rows: Sequence[Any]) -> None:
    what = ["opened" if row["times"] == 1 else "reopened" for row in rows]
    numbers = [row["number"] for row in rows]
    notes = [row["detail"] for row in rows]
    await tx.execute(statements.note_history, numbers, what, [ACTOR.get() or SELF] * len(rows), notes)
    await tx.execute(statements.tell, numbers, what, notes)
    for row, position in zip(rows, await tx.positions(len(rows)), strict=True):
        tx.announce(
            TicketOpened(
                number=row["number"],
                kind=row["kind"],
                fingerprint=row["fingerprint"],
                title_en=row["title_en"],
                title_zh=row["title_zh"],
                priority=row["priority"],
                owner=row["owner"],
                times=row["times"],
                due_at=row["due_at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
                service=row["service"],
                flow=row["flow"],
            ),
            position=position,
            key=(row["number"], row["times"]),
            chain=event_id("ticket", row["number"]),
        )


async def open_once(tx: Transaction, opening: Opening) -> int | None:
    """Open the ticket of a lasting cause, unless it stands already: for whoever looks again and again. Its number
    where it was opened."""
    if await tx.fetchval(statements.stands, opening.fingerprint):
        return None
    return (await open_tickets(tx, [opening]))[opening.fingerprint]


async def settle_ticket(tx: Transaction, fingerprint: str, why: str, *, actor: str = "") -> bool:
    """The cause is gone: resolve its ticket, if one stands. True where it did."""
    row = await tx.fetchrow(statements.settle, fingerprint)
    if row is None:
        return False
    await told_resolved(tx, row, why, actor or ACTOR.get() or SELF)
    return True


async def told_resolved(tx: Transaction, row: Any, why: str, actor: str) -> None:
    """History, notification and event of a ticket that has just been resolved."""
    await tx.execute(statements.note_history, [row["number"]], ["resolved"], [actor], [clean(why)])
    await tx.execute(statements.tell, [row["number"]], ["resolved"], [clean(why)])
    (position,) = await tx.positions(1)
    tx.announce(
        TicketResolved(
            number=row["number"],
            kind=row["kind"],
            fingerprint=row["fingerprint"],
            times=row["times"],
            actor=actor,
            reason=why,
        ),
        position=position,
        key=(row["number"], row["times"]),
        chain=event_id("ticket", row["number"]),
    )
