"""The little HTTP that a kubelet and a Prometheus need: GET and HEAD, one answer per connection, no framework.

Whoever connects can cost little: bounds on bytes, seconds and connections; a body is never read.
"""

import asyncio
import contextlib
import http
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec
import structlog
from msgspec import Struct
from tieout.servicekit.errors import Misconfigured

log = structlog.get_logger(__name__)

HEAD_BYTES_MAX = 8 << 10  # Request line and headers.
SECONDS_MAX = 5.0  # Of a whole exchange.
CONNECTIONS_MAX = 32  # At once; probes and scrapes need two or three.
PROBLEM = "application/problem+json"
TOLD = {
    400: ("request_line", "The first line is none like `GET /readyz HTTP/1.1`."),
    404: ("not_found", "There is no such page. There are {pages}."),
    405: ("method", "Pages are read with GET or HEAD."),
    431: ("head_too_large", f"The first line and the headers have more than {HEAD_BYTES_MAX} bytes together."),
    500: ("internal", "The page could not be made. The service's log has the cause."),
}


class Page(Struct, frozen=True):
    status: int
    body: bytes
    kind: str = "application/json"


Answer = Callable[[], Awaitable[Page]]


class PlainHttp:
    """`answers` by path; a query is not looked at."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, None] = {}  # The oldest first.

    async def start(self, host: str, port: int, variable: str) -> int:
        """The port it listens on; 0 takes a free one. `variable` is what to change where that cannot be."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES_MAX)
        except (OSError, OverflowError) as error:
            raise Misconfigured(f"cannot listen on {host}:{port}: {error}. Change {variable}.") from None
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS_MAX:  # A probe must come through: whoever has dallied longest makes room.
            next(iter(self._open)).transport.abort()
            self._open.pop(next(iter(self._open)))
        self._open[writer] = None
        try:
            async with asyncio.timeout(SECONDS_MAX):
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    writer.write(await self._exchange(reader))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except TimeoutError:
            pass  # A client that does not go on; nobody is told, as probes come again.
        finally:
            self._open.pop(writer, None)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(_refusal(431), "GET")
        method, path, protocol, *more = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", "", ""]
        if not protocol.startswith("HTTP/1.") or any(more):
            return _response(_refusal(400), "GET")
        if method not in ("GET", "HEAD"):
            return _response(_refusal(405), "GET")
        answer = self._answers.get(path.partition("?")[0])
        if answer is None:
            return _response(_refusal(404, self._answers), method)
        try:
            page = await answer()
        except Exception:
            log.exception("a page failed", path=path[:100])
            page = _refusal(500)
        return _response(page, method)


def _refusal(status: int, pages: Iterable[str] = ()) -> Page:
    """As RFC 9457 has it, like every refusal over HTTP here."""
    code, detail = TOLD[status]
    told = {
        "type": f"urn:tieout:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail.format(pages=", ".join(pages)),
    }
    return Page(status, msgspec.json.encode(told), PROBLEM)


def _response(page: Page, method: str) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status} {http.HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        *(["Allow: GET, HEAD"] if page.status == 405 else []),
        "Connection: close",
    ]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if method == "HEAD" else head + page.body
