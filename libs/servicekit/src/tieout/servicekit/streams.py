"""The service's own stream: created, kept as the contracts say, and compared with the outbox.

Uses of the JetStream API, for permissions: STREAM.INFO, CREATE, UPDATE, PURGE of the own stream; DIRECT.GET and
CONSUMER.LIST of it; CONSUMER.INFO, CONSUMER.CREATE (with and without filter), CONSUMER.PAUSE (to resume) and
CONSUMER.MSG.NEXT of the own durables on other producers' streams.
"""

import asyncio
import json
from typing import Any

import msgspec
import structlog
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig, StreamState
from nats.js.errors import APIError, NotFoundError
from tieout.contracts.event import Notice
from tieout.contracts.streams import DEAD_STREAM, DEAD_SUBJECT, notice_subject, stream_of, subjects_of
from tieout.servicekit.agreement import MARK_GONE
from tieout.servicekit.errors import Misconfigured, OlderThanItsStream
from tieout.servicekit.outbox import MESSAGE_BYTES_MAX, Outbox, statements
from tieout.servicekit.packs import packed
from tieout.servicekit.wire import when

log = structlog.get_logger(__name__)

NEWEST_AUDITED = 5  # Batches compared at the start, on every reconnect and each minute; all of them on a mismatch.
AT_ONCE = 64
BATCHES_PER_LOOK = 10
EVENTS_PER_LOOK = 1000  # A look reads bodies back: full batches of a backlog are compared one or two at a time.
_LAST_POSITION = "SELECT last_position FROM take_mark()"
_KNOWN = """
SELECT m, EXISTS (SELECT FROM outbox WHERE first_pos <= $1 AND last_pos >= $1 AND $1 = ANY (pos)) AS written FROM mark
"""
_read_notice = msgspec.json.Decoder(Notice).decode

_SAFE = (DiscardPolicy.NEW, True, -1, -1, -1)  # Discard, direct reads, messages, messages of a subject, size of one.


def own_stream(service: str, *, replicas: int, max_age_days: int) -> StreamConfig:
    return _stream(stream_of(service), list(subjects_of(service)), replicas, max_age_days)


def dead_stream(*, replicas: int, max_age_days: int) -> StreamConfig:
    return _stream(DEAD_STREAM, [DEAD_SUBJECT], replicas, max_age_days)


def _stream(name: str, subjects: list[str], replicas: int, max_age_days: int) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=subjects,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=max_age_days * 86_400,
        num_replicas=replicas,
        allow_direct=True,
    )


async def ensure_stream(js: JetStreamContext, config: StreamConfig, *, first_sequence: int = 1) -> Any:
    """The stream's info. Created above every sequence ever given out; updated where its settings are older."""
    assert config.name is not None
    try:
        info = await js.stream_info(config.name)
    except NotFoundError:
        config.first_seq = first_sequence
        log.info("stream created", stream=config.name, first_sequence=first_sequence)
        return await js.add_stream(config)
    if await _put_back(js, info.config, config):
        info = await js.stream_info(config.name)
    if info.state.messages == 0 and info.state.last_seq < first_sequence - 1:  # Emptied, but still there.
        await js._api_request(f"{js._prefix}.STREAM.PURGE.{config.name}", json.dumps({"seq": first_sequence}).encode())
        info = await js.stream_info(config.name)
    return info


async def _put_back(js: JetStreamContext, found: StreamConfig, config: StreamConfig) -> bool:
    """Whether the stream's settings were others, and are ours again: an older version's, or a hand's.

    A stream that throws old messages away for a new one loses what no consumer has had yet, and the audit would publish
    the lost ones again without end, each in the place of another. `max_bytes` is the operator's own: with
    `discard` new a full stream refuses, and everything waits in the outbox.
    """
    wanted = (sorted(config.subjects or ()), config.max_age, config.num_replicas, *_SAFE)
    limits = (found.max_msgs, found.max_msgs_per_subject, found.max_msg_size)
    kept = (found.discard, found.allow_direct, *(-1 if limit is None or limit <= 0 else limit for limit in limits))
    if (sorted(found.subjects or ()), found.max_age, found.num_replicas, *kept) == wanted:
        return False
    if kept != _SAFE or found.max_age != config.max_age:
        log.warning(
            "the stream's settings were not ours and are put back",
            stream=found.name,
            discard=found.discard,
            max_age_seconds=found.max_age,
            max_msgs=found.max_msgs,
            max_msgs_per_subject=found.max_msgs_per_subject,
            max_msg_size=found.max_msg_size,
        )
    found.subjects, found.max_age, found.num_replicas = config.subjects, config.max_age, config.num_replicas
    found.discard, found.allow_direct, found.max_msgs, found.max_msgs_per_subject, found.max_msg_size = _SAFE
    await js.update_stream(found)
    return True


async def resume(js: JetStreamContext, consumer: Any) -> None:
    """A consumer (its info) that the hub keeps from delivering goes on. Nobody of ours pauses one: it was a hand."""
    if consumer.paused:
        await js.resume_consumer(consumer.stream_name, consumer.name)
        log.warning(
            "the consumer was paused by hand and goes on",
            flow=consumer.name,
            paused_until=consumer.config.pause_until,
            runbook="ConsumerStalled",
        )


class Audit:
    """Compares the stream with the outbox, and publishes again what the broker lost.

    A sequence that exists proves nothing: after the loss of a stream's tail its numbers are used again. So the stored
    bytes are compared with ours.
    """

    def __init__(
        self, js: JetStreamContext, outbox: Outbox, pool: Any, config: StreamConfig, retention_hours: int
    ) -> None:
        self._js = js
        self._outbox = outbox
        self._pool = pool
        self._config = config
        self._retention_hours = retention_hours
        self.lost = 0
        self._deleted = 0  # Messages that lacked in the middle of the stream at the last look.
        self._cursor = 0  # The batch up to which the slow look has come.
        self._state = StreamState(messages=0, bytes=0, first_seq=0, last_seq=0, consumer_count=0)

    async def refuse_older(self) -> int:
        """The highest position that we have announced. Raises OlderThanItsStream where our database does not know it.

        Then it was restored from a backup. Its next positions would be those of other events, which colleagues have
        booked: nothing could tell them apart any more. So nothing may be written before a person has decided.
        """
        subject = notice_subject(self._outbox.service)
        try:
            told = await self._js.get_last_msg(self._config.name or "", subject, direct=True)
            announced = max(_read_notice(told.data or b"").positions, default=0)
        except (NotFoundError, NoRespondersError, msgspec.MsgspecError):
            return 0  # No stream yet, or nothing in it that we wrote.
        # Not by the sequence alone: a dump reads its sequences later than its rows. And no mark is taken before we
        # know: it would close numbers as never committed that others have booked.
        row = await self._pool.fetchrow(_KNOWN, announced)
        if row is None:
            raise Misconfigured(MARK_GONE)
        known: int = row["m"]
        if row["written"]:
            return announced
        if announced <= known:
            known = await self._pool.fetchval(_LAST_POSITION)
        if announced > known:
            raise OlderThanItsStream(
                f"this database knows positions up to {known}, but {self._config.name} holds our announcements up to "
                f"{announced}: it was restored from an older backup. Nothing was written. Restore it up to the last "
                "commit (write-ahead log), or bring it forward from the streams: "
                f"./tieout recover {self._outbox.service} (docs/runbooks/DatabaseRestored.md)"
            )
        return announced

    async def run(self, *, throughout: bool = False) -> int:
        """Number of messages published again. Afterwards the outbox may publish.

        `throughout`: every row, though the newest ones are there.
        """
        outbox = self._outbox
        top: int = await self._pool.fetchval(statements.top_sequence, outbox.stream)
        info = await ensure_stream(self._js, self._config, first_sequence=top + 1)
        await self.refuse_older()
        created = when(info.created)
        newest = await self._pool.fetch(statements.newest_sent, outbox.stream, NEWEST_AUDITED)
        changed = any(row["stream_created"] is not None and row["stream_created"] != created for row in newest[:1])
        outbox.created = created
        lost = 0
        self._state = info.state
        if throughout or changed or not all([await self._is_there(row["batch"]) for row in newest]):
            for row in await self._pool.fetch(statements.all_sent, outbox.stream, self._retention_hours):
                if not await self._is_there(row["batch"]):
                    lost += await self._restore(row["batch"])
            await self._pool.execute(statements.restate_mark)
            log.warning(
                "the broker had lost messages" if lost else "stream audited", stream=outbox.stream, published_again=lost
            )
        self.lost += lost
        outbox.open.set()
        return lost

    async def _look_up_to(self, sequence: int) -> None:
        """Rows are newer than our look at the stream when another replica publishes meanwhile: look again."""
        if sequence > self._state.last_seq:
            self._state = (await self._js.stream_info(self._config.name or "")).state

    async def _stored(self, sequence: int) -> bytes | None:
        if not self._state.first_seq <= sequence <= self._state.last_seq:
            return None
        try:
            return (await self._js.get_msg(self._config.name or "", sequence, direct=True)).data or b""
        except (NotFoundError, APIError):
            return None

    async def _is_there(self, batch: int) -> bool:
        row = await self._pool.fetchrow(statements.stands, batch)
        if row is None:
            return True  # Pruned meanwhile.
        await self._look_up_to(max(row["seqs"]))
        messages = packed(row["subjects"], row["bodies"], row["message"])
        # First and last are enough for a look: what a broker loses is a tail, or all.
        return all([await self._stored(row["seqs"][end]) == messages[end][1] for end in (0, -1)])

    async def _restore(self, batch: int) -> int:
        """Every message of a row that the stream does not hold, published again."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(statements.hold, batch)
            row = await connection.fetchrow(statements.stands, batch)
            if row is None:
                return 0
            sequences = list(row["seqs"])
            packs = packed(row["subjects"], row["bodies"], row["message"])
            missing = await self._missing_of(sequences, packs)
            if not missing:
                return 0
            messages = [packs[index] for index in missing]
            published = await self._outbox.publish(messages)
            for index, sequence in zip(missing, published, strict=True):
                sequences[index] = sequence
            await self._outbox.mark_sent(connection, batch, self._outbox.stream, sequences)
        return len(missing)

    async def _missing_of(self, sequences: list[int], packs: list[tuple[str, bytes]]) -> list[int]:
        """Which messages of a row do not stand where they were put, as they were sent."""
        await self._look_up_to(max(sequences))
        missing: list[int] = []
        for first in range(0, len(sequences), AT_ONCE):
            some = range(first, min(first + AT_ONCE, len(sequences)))
            found = await asyncio.gather(*[self._stored(sequences[index]) for index in some])
            missing += [index for index, body in zip(some, found, strict=True) if body != packs[index][1]]
        return missing

    async def _lacking(self, batch: int) -> bool:
        """The same without a lock, for a look that nearly always finds everything."""
        row = await self._pool.fetchrow(statements.stands, batch)
        if row is None:
            return False
        return bool(await self._missing_of(list(row["seqs"]), packed(row["subjects"], row["bodies"], row["message"])))

    async def look(self) -> int:
        """The continuous part, each few seconds: number of messages published again.

        One question tells whether anything lacks in the middle of the stream, and which; a few batches of the outbox
        are compared byte by byte each time, so that in the course of a day all were.
        """
        outbox = self._outbox
        if not outbox.open.is_set():
            return 0
        info = await self._js.stream_info(self._config.name or "")
        self._state = info.state
        lost = 0
        if await _put_back(self._js, info.config, self._config):
            # What it has thrown away meanwhile lies below its first message, where no gap tells of it.
            return await self.run(throughout=True)
        deleted = info.state.num_deleted or 0
        if deleted != self._deleted:
            for batch in await self._batches_of(await self._missing()):
                lost += await self._restore(batch)
            self._deleted = deleted
        rows = await self._pool.fetch(statements.next_sent, outbox.stream, self._cursor, BATCHES_PER_LOOK)
        more, events = len(rows) == BATCHES_PER_LOOK, 0
        for row in rows:
            if events >= EVENTS_PER_LOOK:
                more = True
                break
            events += row["events"]
            if await self._lacking(row["batch"]):
                lost += await self._restore(row["batch"])
            self._cursor = row["batch"]
        if not more:
            self._cursor = 0
        if lost:
            self.lost += lost
            await self._pool.execute(statements.restate_mark)
            log.warning("the broker had lost messages", stream=outbox.stream, published_again=lost)
        return lost

    async def _missing(self) -> list[int]:
        """Sequences that the stream once had and has no more, though later and earlier ones are there."""
        answer = await self._js._api_request(
            f"{self._js._prefix}.STREAM.INFO.{self._config.name}", json.dumps({"deleted_details": True}).encode()
        )
        return list(answer["state"].get("deleted") or ())

    async def _batches_of(self, sequences: list[int]) -> list[int]:
        if not sequences:
            return []
        rows = await self._pool.fetch(statements.batches_of, self._outbox.stream, sequences)
        return [row["batch"] for row in rows]

    async def lost_of(self, positions: list[int]) -> list[int]:
        """Which of these events the stream does not hold as the outbox published them."""
        self._state = (await self._js.stream_info(self._config.name or "")).state
        lost: set[int] = set()
        for row in await self._pool.fetch(statements.batches_at, self._outbox.stream, positions):
            stands = await self._pool.fetchrow(statements.stands, row["batch"])
            if stands is None:
                continue
            packs = packed(stands["subjects"], stands["bodies"], stands["message"])
            missing = {index + 1 for index in await self._missing_of(list(stands["seqs"]), packs)}
            lost |= {
                position
                for number, position in zip(stands["message"], row["pos"], strict=False)  # The notice has none.
                if number in missing
            }
        return sorted(lost & set(positions))

    async def publish_again(self, positions: list[int]) -> tuple[int, list[int]]:
        """Messages of these events that the stream lacked and holds again; and positions that we know nothing of."""
        self._state = (await self._js.stream_info(self._config.name or "")).state
        rows = await self._pool.fetch(statements.batches_at, self._outbox.stream, positions)
        known = {position for row in rows for position in row["asked"]}
        lost = sum([await self._restore(row["batch"]) for row in rows])
        if lost:
            self.lost += lost
            await self._pool.execute(statements.restate_mark)
            log.warning("published again", stream=self._outbox.stream, messages=lost)
        return lost, sorted(set(positions) - known)


__all__ = ["MESSAGE_BYTES_MAX", "Audit", "dead_stream", "ensure_stream", "own_stream", "resume"]
