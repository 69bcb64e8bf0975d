"""Metrics, over OTLP or for Prometheus to fetch: lag, batch size, step latency, outbox age, dead letters.

They are read from what the kit counts anyway: nothing is measured on the way of a message, and nothing of OpenTelemetry
is imported where nobody collects. What a service watches of others (control does) it tells by `Database.readings`,
which are asked when metrics are collected: so an age goes on growing although whoever should look has stopped looking.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tieout.servicekit.errors import Misconfigured
from tieout.servicekit.memory import memory_bytes, memory_limit
from tieout.servicekit.otlp import close_in_time, exporters, over_http, resource_of, wanted
from tieout.servicekit.plain_http import Page

PROMETHEUS_PORT = 9464
Numbers = dict[str, dict[str, float]]  # By flow.

# From a flow's numbers: (key, instrument, unit, description)
COUNTERS = (
    ("done", "tieout.flow.messages", "{message}", "Messages handled"),
    ("retried", "tieout.flow.retries", "{message}", "Messages handled that had come before"),
    ("parked", "tieout.flow.parked", "{message}", "Messages that wait for their partner or another try"),
    ("buried", "tieout.flow.dead_letters", "{message}", "Messages given up"),
    ("paused", "tieout.flow.pauses", "{pause}", "Times that a flow waited for database or broker"),
    ("batches", "tieout.flow.batches", "{batch}", "Batches handled"),
)
GAUGES = (
    ("lag", "tieout.flow.lag", "{message}", "Messages that wait in the stream"),
    ("batch_last", "tieout.flow.batch_size", "{message}", "Size of the last batch"),
    ("batch_seconds", "tieout.flow.batch_duration", "s", "Duration of the last batch"),
    ("stopped", "tieout.flow.stopped", "{flow}", "1 while the flow does not consume because most messages fail"),
    ("latency_p50_ms", "tieout.step.latency.p50", "ms", "From an event's time to the commit of what it led to"),
    ("latency_p95_ms", "tieout.step.latency.p95", "ms", "The same, 95th percentile"),
    ("latency_p99_ms", "tieout.step.latency.p99", "ms", "The same, 99th percentile"),
)
# From `Database.readings`: (instrument, attribute, unit, description). Where there is no attribute there is one value.
READINGS = (
    ("tieout.agreement.age", "", "s", "Since the moment up to which all books were last proved to agree"),
    ("tieout.agreement.disagreements", "", "{event}", "Events on which books differ, dead ones included"),
    ("tieout.watch.age", "", "s", "Since control last looked at consumers and satellites"),
    ("tieout.consumer.stalled", "flow", "s", "How long a consumer that has work has not moved"),
    ("tieout.consumer.waiting", "flow", "{message}", "What the broker holds for a consumer"),
    ("tieout.consumer.done_in", "flow", "s", "Forecast: until nothing waits, at the pace of the last minute"),
    ("tieout.consumer.growing", "flow", "{flow}", "1 while more arrives at a consumer than it handles"),
    ("tieout.broker.silence", "", "s", "How long the broker has not answered"),
    ("tieout.alarms", "cause", "{alarm}", "What stands still, or is silent, by its probable cause"),
    ("tieout.satellite.silence", "satellite", "s", "How long a satellite has said nothing"),
    ("tieout.satellite.alarming", "satellite", "{satellite}", "1 while that is too long by its own rhythm"),
    ("tieout.service.replicas", "service", "{process}", "Processes of a service that run"),
    ("tieout.parked.oldest", "service", "s", "How long the oldest message has waited for its partner document"),
    ("tieout.tickets", "priority", "{ticket}", "Tickets that stand"),
    ("tieout.tickets.overdue", "priority", "{ticket}", "Tickets whose deadline has passed"),
)
# From `Database.readings` as well, but these only ever grow.
GROWING = (
    ("tieout.objective.journeys", "", "{journey}", "Vouchers that stand, and messages that were given up"),
    ("tieout.documents.refused", "satellite", "{document}", "Documents that went into quarantine"),
    ("tieout.objective.missed", "why", "{journey}", "Of them, those that took longer than they should, or failed"),
)
# Recorded one by one with `Database.record`: (instrument, unit, description, edges)
SPREADS = (
    (
        "tieout.journey.duration",
        "s",
        "From a document to the voucher that it leads to",
        (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600),
    ),
)
Readings = Mapping[str, Callable[[], Mapping[str, float]]]  # Instrument -> value by attribute.
# Of the process itself.
OWN = (
    ("tieout.outbox.age", "s", "Age of the oldest unpublished batch"),
    ("tieout.outbox.waiting", "{batch}", "Unpublished batches"),
    ("tieout.process.memory", "By", "What the process holds"),
    ("tieout.process.memory_limit", "By", "What its container allows; 0: no limit"),
)


class Metrics:
    """`numbers` gives each flow's counts, `outbox` (age in seconds, batches waiting) as last looked up."""

    def __init__(
        self,
        service: str,
        version: str,
        numbers: Callable[[], Numbers],
        outbox: Callable[[], tuple[float, int]],
        readings: Callable[[], Readings] = dict,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        self._provider: Any = None
        self._registry: Any = None
        self.address = address_for_prometheus(environment)  # Host and port; None where nobody shall fetch.
        self._sends = wanted(environment, "METRICS")
        self.enabled = self._sends or self.address is not None
        self._spreads: dict[str, Any] = {}
        if self.enabled:
            self._start(service, version, numbers, outbox, readings, environment)

    def _start(
        self,
        service: str,
        version: str,
        numbers: Callable[[], Numbers],
        outbox: Callable[[], tuple[float, int]],
        readings: Callable[[], Readings],
        environment: Mapping[str, str],
    ) -> None:
        from opentelemetry.metrics import CallbackOptions, Observation
        from opentelemetry.sdk.metrics import MeterProvider

        readers: list[Any] = []
        if self._sends:
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

            readers.append(PeriodicExportingMetricReader(_exporter(environment)))
        if self.address is not None:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from prometheus_client import CollectorRegistry

            self._registry = CollectorRegistry()  # Of our own: the general one counts Python's garbage as well.
            readers.append(PrometheusMetricReader(scope_info_enabled=False, registry=self._registry))
        self._provider = MeterProvider(
            metric_readers=readers, resource=resource_of(service, version), shutdown_on_exit=False
        )
        meter = self._provider.get_meter("tieout.servicekit", version)

        def of_flows(key: str, otherwise: float | None) -> Callable[[CallbackOptions], Iterable[Observation]]:
            def observe(_: CallbackOptions) -> Iterable[Observation]:
                found = {durable: counts.get(key, otherwise) for durable, counts in numbers().items()}
                return [Observation(value, {"flow": flow}) for flow, value in found.items() if value is not None]

            return observe

        for key, name, unit, description in COUNTERS:  # From 0 on, so that the first dead letter is a rise.
            meter.create_observable_counter(name, [of_flows(key, 0)], unit, description)
        for key, name, unit, description in GAUGES:
            meter.create_observable_gauge(name, [of_flows(key, None)], unit, description)

        def of_readings(name: str, attribute: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
            def observe(_: CallbackOptions) -> Iterable[Observation]:
                read = readings().get(name)
                found = read() if read is not None else {}
                # float: a single bool would keep the exporter from sending anything at all.
                return [Observation(float(value), {attribute: of} if attribute else {}) for of, value in found.items()]

            return observe

        for name, attribute, unit, description in READINGS:
            meter.create_observable_gauge(name, [of_readings(name, attribute)], unit, description)
        for name, attribute, unit, description in GROWING:
            meter.create_observable_counter(name, [of_readings(name, attribute)], unit, description)
        for name, unit, description, edges in SPREADS:
            self._spreads[name] = meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=edges
            )
        own: tuple[Callable[[], float], ...] = (lambda: outbox()[0], lambda: outbox()[1], memory_bytes, memory_limit)

        def of_itself(read: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
            return lambda _: [Observation(read())]

        for (name, unit, description), read in zip(OWN, own, strict=True):
            meter.create_observable_gauge(name, [of_itself(read)], unit, description)

    async def page(self) -> Page:
        """What Prometheus fetches. Made in the event loop, where nothing changes the counts meanwhile: 2 to 7 ms."""
        from prometheus_client import generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        return Page(200, generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)

    def record(self, name: str, value: float) -> None:
        """3.5 us."""
        self._spreads[name].record(value)

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        if self._provider is not None:
            close_in_time(self._provider.shutdown)


def address_for_prometheus(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """By the standard variables; None unless OTEL_METRICS_EXPORTER names prometheus."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if "prometheus" not in exporters(environment, "METRICS"):
        return None
    port = environment.get("OTEL_EXPORTER_PROMETHEUS_PORT") or str(PROMETHEUS_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Misconfigured(f"OTEL_EXPORTER_PROMETHEUS_PORT is {port!r}. Set it to a port, such as {PROMETHEUS_PORT}.")
    return environment.get("OTEL_EXPORTER_PROMETHEUS_HOST") or "localhost", int(port)


def _exporter(environment: Mapping[str, str]) -> Any:
    if over_http(environment, "METRICS"):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

        return Http()
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

    return Grpc()
