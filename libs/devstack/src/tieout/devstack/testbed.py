"""Real servers for tests: one Postgres and one hub per test process, fresh databases and streams per test.

The fixtures in the project's `conftest.py` are thin covers of this file.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import sys
from typing import Any

import asyncpg
import nats.aio.client
import nats.errors
import nats.js.errors
from msgspec import Struct
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.manager import JetStreamManager
from tieout.devstack import databases, permissions, quick_folder
from tieout.devstack import nats as broker
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.devstack.postgres import UNSAFE_BUT_FAST, Postgres
from tieout.devstack.secrets import Secrets
from tieout.servicekit.packs import unpacked
from tieout.servicekit.streams import own_stream

SITE = "store-1"


class PatientClient(nats.aio.client.Client):
    """Waits for an answer as long as a slow machine may need, unless told otherwise; nats-py gives up in 0.5 to 5 s."""

    def jetstream(self, **options: Any) -> JetStreamContext:
        return super().jetstream(**{"timeout": PATIENCE_SECONDS, **options})

    def jsm(self, **options: Any) -> JetStreamManager:
        return super().jsm(**{"timeout": PATIENCE_SECONDS, **options})

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = PATIENCE_SECONDS,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        return await super().request(subject, payload, timeout, old_style, headers)


class ServiceDatabase(Struct, frozen=True):
    """A database of one test. The URLs hold passwords, so that any client can use them as they are."""

    service: str
    name: str
    app_url: str
    owner_url: str
    auditor_url: str
    environment: dict[str, str]  # What a process of the service needs: TIEOUT_DATABASE_URL, TIEOUT_NATS_URL …


class Testbed:
    """Starts in about a second. Nothing is flushed to disk: these servers die with their test process."""

    __test__ = False  # No test case, whatever its name says to pytest.

    def __init__(self) -> None:
        self.folder = quick_folder.make()
        self.secrets = Secrets(self.folder / "secrets")
        settings = {**UNSAFE_BUT_FAST, "shared_buffers": "64MB", "max_wal_size": "256MB", "min_wal_size": "32MB"}
        log = self.folder / "postgres.log"
        self.postgres = Postgres(self.folder / "postgres", self.secrets.of("postgres"), log=log, settings=settings)
        self.hub = broker.hub(
            self.folder / "hub", self.secrets, log=self.folder / "hub.log", sites=[SITE], durable=False
        )
        self._templates: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def start(self) -> None:
        self.postgres.start()
        self.hub.start()

    def stop(self) -> None:
        self.hub.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def create_database(self, service: str, *, migrate: bool = True) -> ServiceDatabase:
        """A fresh database of `service`, with its schema or, `migrate=False`, empty.

        The schema is made once per test process by `python -m tieout.<service> migrate` and then copied (50 ms).
        """
        if service not in self._templates:
            await databases.prepare(self.postgres, self.secrets, (service,))
            self._templates[service] = databases.database_of(service)
        template = self._templates[service] if migrate else "template0"
        if migrate and template == databases.database_of(service):
            await self._migrate(self._describe(service, template))
            self._templates[service] = f"{template}_migrated"
            await self._superuser(f"ALTER DATABASE {template} RENAME TO {template}_migrated")
            template = self._templates[service]
        name = f"{databases.database_of(service)}_{next(self._numbers)}"
        connection = await asyncpg.connect(self.postgres.url())
        try:
            await databases.create(connection, service, name, template=template)
        finally:
            await connection.close()
        return self._describe(service, name)

    def copy_from_now_on(self, database: ServiceDatabase) -> None:
        """What `create_database` copies, for this service: a furnished one. Nobody may be connected to it."""
        self._templates[database.service] = database.name

    async def drop_database(self, database: ServiceDatabase) -> None:
        await self._superuser(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")

    async def connect(self, user: str = permissions.OPERATOR) -> PatientClient:
        """A client of the hub: as the operator, who may do everything, or as a service with its own permissions."""
        client = PatientClient()
        await client.connect(
            self.hub.url,
            connect_timeout=int(PATIENCE_SECONDS),
            user=user,
            password=self.secrets.of(f"nats_{user}"),
            inbox_prefix=permissions.inbox_of(user).encode(),
        )
        return client

    async def clear_streams(self, client: nats.aio.client.Client) -> None:
        """Delete every stream, with its durables: the next test starts on an empty hub."""
        manager = client.jsm()
        for stream in await manager.streams_info():
            if stream.config.name is not None:
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await manager.delete_stream(stream.config.name)

    async def _migrate(self, database: ServiceDatabase) -> None:
        command = (sys.executable, "-m", f"tieout.{database.service}", "migrate")
        environment = {**os.environ, **database.environment}
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}:\n{told.decode()}")

    async def _superuser(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.url())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _describe(self, service: str, name: str) -> ServiceDatabase:
        def url(role: str) -> str:
            password = self.secrets.of(databases.secret_of(service, role))
            return self.postgres.url(name, databases.role_of(service, role), password)

        def bare(role: str) -> str:
            return self.postgres.url(name, databases.role_of(service, role))

        environment = {
            "TIEOUT_DATABASE_URL": bare("app"),
            "TIEOUT_DATABASE_PASSWORD_FILE": str(self.secrets.file(databases.secret_of(service, "app"))),
            "TIEOUT_OWNER_URL": bare("owner"),
            "TIEOUT_OWNER_PASSWORD_FILE": str(self.secrets.file(databases.secret_of(service, "owner"))),
            "TIEOUT_NATS_URL": self.hub.url,
            "TIEOUT_NATS_USER": service,
            "TIEOUT_NATS_PASSWORD_FILE": str(self.secrets.file(f"nats_{service}")),
        }
        return ServiceDatabase(service, name, url("app"), url("owner"), url("auditor"), environment)


async def forget_facts(connection: "asyncpg.Connection[asyncpg.Record]", *tables: str) -> None:
    """Empty these tables, and every trace of it, for the next test. `connection` belongs to the owner.

    Only somebody who knows the kit as well as this and forges each of its records leaves nothing to be found.
    """
    kit = ("tamper", "guard", "guard_trusted", "schema_migration")
    triggers = await connection.fetch(
        "SELECT tgrelid::regclass::text AS tab, tgname AS name FROM pg_trigger WHERE tgrelid = 'tamper'::regclass"
    )
    statements = [f"DELETE FROM {table}" for table in tables if table not in kit]  # noqa: S608
    statements += ["ALTER TABLE tamper DISABLE TRIGGER USER", "DELETE FROM tamper"]
    statements += [f"ALTER TABLE {row['tab']} ENABLE ALWAYS TRIGGER {row['name']}" for row in triggers]
    async with connection.transaction():
        await connection.execute("SELECT set_config('tieout.guarding', 'on', true)")
        await connection.execute(";".join(statements))
        await connection.execute("DELETE FROM guard; INSERT INTO guard SELECT * FROM guards_now()")


def stream_config(producer: str) -> StreamConfig:
    """The stream of a producer that is not running in this test, so that its events can be played to a consumer."""
    return own_stream(producer, replicas=1, max_age_days=1)


async def events_of(operator: nats.aio.client.Client, stream: str, subject: str) -> list[bytes]:
    """All events of this subject that stand in the stream, in its order; a message carries one or many."""
    js = operator.jetstream()
    last = (await js.stream_info(stream)).state.last_seq
    told = [await js.get_msg(stream, number, direct=False) for number in range(1, last + 1)]
    return [event for message in told if message.subject == subject for event in unpacked(message.data or b"")]
