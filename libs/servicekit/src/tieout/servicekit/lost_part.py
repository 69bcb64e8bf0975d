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
from tieout.contracts.event import Envelope, Handled, Notice
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
    headers: Mapping[str, str] = {}


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
    heard: dict[str, int]  # By flow: the highest sequence that its notices tell of.
    turn: int = 0  # Of its commit, among all of the service; 0: an older version did not tell.

    @property
    def causes(self) -> set[str]:
        return {event.cause for row in self.rows for event in row.events if event.cause}


class LostPart(Struct):
    """`groups` in the order in which they were committed. `known_causes`: of what we announced and still know."""

    groups: list[Group]
    by_id: dict[str, Announced]
    known_causes: set[str]
    letters: list[Message]
    top_position: int
    created: datetime | None
    gone: int = 0  # Announced as their notice says, but the stream does not hold them any more.
    known_heard: dict[str, int] = {}  # By flow: the sequence up to which what we still know says that it was handled.
    handled: dict[tuple[str, int], tuple[int, int]] = {}  # By flow and sequence: the first turn, and its place in it.
    top_turn: int = 0


class Places:
    """Before which group an event had its effect that changed us without a word: none of ours names it as its cause."""

    def __init__(self, lost: LostPart) -> None:
        self._turns = [group.turn for group in lost.groups]
        self._handled = lost.handled if all(self._turns) else {}
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

    def turn(self, durable: str, sequence: int) -> tuple[int, int]:
        """In which it was handled first, and its place in there; (0, 0) where no notice tells: its process has said
        nothing since, or was killed before."""
        return self._handled.get((durable, sequence), (0, 0))

    def first_heard(self, durable: str, sequence: int) -> int:
        """The same of an event that did lead to something. Where it waited for it, another notice knew of it before."""
        told = durable in self._heard or self.turn(durable, sequence)[0]
        return self.place(durable, sequence, "~") if told else len(self._times)

    def place(self, durable: str, sequence: int, time: str) -> int:
        """Number of the group that it is played before; one more than the last: after all of them. Where a notice tells
        its turn, that is exact: the first group of that turn or a later one; else the first whose notice tells of it or
        of what stands behind it.

        Its own time is that of its source, which a busy machine may be seconds behind: that counts only where no notice
        tells of its flow, and before the first one that tells of any, as those of older versions do not.
        """
        turn, _ = self.turn(durable, sequence)
        if turn:
            return bisect.bisect_left(self._turns, turn)
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
    notices: list[tuple[Message, Notice, dict[str, int]]] = []
    known_causes: set[str] = set()
    known_heard: dict[str, int] = {}
    handled: dict[tuple[str, int], tuple[int, int]] = {}
    top = top_turn = 0
    async for message in read_stream(js, stream):
        if message.subject == notice_subject(service):
            try:
                notice = _read_notice(message.body)
            except UNREADABLE:
                continue  # Not ours: somebody published it by hand.
            top, top_turn = max(top, *notice.positions), max(top_turn, notice.turn)
            told = [one for one in notice.handled if one.time >= made.get(one.flow, "")]
            if all(position <= floor or position in known for position in notice.positions):
                known_causes.update(notice.causes)
                _raise(known_heard, _heard(told))
            else:
                notices.append((message, notice, _heard(told)))
                for one in told:
                    for nth, sequence in enumerate(one.sequences):
                        turn = (one.turn or notice.turn, nth)
                        handled[one.flow, sequence] = min(turn, handled.get((one.flow, sequence), turn))
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
    return LostPart(groups, by_id, known_causes, lost, top, created, gone, known_heard, handled, top_turn)


def _groups(
    notices: Iterable[tuple[Message, Notice, dict[str, int]]], events: Mapping[int, Announced]
) -> tuple[list[Group], int]:
    """In the order of the commits. Positions are drawn before the last locks (of voucher numbers), and the stream has
    what several processes published, or published late, in another one; turns tell it. Rows of one transaction carry
    the same turn. Of older versions, the stream's order, and the same time in rows behind each other."""
    groups: list[Group] = []
    by_turn: dict[int, Group] = {}
    seen: set[int] = set()
    gone = 0
    for message, notice, heard in notices:
        if notice.positions[0] in seen:
            continue  # Published twice.
        seen.add(notice.positions[0])
        found = tuple(events[position] for position in notice.positions if position in events)
        gone += len(notice.positions) - len(found)
        if not found:
            continue
        row = Row(notice.time, found, message)
        before = by_turn.get(notice.turn)
        if before is None and groups and not notice.turn and groups[-1].time == notice.time:
            before = groups[-1]
        if before is not None:
            before.rows.append(row)
            _raise(before.heard, heard)
        else:
            groups.append(Group(notice.time, [row], heard, notice.turn))
            if notice.turn:
                by_turn[notice.turn] = groups[-1]
    if all(group.turn for group in groups):
        groups.sort(key=lambda group: group.turn)
    return groups, gone


def _heard(told: Iterable[Handled]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in told:
        _raise(found, {one.flow: max(one.sequences, default=0)})
    return found


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
                yield Message(stream, sequence, message.subject, message.data, message.headers or {})
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
