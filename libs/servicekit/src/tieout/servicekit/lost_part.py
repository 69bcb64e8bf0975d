"""What the streams still hold of the time that a restored database has forgotten: our own announcements, with their
positions, and the events that led to them. Read only; recovery.py does something with it."""

import bisect
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from tieout.contracts.event import Envelope, Notice
from tieout.contracts.streams import notice_subject, stream_of
from tieout.servicekit.errors import UNREADABLE
from tieout.servicekit.letters import LETTERS_STREAM
from tieout.servicekit.packs import unpacked
from tieout.servicekit.wire import when

FETCHED = 500  # Messages at once.
FETCH_SECONDS = 10.0

_read_notice = msgspec.json.Decoder(Notice).decode
_read_envelope = msgspec.json.Decoder(Envelope).decode


class Message(Struct, frozen=True):
    """As it stands in a stream."""

    stream: str
    sequence: int
    subject: str
    body: bytes


class Announced(Struct, frozen=True):
    """An event of ours that the database has forgotten."""

    id: str
    position: int
    kind: str
    order_no: str
    company: str
    cause: str
    sequence: int
    body: bytes

    @property
    def named(self) -> str:
        return " ".join(one for one in (self.kind, self.company, self.order_no) if one)


class Row(Struct, frozen=True):
    """A row of the outbox as it was: the events of a notice, and the notice."""

    time: str
    events: tuple[Announced, ...]
    notice: Message


class Group(Struct):
    """What one transaction announced: a row, or several where it announced more than a row holds."""

    time: str
    rows: list[Row]
    heard: dict[str, int]  # Of its notices.

    @property
    def causes(self) -> set[str]:
        return {event.cause for row in self.rows for event in row.events if event.cause}


class LostPart(Struct):
    """`groups` in the order in which they were published. `known_causes`: of what we announced and still know."""

    groups: list[Group]
    by_id: dict[str, Announced]
    known_causes: set[str]
    letters: list[Message]
    top_position: int
    created: datetime | None
    gone: int = 0  # Announced as their notice says, but the stream does not hold them any more.
    known_heard: dict[str, int] = {}  # By flow: the sequence up to which what we still know says that it was handled.


class Places:
    """Before which group an event had its effect that changed us without a word: none of ours names it as its cause."""

    def __init__(self, lost: LostPart) -> None:
        self._known = lost.known_heard
        self._silent = 0  # So many notices, the first ones, tell nothing at all: of older versions.
        if not self._known:
            self._silent = next((number for number, group in enumerate(lost.groups) if group.heard), len(lost.groups))
        self._times = list(itertools.accumulate((group.time for group in lost.groups), max))
        durables = set().union(*(group.heard for group in lost.groups))
        self._heard = {
            durable: list(itertools.accumulate((group.heard.get(durable, 0) for group in lost.groups), max))
            for durable in durables
        }

    def first_heard(self, durable: str, sequence: int) -> int:
        """The same of an event that did lead to something. Where it waited for it, another notice knew of it before."""
        return self.place(durable, sequence, "~") if durable in self._heard else len(self._times)

    def place(self, durable: str, sequence: int, time: str) -> int:
        """Number of the first group whose notice knows of it; one more than the last: after all of them.

        Its own time is that of its source, which a busy machine may be seconds behind: that counts only where no notice
        tells of its flow, and before the first one that tells of any, as those of older versions do not.
        """
        if sequence <= self._known.get(durable, 0):
            return 0
        if durable not in self._heard:
            return bisect.bisect_left(self._times, time)
        known = bisect.bisect_left(self._heard[durable], sequence)
        return known if known > self._silent else min(known, bisect.bisect_left(self._times, time))


async def read_lost(
    js: JetStreamContext,
    service: str,
    known: set[int],
    floor: int,
    letters: set[str],
    made: Mapping[str, str] | None = None,
) -> LostPart:
    """`known`: positions in the outbox; below `floor` all are known, as it was pruned up to there.
    `letters`: ids of the dead letters in the outbox. `made`: by flow, when its stream was made; sequences of before are
    those of another one."""
    made = made or {}
    stream = stream_of(service)
    events: dict[int, Announced] = {}
    notices: list[tuple[Message, Notice]] = []
    known_causes: set[str] = set()
    known_heard: dict[str, int] = {}
    top = 0
    async for message in read_stream(js, stream):
        if message.subject == notice_subject(service):
            try:
                notice = _read_notice(message.body)
            except UNREADABLE:
                continue  # Not ours: somebody published it by hand.
            for durable in [one for one in notice.heard if notice.time < made.get(one, "")]:
                del notice.heard[durable]
            top = max(top, *notice.positions)
            if all(position <= floor or position in known for position in notice.positions):
                known_causes.update(notice.causes)
                _raise(known_heard, notice.heard)
            else:
                notices.append((message, notice))
            continue
        for body in unpacked(message.body):
            try:
                envelope = _read_envelope(body)
                position = envelope.position
            except (*UNREADABLE, ValueError):
                continue
            if position > floor and position not in known and position not in events:
                events[position] = Announced(
                    envelope.id,
                    position,
                    envelope.type,
                    envelope.orderno,
                    envelope.company,
                    envelope.causationid,
                    message.sequence,
                    body,
                )
    try:
        created = when((await js.stream_info(stream)).created)
    except NotFoundError:
        created = None
    groups, gone = _groups(notices, events)
    lost = [
        message
        async for message in read_stream(js, LETTERS_STREAM)
        if message.subject.startswith(f"dead.{service}.") and letter_id(message.body) not in letters
    ]
    by_id = {event.id: event for group in groups for row in group.rows for event in row.events}
    return LostPart(groups, by_id, known_causes, lost, top, created, gone, known_heard)


def _groups(notices: Iterable[tuple[Message, Notice]], events: Mapping[int, Announced]) -> tuple[list[Group], int]:
    """In the order of the stream, which is that of the commits: who waited for another's lock was published after it.
    Positions are drawn before the last locks (of voucher numbers). Rows of one transaction carry the same time and
    stand behind each other."""
    groups: list[Group] = []
    seen: set[int] = set()
    gone = 0
    for message, notice in notices:
        if notice.positions[0] in seen:
            continue  # Published twice.
        seen.add(notice.positions[0])
        found = tuple(events[position] for position in notice.positions if position in events)
        gone += len(notice.positions) - len(found)
        if not found:
            continue
        row = Row(notice.time, found, message)
        if groups and groups[-1].time == notice.time:
            groups[-1].rows.append(row)
            _raise(groups[-1].heard, notice.heard)
        else:
            groups.append(Group(notice.time, [row], dict(notice.heard)))
    return groups, gone


def _raise(heard: dict[str, int], further: Mapping[str, int]) -> None:
    for durable, sequence in further.items():
        heard[durable] = max(heard.get(durable, 0), sequence)


class _Letter(Struct):
    id: str = ""


_read_letter = msgspec.json.Decoder(_Letter).decode


def letter_id(body: bytes) -> str:
    try:
        return _read_letter(body).id
    except UNREADABLE:
        return ""


async def read_stream(js: JetStreamContext, stream: str, since: datetime | None = None) -> AsyncIterator[Message]:
    """All messages that stand in a stream now, in its order; nothing where there is no such stream. `since`: those that
    came to it from then on."""
    try:
        state = (await js.stream_info(stream)).state
    except NotFoundError:
        return
    if not state.messages:
        return
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, inactive_threshold=60.0)
    if since is not None:
        config.deliver_policy, config.opt_start_time = DeliverPolicy.BY_START_TIME, since
    subscription = await js.pull_subscribe("", stream=stream, config=config)
    try:
        if since is not None and not (await subscription.consumer_info()).num_pending:
            return
        while True:
            for message in await subscription.fetch(FETCHED, timeout=FETCH_SECONDS):
                sequence = message.metadata.sequence.stream
                yield Message(stream, sequence, message.subject, message.data)
                if sequence >= state.last_seq:
                    return
    finally:
        await subscription.unsubscribe()


async def delivered(js: JetStreamContext, stream: str, durable: str) -> int:
    """Up to which sequence a flow was given its messages; all that comes later it still gets by itself."""
    try:
        found: Any = (await js.consumer_info(stream, durable)).delivered
    except NotFoundError:
        return 0
    return int(found.stream_seq) if found else 0
