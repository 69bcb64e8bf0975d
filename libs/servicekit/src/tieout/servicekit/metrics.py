"""Metrics over OTLP: lag, batch size, step latency, outbox age, dead letters. Read from what the kit counts anyway.

Nothing is measured for them on the way of a message; without a collector nothing of OpenTelemetry is imported. What a
service watches of others (control does) it tells by `Database.readings`, which are asked when metrics are collected: so
an age goes on growing although whoever should look has stopped looking.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tieout.servicekit.memory import memory_bytes, memory_limit
from tieout.servicekit.otlp import close_in_time, over_http, resource_of, wanted

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
        self.enabled = wanted(environment, "METRICS")
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
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        reader = PeriodicExportingMetricReader(_exporter(environment))
        self._provider = MeterProvider(
            metric_readers=[reader], resource=resource_of(service, version), shutdown_on_exit=False
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
                return [Observation(value, {attribute: of} if attribute else {}) for of, value in found.items()]

            return observe

        for name, attribute, unit, description in READINGS:
            meter.create_observable_gauge(name, [of_readings(name, attribute)], unit, description)
        own: tuple[Callable[[], float], ...] = (lambda: outbox()[0], lambda: outbox()[1], memory_bytes, memory_limit)

        def of_itself(read: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
            return lambda _: [Observation(read())]

        for (name, unit, description), read in zip(OWN, own, strict=True):
            meter.create_observable_gauge(name, [of_itself(read)], unit, description)

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        if self._provider is not None:
            close_in_time(self._provider.shutdown)


def _exporter(environment: Mapping[str, str]) -> Any:
    if over_http(environment, "METRICS"):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

        return Http()
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

    return Grpc()
