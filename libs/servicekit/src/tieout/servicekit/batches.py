"""Batch flows: what a service does when events arrive.

A flow is one function per thing that can happen; the kit gives it batches of decoded messages, acknowledges after its
commit, and deals with everything that can go wrong, by the classes of errors.py:

* passing causes pause the flow and try the same batch again, for as long as it takes;
* lost races run the same batch again at once;
* a bad message is found by bisecting and becomes a dead letter; at most LEAVES_MAX are sought at a time;
* an unforeseen error of one message parks it for another try, three times, then buries it;
* when most messages fail, the code is wrong: the flow stops consuming, says so, and probes with one message from time
  to time. The stream is not poured into DEAD;
* when most events cannot even be read, their producer or this version is wrong: the flow stops as well. No probe can
  help there: a version that reads them is deployed, or a person gives them up (`restart_flow`).
"""

import asyncio
import collections
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, PullSub
from faststream.nats.subscriber.usecases import BatchPullStreamSubscriber
from nats.js.api import AckPolicy as Acks
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError
from tieout.contracts.operation import UNREADABLE_EVENTS
from tieout.servicekit import failpoints, sql
from tieout.servicekit.connection import Message, QuickBroker, QuickClient
from tieout.servicekit.database import Database
from tieout.servicekit.errors import UNREADABLE, Cause, cause_of
from tieout.servicekit.flow import BatchFlow
from tieout.servicekit.giving_up import Outcomes, Unreadable, about, bury_unreadable, give_up, place_of
from tieout.servicekit.intake import Intake
from tieout.servicekit.outbox import IN_HAND
from tieout.servicekit.packs import Arrival, unpacked
from tieout.servicekit.received import Reader, Received
from tieout.servicekit.streams import resume
from tieout.servicekit.wire import acknowledge, delivery

log = structlog.get_logger(__name__)
parked_statements = sql.load_file(__file__, "parked.sql")

ACK_WAIT_SECONDS = 6  # Extended while a batch runs; so long a killed process' messages wait for another one.
LEAVES_MAX = 16
RACES_MAX = 10  # Lost in a row; then it is treated as a passing cause.
PAUSE_SECONDS_MAX = 5.0
PROBE_SECONDS = 10.0
DRAIN_SECONDS_MAX = 8.0  # Of a stop, for the batch in hand; then it is rolled back, and others take it over.
TURN_SECONDS = 0.5  # Parked messages wait so long between two looks whether their flow has stopped.
HELD_LOOK_SECONDS = 0.5  # Between two looks whether a person has decided.
LATENCIES_KEPT = 512


class Stopping(Exception):
    """The process ends while the flow pauses; the broker will deliver the batch again."""


class Batch(list[Message]):
    """FastStream's raw message for us: the messages, with the events that they were decoded to beside them."""

    received: list[Received[Any]]

    @classmethod
    def of(cls, messages: Sequence[Message], received: list[Received[Any]]) -> "Batch":
        batch = cls(messages)
        batch.received = received
        return batch


def _sequences_of(batch: Batch) -> tuple[int, ...]:
    """Of its messages, in their order."""
    return tuple(dict.fromkeys([received.stream_sequence for received in batch.received]))


async def _decoded(message: Any) -> list[Received[Any]]:
    """FastStream's decoder: everything is decoded already, event by event, so one broken body fails alone."""
    return cast("list[Received[Any]]", message.raw_message.received)


class FlowSubscriber(BatchPullStreamSubscriber):
    """FastStream's batch subscriber, fed by a standing pull request, with bisecting and explicit acknowledgements."""

    flow: BatchFlow
    database: Database

    async def _create_subscription(self) -> None:
        flow = self.flow
        self.reader = Reader(*flow.types)
        self.counts = self.database.counts.setdefault(flow.durable, {})
        self.latencies: collections.deque[float] = collections.deque(maxlen=LATENCIES_KEPT)
        self.outcomes = Outcomes()
        self.stopped = False
        self.stopped_why = ""
        self.giving_up = asyncio.Event()  # A person has said that what cannot be read is given up.
        self.trouble = ""  # What the last attempt failed with.
        self.one_at_a_time = asyncio.Lock()  # Parked messages run between batches, not beside them.
        self.idle = asyncio.Event()
        self.intake = Intake(
            cast("QuickClient", self.connection),
            flow.hears.stream,
            flow.durable,
            size=flow.size,
            linger_seconds=flow.linger_seconds,
            ensure=self._ensure_consumer,
        )
        self.subscription = cast("Any", await self.intake.start())
        self.add_task(self._consume_pull)

    async def _ensure_consumer(self) -> None:
        """The durable as this version wants it. One that has other filters (an older version's) is updated."""
        hears = self.flow.hears
        config = ConsumerConfig(
            name=hears.durable,
            durable_name=hears.durable,
            ack_policy=Acks.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_ack_pending=self.flow.size * 20,
            max_deliver=-1,
        )
        if len(hears.subjects) == 1:
            config.filter_subject = hears.subjects[0]
        else:
            config.filter_subjects = list(hears.subjects)
        try:
            found = await self.jetstream.consumer_info(hears.stream, hears.durable)
        except NotFoundError:
            await self.jetstream.add_consumer(hears.stream, config)
            return
        if _settings_of(found.config) != _settings_of(config):
            await self.jetstream.add_consumer(hears.stream, config)
        await resume(self.jetstream, found)

    async def _consume_pull(self) -> None:
        self.idle.clear()
        try:
            while messages := await self.intake.take():
                try:
                    async with self.one_at_a_time:
                        await self.settle(messages)
                except Stopping:
                    log.info("flow leaves a batch to the next process", flow=self.flow.durable)
                except Exception:  # A bug of the kit itself. Not acknowledged, so the broker delivers all of it again.
                    log.exception("flow failed", flow=self.flow.durable)
                    await asyncio.sleep(1.0)
                self.intake.settled()
        finally:
            self.idle.set()

    async def stop(self) -> None:
        """Stop asking, finish what is in hand, acknowledge it."""
        if hasattr(self, "intake"):
            await self.intake.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), DRAIN_SECONDS_MAX)
            self.intake.end()
            self.subscription = None
        await super().stop()

    # ------------------------------------------------------------------ one batch

    async def settle(self, messages: Sequence[Message]) -> None:
        """Decode each event alone, give up the unreadable ones, run the others."""
        readable: list[Received[Any]] = []
        broken: list[Unreadable] = []
        read = self.reader.read
        durable = self.flow.durable
        for message in messages:
            came = delivery(message.reply)
            bodies = unpacked(message.data)
            arrival = Arrival(message.reply, len(bodies), message.raw_headers)
            for ordinal, body in enumerate(bodies):
                try:
                    received = read(
                        body,
                        subject=message.subject,
                        attempts=came.attempts,
                        stream=came.stream,
                        stream_sequence=came.stream_sequence,
                        durable=durable,
                    )
                except UNREADABLE as error:
                    broken.append(Unreadable(message, ordinal, body, arrival, error))
                else:
                    received.arrival = arrival
                    readable.append(received)
        self.counts["lag"] = self.intake.waiting + self.intake.events(delivery(messages[-1].reply).pending)
        if readable:  # First: whoever waits for a decision shall not hold up the good ones.
            await self._work(Batch.of(messages, readable))
        if broken:
            self.outcomes.note(failed=len(broken))
            if self.outcomes.code_is_wrong() and not self.giving_up.is_set():
                await self._wait_until_given_up(broken)
            await self._until_it_works(lambda: bury_unreadable(self.flow.durable, broken, self.database))
            await self._acknowledge(one.arrival for one in broken)
        else:
            self.giving_up.clear()  # The burst is over; the next one is another decision.

    async def _acknowledge(self, settled: Iterable[Arrival | None]) -> None:
        """Once for each event that is settled; the broker hears of a message when its last one is."""
        await acknowledge(self.connection, [one.reply for one in settled if one is not None and one.settled()])

    async def _work(self, batch: Batch) -> None:
        """Run a batch; bisect where it fails; stop the flow where most of it fails."""
        todo = collections.deque([batch])
        failing: list[tuple[Batch, Exception]] = []
        while todo:
            part = todo.popleft()
            try:
                await self._until_it_works(lambda part=part: self._run(part))  # type: ignore[misc]
            except Stopping:
                raise
            except Exception as error:
                if len(part.received) > 1:
                    todo.extendleft(reversed(_halves(part)))
                    continue
                failing.append((part, error))
                self.outcomes.note(failed=1, unforeseen=cause_of(error) is Cause.CODE)
                if self.outcomes.code_is_wrong():
                    await self._wait_until_code_works([one for one, _ in failing], todo, error)
                    failing = []
                elif len(failing) == LEAVES_MAX:
                    await self._give_up(failing)
                    failing = []
                continue
            await self._confirm(part)
        if failing:
            await self._give_up(failing)

    async def _run(self, part: Batch) -> None:
        started = time.monotonic()
        in_hand = IN_HAND.set((self.flow.durable, _sequences_of(part)))
        try:
            with self._told_apart(part.received), self.database.tracing.batch(self.flow.durable, part.received):
                await self.process_message(cast("Any", part))
                if failpoints.ARMED is not None:
                    await failpoints.ARMED.reach("handled", self.flow.durable)
        finally:
            IN_HAND.reset(in_hand)
        self.counts["batch_seconds"] = time.monotonic() - started

    def _told_apart(self, received: Sequence[Received[Any]]) -> contextlib.AbstractContextManager[Any]:
        """Whatever is logged while one message is handled names its order and trace; of a batch, only the flow."""
        named = about(received[0]) if len(received) == 1 else {"flow": self.flow.durable}
        return structlog.contextvars.bound_contextvars(**named)

    async def _confirm(self, part: Batch) -> None:
        """Committed: acknowledge, count, measure."""
        await self._acknowledge(one.arrival for one in part.received)
        number = len(part.received)
        self.outcomes.note(worked=number)
        counts = self.counts
        counts["done"] = counts.get("done", 0) + number
        counts["batches"] = counts.get("batches", 0) + 1
        counts["batch_last"] = number
        again = sum(1 for received in part.received if received.attempts > 1)
        if again:
            counts["retried"] = counts.get("retried", 0) + again
        now = datetime.now(UTC)
        for received in part.received[:: max(1, number // 4)]:  # Enough for percentiles, and cheap.
            with contextlib.suppress(ValueError):
                self.latencies.append((now - datetime.fromisoformat(received.envelope.time)).total_seconds())

    async def _until_it_works(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Pause for passing causes, repeat lost races; everything else is the caller's."""
        pause = 0.1
        races = 0
        while True:
            try:
                await attempt()
                self.trouble = ""
                return
            except Exception as error:
                self.trouble = repr(error)[:300]
                cause = cause_of(error)
                if cause is Cause.AGAIN and races < RACES_MAX:
                    races += 1
                    await asyncio.sleep(random.uniform(0, 0.01) * races)
                    continue
                if cause is Cause.AGAIN and _is_unique(error):
                    raise  # No race: it collides with what has been there for long, so it is a bad message.
                if cause not in (Cause.PASSING, Cause.AGAIN):
                    raise
                self.counts["paused"] = self.counts.get("paused", 0) + 1
                log.warning("flow pauses", flow=self.flow.durable, seconds=pause, error=repr(error)[:300])
            if await self._closes_within(pause * random.uniform(0.75, 1.25)):
                raise Stopping
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    # ------------------------------------------------------------------ what cannot be handled

    async def _give_up(self, failing: Sequence[tuple[Batch, Exception]]) -> None:
        await self._until_it_works(
            lambda: give_up(
                [(part.received[0], error) for part, error in failing], self.database, self.flow.retry_seconds
            )
        )
        await self._acknowledge(part.received[0].arrival for part, _ in failing)

    async def _wait_until_code_works(
        self, failed: list[Batch], todo: "collections.deque[Batch]", error: Exception
    ) -> None:
        """Hold everything, try one message from time to time, go on when one works. Nothing is given up meanwhile."""
        self.stopped = True
        self.stopped_why = place_of(error)
        self.counts["stopped"] = 1
        todo.extendleft(reversed(failed))
        log.error("flow stopped: most messages fail, so the code is wrong", flow=self.flow.durable, exc_info=error)
        while not await self._closes_within(PROBE_SECONDS):
            probe = todo.popleft()
            if len(probe.received) > 1:
                first, rest = _cut(probe, 1)
                todo.appendleft(rest)
                probe = first
            try:
                await self._until_it_works(lambda probe=probe: self._run(probe))  # type: ignore[misc]
            except Stopping:
                raise
            except Exception as again:
                todo.append(probe)
                self.stopped_why = place_of(again)
                log.error("flow still stopped", flow=self.flow.durable, error=repr(again)[:300])
                continue
            await self._confirm(probe)
            break
        else:
            todo.clear()  # The process ends; the broker will deliver all of it again.
        self.stopped = False
        self.stopped_why = ""
        self.counts["stopped"] = 0
        self.outcomes.clear()

    async def _wait_until_given_up(self, broken: Sequence[Unreadable]) -> None:
        """Hold what cannot be read. Nothing but a person's word, or another version of this process, ends it.

        Raises Stopping at the end of the process; the broker will deliver all of it again.
        """
        self.stopped = True
        self.stopped_why = f"{UNREADABLE_EVENTS}: {str(broken[0].error)[:200] or type(broken[0].error).__name__}"
        self.counts["stopped"] = 1
        durable = self.flow.durable
        log.error("flow stopped: most events cannot be read", flow=durable, first=self.stopped_why, held=len(broken))
        try:
            while not self.giving_up.is_set():
                if await self._closes_within(HELD_LOOK_SECONDS):
                    raise Stopping
        finally:
            self.stopped = False
            self.stopped_why = ""
            self.counts["stopped"] = 0
        self.outcomes.clear()

    async def _closes_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.intake.closing.wait(), seconds)
        return self.intake.closing.is_set()

    # ------------------------------------------------------------------ parked messages

    async def run_parked(self, rows: Sequence[Any]) -> None:
        """Rows of `parked` that are due: run them as a batch, in transactions that also remove them."""
        if not await self._between_batches():  # Nobody knows for how long; not until the claim ends by itself.
            await self._give_back([row["event_id"] for row in rows])
            return
        try:
            readable: list[Received[Any]] = []
            for row in rows:
                try:
                    readable.append(
                        self.reader.read(
                            row["body"],
                            subject=row["subject"],
                            attempts=row["attempts"],
                            stream=row["stream"],
                            stream_sequence=row["stream_sequence"],
                            durable=self.flow.durable,
                        )
                    )
                    readable[-1].headers, readable[-1].tries = row["headers"], tuple(row["tries"])
                except UNREADABLE as error:  # A newer version reads more strictly than the one that parked it.
                    log.error(
                        "parked message is unreadable", flow=self.flow.durable, event=row["event_id"], error=str(error)
                    )
            parts = collections.deque([readable] if readable else [])
            races = 0
            while parts:
                part = parts.popleft()
                database = self.database.taking(self.flow.durable, [received.business_id for received in part])
                try:
                    with self._told_apart(part), self.database.tracing.batch(self.flow.durable, part):
                        await self.flow.function(part, database)
                    await database.take_rest()
                except Exception as error:
                    if cause_of(error) is Cause.AGAIN and not _is_unique(error) and races < RACES_MAX:
                        races += 1  # Its next due time may be minutes away, and nobody will wake it again.
                        parts.appendleft(part)
                        continue
                    if cause_of(error) in (Cause.PASSING, Cause.AGAIN):
                        log.warning("parked messages wait on", flow=self.flow.durable, error=repr(error)[:300])
                        await self._give_back([received.business_id for received in part])
                        continue  # They stay, and are due again.
                    if len(part) > 1:
                        middle = len(part) // 2
                        parts.extendleft((part[middle:], part[:middle]))
                        continue
                    await give_up([(part[0], error)], database, self.flow.retry_seconds)
                else:
                    self.counts["done"] = self.counts.get("done", 0) + len(part)
                    self.counts["woken"] = self.counts.get("woken", 0) + len(part)
        finally:
            self.one_at_a_time.release()

    async def _between_batches(self) -> bool:
        """Our turn, with `one_at_a_time` taken; or False while the flow is stopped, so that others' need not wait."""
        while not self.stopped:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_SECONDS):
                    await self.one_at_a_time.acquire()
                return True
        return False

    async def _give_back(self, ids: Sequence[str]) -> None:
        """The claim counted an attempt; a database or broker that was away must not cost one."""

        async def give_back() -> None:
            async with self.database.read() as connection:
                seconds = random.uniform(1.0, 3.0)
                await connection.execute(parked_statements.give_back, self.flow.durable, ids, seconds)

        with contextlib.suppress(Stopping):
            await self._until_it_works(give_back)

    async def look_at_lag(self) -> None:
        """Ask the broker: a flow that stands still gets no messages that would tell how many wait."""
        found = await self.jetstream.consumer_info(self.flow.hears.stream, self.flow.durable)
        self.counts["lag"] = self.intake.events((found.num_pending or 0) + (found.num_ack_pending or 0))

    def numbers(self) -> dict[str, float]:
        """For health and metrics: what was done, how fast (from an event's time to our commit), how far behind."""
        found = dict(self.counts)
        if self.latencies:
            ordered = sorted(self.latencies)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
                found[f"latency_{name}_ms"] = round(ordered[int(share * (len(ordered) - 1))] * 1000, 1)
        return found


def subscribe(broker: QuickBroker, flow: BatchFlow, database: Database) -> FlowSubscriber:
    """Let FastStream build its subscriber, then change what feeds it."""
    subscriber = broker.subscriber(
        flow.hears.subjects[0],
        stream=JStream(flow.hears.stream, declare=False),
        durable=flow.durable,
        pull_sub=PullSub(batch=True, batch_size=flow.size, timeout=1.0),
        decoder=_decoded,
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
    )
    subscriber.__class__ = FlowSubscriber
    ours = cast("FlowSubscriber", subscriber)
    ours.flow = flow
    ours.database = database

    async def handle(batch: Any) -> None:
        await flow.function(batch, database)

    subscriber(handle)
    return ours


def _settings_of(config: ConsumerConfig) -> tuple[Any, ...]:
    """What a newer version of a flow may want otherwise."""
    subjects = config.filter_subjects or ([config.filter_subject] if config.filter_subject else [])
    return sorted(subjects), float(config.ack_wait or 0), config.max_ack_pending


def _halves(part: Batch) -> list[Batch]:
    return list(_cut(part, len(part.received) // 2))


def _cut(part: Batch, at: int) -> tuple[Batch, Batch]:
    return Batch.of(part, part.received[:at]), Batch.of(part, part.received[at:])


def _is_unique(error: BaseException) -> bool:
    return type(error).__name__ == "UniqueViolationError"
