"""The operations that the contracts declare, as HTTP routes: one place for authentication, permission and audit.

A request becomes the operation's own Struct, goes to its owner over NATS, and the answer comes back as it is.
"""

import functools
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import structlog
from litestar import Litestar, Request, Response, route
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp, Method
from nats.aio.client import Client
from tieout.contracts.catalogue import CONTRACTS
from tieout.contracts.operation import Operation, Problem
from tieout.contracts.reason import wrong_reason_of
from tieout.gateway.channels.reading import inspect
from tieout.gateway.domain.faults import Fault
from tieout.gateway.http import openapi
from tieout.gateway.http.asking import Asking
from tieout.gateway.http.bounds import out_of_bounds
from tieout.gateway.http.callers import Caller, Callers
from tieout.gateway.http.keys import check_keys, keys_of
from tieout.gateway.http.once import said_once
from tieout.gateway.http.problems import MEDIA_TYPE, body_of, headers_of
from tieout.gateway.intake.splitting import depth_exceeds
from tieout.gateway.known_fields import strict, told_unknown, unknown_field
from tieout.gateway.wording import explained
from tieout.servicekit import ACTOR, ACTOR_HEADER, Answers, Database, Refused, sql
from tieout.servicekit.errors import Cause, cause_of, nul_field

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

OPERATIONS: tuple[Operation, ...] = tuple(
    operation for contract in CONTRACTS for operation in getattr(contract, "OPERATIONS", ())
)
BODY_BYTES_MAX = 8 << 20
DEPTH_MAX = 100  # Nesting of a body: a document's own limit, and what an operation puts around it.
MESSAGE_BYTES_MAX = 1_000_000  # Of a request to another service.
NUL = b"\\u0000"  # As JSON has it. No database of ours keeps it, so nothing can be found under it either.
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
SAFE = {"X-Content-Type-Options": "nosniff"}
Asked = Request[Any, Any, Any]
Answer = Response[bytes]
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Routes:
    """One handler per operation. `own` are answered here; all others are asked over NATS."""

    def __init__(
        self,
        connection: Client,
        database: Database,
        callers: Callers,
        own: Iterable[Answers[Any, Any]],
        after_change: Callable[[], None],
    ) -> None:
        self._asking = Asking(connection)
        self._database = database
        self._callers = callers
        self._own = {answers.operation.name: answers for answers in own}
        self._after_change = after_change  # Called after one of our own commands.

    def handlers(self) -> list[HTTPRouteHandler]:
        return [self._handler(operation) for operation in OPERATIONS]

    def _handler(self, operation: Operation) -> HTTPRouteHandler:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(operation.request)}

        async def permitted(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
            """A coroutine, because Litestar moves a plain function to a thread: 70 us."""
            caller = await self._find(connection.headers.get("authorization", ""))
            if caller is None:
                raise Refused("unauthorized", _unknown_caller(connection.headers.get("authorization", "")), status=401)
            if operation.scope not in caller.scopes:
                raise Refused("forbidden", f"This needs the scope {operation.scope}.", status=403)
            connection.scope["user"] = caller

        async def handle(request: Asked) -> Answer:
            if operation.scope == "read" or operation.method == "GET":
                return _json(await self._call(operation, await _request_of(operation, fields, request)))
            return await self._change(request.user, operation, fields, request)

        methods: list[Method] = ["GET", "HEAD"] if operation.method == "GET" else [operation.method]
        path = openapi.IN_BRACES.sub(r"{\1:str}", operation.path)
        return route(path, http_method=methods, name=operation.name, status_code=200, guards=[permitted])(handle)

    async def _find(self, authorization: str) -> Caller | None:
        try:
            return await self._callers.find(authorization)
        except Exception as error:
            if cause_of(error) is Cause.CODE:
                raise
            log.warning("tokens cannot be read", error=repr(error)[:300])
            raise Refused("unavailable", "The database is away. Try again in a moment.", status=503) from None

    async def _change(self, caller: Caller, operation: Operation, fields: dict[str, Any], asked: Asked) -> Answer:
        """Who asked for which change, and what was answered, is written down whatever the answer is."""
        digest, status = hashlib.sha256(), 500
        ACTOR.set(caller.actor)
        try:
            answered = await self._call(operation, await _request_of(operation, fields, asked, digest))
            status = 200
        except Refused as refused:
            status = refused.problem.status
            raise
        finally:
            try:
                async with self._database.pool.acquire() as connection:
                    path = asked.scope["path"][:500]
                    await connection.execute(
                        statements.note, caller.actor, caller.token, operation.name, path, status, digest.digest()
                    )
            except Exception as error:
                log.error("audit entry lost", who=caller.actor, operation=operation.name, error=repr(error)[:300])
        return _json(answered)

    async def _call(self, operation: Operation, request: Any) -> bytes:
        own = self._own.get(operation.name)
        if own is not None:
            return await self._call_own(own, request)
        payload = _encode(request)
        if len(payload) > MESSAGE_BYTES_MAX:
            raise Refused("too_large", f"The request has {len(payload)} bytes. Send it in parts.", status=413)
        actor = {ACTOR_HEADER: ACTOR.get()} if ACTOR.get() else None
        answer = await self._asking.ask(operation, payload, actor)
        if answer.headers and "Nats-Service-Error-Code" in answer.headers:
            problem = msgspec.json.decode(answer.data, type=Problem)
            raise Refused(problem.code, problem.detail, field=problem.field, status=problem.status)
        return answer.data

    async def _call_own(self, own: Answers[Any, Any], request: Any) -> bytes:
        try:
            answered = _encode(await own(request, self._database))
        except Exception as error:
            if cause_of(error) in (Cause.PASSING, Cause.AGAIN):
                log.warning("database away", error=repr(error)[:300])
                raise Refused("unavailable", "The database is away. Try again in a moment.", status=503) from None
            raise
        if own.operation.scope != "read":
            self._after_change()
            self._callers.forget()
        return answered


def _unknown_caller(authorization: str) -> str:
    kind, _, token = authorization.partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return "This bearer token is unknown, expired or revoked. See ./tieout token list --all."
    return "A bearer token is needed: Authorization: Bearer …"


async def _request_of(operation: Operation, fields: dict[str, Any], asked: Asked, digest: Any = None) -> Any:
    """Path, query and body -> the operation's request; what does not fit is told with its field."""
    told: dict[str, Any] = {}
    if operation.method != "GET":
        told = await _body_of(asked, digest)
    for name, values in parse_qs(asked.scope["query_string"].decode("latin-1"), keep_blank_values=True).items():
        if operation.method != "GET" or name not in fields:
            known = ", ".join(fields) if operation.method == "GET" else "none, the fields stand in the body"
            detail = f"There is no query parameter {name!r}; there are: {known}."
            raise Refused("invalid", detail, field=name, status=422)
        told[name] = _lax(name, values, fields[name])
    for name in openapi.IN_BRACES.findall(operation.path):
        told[name] = _lax(name, [unquote(asked.path_params[name])], fields[name])
    if (key := said_once(asked.scope["headers"], "Idempotency-Key")) and "idempotency_key" in fields:
        told.setdefault("idempotency_key", key)
    if unknown := sorted(set(told) - set(fields)):
        detail = f"There is no field {unknown[0]!r}; there are: {', '.join(fields)}."
        raise Refused("invalid", detail, field=unknown[0], status=422)
    if operation.scope != "read" and operation.method != "GET":
        try:
            check_keys(told, keys_of(operation.request))
        except Fault as fault:
            raise _invalid(fault.field, fault.detail) from None
    for name, kind in fields.items():
        if wrong := wrong_reason_of(kind, told.get(name)):
            raise _invalid(name, wrong)
    try:
        request: Any = msgspec.convert(told, strict(operation.request))
    except msgspec.ValidationError as error:
        if "unknown field" in str(error) and (found := unknown_field(told, operation.request)) is not None:
            raise Refused("invalid", f"{found[0]}: {told_unknown(*found)}", field=found[0], status=422) from None
        raise _invalid(*explained(str(error), operation.request)) from None
    content = _encode(request)
    if NUL in content and (field := nul_field(content)):
        raise Refused("invalid", f"{field}: The character U+0000 cannot be kept.", field=field, status=422)
    if (beyond := out_of_bounds(request, content, texts=operation.method == "GET")) is not None:
        raise _invalid(*beyond)
    return request


async def _body_of(asked: Asked, digest: Any) -> dict[str, Any]:
    kind = asked.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("media_type", f"Content-Type {kind[:60]!r} is not application/json.", status=415)
    try:
        content = await asked.body()
    except RequestEntityTooLarge:
        raise Refused("too_large", f"The body is larger than {BODY_BYTES_MAX} bytes.", status=413) from None
    except InternalServerException:  # Litestar's word for a client that hung up.
        log.info("a client hung up", path=asked.scope["path"])
        raise Refused("hung_up", "The client hung up before its request was complete.", status=400) from None
    if digest is not None:  # A question that is too long for a query string leaves no trace in the audit.
        digest.update(content)
    if not content.strip():
        return {}
    if depth_exceeds(content, DEPTH_MAX):  # Else the decoder ends at the interpreter's limit, of which nobody knows.
        raise Refused("too_deep", f"The body is nested deeper than {DEPTH_MAX} levels, which is the most.", status=422)
    try:
        told = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused("invalid", f"The body is no JSON: {error}.", status=422) from None
    if not isinstance(told, dict):
        raise Refused("invalid", "The body must be a JSON object.", status=422)
    try:
        inspect(content, told)
    except Fault as fault:
        raise _invalid(fault.field, fault.detail) from None
    return told


def _lax(name: str, values: list[str], kind: Any) -> Any:
    """Texts of path or query as the field's type: one value, or all where the field takes several."""
    told = ""
    for value in (values[-1], values):
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            told = told or explained(str(error), kind)[1]
    raise _invalid(name, told)


def _invalid(field: str, text: str) -> Refused:
    return Refused("invalid", f"{field}: {text}." if field else f"{text}.", field=field, status=422)


def _json(body: bytes) -> Answer:
    return Response(body, media_type="application/json", headers=SAFE)


def _refusal(problem: Problem, asked: Asked, **headers: str) -> Answer:
    told = {name.decode(): value.decode() for name, value in headers_of(problem)}
    body = body_of(problem, asked.scope["path"])
    every = {**SAFE, **told, **headers}
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE.decode(), headers=every)


def _refused(asked: Asked, refused: Refused) -> Answer:
    return _refusal(refused.problem, asked)


def _of_litestar(asked: Asked, error: HTTPException) -> Answer:
    """404, 405 and their like."""
    if error.status_code == 404:
        return _refusal(Problem("not_found", "There is no such path. See /docs for those that exist.", "", 404), asked)
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("allow", "").split(", ")))
        problem = Problem("method", f"{asked.method[:20]} is not possible here; {allowed} is.", "", 405)
        return _refusal(problem, asked, Allow=allowed)
    if error.status_code >= 500:
        return _unforeseen(asked, error)
    return _refusal(Problem("invalid", f"{error.detail}.", "", error.status_code), asked)


def _unforeseen(asked: Asked, error: Exception) -> Answer:
    """What it was is in the log alone."""
    reference = f"{id(error) & 0xFFFFFFFFFFFF:012x}"
    log.error("request failed", path=asked.scope["path"], reference=reference, exc_info=error)
    detail = f"Something went wrong here. The gateway's log has it under {reference}."
    return _refusal(Problem("internal", detail, "", 500), asked)


@functools.cache
def _document() -> bytes:
    """It knows nothing of settings. Tests build hundreds of gateways in one process."""
    return openapi.document(OPERATIONS)


def application(routes: Routes, ready: Callable[[], Awaitable[str]]) -> ASGIApp:
    """Everything but intake, which has an application of its own. `ready` says why documents cannot be taken now."""
    document = _document()
    page = openapi.page()

    async def describe() -> Answer:
        return _json(document)

    async def try_it() -> Answer:
        policy = {"Content-Security-Policy": PAGE_POLICY}
        return Response(page, media_type="text/html", headers={**SAFE, **policy})

    async def alive() -> Answer:
        return _json(b'{"status":"alive"}')

    async def is_ready() -> Answer:
        if why := await ready():
            raise Refused("unavailable", why, status=503)
        return _json(b'{"status":"ready"}')

    def page_at(*paths: str) -> Any:
        return route(list(paths), http_method=["GET", "HEAD"], status_code=200)

    return Litestar(
        [
            page_at("/openapi.json")(describe),
            page_at("/docs", "/")(try_it),
            page_at("/healthz")(alive),
            page_at("/readyz")(is_ready),
            *routes.handlers(),
        ],
        openapi_config=None,  # Ours is made from the contracts, in openapi.py.
        exception_handlers={Refused: _refused, HTTPException: _of_litestar, Exception: _unforeseen},
        logging_config=None,
        request_max_body_size=BODY_BYTES_MAX,
    )
