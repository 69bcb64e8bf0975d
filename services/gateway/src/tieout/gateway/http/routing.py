"""Which answer belongs to a path. Some fifty routes, all made from the contracts: a table does it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import structlog
from msgspec import Struct
from tieout.contracts.operation import Problem
from tieout.gateway.http.problems import Headers, answer, refuse
from tieout.servicekit import Refused

log = structlog.get_logger(__name__)

IN_BRACES = re.compile(r"\{(\w+)\}")


class Answer(Struct, frozen=True):
    body: bytes
    media_type: bytes = b"application/json"
    headers: Headers = ()


class Asked:
    """One HTTP request."""

    def __init__(self, scope: Any, receive: Any, in_path: Mapping[str, str]) -> None:
        self.path: str = scope["path"]
        self.in_path = in_path
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        self._receive = receive

    async def body(self, bytes_max: int) -> bytes:
        """Raises Refused above the cap, and ConnectionError where the client hangs up."""
        content = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client hung up")
            content += message.get("body", b"")
            more = message.get("more_body", False)
            if len(content) > bytes_max:
                raise Refused("too_large", f"The body is larger than {bytes_max} bytes.", status=413)
        return bytes(content)


Handler = Callable[[Asked], Awaitable[Answer]]


class Router:
    """An ASGI application. Handlers answer, or raise Refused; what else they raise is told by a reference only."""

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, Handler]] = {}
        self._open: list[tuple[re.Pattern[str], dict[str, Handler]]] = []
        self._shapes: dict[str, dict[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        if "{" not in path:
            self._fixed.setdefault(path, {})[method] = handler
            return
        if path not in self._shapes:
            self._shapes[path] = {}
            pattern = "".join(
                f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
                for index, part in enumerate(IN_BRACES.split(path))
            )
            self._open.append((re.compile(pattern), self._shapes[path]))
        self._shapes[path][method] = handler

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # As it was written: a document number may hold a slash, which is %2F then.
        path = scope["raw_path"].decode("latin-1") if scope.get("raw_path") else scope["path"]
        path = path.rstrip("/") or "/"
        methods, in_path = self._find(path)
        asked = Asked({**scope, "path": path}, receive, in_path)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if not methods:
            problem = Problem("not_found", "There is no such path. See /docs for those that exist.", "", 404)
            await refuse(send, problem, path)
        elif method not in methods:
            allowed = ", ".join(sorted(methods))
            problem = Problem("method", f"{method[:20]} is not possible here; {allowed} is.", "", 405)
            await refuse(send, problem, path, headers=[(b"allow", allowed.encode())])
        else:
            await _answer(methods[method], asked, send)

    def _find(self, path: str) -> tuple[dict[str, Handler], Mapping[str, str]]:
        if path in self._fixed:
            return self._fixed[path], {}
        for pattern, methods in self._open:
            if (found := pattern.fullmatch(path)) is not None:
                return methods, {name: unquote(value) for name, value in found.groupdict().items()}
        return {}, {}


async def _answer(handler: Handler, asked: Asked, send: Any) -> None:
    try:
        told = await handler(asked)
    except Refused as refused:
        await refuse(send, refused.problem, asked.path)
    except ConnectionError:
        log.info("a client hung up", path=asked.path)
    except Exception as error:
        reference = f"{id(error) & 0xFFFFFFFFFFFF:012x}"
        log.error("request failed", path=asked.path, reference=reference, exc_info=error)
        detail = f"Something went wrong here. The gateway's log has it under {reference}."
        await refuse(send, Problem("internal", detail, "", 500), asked.path)
    else:
        await answer(send, 200, told.body, media_type=told.media_type, headers=told.headers)
