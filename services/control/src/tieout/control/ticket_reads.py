"""Questions about tickets and dead letters. No rules, no locks."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from tieout.contracts.ticket import (
    DeadLetterRequest,
    DeadLetterStory,
    Money,
    Ticket,
    TicketLetter,
    TicketOrder,
    TicketRequest,
    Tickets,
    TicketsRequest,
    TicketStep,
    TicketStory,
)
from tieout.control import office
from tieout.control.domain.hours import Clock
from tieout.servicekit import Connection, Database, Letter, Refused, sql

statements = sql.load(__file__)

BODY_CHARACTERS_MAX = 200_000  # Escaped once more, an answer still fits into one message.
_PLAIN = (
    "number",
    "kind",
    "fingerprint",
    "title_en",
    "title_zh",
    "state",
    "priority",
    "owner",
    "count",
    "times",
    "assignee",
    "service",
    "flow",
    "reason",
    "field",
    "detail",
    "runbook",
)
_INSTANTS = ("first_at", "last_at", "opened_at", "due_at", "muted_until", "waiting_since", "resolved_at")


async def list_tickets(request: TicketsRequest, database: Database) -> Tickets:
    async with database.read() as connection:
        owner = request.owner.removeprefix("@")
        asked = (request.state, request.kind, request.service, owner, request.order_no)
        rows = await connection.fetch(statements.list, *asked, request.after, request.limit)
        found = await _told(connection, rows)
        counts = await connection.fetchrow(statements.counts, *asked)
    assert counts is not None
    return Tickets(
        tuple(found),
        standing=counts["standing"],
        found=counts["found"],
        total=counts["total"],
        overdue=counts["overdue"],
        next_after=rows[-1]["place"] if len(rows) == request.limit else 0,
    )


async def show_ticket(request: TicketRequest, database: Database) -> TicketStory:
    async with database.read() as connection:
        ticket = await one(connection, request.number)
        orders = await connection.fetch(statements.orders, request.number)
        history = await connection.fetch(statements.history, request.number)
        letters = await connection.fetch(statements.letters, request.number)
    return TicketStory(
        ticket=ticket,
        history=tuple(TicketStep(_text(row["at"]), row["what"], row["actor"], row["note"]) for row in history),
        orders=tuple(TicketOrder(**dict(row)) for row in orders),
        letters=tuple(TicketLetter(**{**dict(row), "at": _text(row["at"])}) for row in letters),
    )


async def one(connection: "Connection[Any]", number: int) -> Ticket:
    """Raises Refused(not_found)."""
    row = await connection.fetchrow(statements.one, number)
    if row is None:
        raise not_found(number)
    (ticket,) = await _told(connection, [row])
    return ticket


async def several(connection: "Connection[Any]", numbers: Iterable[int]) -> dict[int, Ticket]:
    rows = await connection.fetch(statements.several, list(numbers))
    return {ticket.number: ticket for ticket in await _told(connection, rows)}


def not_found(number: int) -> Refused:
    detail = f"There is no ticket {number}. See: ./tieout tickets list"
    return Refused("not_found", detail, field="number", status=404)


async def show_dead_letter(request: DeadLetterRequest, database: Database) -> DeadLetterStory:
    async with database.read() as connection:
        row = await connection.fetchrow(statements.letter, request.number)
    if row is None:
        raise Refused("not_found", f"There is no dead letter {request.number}.", field="number", status=404)
    letter = msgspec.json.decode(row["letter"], type=Letter)
    told = {name: getattr(letter, name) for name in Letter.__struct_fields__}
    cut = len(letter.body) > BODY_CHARACTERS_MAX or len(letter.body_base64) > BODY_CHARACTERS_MAX
    for name in ("body", "body_base64"):
        told[name] = told[name][:BODY_CHARACTERS_MAX]
    return DeadLetterStory(number=row["number"], ticket=row["ticket"], body_cut=cut, **told)


async def _told(connection: "Connection[Any]", rows: Sequence[Any]) -> list[Ticket]:
    hurt: dict[int, list[Any]] = {}
    for row in await connection.fetch(statements.hurt, [row["number"] for row in rows]):
        hurt.setdefault(row["ticket"], []).append(row)
    now = datetime.now(UTC)
    clocks = await office.clocks(connection) if rows else {}
    return [_ticket(row, hurt.get(row["number"], ()), now, clocks[row["priority"]]) for row in rows]


def _ticket(row: Any, hurt: Iterable[Any], now: datetime, clock: Clock) -> Ticket:
    orders = 0
    money = []
    for sums in hurt:
        orders += sums["orders"]
        if sums["currency"]:
            money.append(Money(sums["currency"], int(sums["amount_minor"])))
    told: dict[str, Any] = {name: row[name] for name in _PLAIN}
    told.update((name, _text(row[name]) if row[name] else "") for name in _INSTANTS)
    return Ticket(
        **told,
        overdue=row["due_at"] < now and row["state"] in ("open", "acknowledged"),
        orders=orders,
        money=tuple(money),
        unpublished=clock.guesses(row["opened_at"], row["due_at"]),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
