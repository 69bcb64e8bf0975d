"""What a chart renders is enough to live: each service starts with its rendered environment and nothing else.

Cluster addresses, ports and secret paths are put where this machine has them; every other variable stays as rendered.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import policies
import pytest
from cases import MINIMAL, merged
from nats.aio.client import Client
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import processes
from tieout.devstack.testbed import ServiceDatabase, Testbed
from tools import Document, of_kind, render, the

SECRETS = "/run/secrets/tieout/"
PATIENCE_SECONDS = 60.0


class Pod:
    """A rendered container as a process of this machine."""

    def __init__(self, service: str, folder: Path, documents: list[Document], database: ServiceDatabase) -> None:
        self.service = service
        self.folder = folder
        self.documents = documents
        self.ports = {"8081": processes.free_port(), "9464": processes.free_port(), "8080": processes.free_port()}
        given = database.environment
        for key, variable in (
            ("database-password", "TIEOUT_DATABASE_PASSWORD_FILE"),
            ("nats-password", "TIEOUT_NATS_PASSWORD_FILE"),
            ("owner-password", "TIEOUT_OWNER_PASSWORD_FILE"),
        ):
            (folder / key).write_text(Path(given[variable]).read_text())
        (folder / "admin-token").write_text("t" * 40)

    def environment(self, owner: Document, container: Document) -> dict[str, str]:
        """As rendered, but on loopback and free ports, and with secrets below our folder, as they are mounted."""
        pod = owner["spec"]["jobTemplate"]["spec"] if owner["kind"] == "CronJob" else owner["spec"]
        mounted = {
            item["key"]
            for volume in pod["template"]["spec"]["volumes"]
            if volume["name"] == "secrets"
            for item in volume["secret"]["items"]
        }
        found = policies.environment_of(self.documents, owner, container)
        for name, value in found.items():
            if value.startswith(SECRETS):
                assert value.removeprefix(SECRETS) in mounted, f"{name} names a file that is not mounted"
                found[name] = str(self.folder / value.removeprefix(SECRETS))
            elif name.endswith("_PORT") and value in self.ports:
                found[name] = str(self.ports[value])
            elif name.endswith("_HOST"):
                assert value == "0.0.0.0", name  # noqa: S104 - what a pod needs; here we stay on loopback.
                found[name] = "127.0.0.1"
        return found

    async def run(self, owner: Document) -> str:
        """To its end: what it said. The rendered command, by this test's interpreter."""
        pod = owner["spec"]["jobTemplate"]["spec"] if owner["kind"] == "CronJob" else owner["spec"]
        container = pod["template"]["spec"]["containers"][0]
        process = await asyncio.create_subprocess_exec(
            *self.command(container),
            env=self.environment(owner, container),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, f"{container['command']} ended with {process.returncode}:\n{told.decode()}"
        return told.decode()

    def start(self) -> subprocess.Popen[bytes]:
        deployment = the(self.documents, "Deployment")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        environment = self.environment(deployment, container)
        return processes.start(
            self.command(container), log=self.folder / "log", cwd=self.folder, environment=environment
        )

    def command(self, container: Document) -> list[str]:
        assert container["command"][0] == "python"
        return [sys.executable, *container["command"][1:]]

    def ask(self, probe: str) -> tuple[int, str]:
        """The status that the kubelet would get for this probe."""
        container = the(self.documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        return self.get("8081", container[probe]["httpGet"]["path"])

    def get(self, port: str, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()
        except OSError as error:
            return 0, str(error)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]


@pytest.fixture
def rendered(
    testbed: Testbed, service_database: Callable[..., Awaitable[ServiceDatabase]], operator: Client, tmp_path: Path
) -> Callable[[str], Awaitable[Pod]]:
    """`operator` clears the hub afterwards."""

    async def prepare(service: str) -> Pod:
        database = await service_database(service, migrate=False)
        postgres = urlsplit(database.environment["TIEOUT_DATABASE_URL"])
        values: dict[str, Any] = {
            "database": {
                "host": postgres.hostname,
                "port": postgres.port,
                "name": postgres.path[1:],
                "tls": {"mode": "disable"},
            },
            "nats": {"url": testbed.hub.url},
            "http": {"adminToken": True} if service == "gateway" else {},
        }
        folder = tmp_path / service
        folder.mkdir()
        return Pod(service, folder, render(service, merged(MINIMAL, values)), database)

    return prepare


async def test_every_service_migrates_starts_works_and_stops_with_what_is_rendered(
    rendered: Callable[[str], Awaitable[Pod]],
) -> None:
    pods = [await rendered(service) for service in CORE_SERVICES]
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for pod in pods:
            told = await pod.run(the(pod.documents, "Job"))
            assert "applied" in told
            running[pod.service] = pod.start()
        for pod in pods:
            await _until(lambda pod=pod: pod.ask("readinessProbe")[0] == 200, pod, running[pod.service])
            assert pod.ask("startupProbe")[0] == 200
            assert pod.ask("livenessProbe")[0] == 200
            status, metrics = pod.get("9464", "/metrics")
            assert status == 200
            assert "tieout_" in metrics, pod.service
            _run_helm_test(pod)
        gateway = pods[CORE_SERVICES.index("gateway")]
        assert gateway.get("8080", "/openapi.json")[0] == 200
        for job in of_kind(gateway.documents, "CronJob"):
            await gateway.run(job)
        for pod in pods:
            running[pod.service].send_signal(signal.SIGTERM)
        for pod in pods:
            code = await asyncio.to_thread(running[pod.service].wait, PATIENCE_SECONDS)
            assert code == 0, f"{pod.service} ended with {code}\n{pod.log()}"
    finally:
        for process in running.values():
            processes.stop(process)


async def test_a_pod_whose_database_is_not_migrated_ends_and_says_what_to_do(
    rendered: Callable[[str], Awaitable[Pod]],
) -> None:
    pod = await rendered("order")
    process = pod.start()
    try:
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 2, pod.log()
        assert "python -m tieout.order migrate" in pod.log()
        assert "Traceback" not in pod.log()
    finally:
        processes.stop(process)


async def _until(done: Callable[[], bool], pod: Pod, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(done):
        assert process.poll() is None, f"{pod.service} ended with {process.returncode}\n{pod.log()}"
        assert time.monotonic() < deadline, f"{pod.service}: {pod.ask('readinessProbe')}\n{pod.log()}"
        await asyncio.sleep(0.1)


def _run_helm_test(pod: Pod) -> None:
    """The pod of `helm test` runs its own words, asking where this machine has the service."""
    container = the(pod.documents, "Pod")["spec"]["containers"][0]
    address = container["command"][-1]
    service = the(pod.documents, "Service")
    assert address == f"http://{service['metadata']['name']}.tieout.svc:8081/readyz"
    local = address.replace(urlsplit(address).netloc, f"127.0.0.1:{pod.ports['8081']}")
    command = [*pod.command(container)[:-1], local]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("200 ")
