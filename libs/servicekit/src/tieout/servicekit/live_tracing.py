"""Traces where a collector is named: which spans there are, and what each of them tells."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tieout.servicekit.otlp import sampled_share
from tieout.servicekit.spans import Spans
from tieout.servicekit.telemetry import Came, Request, Step, Tracing, Working
from tieout.servicekit.trace_context import as_traceparent, satellite_of, span_id, trace_id
from tieout.servicekit.transaction_spans import TransactionSpan, place_of

if TYPE_CHECKING:
    from tieout.servicekit.received import Received

LATE_SECONDS = 30.0  # A message that waited longer is followed, sampled or not;
UNSAMPLED_SPANS_MAX = 16  # but so many of one batch at most, and as many of a failed one: trouble must stay cheap.

_working: ContextVar[Working | None] = ContextVar("working", default=None)


class LiveTracing(Tracing):
    enabled = True

    def __init__(self, service: str, version: str, environment: Mapping[str, str]) -> None:
        self._spans = spans = Spans(service, version, environment)
        self._api, self._tracer = spans.api, spans.tracer
        self._threshold = int(sampled_share(environment) * 2**48)
        self._place: dict[str, Any] = {}

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
            links.append(self._spans.link(told.traceparent))
        if cause is not None and cause.trace:  # A payment that enters an order's journey, say.
            links.append(self._spans.link(cause.trace))
        elif working is not None:
            links.append(api.Link(working.span.get_span_context()))
        attributes = {"messaging.message.conversation_id": chain, "order.no": order_no, "company": company}
        if satellite:
            attributes["satellite"] = satellite
        root = None
        if began is not None:
            start = int(began.timestamp() * 1e9)
            root = self._spans.root(
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
            span = self._spans.root(f"publish {kind}", chain, **options)
        else:
            span = self._tracer.start_span(f"publish {kind}", context=api.set_span_in_context(root), **options)
        span.end()
        if root is not None:
            root.end()
        context = span.get_span_context()
        if working is not None:
            working.begun += 1
            working.span.add_link(context)
        return as_traceparent(context)

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
        return as_traceparent(sent.get_span_context())

    @contextmanager
    def batch(self, durable: str, received: "Sequence[Received[Any]]", *, replayed: bool = False) -> Iterator[None]:
        api = self._api
        followed = list(received[:UNSAMPLED_SPANS_MAX]) if replayed else _followed(received)
        links = [self._spans.link(one.envelope.traceparent) for one in followed if one.envelope.traceparent]
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
                links.append(self._spans.link(parent))
            parent = ""
        span = self._spans.in_chain(
            f"process {envelope.type}",
            envelope.chainid,
            parent,
            kind=self._api.SpanKind.CONSUMER,
            links=links,
            attributes=attributes,
            start_time=start,
        )
        one.trace = as_traceparent(span.get_span_context())
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
        span = self._spans.in_chain(
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
            self._spans.named(span_id(told.key))
        span = self._spans.root(
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
            self._spans.named(span_id(step.key))
            if step.parent in known and step.parent != step.key:
                parent = f"00-{trace_id(chain)}-{span_id(step.parent):016x}-01"
                span = self._spans.in_chain(step.name, chain, parent, **options)
            else:
                span = self._spans.root(step.name, chain, **options)
            if step.error:
                span.set_attribute("error.type", step.error)
                span.set_status(api.StatusCode.ERROR, step.error)
            span.end(int(step.ended.timestamp() * 1e9))

    def close(self) -> None:
        self._spans.close()


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
