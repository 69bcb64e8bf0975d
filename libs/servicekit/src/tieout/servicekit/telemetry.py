"""Traces: one trace carries one order from intake to voucher, across all processes.

The trace id is the chain id, so a chain that turns out late or broken can be looked up, or sampled from then on, by
anybody who knows the order. Whether a chain is sampled follows from its id alone: every process decides alike.

Per batch there is one span with links. A message has a span of its own, in its order's trace, where its chain is
sampled, and in any case when it comes again, is late, fails or is given up; from there on its chain is followed. What
it made its flow announce is a span below it, which whoever hears the event continues: so collectors draw a map of the
services from pairs of PRODUCER and CONSUMER.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from tieout.servicekit.otlp import (
    LINKS_MAX,
    SPANS_WAITING_MAX,
    close_in_time,
    over_http,
    resource_of,
    sampled_share,
    wanted,
    whole_number,
)
from tieout.servicekit.transaction_spans import TransactionSpan, place_of

if TYPE_CHECKING:
    from tieout.servicekit.received import Received

LATE_SECONDS = 30.0  # A message that waited longer is followed, sampled or not;
UNSAMPLED_SPANS_MAX = 16  # but so many of one batch at most, and as many of a failed one: trouble must stay cheap.


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


class Working:
    """What this task works on: the span of its batch, and the messages that are followed, by chain."""

    def __init__(self, span: Any, followed: "Sequence[Received[Any]]" = ()) -> None:
        self.span = span
        self.followed = {one.envelope.chainid: one for one in followed}
        self.spans: dict[str, Any] = {}  # Of messages, by the traceparent that names them.
        self.sent: list[Any] = []  # Spans of what they announced; a rolled back announcement is never told.
        self.begun = 0  # Sampled chains that began here.
        self.count = -1  # Of `work`; 0: there was nothing to do, and nothing is told.


_working: ContextVar[Working | None] = ContextVar("working", default=None)


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
        return LiveTracing(service, version, environment) if wanted(environment, "TRACES") else cls()

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

    def request(self, told: "Request") -> None:
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


class LiveTracing(Tracing):
    enabled = True

    def __init__(self, service: str, version: str, environment: Mapping[str, str]) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        class ChainIds(RandomIdGenerator):
            """Root spans get the chain's id where one is set; so do spans that must have the same id each time."""

            next_trace = 0
            next_span = 0

            def generate_span_id(self) -> int:
                found, self.next_span = self.next_span, 0
                return found or super().generate_span_id()

            def generate_trace_id(self) -> int:
                found, self.next_trace = self.next_trace, 0
                return found or super().generate_trace_id()

        self._api = trace
        self._ids = ChainIds()
        self._place: dict[str, Any] = {}
        self._threshold = int(sampled_share(environment) * 2**48)
        # We decide by chain before a span is made, so the SDK keeps every span that there is.
        self._provider = TracerProvider(
            resource=resource_of(service, version),
            id_generator=self._ids,
            sampler=ALWAYS_ON,
            span_limits=SpanLimits(max_links=whole_number(environment, "OTEL_SPAN_LINK_COUNT_LIMIT", LINKS_MAX)),
            shutdown_on_exit=False,  # It would wait for the collector; `close` has a limit.
        )
        waiting = whole_number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", SPANS_WAITING_MAX)
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(environment), max_queue_size=waiting))
        self._tracer = self._provider.get_tracer("tieout.servicekit", version)

    def works_on(self, database_url: str) -> None:
        self._place = place_of(database_url)

    def transaction(self) -> TransactionSpan | None:
        return TransactionSpan(self._api, self._tracer, self._place, _working.get())

    def sampled(self, chain: str) -> bool:
        """By the first 48 bits: the last 64 of a UUID begin with its variant, so OpenTelemetry's rule would fail."""
        return int(trace_id(chain)[:12], 16) < self._threshold

    # ------------------------------------------------------------------ where a chain begins

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
        if not self.sampled(chain):
            return ""
        api = self._api
        working = _working.get()
        links = []
        told = came() if came is not None else Came()
        if told.traceparent:
            links.append(api.Link(_context_of(api, told.traceparent)))
        if cause is not None and cause.trace:  # A payment that enters an order's journey, say.
            links.append(api.Link(_context_of(api, cause.trace)))
        elif working is not None:
            links.append(api.Link(working.span.get_span_context()))
        attributes = {"messaging.message.conversation_id": chain, "order.no": order_no, "company": company}
        if satellite:
            attributes["satellite"] = satellite
        root = None
        if began is not None:
            start = int(began.timestamp() * 1e9)
            root = self._root(
                f"take in {kind}", chain, links=links, start_time=start, attributes={**attributes, **told.attributes}
            )
            links = []
        attributes |= {
            "messaging.system": "nats",
            "messaging.destination.name": kind,
            "messaging.operation.type": "send",
            "messaging.operation.name": "publish",
        }
        options: dict[str, Any] = {"kind": api.SpanKind.PRODUCER, "links": links, "attributes": attributes}
        if root is None:
            span = self._root(f"publish {kind}", chain, **options)
        else:
            span = self._tracer.start_span(f"publish {kind}", context=api.set_span_in_context(root), **options)
        span.end()
        if root is not None:
            root.end()
        context = span.get_span_context()
        if working is not None:
            working.begun += 1
            working.span.add_link(context)
        return _traceparent(context)

    # ------------------------------------------------------------------ a batch and its messages

    def working_on(self, chain: str) -> "Received[Any] | None":
        working = _working.get()
        return working.followed.get(chain) if working is not None else None

    def led_to(self, origin: "Received[Any]", kind: str, event_id: str, satellite: str, document: str) -> str:
        working = _working.get()
        span = working.spans.get(origin.trace) if working is not None else None
        if working is None or span is None:
            return origin.trace
        envelope = origin.envelope
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": kind,
            "messaging.operation.type": "send",
            "messaging.operation.name": "publish",
            "messaging.message.id": event_id,
            "messaging.message.conversation_id": envelope.chainid,
            "order.no": envelope.orderno,
            "company": envelope.company,
        }
        if satellite:
            attributes["satellite"] = satellite
        if document:
            attributes["voucher.no"] = document
        sent = self._tracer.start_span(
            f"publish {kind}",
            context=self._api.set_span_in_context(span),
            kind=self._api.SpanKind.PRODUCER,
            attributes=attributes,
        )
        working.sent.append(sent)
        return _traceparent(sent.get_span_context())

    @contextmanager
    def batch(self, durable: str, received: "Sequence[Received[Any]]", *, replayed: bool = False) -> Iterator[None]:
        api = self._api
        followed = list(received[:UNSAMPLED_SPANS_MAX]) if replayed else _followed(received)
        links = [api.Link(_context_of(api, one.envelope.traceparent)) for one in followed if one.envelope.traceparent]
        start = time.time_ns()
        batch = self._tracer.start_span(
            f"process {durable}",
            start_time=start,
            kind=api.SpanKind.CONSUMER,
            links=links,
            attributes={
                "messaging.system": "nats",
                "messaging.destination.name": received[0].stream,
                "messaging.operation.type": "process",
                "messaging.operation.name": "process",
                "messaging.consumer.group.name": durable,
                "messaging.batch.message_count": len(received),
            },
        )
        spans = [self._of_message(batch, durable, one, start, replayed=replayed) for one in followed]
        working = Working(batch, followed)
        working.spans = {one.trace: span for one, span in zip(followed, spans, strict=True)}
        token = _working.set(working)
        try:
            yield
            for span in working.sent:
                span.end()
        except Exception as error:
            kind = type(error).__name__
            fresh = [one for one in received[:UNSAMPLED_SPANS_MAX] if not one.trace]
            spans += [self._of_message(batch, durable, one, start) for one in fresh]
            batch.record_exception(error)
            for span in (batch, *spans):
                span.set_attribute("error.type", kind)
                span.set_status(api.StatusCode.ERROR, kind)
            raise
        finally:
            _working.reset(token)
            for span in spans:
                span.end()
            batch.end()

    @contextmanager
    def work(self, name: str) -> Iterator[Working]:
        api = self._api
        span = self._tracer.start_span(name)
        working = Working(span)
        token = _working.set(working)
        try:
            yield working
        except Exception as error:
            span.record_exception(error)
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(api.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            _working.reset(token)
            if working.count:
                span.set_attribute("tieout.batch.documents", max(0, working.count))
                span.end()

    def _of_message(self, batch: Any, durable: str, one: "Received[Any]", start: int, *, replayed: bool = False) -> Any:
        """Its span; `one.trace` names it from now on, so an attempt that follows a failed one is its child."""
        envelope = one.envelope
        attributes: dict[str, Any] = {
            "messaging.system": "nats",
            "messaging.destination.name": envelope.type,
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.consumer.group.name": durable,
            "messaging.message.id": envelope.id,
            "messaging.message.conversation_id": envelope.chainid,
            "messaging.message.body.size": len(one.body),
            "tieout.attempts": one.attempts,
            "order.no": envelope.orderno,
            "company": envelope.company,
        }
        satellite = satellite_of(one)
        if satellite:
            attributes["satellite"] = satellite
        parent = one.trace or envelope.traceparent
        links = [self._api.Link(batch.get_span_context())]
        if replayed:
            attributes["tieout.replayed"] = True
            if parent:
                links.append(self._api.Link(_context_of(self._api, parent)))
            parent = ""
        span = self._in_chain(
            f"process {envelope.type}",
            envelope.chainid,
            parent,
            kind=self._api.SpanKind.CONSUMER,
            links=links,
            attributes=attributes,
            start_time=start,
        )
        one.trace = _traceparent(span.get_span_context())
        return span

    def failed(
        self, name: str, chain: str, *, error: str, attributes: Mapping[str, Any], began: datetime | None = None
    ) -> None:
        self._failed(name, chain, "", error, attributes, None if began is None else int(began.timestamp() * 1e9))

    def buried(self, told: Mapping[str, Any]) -> None:
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": told["subject"],
            "messaging.consumer.group.name": told["flow"],
            "messaging.message.id": told.get("event_id_", ""),
            "tieout.attempts": told["attempts"],
            "tieout.field": told.get("field", ""),
            "order.no": told.get("order_no", ""),
            "company": told.get("company", ""),
        }
        name, chain, traceparent = f"give up {told['subject']}", told.get("chain_id", ""), told.get("traceparent", "")
        self._failed(name, chain, traceparent, told["reason"], attributes)

    def _failed(
        self,
        name: str,
        chain: str,
        traceparent: str,
        error: str,
        attributes: Mapping[str, Any],
        start: int | None = None,
    ) -> None:
        span = self._in_chain(
            name, chain, traceparent, start_time=start, attributes={**attributes, "error.type": error}
        )
        span.set_status(self._api.StatusCode.ERROR, error)
        span.end()

    def request(self, told: Request) -> None:
        attributes: dict[str, Any] = {
            "http.request.method": told.method,
            "http.route": told.route,
            "url.path": told.path,
            "url.scheme": "http",
            "http.response.status_code": told.status,
            **told.attributes,
        }
        if told.status >= 500:
            attributes["error.type"] = str(told.status)
        if told.key:
            self._ids.next_span = int(traceparent_of(told.key)[36:52], 16)
        span = self._root(
            f"{told.method} {told.route}",
            told.key,
            kind=self._api.SpanKind.SERVER,
            start_time=told.began_ns,
            attributes=attributes,
        )
        if told.status >= 500:
            span.set_status(self._api.StatusCode.ERROR)
        span.end(told.ended_ns)

    def afterwards(self, chain: str, steps: Sequence[Step]) -> None:
        api = self._api
        known = {step.key for step in steps}
        for step in steps:
            options: dict[str, Any] = {
                "start_time": int(step.began.timestamp() * 1e9),
                "attributes": {**step.attributes, "messaging.message.conversation_id": chain},
            }
            self._ids.next_span = _span_id(step.key)
            if step.parent in known and step.parent != step.key:
                parent = f"00-{trace_id(chain)}-{_span_id(step.parent):016x}-01"
                span = self._in_chain(step.name, chain, parent, **options)
            else:
                span = self._root(step.name, chain, **options)
            if step.error:
                span.set_attribute("error.type", step.error)
                span.set_status(api.StatusCode.ERROR, step.error)
            span.end(int(step.ended.timestamp() * 1e9))

    # ------------------------------------------------------------------ the bottom

    def _in_chain(self, name: str, chain: str, traceparent: str, **options: Any) -> Any:
        """A child of what the traceparent names; else without parent, in the chain's own trace."""
        if not traceparent:
            return self._root(name, chain, **options)
        parent = self._api.NonRecordingSpan(_context_of(self._api, traceparent))
        return self._tracer.start_span(name, context=self._api.set_span_in_context(parent), **options)

    def _root(self, name: str, chain: str, **options: Any) -> Any:
        from opentelemetry.context import Context

        self._ids.next_trace = int(trace_id(chain), 16) if chain else 0
        return self._tracer.start_span(name, context=Context(), **options)

    def close(self) -> None:
        close_in_time(self._provider.shutdown)


def trace_id(chain: str) -> str:
    """32 hex digits: the chain's UUID, or a digest of what is none."""
    bare = chain.replace("-", "")
    if len(bare) == 32:
        try:
            return bare if int(bare, 16) else "1".zfill(32)
        except ValueError:
            pass
    return hashlib.sha256(chain.encode()).hexdigest()[:32]


def _span_id(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) or 1


def traceparent_of(key: str) -> str:
    """Of the one span that a key stands for: whoever knows the key can link to it, and nobody need be told."""
    return f"00-{trace_id(key)}-{_span_id(key):016x}-01"


def satellite_of(received: "Received[Any]") -> str:
    """Who sent the document that this message says something about; not every event repeats it."""
    named: str = getattr(received.data, "source", "")
    if named:
        return named
    state = received.envelope.tracestate
    return state.removeprefix("tieout=") if state.startswith("tieout=") else ""


def tracestate(satellite: str) -> str:
    """W3C trace state, which goes with a traceparent: our entry is the satellite."""
    if not satellite or not satellite.isascii() or not satellite.isprintable() or set(satellite) & set(",= "):
        return ""
    return f"tieout={satellite}"


def _followed(received: "Sequence[Received[Any]]") -> "list[Received[Any]]":
    """Messages of sampled chains, those that come again, and some of those that are late. Cheap for all others."""
    late = (datetime.now(UTC) - timedelta(seconds=LATE_SECONDS)).isoformat()
    found = []
    unsampled = 0
    for one in received:
        envelope = one.envelope
        if envelope.traceparent or one.attempts > 1 or one.trace:
            found.append(one)
        elif envelope.time < late and envelope.id and unsampled < UNSAMPLED_SPANS_MAX:
            unsampled += 1
            found.append(one)
    return found


def _exporter(environment: Mapping[str, str]) -> Any:
    if over_http(environment, "TRACES"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

        return Http()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

    return Grpc()


def _context_of(api: Any, traceparent: str) -> Any:
    """00-<trace id>-<span id>-01"""
    return api.SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, api.TraceFlags(1))


def _traceparent(context: Any) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
