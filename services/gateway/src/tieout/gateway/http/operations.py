"""The operations that the contracts declare, as HTTP routes: one place for authentication, permission and audit.

A request becomes the operation's own Struct, goes to its owner over NATS, and the answer comes back as it is.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import nats.errors
import structlog
from litestar import Litestar, Request, Response, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct
from nats.aio.client import Client
from tieout.contracts import control, finance, gateway, inventory, order
from tieout.contracts.operation import Operation, Problem
from tieout.gateway.http import openapi
from tieout.gateway.http.problems import MEDIA_TYPE, body_of
from tieout.servicekit import Answers, Database, Refused, sql
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation
    for contract in (gateway, order, inventory, finance, control)
    for operation in getattr(contract, "OPERATIONS", ())
)
ANSWER_SECONDS_MAX = 30.0
BODY_BYTES_MAX = 8 << 20
MESSAGE_BYTES_MAX = 1_000_000  # Of a request to another service.
IN_BRACES = re.compile(r"\{(\w+)\}")
_DECODE = msgspec.json.Decoder().decode
_ENCODE = msgspec.json.Encoder().encode


class Caller(Struct, frozen=True):
    name: str
    scopes: frozenset[str]


class Callers:
    """Who may call operations. One token for now: of whoever runs the stack."""

    def __init__(self, admin_token: str | None) -> None:
        self._hash = hashlib.sha256(admin_token.encode()).digest() if admin_token else None

    def find(self, authorization: str) -> Caller | None:
        kind, _, token = authorization.partition(" ")
        if self._hash is None or kind.lower() != "bearer":
            return None
        given = hashlib.sha256(token.strip().encode()).digest()
        return (
            Caller("admin", frozenset({"read", "write", "admin"})) if hmac.compare_digest(given, self._hash) else None
        )


class Routes:
    """One handler per operation. `own` are answered here; all others are asked over NATS."""

    def __init__(
        self,
        connection: Client,
        database: Database,
        callers: Callers,
        own: Iterable[Answers[Any, Any]],
        after_change: Any = None,
    ) -> None:
        self._connection = connection
        self._database = database
        self._callers = callers
        self._own = {answers.operation.name: answers for answers in own}
        self._after_change = after_change  # Called after one of our own commands.

    def handlers(self) -> list[HTTPRouteHandler]:
        return [self._handler(operation) for operation in OPERATIONS]

    def _handler(self, operation: Operation) -> HTTPRouteHandler:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(operation.request)}

        async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
            return await self._answer(operation, fields, request)

        path = IN_BRACES.sub(r"{\1:str}", operation.path)
        return route(path, http_method=operation.method, name=operation.name)(handle)

    async def _answer(
        self, operation: Operation, fields: dict[str, Any], request: Request[Any, Any, Any]
    ) -> Response[bytes]:
        path = request.url.path
        caller = self._callers.find(request.headers.get("authorization", ""))
        if caller is None:
            return refusal(Problem("unauthorized", "A bearer token is needed: Authorization: Bearer …", "", 401), path)
        if operation.scope not in caller.scopes:
            return refusal(Problem("forbidden", f"This needs the scope {operation.scope}.", "", 403), path)
        content = b""
        try:
            content = await _body(operation, request)
            asked = _ask_of(operation, fields, request, content)
            status, answered = 200, await self._call(operation, asked)
        except Refused as refused:
            status, answered = refused.problem.status, body_of(refused.problem, path)
        if operation.scope != "read":
            await self._note(caller, operation, path, status, content)
        return Response(answered, status_code=status, media_type="application/json" if status == 200 else PROBLEM)

    async def _call(self, operation: Operation, asked: Any) -> bytes:
        own = self._own.get(operation.name)
        if own is not None:
            return await self._call_own(own, asked)
        payload = _ENCODE(asked)
        if len(payload) > MESSAGE_BYTES_MAX:
            raise Refused("too_large", f"The request has {len(payload)} bytes. Send it in parts.", status=413)
        try:
            answer = await self._connection.request(operation.subject, payload, timeout=ANSWER_SECONDS_MAX)
        except nats.errors.NoRespondersError:
            raise Refused(
                "unavailable", f"The service {operation.owner} is not running. See ./tieout status.", status=503
            ) from None
        except (TimeoutError, nats.errors.TimeoutError):
            raise Refused(
                "timeout", f"The service {operation.owner} did not answer in {ANSWER_SECONDS_MAX:g} s.", status=504
            ) from None
        except (nats.errors.Error, OSError) as error:
            log.warning("broker away", error=repr(error)[:300])
            raise Refused("unavailable", "The broker is away. Try again in a moment.", status=503) from None
        if answer.headers and "Nats-Service-Error-Code" in answer.headers:
            problem = msgspec.json.decode(answer.data, type=Problem)
            raise Refused(problem.code, problem.detail, field=problem.field, status=problem.status)
        return answer.data

    async def _call_own(self, own: Answers[Any, Any], asked: Any) -> bytes:
        try:
            answered = _ENCODE(await own(asked, self._database))
        except Exception as error:
            if cause_of(error) in (Cause.PASSING, Cause.AGAIN):
                log.warning("database away", error=repr(error)[:300])
                raise Refused("unavailable", "The database is away. Try again in a moment.", status=503) from None
            raise
        if own.operation.scope != "read" and self._after_change is not None:
            self._after_change()
        return answered

    async def _note(self, caller: Caller, operation: Operation, path: str, status: int, content: bytes) -> None:
        """Who asked for which change, and what was answered."""
        digest = hashlib.sha256(content).digest()
        try:
            async with self._database.pool.acquire() as connection:
                await connection.execute(statements.note, caller.name, operation.name, path[:500], status, digest)
        except Exception as error:
            log.error("audit entry lost", who=caller.name, operation=operation.name, path=path, error=repr(error)[:300])


PROBLEM = MEDIA_TYPE.decode()


async def _body(operation: Operation, request: Request[Any, Any, Any]) -> bytes:
    if operation.method == "GET":
        return b""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("media_type", f"Content-Type {kind[:60]!r} is not application/json.", status=415)
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > BODY_BYTES_MAX:
            raise Refused("too_large", f"The body is larger than {BODY_BYTES_MAX} bytes.", status=413)
    return bytes(content)


def _ask_of(operation: Operation, fields: dict[str, Any], request: Request[Any, Any, Any], content: bytes) -> Any:
    """Path, query and body -> the operation's request; what does not fit is told with its field."""
    told: dict[str, Any] = {}
    if content.strip():
        try:
            decoded = _DECODE(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("invalid", f"The body is no JSON: {error}.", status=422) from None
        if not isinstance(decoded, dict):
            raise Refused("invalid", "The body must be a JSON object.", status=422)
        told = decoded
    for name, values in request.query_params.dict().items():
        if operation.method != "GET" or name not in fields:
            known = ", ".join(fields) if operation.method == "GET" else "none, the fields stand in the body"
            raise Refused(
                "invalid", f"There is no query parameter {name!r}; there are: {known}.", field=name, status=422
            )
        told[name] = _lax(name, values, fields[name])
    for name in IN_BRACES.findall(operation.path):
        told[name] = _lax(name, [str(request.path_params[name])], fields[name])
    key = request.headers.get("idempotency-key")
    if key and "idempotency_key" in fields:
        told.setdefault("idempotency_key", key)
    if unknown := set(told) - set(fields):
        name = sorted(unknown)[0]
        raise Refused("invalid", f"There is no field {name!r}; there are: {', '.join(fields)}.", field=name, status=422)
    try:
        return msgspec.convert(told, operation.request)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None


def _lax(name: str, values: list[str], kind: Any) -> Any:
    """A text of path or query as the field's type."""
    for value in (values, values[-1]):
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            told = str(error)
    raise Refused("invalid", f"{name}: {told}.", field=name, status=422)


def invalid(message: str) -> Refused:
    text, _, place = message.partition(" - at `$")
    field = place.rstrip("`").removeprefix(".")
    if not field and "required field" in text:
        field = text.split("`")[1]
    return Refused("invalid", f"{text}." if not field else f"{field}: {text}.", field=field, status=422)


def refusal(problem: Problem, path: str) -> Response[bytes]:
    headers = {"WWW-Authenticate": 'Bearer realm="tieout"'} if problem.status == 401 else {}
    return Response(body_of(problem, path), status_code=problem.status, media_type=PROBLEM, headers=headers)


def _of_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """404, 405 and their like."""
    words = {404: ("not_found", "There is no such path. See /docs for those that exist."), 405: ("method", "")}
    code, detail = words.get(error.status_code, ("invalid", ""))
    methods = (error.headers or {}).get("Allow", "")
    if error.status_code == 405:
        detail = f"{request.method} is not possible here; {methods or 'see /docs for what is'}."
    answer = refusal(Problem(code, detail or error.detail, "", error.status_code), request.url.path)
    if methods:
        answer.headers["Allow"] = methods
    return answer


def _unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    reference = hashlib.sha256(f"{id(error)}{request.url.path}".encode()).hexdigest()[:12]
    log.error("request failed", path=request.url.path, reference=reference, exc_info=error)
    detail = f"Something went wrong here. The gateway's log has it under {reference}."
    return refusal(Problem("internal", detail, "", 500), request.url.path)


def application(routes: Routes, ready: Any) -> ASGIApp:
    """Everything but intake, which has an application of its own. `ready` answers whether documents can be taken."""
    document = openapi.document(OPERATIONS)
    page = openapi.page()

    @route("/openapi.json", http_method="GET")
    async def describe() -> Response[bytes]:
        return Response(document, media_type="application/json")

    @route(["/docs", "/"], http_method="GET")
    async def try_it() -> Response[bytes]:
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return Response(page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})

    @route("/healthz", http_method="GET")
    async def alive() -> Response[bytes]:
        return Response(b'{"status":"alive"}', media_type="application/json")

    @route("/readyz", http_method="GET")
    async def is_ready(request: Request[Any, Any, Any]) -> Response[bytes]:
        why = await ready()
        if why:
            return refusal(Problem("unavailable", why, "", 503), request.url.path)
        return Response(b'{"status":"ready"}', media_type="application/json")

    return Litestar(
        [describe, try_it, alive, is_ready, *routes.handlers()],
        openapi_config=None,
        exception_handlers={HTTPException: _of_litestar, Exception: _unforeseen},
        logging_config=None,
        request_max_body_size=BODY_BYTES_MAX,
    )
