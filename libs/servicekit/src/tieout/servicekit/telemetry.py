"""Traces: one trace carries one order from intake to voucher, across all processes.

The trace id is the chain id, so a chain that turns out late or broken can be looked up, or sampled from then on, by
anybody who knows the order. Whether a chain is sampled follows from its id alone: every process decides alike.

Per batch there is one span with links; messages of sampled chains, retries and errors have a span of their own, in
their own trace. Without OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is even imported.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tieout.servicekit.received import Received

SAMPLED_SHARE = 0.01  # Of the chains, unless OTEL_TRACES_SAMPLER_ARG says otherwise.
FAILED_SPANS_MAX = 16  # Messages of a failed batch that get a span although their chain is not sampled.


def wanted(environment: Mapping[str, str], signal: str) -> bool:
    """Whether a collector is named for `TRACES` or `METRICS`, and nobody has switched telemetry off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get(f"OTEL_{signal}_EXPORTER", "otlp") == "none":
        return False
    return bool(
        environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    )


def over_http(environment: Mapping[str, str], signal: str) -> bool:
    """OTLP speaks gRPC unless told otherwise, as the specification's variables say."""
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    return environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", general).startswith("http")


class Tracing:
    """Does nothing; what a service has without a collector."""

    enabled = False

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
    ) -> str:
        """Traceparent for an event that begins its chain here, or enters another one; "" where it is not sampled."""
        return ""

    @contextmanager
    def batch(self, durable: str, received: "Sequence[Received[Any]]") -> Iterator[None]:
        """Around the handling of a batch. Sets `trace` of each message whose chain is sampled."""
        yield

    def close(self) -> None:
        """Send what is left."""


class LiveTracing(Tracing):
    enabled = True

    def __init__(self, service: str, version: str, environment: Mapping[str, str]) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        class ChainIds(RandomIdGenerator):
            """Root spans get the chain's id where one is set."""

            next_trace = 0

            def generate_trace_id(self) -> int:
                found, self.next_trace = self.next_trace, 0
                return found or super().generate_trace_id()

        self._api = trace
        self._ids = ChainIds()
        resource = Resource.create(
            {"service.name": f"tieout-{service}", "service.version": version, "service.namespace": "tieout"}
        )
        # We decide by chain before a span is made, so the SDK keeps every span that there is.
        self._provider: TracerProvider = TracerProvider(resource=resource, id_generator=self._ids, sampler=ALWAYS_ON)
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(environment), max_queue_size=16_384))
        self._tracer = self._provider.get_tracer("tieout.servicekit", version)
        self._threshold = int(_share(environment) * 2**48)
        self._batch_context: Any = None

    def sampled(self, chain: str) -> bool:
        """By the first 48 bits: the last 64 of a UUID begin with its variant, so OpenTelemetry's rule would fail."""
        return int(trace_id(chain)[:12], 16) < self._threshold

    def begin(
        self,
        kind: str,
        chain: str,
        order_no: str,
        company: str,
        cause: "Received[Any] | None",
        began: datetime | None = None,
    ) -> str:
        if not self.sampled(chain):
            return ""
        links = []
        if cause is not None and cause.trace:  # A payment that enters an order's journey, say.
            links.append(self._api.Link(_context_of(self._api, cause.trace)))
        elif self._batch_context is not None:
            links.append(self._api.Link(self._batch_context))
        span = self._root(
            f"publish {kind}",
            chain,
            kind=self._api.SpanKind.PRODUCER,
            links=links,
            start_time=None if began is None else int(began.timestamp() * 1e9),
            attributes={
                "messaging.system": "nats",
                "messaging.destination.name": kind,
                "messaging.operation.type": "send",
                "order.no": order_no,
                "company": company,
            },
        )
        span.end()
        return _traceparent(span.get_span_context())

    @contextmanager
    def batch(self, durable: str, received: "Sequence[Received[Any]]") -> Iterator[None]:
        api = self._api
        attributes: dict[str, Any] = {
            "messaging.system": "nats",
            "messaging.destination.name": received[0].stream,
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": durable,
            "messaging.batch.message_count": len(received),
        }
        followed = [one for one in received if one.envelope.traceparent or one.attempts > 1]
        links = [api.Link(_context_of(api, one.envelope.traceparent)) for one in followed if one.envelope.traceparent]
        batch = self._tracer.start_span(
            f"process {durable}", kind=api.SpanKind.CONSUMER, links=links, attributes=attributes
        )
        self._batch_context = batch.get_span_context()
        spans = []
        for one in followed:
            span = self._of_message(durable, one)
            spans.append(span)
            one.trace = _traceparent(span.get_span_context())
        try:
            yield
        except Exception as error:
            batch.record_exception(error)
            batch.set_status(api.StatusCode.ERROR, type(error).__name__)
            spans += [self._of_message(durable, one) for one in received[:FAILED_SPANS_MAX] if not one.trace]
            for span in spans:
                span.set_status(api.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            self._batch_context = None
            for span in spans:
                span.end()
            batch.end()

    def _of_message(self, durable: str, one: "Received[Any]") -> Any:
        envelope = one.envelope
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": envelope.type,
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": durable,
            "messaging.message.id": envelope.id,
            "messaging.nats.delivery_count": one.attempts,
            "order.no": envelope.orderno,
            "company": envelope.company,
            "satellite": getattr(one.data, "source", ""),
        }
        links = [self._api.Link(self._batch_context)]
        name = f"{durable} {envelope.type}"
        if envelope.traceparent:
            parent = self._api.NonRecordingSpan(_context_of(self._api, envelope.traceparent))
            return self._tracer.start_span(
                name,
                context=self._api.set_span_in_context(parent),
                kind=self._api.SpanKind.CONSUMER,
                links=links,
                attributes=attributes,
            )
        return self._root(name, envelope.chainid, kind=self._api.SpanKind.CONSUMER, links=links, attributes=attributes)

    def _root(self, name: str, chain: str, **options: Any) -> Any:
        """A span without parent in the chain's trace."""
        from opentelemetry.context import Context

        self._ids.next_trace = int(trace_id(chain), 16) if chain else 0
        return self._tracer.start_span(name, context=Context(), **options)

    def close(self) -> None:
        self._provider.shutdown()


def trace_id(chain: str) -> str:
    """32 hex digits: the chain's UUID, or a digest of what is none."""
    bare = chain.replace("-", "")
    if len(bare) == 32:
        try:
            return bare if int(bare, 16) else "1".zfill(32)
        except ValueError:
            pass
    return hashlib.sha256(chain.encode()).hexdigest()[:32]


def _share(environment: Mapping[str, str]) -> float:
    sampler = environment.get("OTEL_TRACES_SAMPLER", "")
    if sampler.endswith("always_on"):
        return 1.0
    if sampler.endswith("always_off"):
        return 0.0
    try:
        return min(1.0, max(0.0, float(environment.get("OTEL_TRACES_SAMPLER_ARG", SAMPLED_SHARE))))
    except ValueError:
        return SAMPLED_SHARE


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
