"""One trace carries one order: its id is the chain's, whatever process adds to it. Proved on a real OTLP receiver."""

import asyncio
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.servicekit import otlp, transaction_spans
from tieout.servicekit.errors import Misconfigured
from tieout.servicekit.live_tracing import UNSAMPLED_SPANS_MAX, LiveTracing
from tieout.servicekit.otlp import wanted
from tieout.servicekit.rehearsal import received
from tieout.servicekit.telemetry import Step, Tracing
from tieout.servicekit.trace_context import satellite_of, trace_id, tracestate


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
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(int(PATIENCE_SECONDS)),
        }

    def of(self, chain) -> list:
        return [span for span in self.spans if span.trace_id.hex() == chain.hex]


@pytest.fixture
def collector(monkeypatch):
    found = Collector()
    monkeypatch.setattr(otlp, "CLOSE_SECONDS_MAX", PATIENCE_SECONDS)  # It answers, however slowly.
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    yield found
    found.server.shutdown()
    found.server.server_close()


async def test_a_sampled_order_is_one_trace_with_its_number(start_service, flow, play, toy, collector) -> None:
    order = toy.placed("1001")
    service = await start_service([flow])
    service.database.readings["tieout.consumer.growing"] = lambda: {"finance-bill-shipments": True}
    service.database.readings["tieout.consumer.stalled"] = lambda: {"finance-bill-shipments": 7.5}
    await play(_sampled(toy, order))

    async def announced() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) FROM outbox"))

    await toy.until(announced)
    await service.stop()
    span, sent = sorted(collector.of(order.order_id), key=lambda one: one.kind, reverse=True)
    assert (sent.name, sent.parent_span_id) == ("publish inventory.refused.v1", span.span_id)
    attributes = {pair.key: pair.value.string_value for pair in span.attributes}
    assert span.parent_span_id.hex() == "1" * 16
    assert attributes["order.no"] == "1001"
    assert attributes["satellite"] == "web"
    assert attributes["messaging.system"] == "nats"
    batch = next(one for one in collector.spans if one.name == "process inventory-reserve-stock")
    assert batch.links[0].trace_id == span.trace_id
    assert collector.metrics["tieout.flow.messages"] == 1
    assert "tieout.outbox.age" in collector.metrics
    assert collector.metrics["tieout.process.memory"] > 1 << 20
    assert collector.metrics["tieout.consumer.growing"] == 1
    assert collector.metrics["tieout.consumer.stalled"] == 7.5  # What it watches of others, read as they are sent.


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
    tracing = LiveTracing("inventory", "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
    order = toy.placed("1001")
    with pytest.raises(ValueError, match="broken"), tracing.batch("flow", [received(order, chain=order.order_id)]):
        raise ValueError("broken")
    await asyncio.to_thread(tracing.close)
    (span,) = collector.of(order.order_id)
    assert span.status.code == 2


async def test_an_attempt_that_follows_a_failed_one_is_traced_on_with_what_it_leads_to(toy, collector) -> None:
    tracing = LiveTracing("inventory", "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
    message = received(toy.placed("1001"), order_no="1001")
    with pytest.raises(ValueError, match="broken"), tracing.batch("flow", [message]):
        raise ValueError("broken")
    failed = message.trace
    with tracing.batch("flow", [message]):
        assert tracing.working_on(message.envelope.chainid) is message
    await asyncio.to_thread(tracing.close)
    first, second = collector.of(message.data.order_id)
    assert (first.status.code, second.status.code) == (2, 0)
    assert second.parent_span_id == first.span_id
    assert failed != message.trace


async def test_messages_that_come_again_or_late_are_traced_but_only_some_of_many(toy, collector) -> None:
    tracing = LiveTracing("inventory", "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
    now = datetime.now(UTC).isoformat()
    again = received(toy.placed("1001"), attempts=2, time=now)
    fresh = received(toy.placed("1002"), time=now)
    late = [received(toy.placed(str(number)), time="2026-01-01T00:00:00Z") for number in range(2000, 2100)]
    with tracing.batch("flow", [fresh, again, *late]):
        assert again.trace
        assert not fresh.trace
        assert sum(bool(one.trace) for one in late) == UNSAMPLED_SPANS_MAX
    await asyncio.to_thread(tracing.close)
    (batch,) = [span for span in collector.spans if span.name == "process flow"]
    assert len(collector.spans) == UNSAMPLED_SPANS_MAX + 2
    assert {pair.key: pair.value.int_value for pair in batch.attributes}["messaging.batch.message_count"] == 102


async def test_a_followed_batch_tells_of_its_transaction_and_of_slow_statements(
    start_service, toy, collector, play, monkeypatch
) -> None:
    from tieout.contracts.order import OrderPlaced
    from tieout.servicekit import batch_flow

    monkeypatch.setattr(transaction_spans, "SLOW_STATEMENT_SECONDS", 3600.0)

    @batch_flow("inventory-reserve-stock", OrderPlaced, size=10)
    async def slow(batch, database) -> None:
        async with database.transaction() as tx:
            await tx.fetchval("SELECT 1")
            await asyncio.sleep(0)  # The driver tells of a statement a moment after its end.
            monkeypatch.setattr(transaction_spans, "SLOW_STATEMENT_SECONDS", 0.02)
            await tx.fetchval("SELECT pg_sleep($1)", 0.05)

    service = await start_service([slow])
    await play(_sampled(toy, toy.placed("1001")))
    await toy.until(lambda: _worked(service, "inventory-reserve-stock"))
    await service.stop()
    (batch,) = [span for span in collector.spans if span.name == "process inventory-reserve-stock"]
    (transaction,) = [
        s for s in collector.spans if s.name.startswith("TRANSACTION") and s.parent_span_id == batch.span_id
    ]
    told = {pair.key: pair.value.string_value or pair.value.int_value for pair in transaction.attributes}
    assert (told["db.system.name"], told["server.address"]) == ("postgresql", "127.0.0.1")
    assert transaction.name == f"TRANSACTION {told['db.namespace']}"
    statements = [span for span in collector.spans if span.parent_span_id == transaction.span_id]
    assert "SELECT" in [span.name for span in statements]
    (slept,) = [span for span in statements if span.name == "SELECT"]
    assert {p.key: p.value.string_value for p in slept.attributes}["db.query.text"] == "SELECT pg_sleep($1)"
    assert slept.end_time_unix_nano - slept.start_time_unix_nano > 40_000_000


async def test_of_other_transactions_only_slow_ones_are_told(database, collector, monkeypatch) -> None:
    database.tracing = tracing = LiveTracing("inventory", "1", collector.environment)
    for slow, seconds in ((3600.0, 0.0), (0.1, 0.2)):
        monkeypatch.setattr(transaction_spans, "SLOW_SECONDS", slow)
        async with database.transaction() as tx:
            await tx.fetchval("SELECT pg_sleep($1)", seconds)
    await asyncio.to_thread(tracing.close)
    told = [span for span in collector.spans if span.name.startswith("TRANSACTION")]
    assert [span.end_time_unix_nano - span.start_time_unix_nano > 1e8 for span in told] == [True]


async def test_what_is_rolled_back_was_never_published(toy, collector) -> None:
    tracing = LiveTracing("inventory", "1", collector.environment)
    message = received(toy.placed("1001"), time=datetime.now(UTC).isoformat(), attempts=2)

    def announce_and_fail() -> None:
        with tracing.batch("flow", [message]):
            tracing.led_to(message, "inventory.reserved.v1", "id", "web", "")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        announce_and_fail()
    with tracing.batch("flow", [message]):
        assert message.trace != tracing.led_to(message, "inventory.reserved.v1", "id", "web", "")
    await asyncio.to_thread(tracing.close)
    assert [s.name for s in collector.spans].count("publish inventory.reserved.v1") == 1


async def test_a_replayed_message_begins_anew_in_its_trace_and_is_linked_to_what_was(toy, collector) -> None:
    tracing = LiveTracing("inventory", "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
    order = toy.placed("1001")
    message = received(order, chain=order.order_id)
    message.trace = f"00-{order.order_id.hex}-{'1' * 16}-01"
    with tracing.batch("flow", [message], replayed=True):
        pass
    await asyncio.to_thread(tracing.close)
    (span,) = collector.of(order.order_id)
    assert not span.parent_span_id
    assert "1" * 16 in [link.span_id.hex() for link in span.links]
    assert {p.key: p.value.bool_value for p in span.attributes}["tieout.replayed"]


async def test_what_is_told_afterwards_twice_is_the_same_spans(toy, collector) -> None:
    tracing = LiveTracing("control", "1", {**collector.environment, "OTEL_TRACES_SAMPLER_ARG": "0"})
    chain = toy.placed("1001").order_id
    began, ended = datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 23, 8, 1, tzinfo=UTC)
    steps = [
        Step("order.submit.v1", "a", "", began, began, {"order.no": "1001"}),
        Step("order.placed.v1", "b", "a", began, ended, {"order.no": "1001"}, "late"),
    ]
    for _ in range(2):
        tracing.afterwards(str(chain), steps)
    await asyncio.to_thread(tracing.close)
    spans = collector.of(chain)
    assert len({span.span_id for span in spans}) == 2
    submit, placed = spans[:2]
    assert placed.parent_span_id == submit.span_id
    assert placed.end_time_unix_nano - placed.start_time_unix_nano == 60 * 10**9
    assert placed.status.code == 2


def _sampled(toy, order) -> bytes:
    """As its producer says it of a chain that is traced."""
    named = f"00-{order.order_id.hex}-{'1' * 16}-01"
    return toy.envelope(order, 1).replace(b'"company":"C1"}', b'"company":"C1","traceparent":"%b"}' % named.encode())


async def _worked(service, durable) -> bool:
    return service._subscribers[0].counts.get("done", 0) >= 1


async def test_flows_side_by_side_keep_their_batches_apart(toy, collector) -> None:
    tracing = LiveTracing("inventory", "1", collector.environment)

    async def flow(name: str) -> None:
        with tracing.batch(name, [received(toy.placed("1001"))]):
            await asyncio.sleep(0.01)
            tracing.begin("inventory.shipped.v1", f"chain of {name}", "1", "C1", None)

    await asyncio.gather(flow("a"), flow("b"))
    await asyncio.to_thread(tracing.close)
    batches = {span.name: span.span_id for span in collector.spans}
    for name in ("a", "b"):
        (begun,) = [span for span in collector.spans if span.trace_id.hex() == trace_id(f"chain of {name}")]
        assert [link.span_id for link in begun.links] == [batches[f"process {name}"]]


async def test_the_satellite_goes_along_where_events_do_not_name_it(start_service, flow, play, toy, collector) -> None:
    from tieout.servicekit.rehearsal import announced

    service = await start_service([flow])
    await play(toy.placed("1001"))

    async def done() -> list:
        return await announced(service.database)

    (event,) = await toy.until(done)
    await service.stop()
    assert not hasattr(event.data, "source")
    assert event.envelope.tracestate == "tieout=web"
    assert satellite_of(event) == "web"
    assert tracestate("a,b=c") == ""


def test_without_a_collector_at_the_endpoint_spans_are_dropped_beyond_the_queue_and_nobody_waits(toy) -> None:
    """The endpoint takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        environment |= {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_BSP_MAX_QUEUE_SIZE": "600"}
        environment |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            tracing = LiveTracing("inventory", "1", {**environment, "OTEL_TRACES_SAMPLER_ARG": "1"})
        chain = str(toy.placed("1001").order_id)
        for _ in range(5_000):  # Whoever waited would do so for an hour.
            tracing.begin("order.placed.v1", chain, "1001", "C1", None)
        (processor,) = tracing._spans._provider._active_span_processor._span_processors
        assert len(processor._batch_processor._queue) <= 600
        tracing.close()
        assert "closing telemetry" in {thread.name for thread in threading.enumerate()}  # Which still waits.


def test_a_collector_that_is_away_is_complained_of_once_a_minute_and_by_whom() -> None:
    program = (
        "import logging, threading; from tieout.servicekit.logs import set_up_logs;"
        "set_up_logs('order', 'json', 'info');"
        "say = logging.getLogger('opentelemetry.exporter').warning;"
        "threads = [threading.Thread(target=say, args=('Transient error',)) for _ in range(5)];"
        "[one.start() for one in threads]; [one.join() for one in threads]; logging.getLogger('other').warning('seen')"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.splitlines()
    first, second = (msgspec.json.decode(line) for line in said)
    assert (first["event"], first["service"]) == ("Transient error", "order")
    assert second["event"] == "seen"


def test_a_sampling_share_that_is_none_says_so() -> None:
    with pytest.raises(Misconfigured, match="OTEL_TRACES_SAMPLER_ARG is 'lots'"):
        LiveTracing("inventory", "1", {"OTEL_TRACES_SAMPLER_ARG": "lots"})


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
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(int(PATIENCE_SECONDS)))
    monkeypatch.setattr(otlp, "CLOSE_SECONDS_MAX", PATIENCE_SECONDS)
    tracing = Tracing.from_environment("inventory", "1")
    order = toy.placed("1001")
    carried = tracing.begin("order.placed.v1", str(order.order_id), "1001", "C1", None)
    await asyncio.to_thread(tracing.close)
    server.stop(0)
    assert [span.trace_id.hex() for span in spans] == [order.order_id.hex]
    assert carried == f"00-{order.order_id.hex}-{spans[0].span_id.hex()}-01"
