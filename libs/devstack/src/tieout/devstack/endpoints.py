"""Where everything of a running stack listens, in `endpoints.json`: addresses, and files that hold the credentials."""

from pathlib import Path

import httpx
import msgspec
import nats
from msgspec import Struct
from nats.aio.client import Client
from tieout.devstack import hints, permissions, remote
from tieout.devstack.failures import CommandFailed


class NatsEndpoint(Struct, frozen=True):
    url: str
    user: str
    password_file: str
    monitor: str = ""  # HTTP: /varz, /jsz, /leafz …

    async def connect(self, seconds: float = 3.0) -> Client:
        """A client for one question: it does not wait for a server that is away. Raises OSError and nats' errors."""
        return await nats.connect(
            self.url,
            user=self.user,
            password=Path(self.password_file).read_text().strip(),
            inbox_prefix=permissions.inbox_of(self.user).encode(),
            connect_timeout=seconds,
            max_reconnect_attempts=1,
        )


class DatabaseEndpoint(Struct, frozen=True):
    dsn: str  # As the role `app`; without password.
    password_file: str
    auditor_dsn: str  # May read everything and change nothing.
    auditor_password_file: str
    owner_dsn: str
    owner_password_file: str


class Endpoints(Struct, frozen=True):
    gateway: str
    admin_token_file: str
    hub: NatsEndpoint  # As the operator.
    sites: dict[str, NatsEndpoint]  # As a till, which may publish sale.> and nothing else.
    databases: dict[str, DatabaseEndpoint]
    otlp: str = ""  # The collector that services tell, where there is one.
    jaeger: str = ""  # The page and the query API of the Jaeger that was started with the stack.

    def write(self, folder: Path) -> None:
        draft = folder / ".endpoints.json"
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        draft.rename(folder / "endpoints.json")

    def client(self, timeout: float = 30.0) -> httpx.Client:
        """HTTP to the gateway with the admin token."""
        return httpx.Client(base_url=self.gateway, headers=self.authorization(), timeout=timeout)

    def async_client(self, timeout: float = 30.0) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.gateway, headers=self.authorization(), timeout=timeout)

    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {Path(self.admin_token_file).read_text().strip()}"}


def of_stack(folder: Path) -> Endpoints:
    """Of the stack in this folder, which must be running; of a gateway, where the command line names one instead."""
    if (gateway := remote.chosen()) is not None:
        return Endpoints(gateway.url, gateway.token_file, NatsEndpoint("", "", ""), sites={}, databases={})
    try:
        return msgspec.json.decode((folder / "endpoints.json").read_bytes(), type=Endpoints)
    except FileNotFoundError:
        raise CommandFailed(not_running(folder)) from None
    except msgspec.MsgspecError as error:
        raise CommandFailed(
            f"{folder}/endpoints.json is damaged ({error}). "
            f"Run: {hints.command('down', folder)}, then {hints.command('up', folder)}"
        ) from None


def not_running(folder: Path) -> str:
    """What is there instead: a stopped stack, a demo's day in a folder below, or nothing at all."""
    told, day = f"no stack runs in {folder}", folder / "demo"
    if (folder / "postgres").exists():
        return f"{told}: it is stopped, and what it has stored is kept. Start it: {hints.command('up', folder)}"
    if (day / "endpoints.json").exists():
        return f"{told}; the demo's runs in {day}. Name that one: --dir {day}"
    if (day / "postgres").exists():
        return f"{told}; a demo's day is kept in {day}. Go on with it: {hints.command('up', day)}"
    there = "" if folder.exists() else ", and there is no such folder"
    return f"{told}{there}. Start one with: {hints.command('up', folder)}, or name its folder: --dir"
