"""What stands between bare bytes and a request: limits on heads and connections, and an answer to what is no HTTP.

uvicorn bounds how long a connection may idle between requests, but neither how long a head may take, nor how large it
may become, nor how many connections there are, nor how long it listens to the rest of a body that was answered already.
What it cannot read it answers in plain text, also in the middle of another answer. What comes after a chunked body it
takes for headers, as much of it as anybody sends. The time of a document's body is
bounded where it is read (intake.py).
"""

import sys
from typing import Any, ClassVar

import httptools
import structlog
from tieout.contracts.operation import Problem
from tieout.gateway.http.problems import MEDIA_TYPE, body_of
from tieout.gateway.settings import Settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = structlog.get_logger(__name__)

HEAD_BYTES_MAX = 64 << 10
TRAILER_BYTES_MAX = 8 << 10  # Of fields after the body. Nobody reads them.
CROWDED_SECONDS = 60.0  # Between two lines of the log.
LINGER_SECONDS = 1.0  # A connection that is closed under a client which is still sending is reset, and the answer lost.
HEAD = (
    b"content-type: %b\r\ncontent-length: %d\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
    b"connection: close\r\n\r\n"
)
LENGTHS = ("Content-Length", "Transfer-Encoding")
TARGET = (httptools.HttpParserInvalidURLError, AttributeError, UnicodeDecodeError)  # No path in it, or none in ASCII.


class TrailersTooLarge(Exception):
    """What comes after the body is more than anybody has to say there."""


class CodedBody(Exception):
    """A body that is encoded for its transfer beyond chunks, as `gzip, chunked`: nobody here undoes that, and what is
    behind it must not be taken as it stands (RFC 9112, 6.1)."""


class _Trailers(list[tuple[bytes, bytes]]):
    """Where the parser puts the fields of one request that come after its body: nowhere (RFC 9110, 6.5.1). What is said
    there is no header: whoever checked the head, a proxy or we, has not seen it.

    Of headers nothing is asked this way: theirs is the hot path.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def append(self, field: tuple[bytes, bytes]) -> None:
        self._bytes += len(field[0]) + len(field[1]) + len(": \r\n")
        if self._bytes > TRAILER_BYTES_MAX:
            raise TrailersTooLarge


def guarded(settings: Settings) -> type[HttpToolsProtocol]:
    """The protocol with its limits; a class, because uvicorn makes the instances."""

    class Guarded(HttpToolsProtocol):
        open_connections = 0
        silent: ClassVar[dict["Guarded", None]] = {}  # That have never sent a whole head; the oldest first.
        crowded_told = -CROWDED_SECONDS
        _deadline: Any = None
        _head_bytes = 0
        _bytes_since_body = 0  # A field without an end is not told by the parser, and kept there.
        _counted = False
        _in_head = True
        _half_closed = False
        _refusal: Problem | None = None  # Of what could not be read; nothing is read any more.
        _owed = 0  # Answers to what was asked completely before it: they go first.

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._counted = True
            Guarded.open_connections += 1
            if Guarded.open_connections > settings.connections_max and not self._make_room():
                transport.abort()
                return
            Guarded.silent[self] = None
            self._await_head()

        def _make_room(self) -> bool:
            """Who has asked nothing for longest gives way to the newcomer: a head is there in a moment from whoever
            means it, and many connections that say nothing would else keep everybody out. False: all have asked."""
            now = self.loop.time()
            if now - Guarded.crowded_told > CROWDED_SECONDS:
                Guarded.crowded_told = now
                log.warning(
                    "as many connections as are allowed; the oldest that asked nothing are closed",
                    connections_max=settings.connections_max,
                    silent=len(Guarded.silent),
                    newest_from=(self.client or ("",))[0],
                )
            oldest = next(iter(Guarded.silent), None)
            if oldest is None:
                return False
            del Guarded.silent[oldest]
            oldest._no_deadline()
            oldest.transport.abort()
            return True

        def connection_lost(self, exc: Exception | None) -> None:
            if self._counted:
                self._counted = False
                Guarded.open_connections -= 1
                Guarded.silent.pop(self, None)
            self._no_deadline()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refusal is not None:
                return
            if self._in_head:
                if self._deadline is None:
                    self._await_head()
                self._head_bytes += len(data)
            else:
                self._bytes_since_body += len(data)
            super().data_received(data)
            if self._refusal is not None or self.transport.is_closing():
                return
            if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
                told = (
                    f"The first line and the headers have more than {HEAD_BYTES_MAX} bytes together, which is the most."
                )
                self._refuse(Problem("head_too_large", told, "", 431))
            elif not self._in_head and self._bytes_since_body > TRAILER_BYTES_MAX:
                self._refuse(trailers_too_large())

        def eof_received(self) -> bool:  # type: ignore[override]  # True keeps the line open for our answer.
            """Who has said all and stops sending still listens: what was asked completely is answered first."""
            self._half_closed = True
            if self._refusal is not None:
                return self._owed > 0
            under_way = self.cycle is not None and not self.cycle.response_complete
            return bool(self._in_head and not self._head_bytes and (under_way or self.pipeline))

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._bytes_since_body = 0
            self._no_deadline()
            Guarded.silent.pop(self, None)
            if any(
                name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in self.headers
            ):
                raise CodedBody
            super().on_headers_complete()
            self.headers = _Trailers()  # The request has those of its head.

        def on_body(self, body: bytes) -> None:
            self._bytes_since_body = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._in_head = True  # The next request may follow on the same connection.
            self._head_bytes = 0
            self._no_deadline()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            """Who is still sending hears the answer, as long as it ends in time what nobody reads."""
            super().on_response_complete()
            if self._refusal is not None:
                self._owed -= 1
                self._answer_refused()
                return
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
                told = f"The first line and the headers did not arrive within {settings.head_seconds_max:g} s."
                self._refuse(Problem("head_too_slow", told, "", 408))

        def _unsupported_upgrade_warning(self) -> None:
            """Whoever asks for a websocket gets plain HTTP; our log is not the place to advise an installation."""

        def send_400_response(self, msg: str) -> None:
            """What uvicorn calls while it handles the parser's error."""
            error = sys.exception()
            self._refuse(unreadable(error) if error is not None else Problem("malformed", msg, "", 400))

        def _refuse(self, problem: Problem) -> None:
            """After the answers to what was asked completely before; in place of the answer to a request whose body is
            what cannot be read."""
            self._refusal = problem
            self._no_deadline()
            cycle = self.cycle  # Of the newest request.
            if cycle is not None and cycle.response_complete and not self._in_head:  # It was answered before its end.
                self._linger()
                return
            if cycle is not None and not cycle.response_complete:
                self._owed = len(self.pipeline) + 1
                if cycle.more_body:
                    self._owed -= 1
                    self._give_up(cycle)
                    if not self._owed and cycle.response_started:  # It was refused already, before its end.
                        self._linger()
                        return
            self._answer_refused()

        def _give_up(self, cycle: Any) -> None:
            """Whoever waits for its body, or would answer it, need not any more."""
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            cycle.waiting_for_100_continue = False
            cycle.disconnected = True
            cycle.message_event.set()

        def _answer_refused(self) -> None:
            if self._refusal is None or self._owed > 0 or self.transport.is_closing():
                return
            body = body_of(self._refusal, "")
            self._unset_keepalive_if_required()
            self.transport.write(STATUS_LINE[self._refusal.status] + HEAD % (MEDIA_TYPE, len(body)) + body)
            self._linger()

        def _linger(self) -> None:
            """Until the client has heard it and closes, or for a moment."""
            if self._half_closed or not self.transport.can_write_eof():
                self.transport.close()
                return
            self.transport.write_eof()
            self.flow.resume_reading()
            self._no_deadline()
            self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

        def _no_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Guarded


def trailers_too_large() -> Problem:
    told = f"After the body came more than {TRAILER_BYTES_MAX} bytes, which is the most. Nothing was kept of it"
    return Problem("trailers_too_large", f"{told}; nothing is read there, say it in the headers.", "", 431)


def unreadable(error: BaseException) -> Problem:
    """What of a request the parser could not read. Its reasons are fixed texts, without anything that a client sent."""
    if isinstance(error.__context__, TrailersTooLarge):
        return trailers_too_large()
    if isinstance(error.__context__, CodedBody):
        told = "A body is taken as it is or in chunks. Nothing was kept of it; send Transfer-Encoding: chunked alone"
        return Problem("body_length", f"{told}, and say gzip in Content-Encoding.", "Transfer-Encoding", 400)
    reason = str(error)
    told = f"{reason}. Nothing was kept of it"
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(error.__context__, TARGET):
        log.error("a request could not be read", exc_info=error)
        return Problem("internal", "Nothing was kept. The gateway's log has the cause.", "", 500)
    if field := next((name for name in LENGTHS if name in reason), ""):
        advice = "say how long the body is in one way: with one Content-Length, or with Transfer-Encoding: chunked"
        return Problem("body_length", f"{told}; {advice}.", field, 400)
    if "chunk" in reason.lower():
        return Problem("chunks", f"{told}; each chunk is its size in hex, CRLF, as many bytes, CRLF.", "", 400)
    if isinstance(error, httptools.HttpParserInvalidURLError | httptools.HttpParserCallbackError):
        told = "The first line names no path that can be read. Nothing was kept of it"
        return Problem("request_target", f"{told}; write /v1/... in ASCII, anything else with percent signs.", "", 400)
    if "header" in reason.lower():
        return Problem("headers", f"{told}; each header is a line of its own, `Name: value`.", "", 400)
    advice = "a request begins with a line like `POST /v1/intake/till/tieout HTTP/1.1`, and is not encrypted here"
    return Problem("request_line", f"{told}; {advice}.", "", 400)
