"""Flows without a broker: what a service's own tests need to play events to a flow and to read what it announced.

database = await open_database(made.app_url, "inventory")
await reserve_stock([received(order_placed, position=7)], database)
assert [type(one.data) for one in await announced(database)] == [GoodsShipped]
"""

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw
from tieout.contracts.event import Event, event_id
from tieout.contracts.replay import Played, PlayedEvent, PlayRequest
from tieout.contracts.streams import EVENTS, stream_of
from tieout.servicekit import sql
from tieout.servicekit.database import Database, open_pool
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.letters import Letter
from tieout.servicekit.parked import LEASE_SECONDS
from tieout.servicekit.parked import statements as parked
from tieout.servicekit.received import Outgoing, Reader, Received, encode
from tieout.servicekit.replay import Player, Unasked

statements = sql.load(__file__)
_sequence = itertools.count(1)


async def open_database(url: str, service: str) -> Database:
    """A database whose transactions write the outbox and publish nothing. Close `database.pool` when done."""
    return Database(await open_pool(url, None, service, size=8), service=service)


def received(
    event: Event,
    *,
    position: int = 1,
    chain: object = "",
    order_no: str = "",
    company: str = "",
    time: str = "2026-11-23T08:00:00Z",
    attempts: int = 1,
    flow: str = "",
) -> Received[Any]:
    """The event as it would have come from its producer's stream: encoded, then read."""
    kind = event.SUBJECT
    chain_id = str(chain or getattr(event, "order_id", "") or position)
    identity = event_id(kind, chain_id, position)
    body = encode(
        Outgoing(
            "1.0",
            identity,
            f"/{event.PRODUCER}",
            kind,
            time,
            str(position),
            chain_id,
            "application/json",
            event,
            order_no,
            company,
        )
    )
    return Reader(type(event)).read(
        body,
        subject=kind,
        attempts=attempts,
        stream=stream_of(event.PRODUCER),
        stream_sequence=next(_sequence),
        durable=flow,
    )


async def announced(database: Database, *kinds: type[Event]) -> list[Received[Any]]:
    """All that the service ever announced, in the order of the outbox; only some kinds, if you name them."""
    reader = Reader(*EVENTS.values())
    async with database.read() as connection:
        rows = await connection.fetch(statements.announced, database.outbox.stream)
    found = [
        reader.read(row["body"], subject=row["subject"], attempts=1, stream="", stream_sequence=0, durable="")
        for row in rows
        if row["subject"] in EVENTS
    ]
    return [one for one in found if not kinds or isinstance(one.data, kinds)]


async def buried(database: Database) -> list[Letter]:
    """The dead letters that the service wrote."""
    async with database.read() as connection:
        rows = await connection.fetch(statements.announced, "DEAD")
    return [msgspec.json.decode(row["body"], type=Letter) for row in rows]


async def run_parked(database: Database, flows: Sequence[BatchFlow]) -> int:
    """Run parked messages that are due (woken ones are), as the service would after the commit; how many ran."""
    by_durable = {flow.durable: flow for flow in flows}
    ran = 0
    while True:
        async with database.read() as connection:
            rows: list[Any] = await connection.fetch(parked.claim, LEASE_SECONDS)
        if not rows:
            return ran
        rows.sort(key=lambda row: (row["durable"], row["parked_at"], row["stream_sequence"]))
        for durable, group in itertools.groupby(rows, key=lambda row: row["durable"]):
            flow = by_durable[durable]
            reader = Reader(*flow.types)
            batch = [
                reader.read(
                    row["body"],
                    subject=row["subject"],
                    attempts=row["attempts"],
                    stream=row["stream"],
                    stream_sequence=row["stream_sequence"],
                    durable=durable,
                )
                for row in group
            ]
            taking = database.taking(durable, [one.business_id for one in batch])
            await flow(batch, taking)
            await taking.take_rest()
            ran += len(batch)


async def replayed(
    database: Database, flow: BatchFlow, events: Sequence[Received[Any]], *, dry: bool = False
) -> list[Played]:
    """Run these events again in one request, as a replay would, and what it says of each. `dry`: rehearse them."""
    player = Player(database, [Unasked(flow, Reader(*flow.types))])
    asked = (PlayedEvent(one.subject, one.stream, one.stream_sequence, Raw(one.body)) for one in events)
    request = PlayRequest(flow.durable, tuple(asked))
    answer = await (player.rehearse if dry else player.replay)(request, database)
    return list(answer.played)


async def contents(database: Database) -> dict[str, str]:
    """What stands in the service's own tables, as one text per table: the same where nothing was changed."""
    async with database.read() as connection:
        tables = await connection.fetch(statements.own_tables)
        every = " UNION ALL ".join(statements.content.replace("{table}", tab) for (tab,) in tables)
        return {tab: content for tab, content in await connection.fetch(every)}
