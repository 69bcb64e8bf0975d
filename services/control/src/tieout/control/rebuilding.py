"""Control's database, restored from an older backup: it hears again what the streams still hold.

Notices, dead letters and facts are played as if they came for the first time; tickets stand again from their own
announcements, under the same numbers. What people did with tickets stood in this database alone, and is told.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from nats.js import JetStreamContext
from tieout.contracts.event import Envelope, Notice
from tieout.contracts.streams import stream_of
from tieout.contracts.ticket import ClaimsSetAside, TicketOpened, TicketResolved
from tieout.control import tickets
from tieout.control.tickets import RUNBOOKS
from tieout.servicekit import Database, sql
from tieout.servicekit.letters import LETTERS_STREAM
from tieout.servicekit.lost_part import Announced
from tieout.servicekit.rebuilding import Recovery

statements = sql.load(__file__)

# Replicas commit their batches in any order: this much before the newest message there may be one that is not here.
MARGIN = timedelta(minutes=10)
NOT_BACK = (
    "what people did with tickets: acknowledged, assigned, commented, muted, prioritised (listed below, as far as the "
    "gateway's audit has it). Tickets that were opened stand again as open, without their history",
    "teams, deadlines, working hours and calendars that were changed; requests for replays and repairs, and their "
    "course",
    "notices that their streams have let go of by age: those steps are missing in journeys",
)

_read_envelope = msgspec.json.Decoder(Envelope).decode
_read_notice = msgspec.json.Decoder(Notice).decode
_read_opened = msgspec.json.Decoder(TicketOpened).decode
_read_aside = msgspec.json.Decoder(ClaimsSetAside).decode
_read_resolved = msgspec.json.Decoder(TicketResolved).decode


class Rebuilding:
    def __init__(self, database: Database, js: JetStreamContext) -> None:
        self._database = database
        self._began = datetime.now(UTC)
        self._drawn = 0  # The last ticket's number that the database has given out.

    async def begin(self, found: Recovery) -> None:
        async with self._database.read() as connection:
            self._began = await connection.fetchval(statements.now)
            found.backup_at = await connection.fetchval(statements.newest)

    async def rebuild(self, connection: Any, announced: Sequence[Announced]) -> None:
        opened = []
        for event in announced:
            if event.kind == TicketOpened.SUBJECT:
                envelope = _read_envelope(event.body)
                at = datetime.fromisoformat(envelope.time)
                told = _read_opened(envelope.data)
                opened.append(
                    (
                        told.number,
                        told.fingerprint,
                        told.kind,
                        told.service,
                        told.flow,
                        told.title_en,
                        told.title_zh,
                        RUNBOOKS.get(told.kind, ""),  # type: ignore[call-overload]
                        told.priority,
                        told.owner,
                        at,
                        datetime.fromisoformat(told.due_at),
                        told.times,
                    )
                )
        if opened:
            columns = list(map(list, zip(*opened, strict=True)))
            await self._draw_numbers(connection, max(columns[0]))
            await connection.execute(statements.rebuild_tickets, *columns)
            await connection.execute(statements.note_rebuilt, columns[0])

    async def _draw_numbers(self, connection: Any, highest: int) -> None:
        """No number of a ticket is given out twice: those that were are drawn, which a rollback does not undo."""
        while self._drawn < highest:
            drawing = connection.transaction()
            await drawing.start()
            left = highest - self._drawn if self._drawn else 1
            self._drawn = await connection.fetchval(statements.draw_tickets, left)
            await drawing.rollback()

    async def heard_until(self) -> Mapping[str, datetime]:
        async with self._database.read() as connection:
            rows = await connection.fetch(statements.newest_notices)
            letter = await connection.fetchval(statements.newest_letter)
        heard = {
            stream_of(row["producer"]): datetime.fromisoformat(_read_notice(row["body"]).time) - MARGIN for row in rows
        }
        if letter is not None:
            heard[LETTERS_STREAM] = letter - MARGIN
        return heard

    async def finish(self, found: Recovery) -> None:
        """Resolved tickets last: what is played opens tickets, and would open these once more."""
        async with self._database.transaction() as tx:
            resolved = {}
            aside = []
            told = [TicketResolved.SUBJECT, ClaimsSetAside.SUBJECT]
            for row in await tx.fetch(statements.told_of_tickets, stream_of("control"), told):
                envelope = _read_envelope(row["body"])
                if row["subject"] == ClaimsSetAside.SUBJECT:
                    aside += [(one.refund, one.position) for one in _read_aside(envelope.data).claims]
                    continue
                gone = _read_resolved(envelope.data)
                resolved[gone.number, gone.times] = datetime.fromisoformat(envelope.time)
            if resolved:
                numbers, times = map(list, zip(*resolved, strict=True))
                await tx.execute(statements.resolve_again, numbers, times, list(resolved.values()))
            if aside:
                await tx.execute(statements.set_aside_again, *map(list, zip(*aside, strict=True)))
            for row in await tx.fetch(statements.ended_meanwhile):
                await tickets.settle_ticket(tx, row["fingerprint"], "Nothing is left to claim.")
            await tx.execute(statements.count_once)
            await tx.execute(statements.rebuilt)
            found.heard_anew = await tx.fetchval(statements.heard_since, self._began)
        found.not_back = list(NOT_BACK)
