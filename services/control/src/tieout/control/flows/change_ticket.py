"""What people do with a ticket: decided under its lock, kept in its history with who and why."""

from collections.abc import Set
from datetime import UTC, datetime

from msgspec.structs import asdict
from tieout.contracts.ticket import ChangeTicket, TicketChanged
from tieout.control import office, ticket_reads, tickets
from tieout.control.domain.letters import clean
from tieout.control.domain.tickets import Refusal, Standing, Wish, change
from tieout.servicekit import ACTOR, Database, Refused, Transaction, instant, sql

statements = sql.load(__file__)

DONE = {
    "acknowledge": "acknowledged",
    "wait": "waiting",
    "resolve": "resolved",
    "reopen": "reopened",
    "mute": "muted",
    "comment": "commented",
    "assign": "assigned",
    "prioritise": "prioritised",
}


async def change_ticket(
    request: ChangeTicket, database: Database, teams_of_channels: Set[str] = frozenset()
) -> TicketChanged:
    """Raises Refused(not_found | invalid | conflict). `teams_of_channels`: they may have no service."""
    actor = ACTOR.get() or "staff"
    until = instant(request.until, "until") if request.until else None
    async with database.transaction() as tx:
        row = await tx.fetchrow(statements.lock, request.number)
        if row is None:
            raise ticket_reads.not_found(request.number)
        before = Standing(**{name: row[name] for name in Standing.__struct_fields__})
        wish = Wish(request.action, actor, request.reason, until, request.to, request.priority)
        try:
            teams = teams_of_channels | await office.known_teams(tx) if request.action == "assign" else frozenset()
            after = change(before, wish, datetime.now(UTC), await office.clocks(tx), teams)
        except Refusal as refusal:
            status = 409 if refusal.code == "conflict" else 422
            raise Refused(refusal.code, refusal.detail, field=refusal.field, status=status) from None
        repeated = after == before and request.action != "comment"
        if not repeated:
            if after != before:
                opened = before.state == "resolved" and after.state == "open"
                await tx.execute(statements.save, request.number, *asdict(after).values(), opened)
            await _note(tx, request, row, actor, after, opened=before.state == "resolved" and after.state == "open")
    async with database.read() as connection:
        return TicketChanged(await ticket_reads.one(connection, request.number), repeated)


async def _note(
    tx: Transaction, request: ChangeTicket, row: object, actor: str, after: Standing, *, opened: bool
) -> None:
    if request.action == "resolve":
        await tickets.told_resolved(tx, row, request.reason, actor)
        return
    details = {
        "assign": f"to {request.to.strip()}",
        "prioritise": f"to {after.priority}",
        "mute": f"until {request.until}",
    }
    note = ". ".join(part for part in (details.get(request.action, ""), request.reason.strip()) if part)
    await tx.execute(tickets.statements.note_history, [request.number], [DONE[request.action]], [actor], [clean(note)])
    if opened:
        await tx.execute(tickets.statements.tell, [request.number], ["reopened"], [clean(note)])
