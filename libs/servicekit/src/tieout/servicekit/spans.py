"""How spans are made and sent: in the trace of their chain, with ids of our choice where these must be found again."""

from collections.abc import Mapping
from typing import Any

from tieout.servicekit.otlp import (
    LINKS_MAX,
    SPANS_WAITING_MAX,
    close_in_time,
    over_http,
    resource_of,
    whole_number,
)
from tieout.servicekit.trace_context import context_of, trace_id


class Spans:
    """The bottom of LiveTracing: OpenTelemetry's provider and exporter."""

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

        self.api = trace
        self._ids = ChainIds()
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
        self.tracer = self._provider.get_tracer("tieout.servicekit", version)

    def link(self, traceparent: str) -> Any:
        """To the span that a traceparent names."""
        return self.api.Link(context_of(self.api, traceparent))

    def named(self, span_id: int) -> None:
        """The next span has this id."""
        self._ids.next_span = span_id

    def in_chain(self, name: str, chain: str, traceparent: str, **options: Any) -> Any:
        """A child of what the traceparent names; else without parent, in the chain's own trace."""
        if not traceparent:
            return self.root(name, chain, **options)
        parent = self.api.NonRecordingSpan(context_of(self.api, traceparent))
        return self.tracer.start_span(name, context=self.api.set_span_in_context(parent), **options)

    def root(self, name: str, chain: str, **options: Any) -> Any:
        from opentelemetry.context import Context

        self._ids.next_trace = int(trace_id(chain), 16) if chain else 0
        return self.tracer.start_span(name, context=Context(), **options)

    def close(self) -> None:
        close_in_time(self._provider.shutdown)


def _exporter(environment: Mapping[str, str]) -> Any:
    if over_http(environment, "TRACES"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

        return Http()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

    return Grpc()
