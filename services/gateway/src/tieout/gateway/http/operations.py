"""The operations that the contracts declare, as HTTP routes: one place for authentication, permission and audit.

A request becomes the operation's own Struct, goes to its owner over NATS, and the answer comes back as it is.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import nats.errors
import structlog
from msgspec import Struct
from nats.aio.client import Client
from tieout.contracts import control, finance, gateway, inventory, order
from tieout.contracts.operation import Operation, Problem
from tieout.gateway.http import openapi
from tieout.gateway.http.routing import IN_BRACES, Answer, Asked, Handler, Router
from tieout.servicekit import Answers, Database, Refused, sql
from tieout.servicekit.errors import Cause, cause_of, nul_field

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
NUL = b"\\u0000"  # As JSON has it. No database of ours keeps it, so nothing can be found under it either.
PAGE_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


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
        known = hmac.compare_digest(given, self._hash)
        return Caller("admin", frozenset({"read", "write", "admin"})) if known else None


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
        self._connection = connection
        self._database = database
        self._callers = callers
        self._own = {answers.operation.name: answers for answers in own}
        self._after_change = after_change  # Called after one of our own commands.

    def handler(self, operation: Operation) -> Handler:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(operation.request)}

        async def handle(asked: Asked) -> Answer:
            caller = self._callers.find(asked.headers.get("authorization", ""))
            if caller is None:
                raise Refused("unauthorized", "A bearer token is needed: Authorization: Bearer …", status=401)
            if operation.scope not in caller.scopes:
                raise Refused("forbidden", f"This needs the scope {operation.scope}.", status=403)
            if operation.scope == "read":
                return Answer(await self._call(operation, await _request_of(operation, fields, asked)))
            return await self._change(caller, operation, fields, asked)

        return handle

    async def _change(self, caller: Caller, operation: Operation, fields: dict[str, Any], asked: Asked) -> Answer:
        """Who asked for which change, and what was answered, is written down whatever the answer is."""
        digest, status = hashlib.sha256(), 500
        try:
            answered = await self._call(operation, await _request_of(operation, fields, asked, digest))
            status = 200
        except Refused as refused:
            status = refused.problem.status
            raise
        finally:
            try:
                async with self._database.pool.acquire() as connection:
                    path = asked.path[:500]
                    await connection.execute(
                        statements.note, caller.name, operation.name, path, status, digest.digest()
                    )
            except Exception as error:
                log.error("audit entry lost", who=caller.name, operation=operation.name, error=repr(error)[:300])
        return Answer(answered)

    async def _call(self, operation: Operation, request: Any) -> bytes:
        own = self._own.get(operation.name)
        if own is not None:
            return await self._call_own(own, request)
        payload = _encode(request)
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
        return answered


async def _request_of(operation: Operation, fields: dict[str, Any], asked: Asked, digest: Any = None) -> Any:
    """Path, query and body -> the operation's request; what does not fit is told with its field."""
    told: dict[str, Any] = {}
    if operation.method != "GET":
        told = await _body_of(asked, digest)
    for name, values in asked.query.items():
        if operation.method != "GET" or name not in fields:
            known = ", ".join(fields) if operation.method == "GET" else "none, the fields stand in the body"
            detail = f"There is no query parameter {name!r}; there are: {known}."
            raise Refused("invalid", detail, field=name, status=422)
        told[name] = _lax(name, values, fields[name])
    for name in IN_BRACES.findall(operation.path):
        told[name] = _lax(name, [asked.in_path[name]], fields[name])
    key = asked.headers.get("idempotency-key")
    if key and "idempotency_key" in fields:
        told.setdefault("idempotency_key", key)
    if unknown := sorted(set(told) - set(fields)):
        detail = f"There is no field {unknown[0]!r}; there are: {', '.join(fields)}."
        raise Refused("invalid", detail, field=unknown[0], status=422)
    try:
        request: Any = msgspec.convert(told, operation.request)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    content = _encode(request)
    if NUL in content and (field := nul_field(content)):
        raise Refused("invalid", f"{field}: The character U+0000 cannot be kept.", field=field, status=422)
    return request


async def _body_of(asked: Asked, digest: Any) -> dict[str, Any]:
    kind = asked.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("media_type", f"Content-Type {kind[:60]!r} is not application/json.", status=415)
    content = await asked.body(BODY_BYTES_MAX)
    digest.update(content)
    if not content.strip():
        return {}
    try:
        told = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid", f"The body is no JSON: {error}.", status=422) from None
    if not isinstance(told, dict):
        raise Refused("invalid", "The body must be a JSON object.", status=422)
    return told


def _lax(name: str, values: list[str], kind: Any) -> Any:
    """Texts of path or query as the field's type: one value, or all where the field takes several."""
    told = ""
    for value in (values[-1], values):
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            told = told or str(error)
    raise Refused("invalid", f"{name}: {told}.", field=name, status=422)


def _invalid(message: str) -> Refused:
    text, _, place = message.partition(" - at `$")
    field = place.rstrip("`").removeprefix(".")
    if not field and "required field" in text:
        field = text.split("`")[1]
    return Refused("invalid", f"{field}: {text}." if field else f"{text}.", field=field, status=422)


def application(routes: Routes, ready: Callable[[], Awaitable[str]]) -> Router:
    """Everything but intake, which has an application of its own. `ready` says why documents cannot be taken now."""
    document = openapi.document(OPERATIONS)
    page = openapi.page()
    router = Router()

    async def describe(asked: Asked) -> Answer:
        return Answer(document)

    async def try_it(asked: Asked) -> Answer:
        return Answer(page, b"text/html; charset=utf-8", [(b"content-security-policy", PAGE_POLICY)])

    async def alive(asked: Asked) -> Answer:
        return Answer(b'{"status":"alive"}')

    async def is_ready(asked: Asked) -> Answer:
        if why := await ready():
            raise Refused("unavailable", why, status=503)
        return Answer(b'{"status":"ready"}')

    for path, handler in (
        ("/openapi.json", describe),
        ("/docs", try_it),
        ("/", try_it),
        ("/healthz", alive),
        ("/readyz", is_ready),
    ):
        router.add("GET", path, handler)
    for operation in OPERATIONS:
        router.add(operation.method, operation.path, routes.handler(operation))
    return router
