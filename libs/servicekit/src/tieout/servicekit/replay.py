"""Events again: run through the flow that hears them, to be booked, or only to see what would happen.

A replay is what a redelivery would be: the same flow, the same transaction with its business keys, so what is there
already stays as it is. A rehearsal does all of it and rolls back. contracts/replay.py has the shapes.
"""

import asyncio
import collections
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Raw, Struct, field
from tieout.contracts.replay import (
    BYTES_MAX,
    EVENTS_MAX,
    Effect,
    Kept,
    KeptEvent,
    KeptRequest,
    Played,
    PlayedBatch,
    PlayedEvent,
    PlayRequest,
)
from tieout.contracts.streams import stream_of
from tieout.servicekit import sql
from tieout.servicekit.batches import RACES_MAX
from tieout.servicekit.database import Database, Rehearsed
from tieout.servicekit.errors import UNREADABLE, Cause, Refused, Unprocessable, cause_of, field_of, nul_field
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.giving_up import about
from tieout.servicekit.received import Reader, Received
from tieout.servicekit.witness import Ledger, Look, Unclear

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 15.0  # How long to wait for the batch that the flow has in hand.
DETAIL_CHARACTERS_MAX = 500
RANGE_ROWS = 5_000  # As in the statement.
NULL = Raw(b"null")
UNAVAILABLE = Played("failed", "unavailable", "", "The database is away or busy. Nothing was changed.")

Effects = dict[tuple[str, tuple[str, str], str], list[int]]


class _Part(Struct):
    """Some events of a request, with their places in it."""

    places: list[int]
    received: list[Received[Any]]

    def only(self, places: Sequence[int]) -> "_Part":
        return _Part([self.places[place] for place in places], [self.received[place] for place in places])

    def halves(self) -> "tuple[_Part, _Part]":
        at = len(self.places) // 2
        return _Part(self.places[:at], self.received[:at]), _Part(self.places[at:], self.received[at:])


class Heard(Protocol):
    """A flow of this service as far as a replay needs it."""

    stopped: bool
    counts: dict[str, float]
    one_at_a_time: asyncio.Lock

    @property
    def flow(self) -> BatchFlow: ...
    @property
    def reader(self) -> Reader: ...


class Unasked(Struct):
    """A flow that asks no broker for work: all that a replay needs of it."""

    flow: BatchFlow
    reader: Reader
    stopped: bool = False
    counts: dict[str, float] = field(default_factory=dict)
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)


class Player:
    """Runs events that somebody else has kept, through the flows of this service."""

    def __init__(self, database: Database, flows: Iterable[Heard]) -> None:
        self._database = database
        self._flows = {heard.flow.durable: heard for heard in flows}
        self._ledger: Ledger | None = None

    async def replay(self, request: PlayRequest, database: Database) -> PlayedBatch:
        """Commit. Raises Refused where the flow is not ours or stands still."""
        return await self._play(request, rehearsal=False)

    async def rehearse(self, request: PlayRequest, database: Database) -> PlayedBatch:
        """The same, rolled back, with the sums of what it would have done."""
        return await self._play(request, rehearsal=True)

    async def _play(self, request: PlayRequest, *, rehearsal: bool) -> PlayedBatch:
        heard = self._flows.get(request.flow)
        if heard is None:
            known = ", ".join(sorted(self._flows)) or "none"
            raise Refused(
                "not_found", f"There is no flow {request.flow!r} here; there are: {known}.", field="flow", status=404
            )
        if len(request.events) > EVENTS_MAX:
            raise Refused("invalid", f"At most {EVENTS_MAX} events in one request.", field="events", status=422)
        if self._ledger is None:
            self._ledger = await Ledger.read(self._database)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await heard.one_at_a_time.acquire()
        except TimeoutError:
            why = "stands still: most of its messages fail" if heard.stopped else "is busy with a batch"
            detail = f"The flow {request.flow} {why}. See ./tieout doctor, mend it, and go on with the replay."
            raise Refused("flow_stopped" if heard.stopped else "busy", detail, field="flow", status=503) from None
        try:
            return await self._through(heard, request.events, rehearsal=rehearsal)
        finally:
            heard.one_at_a_time.release()

    async def _through(self, heard: Heard, events: Sequence[PlayedEvent], *, rehearsal: bool) -> PlayedBatch:
        played: list[Played | None] = [None] * len(events)
        effects: Effects = {}
        whole = _Part([], [])
        for place, event in enumerate(events):
            found = _read(heard, event)
            if isinstance(found, Played):
                played[place] = found
            else:
                whole.places.append(place)
                whole.received.append(found)
        parts = collections.deque([whole] if whole.places else [])
        races = 0
        while parts:
            part = parts.popleft()
            try:
                look = await self._run(heard, part.received, rehearsal=rehearsal)
            except Unclear as unclear:
                parts.extendleft(reversed([part.only(places) for places in unclear.parts]))
                continue
            except Exception as error:
                cause = cause_of(error)
                unique = type(error).__name__ == "UniqueViolationError"
                if cause is Cause.AGAIN and not unique and races < RACES_MAX:
                    races += 1
                    parts.appendleft(part)
                elif cause is Cause.PASSING or (cause is Cause.AGAIN and not unique):
                    log.warning("replay waits", flow=heard.flow.durable, error=repr(error)[:300])
                    for left in (part, *parts):  # What was committed so far is told all the same.
                        for place in left.places:
                            played[place] = UNAVAILABLE
                    break
                elif len(part.places) > 1:
                    parts.extendleft(reversed(part.halves()))
                else:
                    played[part.places[0]] = _failed(part.received[0], error, rehearsal=rehearsal)
                continue
            for place, one in zip(part.places, look.told(part.received), strict=True):
                played[place] = one
            for key, sums in look.effects.items():
                _add(effects, key, sums)
        service = self._database.service
        return PlayedBatch(
            tuple(one for one in played if one is not None),
            tuple(Effect(service, figure, values, money, *sums) for (figure, values, money), sums in effects.items()),
        )

    async def _run(self, heard: Heard, received: list[Received[Any]], *, rehearsal: bool) -> Look:
        assert self._ledger is not None
        durable = heard.flow.durable
        look = Look(self._ledger, received, rehearsal=rehearsal)
        ids = [one.business_id for one in received]
        database = self._database.witnessed(durable, ids, look, rehearsal=rehearsal)
        try:
            with database.tracing.batch(durable, received, replayed=True):
                await heard.flow.function(received, database)
        except Rehearsed:
            pass
        else:
            counts = heard.counts
            counts["replayed"] = counts.get("replayed", 0) + (0 if rehearsal else len(received))
        return look

    # -------------------------------------------------------------------------------------- what is kept here

    async def kept(self, request: KeptRequest, database: Database) -> Kept:
        """Events of our own outbox, as they were announced."""
        async with database.read() as connection:
            if request.last_sequence:
                rows = await connection.fetch(
                    statements.kept_in_range,
                    stream_of(database.service),
                    request.first_sequence,
                    request.last_sequence,
                    request.after,
                )
                events = [KeptEvent(row["position"], row["sequence"], row["subject"], NULL) for row in rows]
                return Kept(tuple(events), more=len(events) == RANGE_ROWS)
            asked = sorted(position for position in request.positions if position > request.after)
            if not asked:
                return Kept(())
            rows = await connection.fetch(statements.kept_at, asked[0], asked[-1], asked, BYTES_MAX)
        whole = [
            KeptEvent(row["position"], row["sequence"], row["subject"], Raw(row["body"])) for row in rows if row["fits"]
        ]
        return Kept(tuple(whole), more=len(whole) < len(rows))


def _read(heard: Heard, event: PlayedEvent) -> Received[Any] | Played:
    try:
        return heard.reader.read(
            bytes(event.body),
            subject=event.subject,
            attempts=1,
            stream=event.stream,
            stream_sequence=event.sequence,
            durable=heard.flow.durable,
        )
    except (*UNREADABLE, ValueError) as error:
        detail = str(error) or type(error).__name__
        return Played("failed", "unreadable", field_of(detail), detail[:DETAIL_CHARACTERS_MAX])


def _failed(received: Received[Any], error: Exception, *, rehearsal: bool) -> Played:
    if isinstance(error, Unprocessable):
        return Played("failed", error.reason, error.field, error.detail[:DETAIL_CHARACTERS_MAX])
    if cause_of(error) in (Cause.DATA, Cause.AGAIN):
        if b"\\u0000" in received.body:
            return Played("failed", "nul_character", nul_field(received.body), "Postgres keeps no NUL in text.")
        column = str(getattr(error, "column_name", "") or "")
        return Played("failed", "refused_by_database", column, type(error).__name__)
    log.error("replay fails", rehearsal=rehearsal, **about(received), exc_info=error)
    return Played("failed", "internal_error", "", f"{type(error).__name__}; the service's log has the rest")


def _add(effects: Effects, key: tuple[str, tuple[str, str], str], sums: Sequence[int]) -> None:
    found = effects.setdefault(key, [0, 0, 0])
    for index, value in enumerate(sums):
        found[index] += value
