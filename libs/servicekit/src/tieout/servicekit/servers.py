"""Database and broker of a process: waited for at the start, heard of when they go and come, closed at the end."""

import asyncio
import contextlib
import time
import typing
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from faststream.security import SASLPlaintext
from nats.js import JetStreamContext
from tieout.servicekit.connection import QuickBroker, QuickClient
from tieout.servicekit.database import Identity, open_pool
from tieout.servicekit.errors import Cause, Misconfigured, cause_of
from tieout.servicekit.lifetime import Lifetime
from tieout.servicekit.settings import Settings, fresh_secret

log = structlog.get_logger(__name__)

COMPLAIN_SECONDS = 5.0


class Servers:
    """`waits_for`: the server that a start waits for now, else "". `pool` is for transactions, `marks` for what must
    not stand behind them. `on_away` and `on_back` are called when the connection to the broker goes, and with each new
    one."""

    def __init__(self, name: str, settings: Settings, lifetime: Lifetime) -> None:
        self._name = name
        self._settings = settings
        self._lifetime = lifetime
        self._complained = float("-inf")
        self.waits_for = ""
        self.identity = Identity()
        self.identity.on_replaced = self._replaced
        self.pool: Any = None
        self.marks: Any = None
        self.broker: QuickBroker | None = None
        self.on_away: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []

    async def patiently(self, what: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """At a start the servers may come later than we; only causes that pass are waited for."""
        pause = 0.1
        while True:
            try:
                self.waits_for = what
                found = await attempt()
                self.waits_for = ""
                return found
            except Exception as error:
                if cause_of(error) is not Cause.PASSING:
                    raise
                log.warning(f"waiting for the {what}", error=repr(error)[:300])
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    # ------------------------------------------------------------------ database

    async def open_database(self) -> None:
        url = self._settings.database_url
        if not url:
            raise Misconfigured("TIEOUT_DATABASE_URL is missing. Set it to postgresql://role@host:port/database.")
        password = fresh_secret(self._settings.database_password_file, "TIEOUT_DATABASE_PASSWORD_FILE")
        size, identity = self._settings.database_connections_max, self.identity
        self.pool = await self.patiently(
            "database", lambda: open_pool(url, password, self._name, size=size, identity=identity)
        )
        self.marks = await self.patiently(
            "database", lambda: open_pool(url, password, self._name, size=2, durable=False, identity=identity)
        )

    async def look_at_database(self) -> None:
        async with self.marks.acquire() as connection:  # Those of transactions may all wait for a lock.
            await connection.execute("SELECT 1")

    async def close_database(self) -> None:
        for pool in (self.pool, self.marks):
            if pool is not None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(1.0):
                        await pool.close()

    def _replaced(self, error: BaseException) -> None:
        if self._lifetime.failure is None:
            log.error(str(error))
        self._lifetime.end_for(error)

    # ------------------------------------------------------------------ broker

    @property
    def nats(self) -> QuickClient:
        assert self.broker is not None
        return typing.cast("QuickClient", self.broker.config.connection_state.connection)

    @property
    def jetstream(self) -> JetStreamContext:
        assert self.broker is not None
        return typing.cast("JetStreamContext", self.broker.config.connection_state.stream)

    async def open_broker(self) -> QuickBroker:
        self.broker = broker = self._make_broker()
        await self.patiently("broker", broker.connect)
        return broker

    async def close_broker(self) -> None:
        if self.broker is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2.0):
                    await self.nats.flush()
                    await self.nats.close()

    def _make_broker(self) -> QuickBroker:
        settings = self._settings
        options: dict[str, Any] = {"reconnect_time_wait": 0.2, "max_reconnect_attempts": -1}
        password = None
        if settings.nats_user:
            password = fresh_secret(settings.nats_password_file, "TIEOUT_NATS_PASSWORD_FILE")
            options["security"] = SASLPlaintext(username=settings.nats_user, password=password() if password else "")
        broker = QuickBroker(
            settings.nats_url,
            name=f"tieout-{self._name}",
            inbox_prefix=f"_INBOX_{settings.nats_user or self._name}",
            apply_types=False,
            logger=None,
            pending_size=64 << 20,
            reconnected_cb=self._reconnected,
            disconnected_cb=self._disconnected,
            **options,
        )
        broker.told, broker.password = self._told, password
        return broker

    async def _told(self, error: Exception) -> None:
        """nats-py says so at every attempt to reconnect, five times a second; once in a while is enough."""
        now = time.monotonic()
        if now - self._complained > COMPLAIN_SECONDS:
            self._complained = now
            said = "trouble with the broker" if self._lifetime.ready else "waiting for the broker"
            log.warning(said, error=repr(error)[:300])

    async def _disconnected(self) -> None:
        if self._lifetime.ready:
            log.warning("broker away")
            for told in self.on_away:
                told()

    async def _reconnected(self) -> None:
        log.info("broker back")
        for told in self.on_back:
            told()
