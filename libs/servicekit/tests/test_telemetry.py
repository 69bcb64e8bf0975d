"""One trace carries one order: its id is the chain's, whatever process adds to it. Proved on a real OTLP receiver."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tieout.servicekit.otlp import wanted
from tieout.servicekit.telemetry import LiveTracing, Tracing, trace_id


class Collector:
    """Keeps what OTLP over HTTP brings."""

    def __init__(self) -> None:
        self.spans: list = []
        self.metrics: dict[str, float] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                        for scope in resource.scope_spans:
                            collector.spans += scope.spans
                else:
                    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                        for scope in resource.scope_metrics:
                            for metric in scope.metrics:
                                points = metric.gauge.data_points or metric.sum.data_points
                                collector.metrics[metric.name] = max(point.as_double + point.as_int for point in points)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER_ARG": "1.0",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def of(self, chain) -> list:
        return [span for span in self.spans if span.trace_id.hex() == chain.hex]


@pytest.fixture
def collector(monkeypatch):
    found = Collector()
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    yield found
    found.server.shutdown()
    found.server.server_close()


async def test_a_sampled_order_is_one_trace_with_its_number(start_service, flow, play, toy, collector) -> None:
    order = toy.placed("1001")
    sampled = f"00-{order.order_id.hex}-{'1' * 16}-01"
    body = toy.envelope(order, 1).replace(b'"company":"C1"}', b'"company":"C1","traceparent":"%b"}' % sampled.encode())
    service = await start_service([flow])
    await play(body)

    async def announced() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) FROM outbox"))

    await toy.until(announced)
    await service.stop()
    (span,) = collector.of(order.order_id)
    attributes = {pair.key: pair.value.string_value for pair in span.attributes}
    assert span.parent_span_id.hex() == "1" * 16
    assert attributes["order.no"] == "1001"
    assert attributes["satellite"] == "web"
    assert attributes["messaging.system"] == "nats"
    batch = next(one for one in collector.spans if one.name == "process inventory-reserve-stock")
    assert batch.links[0].trace_id == span.trace_id
    assert collector.metrics["tieout.flow.messages"] == 1
    assert "tieout.outbox.age" in collector.metrics


async def test_what_is_announced_carries_the_span_on(start_service, flow, play, toy, collector, operator) -> None:
    from tieout.servicekit.rehearsal import announced

    order = toy.placed("1001")
    service = await start_service([flow])
    await play(order)  # Not sampled by its producer; here everything is.

    async def done() -> list:
        return await announced(service.database)

    (event,) = await toy.until(done)
    assert event.envelope.traceparent.split("-")[1] == order.order_id.hex
    await service.stop()
    assert collector.of(order.order_id)


async def test_a_failure_has_a_span_although_its_chain_is_not_sampled(toy, collector) -> None:
    from tieout.servicekit.rehearsal import received

    tracing = LiveTracing("inventory", "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
    order = toy.placed("1001")
    with pytest.raises(ValueError, match="broken"), tracing.batch("flow", [received(order, chain=order.order_id)]):
        raise ValueError("broken")
    await asyncio.to_thread(tracing.close)
    (span,) = collector.of(order.order_id)
    assert span.status.code == 2


async def test_every_process_decides_alike_and_by_the_chain_alone(collector, toy) -> None:
    one, other = (
        LiveTracing(name, "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0.2"}) for name in ("a", "b")
    )
    chains = [str(toy.placed(str(number)).order_id) for number in range(2000)]
    chosen = [chain for chain in chains if one.sampled(chain)]
    assert chosen == [chain for chain in chains if other.sampled(chain)]
    assert 300 < len(chosen) < 500


def test_without_a_collector_there_is_no_tracing_at_all() -> None:
    assert not Tracing.from_environment("inventory", "1", {}).enabled
    assert not wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, "TRACES")


def test_a_chain_that_is_no_uuid_has_a_trace_id_as_well() -> None:
    assert len(trace_id("payment 7")) == 32


async def test_spans_leave_over_grpc_as_well(toy, monkeypatch) -> None:
    from concurrent import futures

    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    spans: list = []

    class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):
            spans.extend(span for r in request.resource_spans for scope in r.scope_spans for span in scope.spans)
            return ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
    tracing = Tracing.from_environment("inventory", "1")
    order = toy.placed("1001")
    carried = tracing.begin("order.placed.v1", str(order.order_id), "1001", "C1", None)
    await asyncio.to_thread(tracing.close)
    server.stop(0)
    assert [span.trace_id.hex() for span in spans] == [order.order_id.hex]
    assert carried == f"00-{order.order_id.hex}-{spans[0].span_id.hex()}-01"
