"""A Jaeger of our own beside the stack: version 2, in memory, on loopback ports. Its binary is the user's.

There is none in PyPI, npm or Debian: https://www.jaegertracing.io/download has it, as one file.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httpx
from tieout.devstack import processes
from tieout.devstack.failures import CommandFailed

TRACES_MAX = 50_000  # In memory; the oldest go first.
DOWNLOAD = "https://www.jaegertracing.io/download"
_VERSION_SECONDS_MAX = 5.0
_ANSWER_SECONDS_MAX = 2.0
_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)


class Jaeger:
    """One server. It keeps nothing: a restart is empty."""

    name = "jaeger"

    def __init__(self, binary: Path, folder: Path, *, log: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.log = log
        self.port = 0  # Of the page and the query API.
        self.otlp_port = 0  # Where spans go, as OTLP over HTTP.
        self._query_port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def otlp_url(self) -> str:
        return f"http://127.0.0.1:{self.otlp_port}"

    def start(self, port: int = 0) -> None:
        """Takes spans and answers when it returns. A restart keeps the ports of the first start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port or self.port or processes.free_port()
        self.otlp_port = self.otlp_port or processes.free_port()
        self._query_port = self._query_port or processes.free_port()
        page = self.folder / "config.yaml"
        page.write_text(json.dumps(self._configuration(), indent=2))  # JSON is YAML.
        environment = {**os.environ, "OTEL_TRACES_SAMPLER": "always_off"}  # It would trace itself.
        process = processes.start(
            [self.binary, "--config", page], log=self.log, cwd=self.folder, environment=environment
        )
        processes.wait_until(self._ready, process, log=self.log, name=f"Jaeger ({self.binary})", seconds=30)
        self.process = process

    def stop(self) -> None:
        process, self.process = self.process, None  # First: whoever watches must not take it for one that died.
        if process is not None:
            processes.stop(process, signal.SIGTERM, 5)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """For the services. It takes no metrics."""
        return {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{self.otlp_url}/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            **_soon_and_all(given),
        }

    def _configuration(self) -> dict[str, object]:
        return {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            },
            "extensions": {
                "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": TRACES_MAX}}}},
                "jaeger_query": {
                    "storage": {"traces": "memory"},
                    "http": {"endpoint": f"127.0.0.1:{self.port}"},
                    "grpc": {"endpoint": f"127.0.0.1:{self._query_port}"},
                },
            },
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self.otlp_port}"}}}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        }

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{self.url}/api/v3/services", timeout=1, trust_env=False)
            return answer.is_success and processes.accepts(self.otlp_port)
        return False


def collector(url: str, given: Mapping[str, str]) -> dict[str, str]:
    """For the services: everything goes to this address. 4318 is OTLP over HTTP everywhere, 4317 gRPC.

    Raises CommandFailed where it is no address.
    """
    parts = _address(url, "--otlp")
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **_soon_and_all(given)}
    if "OTEL_EXPORTER_OTLP_PROTOCOL" not in given:
        told["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf" if parts.port == 4318 else "grpc"
    return told


def unanswered(otlp: str, given: Mapping[str, str]) -> list[str]:
    """A sentence for each collector, named by --otlp or else by the environment, that takes no connection now.

    Raises CommandFailed where one is no address. The services go on trying, so this is for people only.
    """
    named = {name: given.get(name, "") for name in _ENDPOINTS}
    if otlp:
        named = {"--otlp": otlp}
    elif given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return []
    told = {}
    for name, url in named.items():
        if url and url not in told:
            parts = _address(url, name)
            why = _silent(str(parts.hostname), parts.port or 443)
            told[url] = why and (
                f"no collector answers at {url} ({why}): traces and metrics are dropped until one does. "
                f"Start it, or leave {name} out"
            )
    return [one for one in told.values() if one]


def _address(url: str, name: str) -> SplitResult:
    """Raises CommandFailed where it is no address of a collector. `name`: who gave it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandFailed(f"{name}: {url!r} is no address of a collector. Give one like http://127.0.0.1:4317")
    if port is None and parts.scheme == "http":
        raise CommandFailed(f"{name}: {url!r} names no port. A collector takes gRPC at 4317 and OTLP over HTTP at 4318")
    return parts


def _silent(host: str, port: int) -> str:
    """Why it takes no connection; "" where it does."""
    try:
        socket.create_connection((host, port), _ANSWER_SECONDS_MAX).close()
    except TimeoutError:
        return f"nothing within {_ANSWER_SECONDS_MAX:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def find(asked: str) -> Path:
    """The binary that was asked for by its path; "": the one on the PATH. Raises CommandFailed where there is none."""
    found = shutil.which(asked or "jaeger")
    if found is None:
        where = f"{asked} is no program" if asked else "there is no jaeger on the PATH"
        raise CommandFailed(f"{where}. Get version 2 from {DOWNLOAD}, then name it: --jaeger PATH")
    return Path(found).resolve()


def on_the_path() -> Path | None:
    """A Jaeger 2, where one is on the PATH; other programs have that name too."""
    found = shutil.which("jaeger")
    if found is None:
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run([found, "version"], capture_output=True, text=True, timeout=_VERSION_SECONDS_MAX)
        if '"gitVersion":"v2' in told.stdout.replace(" ", ""):
            return Path(found).resolve()
    return None


def _soon_and_all(given: Mapping[str, str]) -> dict[str, str]:
    """On a machine of one's own every order is traced, unless somebody has said otherwise."""
    told = {} if "OTEL_BSP_SCHEDULE_DELAY" in given else {"OTEL_BSP_SCHEDULE_DELAY": "1000"}
    if "OTEL_TRACES_SAMPLER" not in given and "OTEL_TRACES_SAMPLER_ARG" not in given:
        told["OTEL_TRACES_SAMPLER"] = "always_on"
    return told
