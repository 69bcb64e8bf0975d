"""Where telemetry goes: the standard OTEL_* variables, read once at the start of a process.

Nothing of OpenTelemetry is imported without a collector: it costs memory, and a start of 0.2 s.
"""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from tieout.servicekit.errors import Misconfigured

log = structlog.get_logger(__name__)

SAMPLED_SHARE = 0.01  # Of the chains, unless OTEL_TRACES_SAMPLER_ARG says otherwise.
SPANS_WAITING_MAX = 16_384  # About 30 MB; what comes above it is dropped, the oldest first.
LINKS_MAX = 1_000  # Of a batch's span: one to each sampled message.
CLOSE_SECONDS_MAX = 2.0  # A collector that does not answer must not hold up the end of a process.


def wanted(environment: Mapping[str, str], signal: str) -> bool:
    """Whether a collector is named for `TRACES` or `METRICS`, and nobody has switched telemetry off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if "otlp" not in exporters(environment, signal):
        return False
    return bool(
        environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    )


def exporters(environment: Mapping[str, str], signal: str) -> set[str]:
    """OTEL_METRICS_EXPORTER and its like are lists; OTLP is what nobody has to name."""
    given = environment.get(f"OTEL_{signal}_EXPORTER") or "otlp"
    return {name.strip().lower() for name in given.split(",")} - {"none", ""}


def over_http(environment: Mapping[str, str], signal: str) -> bool:
    """OTLP speaks gRPC unless told otherwise, as in OpenTelemetry's own SDK for Python."""
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    return environment.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", general).startswith("http")


def sampled_share(environment: Mapping[str, str]) -> float:
    """Of all chains, 0 to 1. The samplers of OTEL_TRACES_SAMPLER that decide by chance need OTEL_TRACES_SAMPLER_ARG."""
    sampler = environment.get("OTEL_TRACES_SAMPLER", "")
    if sampler.endswith("always_on"):
        return 1.0
    if sampler.endswith("always_off"):
        return 0.0
    given = environment.get("OTEL_TRACES_SAMPLER_ARG", "")
    if not given:
        return SAMPLED_SHARE
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise Misconfigured(f"OTEL_TRACES_SAMPLER_ARG is {given!r}. Set it to a share from 0 to 1, such as 0.01.")
    return share


def whole_number(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    given = environment.get(name, "")
    if not given:
        return otherwise
    if not given.isdecimal() or int(given) < 1:
        raise Misconfigured(f"{name} is {given!r}. Set it to a whole number above 0, or leave it out.")
    return int(given)


def resource_of(service: str, version: str) -> Any:
    """Who sends. Replicas are told apart by the instance, or their counters would be mixed up."""
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {
            "service.name": f"tieout-{service}",
            "service.namespace": "tieout",
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        }
    )


def close_in_time(close: Callable[[], object]) -> None:
    """Send what is left, but give up soon: in a thread that does not keep the process alive."""

    def closing() -> None:
        try:
            close()
        except Exception as error:
            log.warning("telemetry was not closed", error=repr(error)[:300])

    thread = threading.Thread(target=closing, daemon=True, name="closing telemetry")
    thread.start()
    thread.join(CLOSE_SECONDS_MAX)
