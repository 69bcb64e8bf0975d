"""A collector for tests: OTLP over HTTP, kept in memory, to be searched as one searches Jaeger."""

import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """What a collector does: decode OTLP over HTTP, keep it. `silent`: take the connection and never answer."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[SimpleNamespace] = []
        self.metrics: dict[tuple[str, str, str], float] = {}  # service, metric, flow: the last value
        self.histograms: dict[tuple[str, str], tuple[list[float], list[int]]] = {}  # Edges, and how many below each.
        self.silent = threading.Event()
        self.heard = threading.Event()  # Somebody asked while we were silent.
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.silent.is_set():
                    receiver.heard.set()
                    while receiver.silent.is_set():
                        time.sleep(0.05)
                    return  # The connection just ends.
                receiver.keep(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _plain(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    self.spans += [_span(service, span) for span in scope.spans]
            return
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            service = _plain(resource.resource.attributes)["service.name"]
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in metric.gauge.data_points or metric.sum.data_points:
                    flow = _plain(point.attributes).get("flow", "")
                    self.metrics[service, metric.name, flow] = point.as_double or point.as_int
                for spread in metric.histogram.data_points:
                    self.histograms[service, metric.name] = (list(spread.explicit_bounds), list(spread.bucket_counts))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """For a stack that tells this receiver, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "100",  # ms; the others too.
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",  # s
        }

    def close(self) -> None:
        self.silent.clear()
        self.server.shutdown()
        self.server.server_close()

    def find(
        self,
        service: str = "",
        name: str = "",
        tags: Mapping[str, Any] = {},
        *,
        error: bool = False,
        seconds_min: float = 0,
    ) -> list[SimpleNamespace]:
        """As Jaeger's search: service, operation, tags, min duration; `error` is the tag error=true."""
        return [
            span
            for span in list(self.spans)
            if (not service or span.service == service)
            and (not name or span.name == name)
            and all(span.told.get(key) == value for key, value in tags.items())
            and span.failed >= error
            and (span.end - span.start) / 1e9 >= seconds_min
        ]

    def of(self, chain: Any) -> list[SimpleNamespace]:
        return sorted((span for span in self.spans if span.trace == chain.hex), key=lambda span: span.start)

    def metric(self, name: str) -> dict[tuple[str, str], float]:
        return {(service, flow): value for (service, known, flow), value in self.metrics.items() if known == name}


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _span(service: str, span: Any) -> SimpleNamespace:
    return SimpleNamespace(
        service=service.removeprefix("tieout-"),
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        told=_plain(span.attributes),
        failed=span.status.code == 2,
        events={event.name: _plain(event.attributes) for event in span.events},
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )
