"""Satellites as they speak to a running stack: a web shop over signed HTTP, an office over HTTP, a till on a leaf.

Each repeats what was not answered under the same delivery id, as a careful client does; the gateway then resumes
instead of taking it in twice. An answer that says no (4xx) is the caller's to judge and is never repeated.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import nats.aio.client
import nats.errors
import nats.js.errors
from msgspec import Struct
from tieout.devstack import permissions
from tieout.devstack.endpoints import NatsEndpoint

ATTEMPTS_MAX = 60
WAIT_SECONDS = 0.25


class Unanswered(Exception):
    """Nobody took the document, however often it was offered. Start the stack, or look at the gateway's log."""


class Answer(Struct, frozen=True):
    status: int
    body: bytes

    @property
    def taken(self) -> bool:
        return self.status == 202


class Door:
    """The gateway's intake over HTTP, on kept connections. A tenth of the CPU of a general client: the satellites of a
    demo or a benchmark run on the machine that they measure."""

    def __init__(
        self, gateway: str, *, connections: int = 16, timeout_seconds: float = 20.0, attempts: int = ATTEMPTS_MAX
    ) -> None:
        where = urlsplit(gateway)
        self._host, self._port = where.hostname or "127.0.0.1", where.port or 80
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def send(self, satellite: str, channel: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Repeats on a broken line and on 429 and 5xx, which the gateway answers before it has kept anything."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST /v1/intake/{satellite}/{channel} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{fields}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode() + body
        for attempt in range(self._attempts):
            with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError):
                async with self._slots:
                    answer = await self._exchange(request)
                if answer.status != 429 and answer.status < 500:
                    return answer
            await asyncio.sleep(WAIT_SECONDS * min(attempt + 1, 4))
        raise Unanswered(f"{satellite}/{channel}: no answer after {self._attempts} attempts.")

    async def _exchange(self, request: bytes) -> Answer:
        """One request on one connection, which is kept only if its answer was read to the end."""
        async with asyncio.timeout(self._timeout_seconds):
            line = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
            reader, writer = line
            try:
                writer.write(request)
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                status = int(head.split(" ", 2)[1])
                body = await _read_body(reader, head)
            except BaseException:
                writer.close()
                raise
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append(line)
        return Answer(status, body)


async def _read_body(reader: asyncio.StreamReader, head: str) -> bytes:
    """What an HTTP/1.1 server of our own answers: with a length, or in chunks."""
    if "transfer-encoding: chunked" in head:
        parts = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readline()
        return b"".join(parts)
    _, found, rest = head.partition("content-length:")
    return await reader.readexactly(int(rest.split("\r\n", 1)[0])) if found else b""


def shopify_headers(secret: str, topic: str, delivery: str, body: bytes, *, genuine: bool = True) -> dict[str, str]:
    """As Shopify sends them. The signature is the base64 of HMAC-SHA256 over the raw bytes."""
    key = secret if genuine else secret + "x"
    signature = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": "tieout-tea.myshopify.com",
        "X-Shopify-API-Version": "2026-10",
        "X-Shopify-Webhook-Id": delivery,
        "X-Shopify-Hmac-Sha256": signature,
    }


def key_headers(api_key: str, delivery: str, content_type: str = "application/json") -> dict[str, str]:
    return {"Content-Type": content_type, "X-Api-Key": api_key, "Idempotency-Key": delivery}


class Till:
    """A till in a store: publishes to the store's own stream, whether the hub is there or not."""

    def __init__(self, endpoint: NatsEndpoint, *, in_flight: int = 256) -> None:
        self._endpoint = endpoint
        self._client = nats.aio.client.Client()
        self._slots = asyncio.Semaphore(in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def open(self) -> None:
        async def quiet(_: Exception) -> None:
            """It connects again by itself; what was not answered is published again."""

        await self._client.connect(
            self._endpoint.url,
            user=self._endpoint.user,
            password=Path(self._endpoint.password_file).read_text().strip(),
            inbox_prefix=permissions.inbox_of(self._endpoint.user).encode(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            error_cb=quiet,
        )

    async def sell(self, kind: str, delivery: str, body: bytes, done: Callable[[], None]) -> None:
        """Returns as soon as there is room to wait for the answer; `done` is called once the store has it on disk."""
        if self._failure is not None:
            raise self._failure
        await self._slots.acquire()
        task = asyncio.create_task(self._publish(kind, delivery, body, done))
        self._tasks.add(task)
        task.add_done_callback(self._settle)

    async def flush(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        if self._client.is_connected or self._client.is_reconnecting:
            await self._client.close()

    async def _publish(self, kind: str, delivery: str, body: bytes, done: Callable[[], None]) -> None:
        stream = self._client.jetstream()
        for _ in range(ATTEMPTS_MAX):
            try:
                await stream.publish(f"sale.{kind}", body, timeout=5, headers={"Nats-Msg-Id": delivery})
            except (nats.errors.Error, nats.js.errors.Error):
                await asyncio.sleep(WAIT_SECONDS)
            else:
                done()
                return
        raise Unanswered(f"sale.{kind}: the store's own broker did not answer after {ATTEMPTS_MAX} attempts.")

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
