"""A database that was restored from an older backup, brought forward to where its own stream says that it stood.

Others have booked what this service announced after the backup, under its positions. So nothing is announced again:
the events that led to it are run through the flows once more, in the order in which they had their effect, and what
they announce gets the position that the stream holds for the same id. A transaction runs twice: rolled back, to learn
which ids it announces in which order; then for good, with their positions. The outbox is filled from the stream, byte
by byte (restored_outbox.py). Voucher numbers and values follow from the same events in the same order; where something
comes out otherwise than announced, it is told, event by event.
See docs/decisions/0011-a-restored-database-is-brought-forward.md.
"""

import collections
import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from tieout.contracts.event import Envelope
from tieout.contracts.streams import DEAD_SUBJECT, stream_of
from tieout.servicekit import failpoints, sql
from tieout.servicekit.database import Database, Rehearsed, Transaction, open_pool
from tieout.servicekit.errors import UNREADABLE, Cause, Misconfigured, TieoutError, cause_of
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.giving_up import give_up
from tieout.servicekit.letters import id_of_letter
from tieout.servicekit.lost_part import (
    Announced,
    Group,
    LostPart,
    Message,
    Places,
    Row,
    delivered,
    letter_id,
    read_stream,
)
from tieout.servicekit.lost_part import read_lost as read_lost_part
from tieout.servicekit.packs import unpacked
from tieout.servicekit.rebuilding import Difference, MakeRebuilding, Rebuilding, Recovery
from tieout.servicekit.received import Reader, Received
from tieout.servicekit.restored_outbox import restore_letters, restore_row
from tieout.servicekit.settings import Settings, secret
from tieout.servicekit.whereabouts import begin_recovery, settle
from tieout.servicekit.wire import when

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

HEADROOM = 100_000  # Positions that may have been drawn and never published; nobody misses them.
SHOWN = 200  # Differences that are named one by one; all are counted.
RACES_MAX = 10
_LOCK = 0x7E0073C0  # Of the database: two at once would run everything twice.

_read_envelope = msgspec.json.Decoder(Envelope).decode
_read_any = msgspec.json.Decoder().decode


class NotRepeatable(TieoutError):
    """A flow announced otherwise when it ran a second time: it does not follow from its events alone."""


class _Input(Struct):
    received: Received[Any]
    flow: BatchFlow
    time: str
    place: int = 0  # Before which group it is played.
    turn: tuple[int, int] = (0, 0)  # In which it was handled first, and its place in there, as far as a notice tells.
    early: bool = False  # It led to something later: here it only waits for it, as it did before, or does nothing.


class _Scribe:
    """Looks on one transaction: gives it positions, compares what it announces, fills the outbox."""

    def __init__(self, work: "Recoverer", rows: Sequence[Row], *, early: bool = False) -> None:
        self._work = work
        self._early = early
        self._rows = rows
        self._drawn: list[int] = []
        self._learnt: dict[int, str] | None = None  # By a position of the rehearsal: the id announced under it.
        self._wanted: collections.deque[int] = collections.deque()
        self._ids: dict[int, str] = {}
        self.told: list[tuple[int, str, str, bytes, str, str]] = []  # Of the transaction that was committed.

    async def begin(self, tx: Transaction) -> None:
        if self._work.rebuilds:
            tx.given = self._give_fresh
        else:
            tx.given = self._rehearse if self._learnt is None else self._give

    def _give_fresh(self, count: int) -> list[int]:
        """What was announced before is rebuilt already."""
        return [self._work.fresh_position() for _ in range(count)]

    def _rehearse(self, count: int) -> list[int]:
        first = self._work.next_position + 1 + len(self._drawn)  # Nobody else draws meanwhile; rolled back anyway.
        self._drawn += range(first, first + count)
        return list(range(first, first + count))

    def _give(self, count: int) -> list[int]:
        if count > len(self._wanted):
            raise NotRepeatable("a transaction drew more positions than in its rehearsal")
        return [self._wanted.popleft() for _ in range(count)]

    async def look(self, tx: Transaction) -> None:
        if self._early:
            if tx.announced:
                raise Rehearsed  # Its time has not come.
        elif self._drawn and self._learnt is None:
            self._learnt = {position: identity for position, identity, _, _ in tx.announced}
            self._wanted.extend(map(self._position_of, self._drawn))
            raise Rehearsed
        for position, identity, kind, _ in tx.announced if not self._work.rebuilds else ():
            if self._ids.get(position) != identity:
                raise NotRepeatable(f"{kind} was announced in another order than in its rehearsal")
        known = self._work.lost.by_id
        self.told += [(*event, told[1], told[2]) for event, told in zip(tx.announced, tx.told, strict=True)]
        fresh = [(event, told) for event, told in zip(tx.announced, tx.told, strict=True) if event[1] not in known]
        tx.announced = [event for event, _ in fresh]
        tx.told = [told for _, told in fresh]
        tx.letters = [letter for letter in tx.letters if str(letter[0]) not in self._work.letter_ids]
        for row in self._rows:
            await restore_row(tx.connection, self._work.service, row, self._work.lost.created)

    def _position_of(self, drawn: int) -> int:
        assert self._learnt is not None
        identity = self._learnt.get(drawn, "")
        before = self._work.lost.by_id.get(identity)
        position = before.position if before is not None else self._work.fresh_position()
        self._ids[position] = identity
        return position


class Recoverer:
    """One recovery of one database. `run` may be called again after whatever stopped it: it goes on."""

    def __init__(
        self,
        service: str,
        flows: Iterable[BatchFlow],
        pool: "asyncpg.Pool[asyncpg.Record]",
        js: JetStreamContext,
        rebuilding: MakeRebuilding | None = None,
    ) -> None:
        self.service = service
        self._js = js
        self._pool = pool
        self._flows = {flow.durable: flow for flow in flows}
        self._readers = {flow.durable: Reader(*flow.types) for flow in self._flows.values()}
        self._database = Database(pool, service=service)
        self._rebuilding = rebuilding(self._database, js) if rebuilding is not None else None
        self.rebuilds = rebuilding is not None
        self._heard_until: Mapping[str, datetime] = {}
        self.lost = LostPart([], {}, set(), [], 0, None)
        self.letter_ids: set[str] = set()
        self.next_position = 0
        self.found = Recovery(service)
        self._told: set[str] = set()  # Ids that were announced again.

    # ------------------------------------------------------------------ what there is

    async def examine(self) -> Recovery:
        """Read only: what was lost, and what of it cannot be brought back."""
        found = self.found
        async with self._pool.acquire() as connection:
            known = set(await connection.fetchval(statements.outbox_positions, stream_of(self.service)))
            floor = await connection.fetchval(statements.floor)
            letters = set(await connection.fetchval(statements.letters))
            found.backup_at = await connection.fetchval(statements.newest)
            found.known_position = max(known, default=floor)
            highest = await connection.fetchval(statements.highest)
        made = await self._made()
        self.lost = lost = await read_lost_part(self._js, self.service, known, floor, letters, made)
        self.letter_ids = {letter_id(message.body) for message in lost.letters}
        self.next_position = max(lost.top_position, highest) + HEADROOM
        found.announced_position = lost.top_position
        found.transactions = len(lost.groups)
        found.events, found.letters, found.gone = len(lost.by_id), len(lost.letters), lost.gone
        if lost.gone:
            found.unreachable.append(
                f"{lost.gone} events that this service announced are no longer in its stream: their positions are "
                "known to others, but not what they said"
            )
        for stream in sorted({flow.hears.stream for flow in self._flows.values()}) if lost.groups else ():
            began = await _began(self._js, stream)
            if began and found.backup_at and began > found.backup_at:
                found.unreachable.append(
                    f"{stream} begins at {began:%Y-%m-%d %H:%M:%S} UTC, after the backup: what was heard of it "
                    "before is gone"
                )
        return found

    async def _made(self) -> dict[str, str]:
        """By flow: when the stream that it hears was made."""
        found = {}
        for flow in self._flows.values():
            with contextlib.suppress(NotFoundError):
                created = when((await self._js.stream_info(flow.hears.stream)).created)
                if created is not None:
                    found[flow.durable] = created.isoformat().replace("+00:00", "Z")
        return found

    # ------------------------------------------------------------------ the run

    async def run(self, progress: Callable[[int, int], None] = lambda done, all_: None) -> Recovery:
        """For good. Raises what the flows raise where the cause passes: run it again, it goes on where it stood."""
        if self._rebuilding is not None:
            await self._rebuilding.begin(self.found)
            for group in self.lost.groups:
                await self._rebuild(self._rebuilding, group)
            self._heard_until = await self._rebuilding.heard_until()
        async with self._pool.acquire() as connection, connection.transaction():
            await restore_letters(connection, self.lost.letters)
        by_id, loose = await self._read_inputs()
        groups = self.lost.groups
        waiting = collections.deque(sorted(loose, key=lambda one: (one.place, one.turn, one.time)))
        for number, group in enumerate(groups):
            mine = [by_id.pop(cause) for cause in sorted(group.causes) if cause in by_id]
            before, among = _due(waiting, number, group, mine)
            await self._play_loose(before)
            await self._play_group(group, [*mine, *among])
            progress(number + 1, len(groups))
        await self._play_loose(waiting)
        async with self._pool.acquire() as connection, connection.transaction():
            for row in itertools.chain.from_iterable(group.rows for group in groups):
                await restore_row(connection, self.service, row, self.lost.created)
        for identity, event in self.lost.by_id.items():
            if identity not in self._told:
                why = "no event led to it: a person's command, which stands in no stream" if not event.cause else ""
                self._note(Difference("missing", event.kind, event.company, event.order_no, event.position, (), why))
                self.found.missing += 1
        if self._rebuilding is not None:
            await self._rebuilding.finish(self.found)
        self.found.done = True
        return self.found

    def fresh_position(self) -> int:
        self.next_position += 1
        return self.next_position

    async def _read_inputs(self) -> tuple[dict[str, _Input], list[_Input]]:
        """By id those that led to something we have forgotten; and those that may have changed us without a word.

        What came before everything forgotten is run at once: nearly always it is there already, and nothing happens.
        """
        groups = self.lost.groups
        effect = {cause: n for n, group in reversed([*enumerate(groups)]) for cause in group.causes}  # Its first group.
        causes = effect.keys()
        first = min((group.time for group in self.lost.groups), default="~")  # None is lost: all came before it.
        by_id: dict[str, _Input] = {}
        places = Places(self.lost)
        loose: list[_Input] = []
        begun: set[str] = set()  # Flows of which a cause of the first group was met: what follows stood in its batch.
        early: list[_Input] = []
        for stream in sorted({flow.hears.stream for flow in self._flows.values()}):
            hearing = {
                subject: flow
                for flow in self._flows.values()
                if flow.hears.stream == stream
                for subject in flow.hears.subjects
            }
            latest = ""
            given = {flow.durable: await delivered(self._js, stream, flow.durable) for flow in hearing.values()}
            async for message in read_stream(self._js, stream, self._heard_until.get(stream)):
                flow = hearing.get(message.subject) or hearing.get(DEAD_SUBJECT)
                if flow is None:
                    continue
                for one in self._read(flow, message):
                    identity = one.received.business_id
                    one.place = places.place(flow.durable, message.sequence, one.time)
                    one.turn = places.turn(flow.durable, message.sequence)
                    one.time = latest = max(latest, one.time)  # Among those of one stream its order counts.
                    if identity in causes:
                        by_id.setdefault(identity, one)
                        if one.place == 0:
                            begun.add(flow.durable)
                        place = places.first_heard(flow.durable, message.sequence)
                        if place < effect[identity] and not self.rebuilds:
                            loose.append(replace(one, place=place, early=True))
                        continue
                    if identity in self.lost.known_causes or message.sequence > given[flow.durable]:
                        continue
                    if one.place == 0 and one.time < first and flow.durable not in begun and not one.turn[0]:
                        early.append(one)
                        if len(early) >= flow.size:
                            await self._play_loose(early)
                            early.clear()
                    else:
                        loose.append(one)
        await self._play_loose(early)
        for row in await self._pool.fetch(statements.parked):
            flow = self._flows.get(row["durable"])
            if flow is not None and row["event_id"] in causes and row["event_id"] not in by_id:
                kept = Message(row["stream"], row["stream_sequence"], row["subject"], row["body"])
                for one in self._read(flow, kept):
                    by_id[row["event_id"]] = one
        return by_id, loose

    def _read(self, flow: BatchFlow, message: Message) -> list[_Input]:
        """Its events; what cannot be read is a dead letter since long, and its letter is restored from DEAD."""
        found = []
        for body in unpacked(message.body):
            try:
                received = self._readers[flow.durable].read(
                    body,
                    subject=message.subject,
                    attempts=1,
                    stream=message.stream,
                    stream_sequence=message.sequence,
                    durable=flow.durable,
                )
            except (*UNREADABLE, ValueError):
                continue
            letter = id_of_letter(flow.durable, message.stream, message.sequence, received.envelope.id)
            if letter not in self.letter_ids:
                found.append(_Input(received, flow, received.envelope.time))
        return found

    async def _play_loose(self, inputs: Iterable[_Input]) -> None:
        """In their order; each early one alone, as it may be rolled back."""
        for (flow, early), some in itertools.groupby(inputs, key=lambda one: (one.flow, one.early)):
            parts, size = list(some), 1 if early else flow.size
            for first in range(0, len(parts), size):
                await self._play(parts[first : first + size], ())

    async def _play_group(self, group: Group, inputs: list[_Input]) -> None:
        """In the order in which the broker gave them, or in which they were parked; the last part restores the rows."""
        inputs.sort(key=lambda one: (one.flow.durable, one.turn, one.received.stream_sequence, one.received.position))
        parts = [list(some) for _, some in itertools.groupby(inputs, key=lambda one: one.flow.durable)]
        for number, part in enumerate(parts):
            await self._play(part, group.rows if number == len(parts) - 1 else ())

    async def _rebuild(self, rebuilding: Rebuilding, group: Group) -> None:
        """What follows from no event of others: from what we said ourselves."""
        left = [event for row in group.rows for event in row.events if event.id not in self._told]
        async with self._pool.acquire() as connection, connection.transaction():
            await rebuilding.rebuild(connection, left)
            for row in group.rows:
                await restore_row(connection, self.service, row, self.lost.created)
            if failpoints.ARMED is not None:
                await failpoints.ARMED.reach("commit")
        if failpoints.ARMED is not None:
            await failpoints.ARMED.reach("committed")
        self._told.update(event.id for event in left)
        self.found.again += len(left)

    async def _play(self, inputs: list[_Input], rows: Sequence[Row]) -> None:
        parts = collections.deque([inputs])
        races = 0
        while parts:
            part = parts.popleft()
            try:
                await self._run(part, rows if not parts else ())
            except Exception as error:
                cause = cause_of(error)
                unique = isinstance(error, asyncpg.UniqueViolationError)
                again = isinstance(error, NotRepeatable)  # Rows may come in another order; in that one they come again.
                if (again or (cause is Cause.AGAIN and not unique)) and races < RACES_MAX:
                    races += 1
                    parts.appendleft(part)
                elif cause is not Cause.DATA:
                    raise  # Nothing is given up here that was handled before: a person must look at it.
                elif len(part) > 1:
                    middle = len(part) // 2
                    parts.extendleft((part[middle:], part[:middle]))
                else:
                    await give_up([(part[0].received, error)], self._database, part[0].flow.retry_seconds)
        self.found.played += len(inputs)

    async def _run(self, part: list[_Input], rows: Sequence[Row]) -> None:
        received = [one.received for one in part]
        ids = [one.business_id for one in received]
        flow = part[0].flow
        scribe = _Scribe(self, rows, early=part[0].early)
        database = self._database.witnessed(flow.durable, ids, scribe, rehearsal=False)
        try:
            await flow.function(received, database)
        except Rehearsed:
            if part[0].early:
                return
            database = self._database.witnessed(flow.durable, ids, scribe, rehearsal=False)
            await flow.function(received, database)
        await database.take_rest()
        for position, identity, kind, body, order_no, company in scribe.told:
            self._compare(position, identity, kind, body, order_no, company)

    def _compare(self, position: int, identity: str, kind: str, body: bytes, order_no: str, company: str) -> None:
        before = self.lost.by_id.get(identity)
        if before is None:
            self.found.new += 1
            self._note(
                Difference("new", kind, company, order_no, position, (), "it was in hand, and not announced yet")
            )
            return
        if identity in self._told:
            return
        self._told.add(identity)
        fields = _differing(before, body)
        if fields:
            self.found.differing += 1
            self._note(Difference("differs", kind, company, order_no, before.position, fields))
        else:
            self.found.again += 1

    def _note(self, difference: Difference) -> None:
        if len(self.found.differences) < SHOWN:
            self.found.differences.append(difference)


def _due(
    waiting: "collections.deque[_Input]", number: int, group: Group, causes: Iterable[_Input]
) -> tuple[list[_Input], list[_Input]]:
    """What had its effect before the group of this number, and what stood among its causes, in the same batch.

    Turns tell it. Where none is told, what stands behind a cause was in its batch, if no earlier group knows of it. A
    cause that an earlier group has heard of was parked then: its place among the others says nothing.
    """
    firsts: dict[str, int] = {}
    for one in causes:
        if one.place == number:
            durable, sequence = one.flow.durable, one.received.stream_sequence
            firsts[durable] = min(firsts.get(durable, sequence), sequence)
    before: list[_Input] = []
    among: list[_Input] = []
    while waiting and waiting[0].place <= number:
        one = waiting.popleft()
        first = firsts.get(one.flow.durable)
        late = one.place == number and first is not None and one.received.stream_sequence >= first
        if one.turn[0]:
            late = one.turn[0] == group.turn
        (among if late and not one.early else before).append(one)
    return before, among


def _differing(before: Announced, body: bytes) -> tuple[str, ...]:
    """The fields of the data that are not as they were."""
    one, other = bytes(_read_envelope(before.body).data), bytes(_read_envelope(body).data)
    if one == other:
        return ()
    left, right = _read_any(one), _read_any(other)
    return tuple(sorted(name for name in {*left, *right} if left.get(name) != right.get(name)))


async def _began(js: JetStreamContext, stream: str) -> datetime | None:
    """When the first message came that the stream still holds, where it has let go of earlier ones."""
    async for message in read_stream(js, stream):
        if message.sequence <= 1:
            return None
        try:
            return datetime.fromisoformat(_read_envelope(unpacked(message.body)[0]).time)
        except (*UNREADABLE, ValueError):
            continue
    return None


async def recover(
    service: str,
    flows: Sequence[BatchFlow],
    settings: Settings,
    *,
    really: bool,
    rebuilding: MakeRebuilding | None = None,
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Recovery:
    """As a process of its own, while the service does not run. `really=False` only looks."""
    if not settings.owner_url:
        raise Misconfigured("TIEOUT_OWNER_URL is missing. Set it to postgresql://<service>_owner@host:port/database.")
    owner = await asyncpg.connect(
        settings.owner_url, password=secret(settings.owner_password_file, "TIEOUT_OWNER_PASSWORD_FILE")
    )
    client = Client()
    pool = None
    try:
        if not await owner.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            raise Misconfigured("Another recovery of this database is under way. Wait for it.")
        password = secret(settings.database_password_file, "TIEOUT_DATABASE_PASSWORD_FILE")
        pool = await open_pool(settings.database_url, password, f"{service}-recovery", size=3)
        await client.connect(
            settings.nats_url,
            user=settings.nats_user or None,
            password=secret(settings.nats_password_file, "TIEOUT_NATS_PASSWORD_FILE"),
            inbox_prefix=f"_INBOX_{settings.nats_user or service}".encode(),
            allow_reconnect=False,
        )
        work = Recoverer(service, flows, pool, client.jetstream(timeout=10), rebuilding)
        found = await work.examine()
        if really:  # Also where nothing announced is lost: what was heard without a word may be.
            await begin_recovery(Database(pool, service=service))
            await owner.execute(statements.advance_turns, work.lost.top_turn)
            await work.run(progress)
            await owner.execute(statements.trust_copy)
            await owner.execute(statements.reset_mark)
            await owner.fetchval(statements.advance, max(found.announced_position + HEADROOM, work.next_position))
            await settle(Database(pool, service=service), alone=True)
        return found
    finally:
        if client.is_connected:
            await client.close()
        if pool is not None:
            pool.terminate()
        await owner.close()
