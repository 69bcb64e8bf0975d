"""Does a database that stands elsewhere than at the last start know what it confirmed to the broker?

What was announced and is forgotten shows in our own stream (streams.py). An older backup may also lack effects of which
nobody heard: a shipment that an order noted. So where the database is another one than it was (restored, copied, failed
over), the newest events that each flow confirmed are rehearsed: confirmed is committed, so each must be there already.
One that would be booked now proves that the database is older than its flows. A standby that took over without loss
passes, and nobody is asked.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog
from msgspec import Raw
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from tieout.contracts.replay import PlayedEvent, PlayRequest
from tieout.servicekit import sql
from tieout.servicekit.database import Connection, Database
from tieout.servicekit.errors import UNREADABLE, OlderThanItsStream
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.letters import id_of_letter
from tieout.servicekit.packs import unpacked
from tieout.servicekit.received import Reader
from tieout.servicekit.replay import Player, Unasked

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

EVENTS_LOOKED_AT = 12  # Of each flow: an event may leave nothing behind, but not all of the newest ones.
MESSAGES_LOOKED_AT = 100  # Of a stream that carries more than the flow hears.


async def refuse_forgetful(database: Database, flows: Sequence[BatchFlow], js: JetStreamContext) -> None:
    """Before any flow asks for work. Raises OlderThanItsStream; costs one query where the database did not move."""
    service = database.service
    async with database.read() as connection:
        row = await connection.fetchrow(statements.moved)
    assert row is not None
    if row["recovering"] and row["by_hand"]:
        raise OlderThanItsStream(
            "this database says that a recovery of it began and did not end (database_home.recovering); "
            f"{row['by_hand']}. Nothing was written. Where no recovery was begun, "
            "let the owner set it back to false; else let it end, it goes on where it stood: "
            f"./tieout recover {service} --yes"
        )
    if row["recovering"]:
        raise OlderThanItsStream(
            "a recovery of this database began and did not end, so what it announces next could be something else "
            "than others have booked. Nothing was written. Let it end, it goes on where it stood: "
            f"./tieout recover {service} --yes"
        )
    if not row["moved"]:
        return
    looked = 0
    player = Player(database, [Unasked(flow, Reader(*flow.types)) for flow in flows])
    for flow in flows:
        async for event in _confirmed(flow, js, database):
            looked += 1
            (told,) = (await player.rehearse(PlayRequest(flow.durable, (event,)), database)).played
            if told.outcome == "booked":
                raise OlderThanItsStream(
                    f"this database is another one than at the last start, and it does not know an event that "
                    f"{flow.durable} has confirmed ({event.subject}, {event.stream} {event.sequence}): it was restored "
                    "from an older backup. Nothing was written. Restore it up to the last commit (write-ahead log), or "
                    f"bring it forward from the streams: ./tieout recover {service} --yes"
                )
    await settle(database)
    if looked:
        log.warning("the database stands elsewhere than before, and knows what was confirmed", events_looked_at=looked)


async def has_moved(connection: "Connection[Any]") -> bool:
    """Whether the database stands elsewhere than where a process last settled; or none ever has."""
    return bool(await connection.fetchval(statements.moved))


async def settle(database: Database, *, alone: bool = False) -> None:
    """This is where the database stands from now on. `alone`: no process of the service works on it.

    Then those that its backup knows as living are gone, and how they ended was told to another database.
    """
    async with database.transaction() as tx:
        await tx.execute(statements.settle)
        if alone:
            await tx.execute(statements.lose_runs)


async def begin_recovery(database: Database) -> None:
    """No service starts here until `settle`: once the outbox is filled again, nothing else shows that work lacks."""
    async with database.transaction() as tx:
        await tx.execute(statements.begin_recovery)


async def _confirmed(flow: BatchFlow, js: JetStreamContext, database: Database) -> AsyncIterator[PlayedEvent]:
    """The newest events that the flow has confirmed and not given up, the newest first."""
    stream = flow.hears.stream
    try:
        floor = (await js.consumer_info(stream, flow.durable)).ack_floor
        state = (await js.stream_info(stream)).state
    except NotFoundError:
        return  # It never ran.
    newest = min(floor.stream_seq if floor else 0, state.last_seq)
    reader = Reader(*flow.types)
    found = 0
    for sequence in range(newest, max(newest - MESSAGES_LOOKED_AT, state.first_seq - 1), -1):
        try:
            message = await js.get_msg(stream, sequence, direct=True)
        except NotFoundError:
            continue
        subject = message.subject or ""
        if subject not in flow.hears.subjects:
            continue
        for body in reversed(unpacked(message.data or b"")):
            try:
                received = reader.read(
                    body, subject=subject, attempts=1, stream=stream, stream_sequence=sequence, durable=flow.durable
                )
            except (*UNREADABLE, ValueError):
                continue
            if not await _given_up(flow, database, stream, sequence, received.envelope.id):
                yield PlayedEvent(subject, stream, sequence, Raw(body))
                found += 1
            if found == EVENTS_LOOKED_AT:
                return


async def _given_up(flow: BatchFlow, database: Database, stream: str, sequence: int, event: str) -> bool:
    """Its letter says so; mended meanwhile, it would be booked now, and that proves nothing."""
    letter = id_of_letter(flow.durable, stream, sequence, event)
    async with database.read() as connection:
        return bool(await connection.fetchval(statements.letters, [letter]))
