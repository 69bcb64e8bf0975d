"""Questions and commands: the NATS micro protocol (`nats micro ls`, `nats micro stats` see every service).

Every request runs in a task of its own behind a semaphore, because nats.micro alone answers one after the other; a stop
drains, so none is lost. Errors leave as a Problem; what we did not foresee leaves as a reference number only.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
import structlog
from nats import micro
from nats.aio.client import Client
from nats.micro.request import Request
from nats.micro.service import Service as MicroService
from tieout.contracts.operation import Operation, Problem
from tieout.servicekit.database import ACTOR, Database
from tieout.servicekit.errors import UNREADABLE, Cause, Refused, Unprocessable, cause_of, field_of

log = structlog.get_logger(__name__)

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")

AT_ONCE_MAX = 32  # Running; ten times as many may wait, then callers are told that we are busy.
ANSWER_BYTES_MAX = 1_000_000
SECONDS_MAX = 30.0
ACTOR_HEADER = "Tieout-Actor"  # For whom the gateway asks.


class Answers(Generic[Asked, Answered]):
    """What `operation` makes of a function. Call it with a request and a database: that is how tests run it."""

    def __init__(self, operation: Operation, function: Callable[[Asked, Database], Awaitable[Answered]]) -> None:
        self.operation = operation
        self.function = function
        self.__doc__ = function.__doc__

    async def __call__(self, request: Asked, database: Database) -> Answered:
        return await self.function(request, database)


def operation(
    declared: Operation,
) -> Callable[[Callable[[Asked, Database], Awaitable[Answered]]], Answers[Asked, Answered]]:
    """Answer an operation that the contract declares. Raise Refused to say no."""

    def decorate(function: Callable[[Asked, Database], Awaitable[Answered]]) -> Answers[Asked, Answered]:
        return Answers(declared, function)

    return decorate


class Endpoints:
    """All operations of one service on one connection."""

    def __init__(self, connection: Client, database: Database) -> None:
        self._nats = connection
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(AT_ONCE_MAX)
        self._service: MicroService | None = None

    async def start(self, answers: list[Answers[Any, Any]]) -> None:
        database = self._database
        self._service = await micro.add_service(
            self._nats,
            name=database.service,
            version=_semantic(database.version),
            description=f"Tieout {database.service}",
        )
        for answer in answers:
            declared = answer.operation
            handler = self._handler(answer)
            name = declared.name.partition(".")[2].replace(".", "-")
            await self._service.add_endpoint(name=name, subject=declared.subject, handler=handler)
        # nats-py's flush sends its PING past what is still buffered; its PONG alone says nothing of our subscriptions.
        await self._nats._flush_pending(force_flush=True)
        await self._nats.flush()

    def _handler(self, answer: Answers[Any, Any]) -> Callable[[Request], Awaitable[None]]:
        decode: Callable[[bytes], Any] = msgspec.json.Decoder(answer.operation.request).decode

        async def accept(request: Request) -> None:
            if len(self._tasks) >= 10 * AT_ONCE_MAX:
                await _refuse(
                    request, Problem("busy", "Too many requests are waiting. Try again in a moment.", "", 503)
                )
                return
            task = asyncio.create_task(run(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        async def run(request: Request) -> None:
            started = time.monotonic()
            async with self._gate:
                try:
                    ACTOR.set((request.headers or {}).get(ACTOR_HEADER, "")[:200])
                    asked = decode(request.data or b"{}")
                    async with asyncio.timeout(SECONDS_MAX):
                        answered = await answer.function(asked, self._database)
                    content = msgspec.json.encode(answered)
                    if len(content) > ANSWER_BYTES_MAX:
                        raise Refused(
                            "too_large", f"The answer has {len(content)} bytes. Ask for a smaller page.", status=413
                        )
                    await request.respond(content)
                except Exception as error:
                    with contextlib.suppress(Exception):
                        await _refuse(request, _problem(error, answer.operation.name))
            if time.monotonic() - started > 1.0:
                log.info(
                    "slow operation", operation=answer.operation.name, seconds=round(time.monotonic() - started, 2)
                )

        return accept

    async def stop(self) -> None:
        """Take no more, answer what came."""
        if self._service is None:
            return
        for endpoint in self._service._endpoints:
            if endpoint._subscription is not None:
                with contextlib.suppress(Exception):
                    await endpoint._subscription.drain()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=3.0)


def _problem(error: Exception, name: str) -> Problem:
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, Unprocessable):
        return Problem(error.reason, error.detail or str(error), error.field, 422)
    if isinstance(error, UNREADABLE):
        return Problem("invalid", str(error) or type(error).__name__, field_of(str(error)), 422)
    cause = cause_of(error)
    if cause in (Cause.PASSING, Cause.AGAIN):
        log.warning("operation unavailable", operation=name, error=repr(error)[:300])
        return Problem("unavailable", "The service cannot reach its database just now. Try again in a moment.", "", 503)
    reference = secrets.token_hex(6)
    log.error("operation failed", operation=name, reference=reference, exc_info=error)
    return Problem("internal", f"Something went wrong here. The service's log has it under {reference}.", "", 500)


async def _refuse(request: Request, problem: Problem) -> None:
    await request.respond_error(str(problem.status), problem.code, msgspec.json.encode(problem))


def _semantic(version: str) -> str:
    return version if version.count(".") == 2 else "0.0.0"


async def ask(
    connection: Client,
    subject: str,
    request: Any,
    kind: type[Answered],
    *,
    timeout: float = 5.0,
    actor: str = "",
    heard: Callable[[int], None] | None = None,
) -> Answered:
    """The other side: ask a service, on behalf of `actor`. Raises Refused with the Problem that came back.

    `heard` is told the size of the answer.
    """
    headers = {ACTOR_HEADER: actor} if actor else None
    answer = await connection.request(subject, msgspec.json.encode(request), timeout=timeout, headers=headers)
    if heard is not None:
        heard(len(answer.data))
    if answer.headers and "Nats-Service-Error-Code" in answer.headers:
        problem = msgspec.json.decode(answer.data, type=Problem)
        raise Refused(problem.code, problem.detail, field=problem.field, status=problem.status)
    return msgspec.json.decode(answer.data, type=kind)
