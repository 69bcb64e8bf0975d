"""The gateway's database, restored from an older backup, from what its own stream and the leaf sites' still hold.

Its commands are in its stream, so they stand again as they were: nobody who booked them misses them, and a document
that comes again is a duplicate to whoever obeyed its command. Bytes, refusals and settings stood in the database alone.
So this tells from when on each satellite must send again; leaf sites' sales are taken in again from the hub's copy.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from nats.js import JetStreamContext
from tieout.contracts.event import Envelope
from tieout.contracts.order import SubmitOrder
from tieout.contracts.streams import site_stream
from tieout.gateway.domain.judging import CONTRACTS, verdict_of
from tieout.gateway.flows import map_documents
from tieout.gateway.flows.map_documents import COMMAND_COLUMNS
from tieout.gateway.flows.take_in_sites import delivery_of
from tieout.gateway.identifiers import document_of
from tieout.gateway.intake.keeping import Delivery, Keeper, Kept
from tieout.gateway.papers import Paper, attempt, interpret, read
from tieout.gateway.satellites import Satellites
from tieout.servicekit import Database, sql
from tieout.servicekit.lost_part import Announced, read_stream
from tieout.servicekit.rebuilding import Recovery, SendAgain

statements = sql.load(__file__)

TAKEN_AT_ONCE = 500
READ_AT_ONCE = 50  # With their bytes.
# The last before the backup may have been on its way for so long: it was answered, and the backup missed its commit.
UNDER_WAY = timedelta(minutes=1)
STREAMS_LISTED = 256  # By the broker in one answer.
MICRO = 1_000_000

_read_envelope = msgspec.json.Decoder(Envelope).decode
_KINDS = {contract.SUBJECT: (kind, msgspec.json.Decoder(contract)) for kind, contract in CONTRACTS.items()}
_COLUMNS = (*COMMAND_COLUMNS, "at")

Rate = tuple[str, str, str]  # (company, currency, date)


class Rebuilding:
    def __init__(self, database: Database, js: JetStreamContext) -> None:
        self._database = database
        self._js = js
        self._since = datetime.now(UTC)
        self._rates: dict[Rate, int] = {}

    async def begin(self, found: Recovery) -> None:
        """The last instant of which this database knows anything is when its backup was made, or shortly before."""
        async with self._database.transaction() as tx:
            self._since = await tx.fetchval(statements.open_lost_time)
        found.backup_at = self._since

    async def rebuild(self, connection: Any, announced: Sequence[Announced]) -> None:
        rows = [self._row(event) for event in announced if event.kind in _KINDS]
        if not rows:
            return
        await connection.copy_records_to_table("command", columns=_COLUMNS, records=rows)
        documents = {document_of(row[3]): row[9] for row in rows}
        await connection.execute(statements.note_rebuilt, [*documents], [*documents.values()], self._since)

    def _row(self, event: Announced) -> tuple[Any, ...]:
        envelope = _read_envelope(event.body)
        kind, decoder = _KINDS[event.kind]
        command: Any = decoder.decode(envelope.data)
        verdict = verdict_of(kind, command)
        if isinstance(command, SubmitOrder) and command.rate_date is not None:
            self._rates[command.company, command.currency, command.rate_date.isoformat()] = command.rate_micro
        return (
            event.position,
            verdict.quantity_micro,
            verdict.amount_minor,
            command.intake_id,
            UUID(envelope.chainid),
            command.business_date,
            verdict.lines,
            kind,
            command.company,
            command.source,
            command.number,
            envelope.orderno,
            getattr(command, "currency", ""),
            datetime.fromisoformat(envelope.time),
        )

    async def heard_until(self) -> Mapping[str, datetime]:
        """Articles and companies are few, and their flows know what is there."""
        return {}

    async def finish(self, found: Recovery) -> None:
        await self._note_orders()
        async with self._database.transaction() as tx:
            await tx.execute(statements.leave_queue)
            await tx.execute(statements.stop_waiting)
            await tx.execute(statements.settle_refusals)
        taken = await self._take_in_sites()
        async with self._database.transaction() as tx:
            until: datetime = await tx.fetchval(statements.close_lost_time, self._since)
            rows = await tx.fetch(statements.satellites, self._since, [*taken])
            found.send_again = [
                SendAgain(
                    row["satellite"],
                    self._since - UNDER_WAY,
                    until,
                    row["rebuilt"],
                    row["lost"],
                    taken.get(row["satellite"], 0),
                )
                for row in rows
            ]
            strangers = [row["satellite"] for row in rows if not row["known"]]
            rates = await self._unknown_rates(tx)
        found.not_back = _not_back(strangers, rates)

    async def _note_orders(self) -> None:
        """What stood in the queue or in quarantine and has led to its command is not mapped again, and who sends it
        again is told that it is here: so its bytes tell now which order its source's own id names. Before anything
        leaves the queue, so that a recovery that is killed does it again."""
        members = await Satellites(self._database).all()
        async with self._database.read() as connection:
            left: list[UUID] = [row[0] for row in await connection.fetch(statements.led_to_commands)]
        for start in range(0, len(left), READ_AT_ONCE):
            async with self._database.transaction() as tx:
                told: dict[tuple[str, str], bytes] = {}
                for row in await tx.fetch(statements.documents, left[start : start + READ_AT_ONCE]):
                    paper = Paper(*row)
                    attempt(paper, read, members)
                    if paper.fault is None and paper.names is None:
                        attempt(paper, interpret, None)
                    if paper.mapped is not None and paper.mapped.knows is not None:
                        external_id, order = paper.mapped.knows
                        told.setdefault((paper.satellite, external_id), msgspec.json.encode(order))
                if told:
                    keys = sorted(told)
                    columns = [s for s, _ in keys], [external for _, external in keys], [told[key] for key in keys]
                    await tx.execute(map_documents.statements.note_orders, *columns, [True] * len(keys))

    async def _take_in_sites(self) -> dict[str, int]:
        """How many sales of each leaf site came back. One that is here already is the same delivery, and kept once."""
        keeper = Keeper(self._database)
        async with self._database.read() as connection:
            since = await connection.fetchval(statements.oldest_delivery)
        taken: dict[str, int] = {}
        for stream in await self._site_streams():
            async for deliveries in self._deliveries(stream, since):
                for delivery, kept in zip(deliveries, await keeper.commit(deliveries), strict=True):
                    fresh = isinstance(kept, Kept) and not kept.resumed
                    taken[delivery.satellite] = taken.get(delivery.satellite, 0) + fresh
        return taken

    async def _site_streams(self) -> list[str]:
        names: list[str] = []
        while True:
            page = [info.config.name or "" for info in await self._js.streams_info(offset=len(names))]
            names += page
            if len(page) < STREAMS_LISTED:
                return sorted(name for name in names if name.startswith(site_stream("")))

    async def _deliveries(self, stream: str, since: datetime | None) -> AsyncIterator[list[Delivery]]:
        part: list[Delivery] = []
        async for message in read_stream(self._js, stream, since):
            part.append(delivery_of(stream, message.sequence, message.subject, message.body, message.headers))
            if len(part) == TAKEN_AT_ONCE:
                yield part
                part = []
        if part:
            yield part

    async def _unknown_rates(self, tx: Any) -> list[str]:
        wanted = sorted(self._rates)
        rows = await tx.fetch(statements.unknown_rates, *map(list, zip(*wanted, strict=True))) if wanted else ()
        return [
            f"1 {row['currency']} = {self._rates[row['company'], row['currency'], row['day']] / MICRO:.6f} "
            f"{row['quoted_in']} of {row['day']}"
            for row in rows
        ]


def _not_back(strangers: Sequence[str], rates: Sequence[str]) -> list[str]:
    """What nothing else tells, for people."""
    told = [
        "documents that were in quarantine, ignored, waiting or in the queue, and what people decided about them: send "
        "again what came in the lost time",
        "the bytes of documents whose commands came back, and which order a shop's own id names: a refund or payment "
        "that names an order by it waits until the order's document came again",
        "API tokens and satellites' keys that were made, rotated or revoked: what was revoked lets people in again. "
        "Revoke it anew, and rotate keys",
        "satellites that were made, changed or held; exchange rates that no order used; the audit of who asked for "
        "what",
    ]
    told += [
        f"satellite {name}: its commands came back, its description and key did not. PUT /v1/satellites/{name}, and "
        "give it the new key"
        for name in strangers
    ]
    return told + [f"exchange rate, used by an order and not known any more: {rate}" for rate in rates]
