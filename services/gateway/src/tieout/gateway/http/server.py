"""uvicorn inside the service's process, with what it lacks against slow and greedy clients.

uvicorn bounds how long a connection may idle between requests, but neither how long a head may take, nor how large it
may become, nor how many connections there are, nor how long it listens to the rest of a body that was answered already.
The time of a document's body is bounded where it is read (intake.py).
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn
from tieout.contracts.operation import Problem
from tieout.gateway.http.intake import PATH
from tieout.gateway.http.problems import MEDIA_TYPE, body_of
from tieout.gateway.settings import Settings
from tieout.servicekit import Misconfigured
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger(__name__)

HEAD_BYTES_MAX = 64 << 10
KEEP_ALIVE_SECONDS = 30
STOP_SECONDS_MAX = 5


def front(intake: Any, operations: Any) -> Any:
    """Documents go their own short way, everything else through the framework.

    Mounted inside the framework, intake would pay 4 us per request for a choice that one comparison makes, and be given
    a path that is no longer what the client wrote.
    Paths go to the framework as they were written: a document number may hold a slash, which is %2F then.
    """

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].startswith(PATH):
            await intake(scope, receive, send)
        else:
            asked = {**scope, "path": scope["raw_path"].decode("latin-1")}
            await operations(asked, receive, send)
            scope["path_template"] = asked.get("path_template", "/")

    return application


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The service has its own."""
        yield


async def serve(application: Any, settings: Settings) -> None:
    """Until it is cancelled; then what is under way is answered."""
    config = uvicorn.Config(
        application,
        host=settings.http_host,
        port=settings.http_port,
        http=_guarded(settings),
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
        backlog=1024,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except SystemExit:  # uvicorn's way to say that it could not listen.
        raise Misconfigured(
            f"TIEOUT_HTTP_PORT={settings.http_port} on {settings.http_host} cannot be listened on. Choose a free port."
        ) from None
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(STOP_SECONDS_MAX + 1):
                await asyncio.shield(serving)


def _guarded(settings: Settings) -> type[HttpToolsProtocol]:
    """The protocol with limits on heads and connections; a class, because uvicorn makes the instances."""

    class Guarded(HttpToolsProtocol):
        open_connections = 0
        _deadline: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _counted = False
        _in_head = True
        _half_closed = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._counted = True
            Guarded.open_connections += 1
            if Guarded.open_connections > settings.connections_max:
                transport.close()
                return
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._counted:
                self._counted = False
                Guarded.open_connections -= 1
            self._no_deadline()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                if self._deadline is None:
                    self._await_head()
                self._head_bytes += len(data)
            super().data_received(data)
            if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._refuse_head(b"431 Request Header Fields Too Large")

        def eof_received(self) -> bool:  # type: ignore[override]  # True keeps the line open for our answer.
            """Who has said all and stops sending still listens: what was asked completely is answered first."""
            self._half_closed = True
            under_way = self.cycle is not None and not self.cycle.response_complete
            return bool(self._in_head and not self._head_bytes and (under_way or self.pipeline))

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._no_deadline()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_head = True  # The next request may follow on the same connection.
            self._head_bytes = 0
            self._no_deadline()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            """Who is still sending hears the answer, as long as it ends in time what nobody reads."""
            super().on_response_complete()
            if self._half_closed and self.cycle is not None and self.cycle.response_complete and not self.pipeline:
                self.transport.close()
            if not self._in_head and not self.transport.is_closing():
                self._no_deadline()
                self._deadline = self.loop.call_later(settings.body_seconds_max, self.transport.close)

        def _await_head(self) -> None:
            self._deadline = self.loop.call_later(settings.head_seconds_max, self._head_is_late)

        def _head_is_late(self) -> None:
            self._deadline = None
            if not self.transport.is_closing():
                self._refuse_head(b"408 Request Timeout")

        def _refuse_head(self, status: bytes) -> None:
            code = status.partition(b" ")[0]
            problem = Problem("head", "The head of the request was too slow or too large.", "", int(code))
            body = body_of(problem, "")
            head = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(head % (status, MEDIA_TYPE, len(body)) + body)
            self.transport.close()

        def _no_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Guarded
