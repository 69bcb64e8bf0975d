"""Rendered NATS configurations under the real server: the same files in the same folders, with ports of this machine.

Only what cannot be had here is rewritten: addresses, the volume, certificates. A rewrite that finds nothing fails.
"""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from tieout.devstack import permissions, processes
from tieout.devstack.nats import _binary
from tieout.devstack.patience import until_seen
from tieout.devstack.processes import ServerFailed

RENDERED = Path(__file__).parent / "upstream"


class LocalNats:
    """One server with the folders of its pod below `folder`."""

    def __init__(self, folder: Path, *, name: str, environment: Mapping[str, str] = {}) -> None:
        self.folder = folder
        self.name = name
        self.port, self.leaf_port, self.monitor_port, self.cluster_port = (processes.free_port() for _ in range(4))
        self._environment = {"SERVER_NAME": name, **environment}
        self._process: Any = None

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def configure(self, text: str, *, routes: tuple[int, ...] = ()) -> None:
        """`text`: nats.conf as a chart rendered it. `routes`: ports of the cluster, where it has one."""
        text = _once(r'"?(?<!\w)port"?: 4222', f'listen: "127.0.0.1:{self.port}"', text)
        text = _once(r'"?http_port"?: 8222', f'http: "127.0.0.1:{self.monitor_port}"', text)
        text = _once(r'"?store_dir"?: "?/data"?', f'store_dir: "{self.folder}/data"', text)
        text = text.replace('"/var/run/nats/nats.pid"', f'"{self.folder}/pid"')
        # Certificates are the cluster's business.
        text = re.sub(r',\s*"tls": \{[^}]*\}', "", text)
        if "7422" in text:
            text = _once(r'"port": 7422', f'listen: "127.0.0.1:{self.leaf_port}"', text)
        if "6222" in text:
            text = _once(r'"port": 6222', f'listen: "127.0.0.1:{self.cluster_port}"', text)
            others = json.dumps([f"nats://127.0.0.1:{port}" for port in routes])
            text = _once(r'"routes": \[[^\]]*\]', f'"routes": {others}', text)
        if not routes:  # One server of a cluster of one would wait for the others for ever.
            text = re.sub(r'"cluster": \{[^}]*\},', "", text)
        self.write("nats-config/nats.conf", text)

    def start(self) -> None:
        command = [_binary(), "-c", self.folder / "nats-config" / "nats.conf"]
        log = self.folder / "log"
        before = dict(os.environ)
        os.environ.update(self._environment)
        try:
            self._process = processes.start(command, log=log, cwd=self.folder)
        finally:
            os.environ.clear()
            os.environ.update(before)
        processes.wait_until(self.healthy, self._process, log=log, name=f"NATS {self.name}", seconds=60)

    def healthy(self, question: str = "?js-enabled-only=true") -> bool:
        """What the probe asks."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/healthz{question}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def monitor(self, question: str) -> str:
        """What the monitoring port answers, as text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/{question}", timeout=60) as answer:
            return str(answer.read().decode())

    def leaf_nodes(self) -> int:
        """How many are connected."""
        return int(json.loads(self.monitor("leafz"))["leafnodes"])

    async def wait_for_leaf_nodes(self, count: int = 1) -> None:
        try:
            await until_seen(lambda: self.leaf_nodes() >= count)
        except AssertionError:
            raise AssertionError(f"{self.leaf_nodes()} leaf nodes at {self.name}\n{self.log}") from None

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            processes.stop(self._process, signal.SIGKILL if kill else signal.SIGTERM, 10)
            self._process = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def connect(self, user: str, password: str) -> Client:
        async def quiet(_: Exception) -> None:
            """Refusals are what some tests look for."""

        return await nats.connect(
            f"nats://127.0.0.1:{self.port}",
            user=user,
            password=password,
            inbox_prefix=permissions.inbox_of(user).encode(),
            error_cb=quiet,
            reconnect_time_wait=0.1,
            max_reconnect_attempts=-1,
        )


def rendered(name: str) -> str:
    """nats.conf of an environment, as the remote chart renders it from our values (upstream/derive.py)."""
    return (RENDERED / f"{name}.conf").read_text()


def digest_of(text: str) -> str:
    found = re.match(r"# values sha256:(\w+)\n", text)
    assert found
    return found[1]


def _once(pattern: str, replacement: str, text: str) -> str:
    text, count = re.subn(pattern, lambda _: replacement, text)
    assert count == 1, f"{pattern} stands {count} times in\n{text}"
    return text


async def api(js: JetStreamContext, call: str, content: object = None) -> dict[str, Any]:
    """A raw question to JetStream, as a command line tool puts it."""
    answer: dict[str, Any] = await js._api_request(
        f"{js._prefix}.{call}", json.dumps(content).encode() if content is not None else b"", timeout=60
    )
    return answer


__all__ = ["LocalNats", "ServerFailed", "api", "digest_of", "rendered"]
