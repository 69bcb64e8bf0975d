"""Traces: one trace carries one order from intake to voucher, across all processes.

The trace id is the chain id, so a chain that turns out late or broken can be looked up, or sampled from then on, by
anybody who knows the order. Whether a chain is sampled follows from its id alone: every process decides alike.

Per batch there is one span with links. A message has a span of its own, in its order's trace, where its chain is
sampled, and in any case when it comes again, is late, fails or is given up; from there on its chain is followed. What
it made its flow announce is a span below it, which whoever hears the event continues: so collectors draw a map of the
services from pairs of PRODUCER and CONSUMER.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from tieout.servicekit.otlp import wanted
from tieout.servicekit.transaction_spans import TransactionSpan

if TYPE_CHECKING:
    from tieout.servicekit.received import Received


class Came(Struct, frozen=True):
    """With what a chain's first document came: the request's span, where it has one, and what else is told of it."""

    traceparent: str = ""
    attributes: Mapping[str, Any] = {}


class Step(Struct, frozen=True):
    """A span that somebody else's records tell of, long after it ended. `key` names it, and its `parent`."""

    name: str
    key: str
    parent: str
    began: datetime
    ended: datetime
    attributes: Mapping[str, Any]
    error: str = ""


class Request(Struct, frozen=True):
    """One request over HTTP. `key`: what a document's trace finds it by; "": nobody looks for it."""

    method: str
    route: str
    path: str
    status: int
    began_ns: int
    ended_ns: int
    key: str = ""
    attributes: Mapping[str, Any] = {}


class Working:
    """What this task works on: the span of its batch, and the messages that are followed, by chain."""

    def __init__(self, span: Any, followed: "Sequence[Received[Any]]" = ()) -> None:
        self.span = span
        self.followed = {one.envelope.chainid: one for one in followed}
        self.spans: dict[str, Any] = {}  # Of messages, by the traceparent that names them.
        self.sent: list[Any] = []  # Spans of what they announced; a rolled back announcement is never told.
        self.begun = 0  # Sampled chains that began here.
        self.count = -1  # Of `work`; 0: there was nothing to do, and nothing is told.


class Tracing:
    """Does nothing; what a service has without a collector."""

    enabled = False

    def works_on(self, database_url: str) -> None:
        """Which database this process has, for the spans of its transactions."""

    def transaction(self) -> TransactionSpan | None:
        """To be ended by whoever runs a transaction now."""
        return None

    @classmethod
    def off(cls) -> "Tracing":
        return cls()

    @classmethod
    def from_environment(cls, service: str, version: str, environment: Mapping[str, str] | None = None) -> "Tracing":
        environment = os.environ if environment is None else environment
        if not wanted(environment, "TRACES"):
            return cls()
        from tieout.servicekit.live_tracing import LiveTracing

        return LiveTracing(service, version, environment)

    def begin(
        self,
        kind: str,
        chain: str,
        order_no: str,
        company: str,
        cause: "Received[Any] | None",
        began: datetime | None = None,
        satellite: str = "",
        came: Callable[[], Came] | None = None,
    ) -> str:
        """Traceparent for an event that begins its chain here, or enters another one; "" where it is not sampled.

        `came` is asked only where it is.
        """
        return ""

    def working_on(self, chain: str) -> "Received[Any] | None":
        """The message of this chain in the batch that is being handled, if it is followed."""
        return None

    def led_to(self, origin: "Received[Any]", kind: str, event_id: str, satellite: str, document: str) -> str:
        """A followed message made its flow announce this: the traceparent that goes with it.

        `document`: a voucher's number, where it is one.
        """
        return origin.trace

    @contextmanager
    def batch(self, durable: str, received: "Sequence[Received[Any]]", *, replayed: bool = False) -> Iterator[None]:
        """Around the handling of a batch. Sets `trace` of each message that is followed.

        What is `replayed` begins anew in its chain's trace, with a link to what was there: days may lie between.
        """
        yield

    @contextmanager
    def work(self, name: str) -> Iterator[Working]:
        """Around a batch that does not come from a stream; tell it the `count`, 0 where there was nothing to do."""
        yield Working(None)

    def sampled(self, chain: str) -> bool:
        return False

    def request(self, told: Request) -> None:
        """A request over HTTP was answered, and is worth telling."""

    def afterwards(self, chain: str, steps: Sequence[Step]) -> None:
        """The journey of a chain that nobody traced when it happened. The same steps again are the same spans."""

    def failed(
        self, name: str, chain: str, *, error: str, attributes: Mapping[str, Any], began: datetime | None = None
    ) -> None:
        """Something ended here that belongs to a chain ("": nobody knows to which): always traced."""

    def buried(self, told: Mapping[str, Any]) -> None:
        """A message was given up. `told`: what was given to `bury_raw`; of an unreadable one no chain is known."""

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
