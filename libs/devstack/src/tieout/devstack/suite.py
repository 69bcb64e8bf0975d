"""The whole stack as processes of one machine: Postgres, the hub, leaf sites, and every service as in production.

`Stack` belongs to the main thread: the kernel ends a child when the *thread* that started it dies.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import httpx
import msgspec
import nats.aio.client
import nats.errors
import psutil
from tieout.contracts.operation import Health
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import databases, permissions, processes, sites
from tieout.devstack import nats as broker
from tieout.devstack.endpoints import DatabaseEndpoint, Endpoints, NatsEndpoint
from tieout.devstack.failures import CommandFailed
from tieout.devstack.jaeger import Jaeger, collector
from tieout.devstack.migrations import Migrations, Target, fingerprint
from tieout.devstack.postgres import Postgres
from tieout.devstack.processes import ServerFailed
from tieout.devstack.secrets import Secrets
from tieout.devstack.stack_folder import Known, StackFolder
from tieout.devstack.supervisor import STOP_SECONDS_MAX, Supervisor, service_of

SITES = ("store-1",)
_FOLDERS = ("hub", "postgres", "jaeger", "logs", "run", "secrets")
_TAKEN_NAMES = (*_FOLDERS, permissions.OPERATOR, permissions.SYSTEM, permissions.TILL)
START_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.25
_HEALTH_SECONDS = 5.0  # A server that stands still for want of room does so for minutes; asking costs both sides.
_STARTING_DEATHS_MAX = 3  # Who dies this often before the stack is ready will not come up by trying again.


def installed_services() -> tuple[str, ...]:
    """The core services that are there, in the order of the chain."""
    found = []
    for service in CORE_SERVICES:
        with contextlib.suppress(ModuleNotFoundError):
            if importlib.util.find_spec(f"tieout.{service}.__main__") is not None:
                found.append(service)
    return tuple(found)


class Stack:
    """One running stack in one folder.

    async with Stack(folder).running() as stack: …   # stopped in order at the end, whatever happens
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        sites: Iterable[str] = SITES,
        services: Iterable[str] | None = None,
        log: str = "text",
        environment: Mapping[str, str] = {},
        postgres_settings: Mapping[str, str] = {},
        line: Callable[[int], int] = lambda port: port,
        replicas: Mapping[str, int] = {},
        otlp: str = "",
        jaeger: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.http_port = port
        self.port_missed = 0  # That of last time, where another program has it now.
        self.sites_wanted = tuple(sites)
        for site in self.sites_wanted:
            if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", site) or site in {*CORE_SERVICES, *_TAKEN_NAMES}:
                raise CommandFailed(
                    f"{site!r} is no name for a site: use small letters, digits and -, and no service's"
                )
        self.services_wanted = installed_services() if services is None else tuple(services)
        self.replicas = dict(replicas)
        unknown = set(self.replicas) - {*self.services_wanted}
        if unknown:
            raise CommandFailed(f"no such service: {', '.join(sorted(unknown))}. There are {', '.join(CORE_SERVICES)}")
        self._kept = StackFolder(self.folder)
        self.logs = self._kept.logs
        self._log = log
        self._environment = dict(environment)  # For every service, above all else: OTEL_…, TIEOUT_LOG_LEVEL …
        self._otlp = otlp
        if otlp:
            self._environment = collector(otlp, os.environ | self._environment) | self._environment
        self.jaeger = None if jaeger is None else Jaeger(jaeger, self.folder / "jaeger", log=self.logs / "jaeger.log")
        self._postgres_settings = postgres_settings
        self._line = line  # What stands between sites and hub: given the hub's port, where sites connect.
        self._servers: list[Postgres | broker.Nats | Jaeger] = []
        self._supervisor = Supervisor(self.logs, self.folder, self.environment_of, self._note_processes)
        self._watch: asyncio.Task[None] | None = None
        self._operator: nats.aio.client.Client | None = None
        self._ready = False

    # Starting and stopping

    async def start(self) -> Endpoints:
        """Everything healthy when it returns. On a failure whatever was started is stopped again."""
        self.refuse_taken_port()
        self._kept.take()
        try:
            self._kept.stop_left_over()  # Of a launcher that was killed, where the kernel did not do it.
            self._kept.rotate_logs()
            await self._prepare()
            self.http_port = self.http_port or self._port_of_last_time() or processes.free_port()
            for name in self.process_names():
                self.start_service(name)
            self._watch = asyncio.create_task(self._restart_dead_servers())
            await self.wait_until_ready()
            _go_on()
            self._ready = True
            endpoints = self.endpoints()
            endpoints.write(self.folder)
            if not self.port_missed:  # Webhooks still go there: the next start tries it again.
                self._kept.remember_port(self.http_port)
            return endpoints
        except BaseException:
            await self.stop()
            raise

    def _port_of_last_time(self) -> int:
        port = self._kept.port_of_last_time()
        if port and not processes.is_free(port):
            self.port_missed = port
            return 0
        return port

    def refuse_taken_port(self) -> None:
        if self.http_port and not processes.is_free(self.http_port):
            raise CommandFailed(f"port {self.http_port} is in use. Choose another --port, or none for a free one")

    async def stop(self) -> None:
        """Services first, all at once: they stop fetching, finish, commit and flush. Then the servers below them."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._supervisor.stop_all()
        if self._operator is not None:
            await self._operator.close()
            self._operator = None
        while self._servers:
            self._servers.pop().stop()
        self._ready = False
        (self.folder / "endpoints.json").unlink(missing_ok=True)
        self._kept.leave()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Stack"]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    # One service

    def start_service(self, name: str) -> None:
        self._supervisor.start(name)

    async def stop_service(self, name: str, patience_seconds: float = STOP_SECONDS_MAX) -> bool:
        """Gracefully, and it stays down until `start_service`. False where it had to be killed."""
        return await self._supervisor.stop(name, patience_seconds)

    def kill_service(self, name: str) -> None:
        """kill -9; the supervisor starts it again."""
        process = self._supervisor.services[name].process
        if process is not None:
            process.kill()

    async def wait_until_ready(self, names: Iterable[str] | None = None, seconds: float = START_SECONDS_MAX) -> None:
        """Every named service (all by default) answers that it is healthy."""
        deadline = time.monotonic() + seconds
        for name in self.services_wanted if names is None else names:
            while not await self._is_ready(name):
                if not self._ready:
                    _go_on()
                service = self._supervisor.services[name]
                if not self._ready and service.deaths >= _STARTING_DEATHS_MAX:
                    told = processes.end_of(service.log)
                    raise ServerFailed(f"the service {name} does not start. The end of {service.log}:\n{told}")
                if time.monotonic() > deadline:
                    told = processes.end_of(service.log)
                    raise ServerFailed(
                        f"the service {name} is not ready after {seconds:.0f} s. The end of {service.log}:\n{told}"
                    )
                await asyncio.sleep(0.03)

    # The servers below

    def cut(self, site: str) -> None:
        """The line between a site and the hub breaks. The site goes on selling."""
        self.sites[site].set_link(up=False)

    def mend(self, site: str) -> None:
        self.sites[site].set_link(up=True)

    def restart_hub(self, *, kill: bool = False) -> None:
        """The broker goes away and comes back on the same ports, with what is on its disk."""
        if kill and self.hub.process is not None:
            self.hub.process.kill()
            self.hub.process.wait()
        self.hub.stop()
        self.hub.start()
        self._note_processes()

    def restart_postgres(self, *, kill: bool = False) -> None:
        port = self.postgres.port
        if kill and self.postgres.process is not None:
            self.postgres.process.kill()
            self.postgres.process.wait()
        self.postgres.stop()
        self.postgres.start(port)
        self._note_processes()

    async def interrupt(self, meanwhile: Callable[[], None], afterwards: Callable[[], None]) -> None:
        """Every process of the stack stands still, `meanwhile`, dies, `afterwards`; then the servers start again on
        their ports, and the supervisor brings the services: what a cut of the power is to a machine."""
        servers, self._servers = self._servers, []  # Nobody restarts them now.
        try:
            family: list[psutil.Process] = []
            for process in self.running_processes().values():
                with contextlib.suppress(psutil.Error):
                    family += [process, *process.children(recursive=True)]
            for one in family:
                with contextlib.suppress(psutil.Error):
                    one.suspend()
            meanwhile()
            for one in family:
                with contextlib.suppress(psutil.Error):
                    one.kill()
            for server in servers:
                if server.process is not None:
                    await asyncio.to_thread(server.process.wait, 60)
            await asyncio.to_thread(afterwards)
            for server in servers:
                try:
                    server.start(server.port)
                except (ServerFailed, OSError) as failure:  # Its disk may be full again: whoever watches tries on.
                    processes.complain(str(failure))
        finally:
            self._servers = servers
        self._note_processes()

    # What others need to know

    def process_names(self) -> tuple[str, ...]:
        """`order`, and where several processes share its work, `order-2` …"""
        return tuple(
            name if number == 1 else f"{name}-{number}"
            for name in self.services_wanted
            for number in range(1, self.replicas.get(name, 1) + 1)
        )

    def endpoints(self) -> Endpoints:
        def database(service: str) -> DatabaseEndpoint:
            def dsn(role: str) -> str:
                return self.postgres.url(databases.database_of(service), databases.role_of(service, role))

            def file(role: str) -> str:
                return str(self.secrets.file(databases.secret_of(service, role)))

            return DatabaseEndpoint(
                dsn("app"), file("app"), dsn("auditor"), file("auditor"), dsn("owner"), file("owner")
            )

        def server(at: broker.Nats, user: str, secret: str) -> NatsEndpoint:
            password_file = str(self.secrets.file(f"nats_{secret}"))
            return NatsEndpoint(at.url, user, password_file, f"http://127.0.0.1:{at.monitor_port}")

        return Endpoints(
            gateway=f"http://127.0.0.1:{self.http_port}",
            admin_token_file=str(self.secrets.file("admin_token")),
            hub=server(self.hub, permissions.OPERATOR, permissions.OPERATOR),
            sites={name: server(site, permissions.TILL, f"{name}-till") for name, site in self.sites.items()},
            databases={service: database(service) for service in self.services_wanted or installed_services()},
            otlp=self._otlp or (self.jaeger.otlp_url if self.jaeger is not None else ""),
            jaeger=self.jaeger.url if self.jaeger is not None else "",
        )

    def running_processes(self) -> dict[str, psutil.Process]:
        """Services and servers by name, for those who measure; children (of Postgres) belong to their parent."""
        pids = {name: process.pid for name, process in self._supervisor.running()}
        servers = {"postgres": self.postgres.process, "hub": self.hub.process}
        servers |= {} if self.jaeger is None else {"jaeger": self.jaeger.process}
        servers |= {name: site.process for name, site in self.sites.items()}
        pids |= {name: process.pid for name, process in servers.items() if process}
        return {name: psutil.Process(pid) for name, pid in pids.items()}

    def environment_of(self, process: str) -> dict[str, str]:
        """What the process of a service is told. Passwords stand in files, which only their owner reads."""
        service = service_of(process)
        database = databases.database_of(service)

        def url(role: str) -> str:
            return self.postgres.url(database, databases.role_of(service, role))

        def secret(name: str) -> str:
            return str(self.secrets.file(name))

        told = {
            "PYTHONUNBUFFERED": "1",
            "TIEOUT_LOG": self._log,
            "TIEOUT_DATABASE_URL": url("app"),
            "TIEOUT_DATABASE_PASSWORD_FILE": secret(databases.secret_of(service, "app")),
            "TIEOUT_NATS_URL": self.hub.url,
            "TIEOUT_NATS_USER": service,
            "TIEOUT_NATS_PASSWORD_FILE": secret(f"nats_{service}"),
        }
        if service == "gateway":
            told["TIEOUT_HTTP_HOST"] = "127.0.0.1"
            # Nothing stands before the gateways here that would spread requests: who wants another one finds its port
            # in its log.
            told["TIEOUT_HTTP_PORT"] = str(self.http_port if process == service else processes.free_port())
            told["TIEOUT_ADMIN_TOKEN_FILE"] = secret("admin_token")
            told["TIEOUT_SITES"] = ",".join(self.sites_wanted)
        if self.jaeger is not None:
            told |= self.jaeger.environment(os.environ | self._environment)
        return {**os.environ, **told, **self._environment}

    def _begin_services(self) -> None:
        """All at once while the servers below start: on two cores that saves a third of a start."""
        early = {**os.environ, "PYTHONUNBUFFERED": "1", "TIEOUT_LOG": self._log, **self._environment}
        for name in self.process_names():
            self._supervisor.begin(name, early)

    async def operator(self) -> nats.aio.client.Client:
        """A client of the hub that may do everything."""
        if self._operator is None:
            self._operator = await sites.connect(self.hub, permissions.OPERATOR, self.secrets.of("nats_operator"))
        return self._operator

    # How it is done

    async def _prepare(self) -> None:
        """Servers, sites, databases and their schemas. Where this folder is up to date nothing is migrated."""
        migrations = Migrations(self.logs / "migrations.log")
        wanted, done = fingerprint(self.services_wanted), self.folder / "migrated"
        current = done.exists() and done.read_text() == wanted
        if not current and self.services_wanted:
            await migrations.start()
        self._begin_services()
        try:
            self._start_servers()
            for name, site in self.sites.items():
                await sites.prepare(name, site, self.secrets)
                _go_on()
            made = await databases.prepare(self.postgres, self.secrets, self.services_wanted)
            _go_on()
            if (made or not current) and self.services_wanted:
                if current:
                    await migrations.start()
                await migrations.run([self._target(service) for service in self.services_wanted])
                done.write_text(wanted)
        finally:
            await migrations.stop()

    def _target(self, service: str) -> Target:
        url = self.postgres.url(databases.database_of(service), databases.role_of(service, "owner"))
        return Target(service, url, self.secrets.of(databases.secret_of(service, "owner")))

    def _start_servers(self) -> None:
        self.secrets = Secrets(self.folder / "secrets")
        self.postgres = Postgres(
            self.folder / "postgres",
            self.secrets.of("postgres"),
            log=self.logs / "postgres.log",
            settings=self._postgres_settings,
        )
        self.hub = broker.hub(self.folder / "hub", self.secrets, log=self.logs / "hub.log", sites=self.sites_wanted)
        self.sites: dict[str, broker.Nats] = {}
        started = (self.postgres, self.hub) if self.jaeger is None else (self.jaeger, self.postgres, self.hub)
        for server in started:
            self._servers.append(server)
            server.start()
        for name in self.sites_wanted:
            log = self.logs / f"{name}.log"
            self.sites[name] = broker.site(name, self.folder / name, self.secrets, self.hub, log=log, line=self._line)
            self._servers.append(self.sites[name])
            self.sites[name].start()
        self._note_processes()

    async def _is_ready(self, service: str) -> bool:
        try:
            answer = await (await self.operator()).request(f"rpc.{service}.health", b"{}", timeout=5)
            health = msgspec.json.decode(answer.data, type=Health)
            healthy = health.ready and (self._ready or self._all_ready(service, health))
            if healthy and service == "gateway":
                async with httpx.AsyncClient(timeout=5) as client:
                    return (await client.get(f"http://127.0.0.1:{self.http_port}/readyz")).is_success
            return healthy
        except httpx.HTTPError:
            return False
        except (nats.errors.Error, msgspec.MsgspecError, OSError):
            return False

    def _all_ready(self, service: str, health: Health) -> bool:
        """Also the processes beside the one that has answered: whoever looks right after the start sees them all."""
        return sum(one.ready for one in health.replicas) >= self.replicas.get(service, 1)

    async def _restart_dead_servers(self) -> None:
        asked = time.monotonic()
        noted = True
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if time.monotonic() - asked > _HEALTH_SECONDS:
                asked = time.monotonic()
                for server in list(self._servers):
                    if isinstance(server, broker.Nats) and await asyncio.to_thread(server.must_start_anew):
                        processes.complain(f"the disk of {server.name} was full, so it is started anew")
                        if server.process is not None:
                            server.process.send_signal(signal.SIGTERM)
                for name, site in self.sites.items():
                    await sites.restore(name, site, self.secrets)
            for server in self._servers:
                if server.process is not None and server.process.poll() is not None:
                    noted = False
                    try:
                        server.start(server.port)
                    except (ServerFailed, OSError) as failure:  # Tried again in a moment: its services wait for it.
                        processes.complain(str(failure))
            if not noted:
                with contextlib.suppress(OSError):  # The disk is full.
                    self._note_processes()
                    noted = True

    def _note_processes(self) -> None:
        known: dict[str, Known] = {
            "postgres": (self.postgres.process, 0, self.postgres.log),
            "hub": (self.hub.process, 0, self.hub.log),
            **({} if self.jaeger is None else {"jaeger": (self.jaeger.process, 0, self.jaeger.log)}),
            **{name: (site.process, 0, site.log) for name, site in self.sites.items()},
            **{name: (it.process, it.restarts, it.log) for name, it in self._supervisor.services.items()},
        }
        self._kept.note(known)


def _go_on() -> None:
    """Raises CancelledError where this start was given up: clients of servers swallow that while they connect, and the
    start would go on to its end with nobody left who stops it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
