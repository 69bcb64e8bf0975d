"""uvicorn inside the service's process, and who answers which path. What stands before it is in guard.py."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn
from tieout.contracts.operation import Problem
from tieout.gateway.http.guard import guarded
from tieout.gateway.http.intake import PATH
from tieout.gateway.http.problems import refuse
from tieout.gateway.settings import Settings
from tieout.servicekit import Misconfigured

log = structlog.get_logger(__name__)

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
        try:
            if scope["path"].startswith(PATH):
                await intake(scope, receive, send)
            else:
                asked = {**scope, "path": scope["raw_path"].decode("latin-1")}
                await operations(asked, receive, send)
                scope["path_template"] = asked.get("path_template", "/")
        except Exception as error:
            told = "Whether it was done is not known: ask before you send it again. The gateway's log has the cause."
            try:
                await refuse(send, Problem("internal", told, "", 500), scope["path"])
            except RuntimeError:  # The answer had begun: uvicorn cuts it off, and logs why.
                error.add_note(f"a request failed in the middle of its answer, path={scope['path'][:100]}")
                raise error from None
            log.exception("a request failed", path=scope["path"][:100], exc_info=error)

    return application


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The service has its own."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As it is; but where it cannot listen, it must not end the process in the middle of the loop."""
        try:
            await super().startup(sockets)
        except SystemExit:
            raise Misconfigured(
                f"TIEOUT_HTTP_PORT={self.config.port} on {self.config.host} cannot be listened on. Choose a free port."
            ) from None


async def serve(application: Any, settings: Settings) -> None:
    """Until it is cancelled; then what is under way is answered."""
    config = uvicorn.Config(
        application,
        host=settings.http_host,
        port=settings.http_port,
        http=guarded(settings),
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
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(STOP_SECONDS_MAX + 1):
                await asyncio.shield(serving)
