"""One standing pull request per flow: messages flow in by themselves, and an idle flow costs next to nothing.

FastStream's own pull loop waits until a batch is full or its time is up; here a batch is what has arrived. Linger is a
minimum spacing between batches unless full: an idle flow answers at once, batches grow by themselves under load.
"""

import asyncio
import collections
import contextlib
import math
import time
from collections.abc import Awaitable, Callable

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.errors import NotFoundError
from tieout.servicekit.connection import Message, QuickClient
from tieout.servicekit.wire import acknowledge, delivery

log = structlog.get_logger(__name__)

EXPIRES_SECONDS = 6.0  # Of one pull request. Two dozen idle flows that ask anew cost the broker 1 % of a core at 1.5 s.
STOP_SECONDS_MAX = 1.8  # A stop waits at most this long for the last request to end.
QUIET_SECONDS = 0.05  # No message for so long: a stop need not wait for our request to end.
HELD_BYTES_MAX = 8 << 20  # Arrived but not yet handled, and in one pull request.
MESSAGES_MIN = 8  # In one request, however much they carried lately.
AVERAGED = 20  # Messages, for what they carry.
EXTEND_SECONDS = 2.0  # Messages held longer than this ask the broker for more time, again and again.


class Intake:
    def __init__(
        self,
        connection: QuickClient,
        stream: str,
        durable: str,
        *,
        size: int,
        linger_seconds: float,
        ensure: Callable[[], Awaitable[None]],
    ) -> None:
        """`size`: events in a batch. `ensure` creates a missing durable; it raises while the stream is missing."""
        self.size = size
        self._nats = connection
        self._durable = durable
        self._linger = linger_seconds
        self._ensure = ensure
        self._api = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._queue: collections.deque[Message] = collections.deque()
        self._waiting = 0  # Events in the queue.
        self._held_bytes = 0
        self.events_per_message = 1.0  # Lately: requests and the broker's counts are in messages.
        self._in_hand: list[Message] = []  # Given out, not yet settled.
        self._arrived = asyncio.Event()
        self._owed = 0  # Messages that the broker may still send for our requests.
        self.closing = asyncio.Event()
        self._closed = False
        self._heard = 0.0
        self._arrival = 0.0
        self._taken = 0.0
        self._subscription: Subscription | None = None
        self._repair: asyncio.Task[None] | None = None
        self._extender: asyncio.Task[None] | None = None

    async def start(self) -> Subscription:
        self._inbox = self._nats.new_inbox()
        # Without limits: nats-py's defaults drop messages; ours is what we ask for.
        self._subscription = await self._nats.subscribe(
            self._inbox, cb=self._told, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._nats.deliver[self._subscription._id] = self._deliver
        self._extender = asyncio.create_task(self._extend())
        self.again()
        return self._subscription

    async def _ask(self) -> None:
        window = max(MESSAGES_MIN, math.ceil(2 * self.size / self.events_per_message))
        number = window - self._owed - len(self._queue)
        if self.closing.is_set() or number < window // 4 or self._held_bytes > HELD_BYTES_MAX:
            return
        self._owed += number
        self._heard = time.monotonic()
        request = b'{"batch":%d,"max_bytes":%d,"expires":%d}' % (number, HELD_BYTES_MAX, EXPIRES_SECONDS * 1e9)
        await self._nats.publish(self._api, request, self._inbox)

    def _deliver(self, message: Message) -> None:
        """In the connection's read loop, message by message."""
        self._heard = self._arrival = time.monotonic()
        self._owed -= 1
        self._held_bytes += len(message.data)
        self._waiting += message.events
        self.events_per_message += (message.events - self.events_per_message) / AVERAGED
        self._queue.append(message)
        self._arrived.set()

    async def _told(self, message: Msg) -> None:
        """What the broker says about our request."""
        self._heard = time.monotonic()
        headers = message.headers or {}
        status = headers.get("Status")
        if status == "100":
            return
        missing = headers.get("Nats-Pending-Messages")
        if status == "408" or (status == "409" and missing is not None):  # Our request ended: time or bytes are up.
            self._owed = max(0, self._owed - int(missing or self._owed))
            await self._ask()
        else:  # 409 consumer deleted, leader moved, shutting down; 503 nobody there.
            self.again()

    def again(self) -> None:
        """At the start, after a reconnect, a 409 or a 503: the broker knows no request of ours, perhaps no consumer."""
        self._owed = 0
        if self._repair is None or self._repair.done():
            self._repair = asyncio.create_task(self._make_sure())

    async def _make_sure(self) -> None:
        pause = 0.05
        told = False
        while not self.closing.is_set():
            try:
                await self._ensure()
                await self._ask()
                return
            except NotFoundError:  # The producer creates its stream when it starts; nothing is wrong with that.
                pass
            except Exception as error:
                if not told:
                    log.warning("flow waits for the broker", flow=self._durable, error=repr(error))
                    told = True
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def take(self) -> list[Message]:
        """The next batch, whose messages count as in hand until `settled`; [] once closed and empty."""
        while True:
            while not self._queue:
                if self._closed:
                    return []
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), EXPIRES_SECONDS * 2)
                except TimeoutError:
                    if time.monotonic() - self._heard > EXPIRES_SECONDS * 2:
                        self.again()
            rest = self._taken + self._linger - time.monotonic()
            if rest > 0 and self._waiting < self.size and not self.closing.is_set():
                await asyncio.sleep(rest)
                continue
            break
        batch: list[Message] = []
        events = 0
        while self._queue and (not batch or events + self._queue[0].events <= self.size):
            message = self._queue.popleft()
            batch.append(message)
            events += message.events
            self._held_bytes -= len(message.data)
        self._waiting -= events
        self._in_hand = batch
        self._taken = time.monotonic()
        await self._ask()
        return batch

    def settled(self) -> None:
        self._in_hand = []

    def in_hand(self) -> tuple[float, int]:
        """Seconds since the batch in hand was taken, and how often its most delivered message came."""
        if not self._in_hand:
            return 0.0, 0
        attempts = max(delivery(message.reply).attempts for message in self._in_hand)
        return time.monotonic() - self._taken, attempts

    @property
    def waiting(self) -> int:
        """Events that arrived and are not in hand yet."""
        return self._waiting

    def events(self, messages: int) -> int:
        """About so many, by what messages carried lately: the broker counts messages only."""
        return math.ceil(messages * self.events_per_message)

    async def _extend(self) -> None:
        """While a batch runs long or the database is away, the broker must not think that we died."""
        in_hand: list[Message] = []
        first: Message | None = None
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            held: list[Message] = []
            if self._in_hand and self._in_hand is in_hand:
                held += in_hand
            if self._queue and self._queue[0] is first:
                held += self._queue
            with contextlib.suppress(Exception):
                await acknowledge(self._nats, [message.reply for message in held], b"+WPI")
            in_hand = self._in_hand
            first = self._queue[0] if self._queue else None

    async def close(self) -> None:
        """Ask for no more, take what is under way, unsubscribe.

        While messages flow, our last request fills up or ends by itself; when it is quiet, nobody waits for that.
        """
        self.closing.set()
        end = time.monotonic() + STOP_SECONDS_MAX
        while self._owed > 0 and time.monotonic() < min(end, self._arrival + QUIET_SECONDS):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self._subscription is not None:
            with contextlib.suppress(Exception):
                await self._subscription.drain()  # type: ignore[no-untyped-call]
            self._nats.deliver.pop(self._subscription._id, None)
        self._closed = True
        self._arrived.set()

    def end(self) -> None:
        """After the last batch was settled."""
        for task in (self._extender, self._repair):
            if task is not None:
                task.cancel()
