"""Asks another service over NATS, and notices when it dies with the request in its hands.

The broker says at once when nobody listens, but not that a process ended before it answered: that would be waited for
until the time is up. So whoever waits longer than most looks who is there (the ping of the micro protocol, to which
every process answers beside its work), and goes on looking. A question is then asked once more, as soon as
somebody is back; of a command it is told that nobody knows whether it was done. No clocks are compared.
"""

import asyncio
import contextlib
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from tieout.contracts.operation import Operation
from tieout.servicekit import Refused

log = structlog.get_logger(__name__)

ANSWER_SECONDS_MAX = 30.0
LOOK_AFTER_SECONDS = 0.25  # Nearly all are answered by then; and no process is back so soon after its end.
LOOK_EVERY_SECONDS = 0.5  # Shorter than a process takes to start, so that its absence is seen.
PING_SECONDS = 0.2
LAST_WORDS_SECONDS = 0.05  # An answer may have come together with the news of its sender's end.
# Of pings that any process may answer. Whoever works answers beside it, however long the work takes; who has not for
# so long hangs, and nobody is waited for.
HANGS_SECONDS = 8.0
BACK_SECONDS_MAX = 10.0  # So long a question waits for a service that died.
BACK_LOOK_SECONDS = 0.2


class _Pong(msgspec.Struct):
    id: str


class _Died(Exception):
    """Who had the request is gone."""


class _Hangs(Exception):
    """The service listens, and none of its processes does anything."""


_decode = msgspec.json.Decoder(_Pong).decode


class Asking:
    """One per gateway, so that many who wait for one service share their looks."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._looks: dict[str, asyncio.Task[set[str] | None]] = {}

    async def ask(self, operation: Operation, payload: bytes, headers: dict[str, str] | None) -> Msg:
        """The answer as it came. Raises Refused where there is none: 503 where it is certain that nothing was done, 504
        where nobody knows."""
        question = operation.scope == "read" or operation.method == "GET"
        until = time.monotonic() + ANSWER_SECONDS_MAX
        try:
            try:
                return await self._once(operation, payload, headers, until, question)
            except _Died:
                if not question:
                    raise Refused("outcome_unknown", _unknown(operation, "ended meanwhile"), status=504) from None
            log.warning("service died with a question", operation=operation.name)
            return await self._again(operation, payload, headers, until)
        except (nats.errors.NoRespondersError, _Died):
            detail = f"The service {operation.owner} is not running. See ./tieout status."
            raise Refused("unavailable", detail, status=503) from None
        except (TimeoutError, nats.errors.TimeoutError, _Hangs) as error:
            told = f"did not answer in {ANSWER_SECONDS_MAX:g} s"
            if isinstance(error, _Hangs):
                told = f"hangs: none of its processes answered a ping in {HANGS_SECONDS:g} s"
            if not question:
                raise Refused("outcome_unknown", _unknown(operation, told), status=504) from None
            raise Refused(
                "timeout", f"The service {operation.owner} {told}. See ./tieout doctor.", status=504
            ) from None
        except (nats.errors.Error, OSError) as error:
            log.warning("broker away", error=repr(error)[:300])
            raise Refused("unavailable", "The broker is away. Try again in a moment.", status=503) from None

    async def _again(self, operation: Operation, payload: bytes, headers: dict[str, str] | None, until: float) -> Msg:
        """Once somebody listens. The question itself finds that out: till then the broker refuses it at once."""
        back_until = min(until, time.monotonic() + BACK_SECONDS_MAX)
        while True:
            try:
                return await self._once(operation, payload, headers, until, False)
            except nats.errors.NoRespondersError:
                if time.monotonic() > back_until:
                    raise
                await asyncio.sleep(BACK_LOOK_SECONDS)

    async def _once(
        self, operation: Operation, payload: bytes, headers: dict[str, str] | None, until: float, hasty: bool
    ) -> Msg:
        """Raises _Died once none is left of those who were there; `hasty`: once anybody has come or gone, or somebody
        answers a ping where nobody did: he may be another. Raises _Hangs where nobody answers any."""
        left = max(0.1, until - time.monotonic())
        request = self._connection.request(operation.subject, payload, timeout=left, headers=headers)
        asked = asyncio.create_task(request)
        before: set[str] | None = None
        lives: asyncio.Task[bool] | None = None
        silent = False  # Somebody is there, and was too busy for a ping.
        try:
            await asyncio.wait({asked}, timeout=LOOK_AFTER_SECONDS)
            while not asked.done():
                lives = lives or asyncio.create_task(self._lives(operation.owner))
                if lives.done() and not lives.result():
                    raise _Hangs
                look = self._look(operation.owner)
                await asyncio.wait({asked, look}, return_when=asyncio.FIRST_COMPLETED)
                here = look.result() if look.done() and not look.cancelled() else None
                silent = silent or (look.done() and here is None)
                if here is not None and not asked.done():
                    if before is None:
                        before = set() if hasty and silent else here
                    if not (here & before) or (hasty and here != before):
                        await asyncio.wait({asked}, timeout=LAST_WORDS_SECONDS)
                        if not asked.done():
                            raise _Died
                await asyncio.wait({asked}, timeout=LOOK_EVERY_SECONDS)
            return asked.result()
        finally:
            asked.cancel()
            if lives is not None:
                lives.cancel()

    async def _lives(self, service: str) -> bool:
        """Whether any of its processes turns, or nobody can tell; false only where somebody listens and is silent."""
        for _ in range(2):  # One of them may be lost with a connection that breaks.
            try:
                await self._connection.request(f"$SRV.PING.{service}", b"", timeout=HANGS_SECONDS / 2)
            except nats.errors.TimeoutError:
                continue
            except (nats.errors.Error, OSError):
                pass  # Gone, or the broker is: others look after that.
            return True
        return not self._connection.is_connected

    def _look(self, service: str) -> asyncio.Task[set[str] | None]:
        look = self._looks.get(service)
        if look is None or look.done():
            look = self._looks[service] = asyncio.create_task(self._present(service))
        return look

    async def _present(self, service: str) -> set[str] | None:
        """The ids of its processes; empty where the broker says that there is none; None where nobody knows."""
        found: set[str] = set()
        if not self._connection.is_connected:
            return None
        try:
            inbox = self._connection.new_inbox()
            subscription = await self._connection.subscribe(inbox)
            try:
                await self._connection.publish(f"$SRV.PING.{service}", b"", reply=inbox)
                async with asyncio.timeout(PING_SECONDS):
                    while True:
                        message = await subscription.next_msg(timeout=PING_SECONDS)
                        if message.headers and message.headers.get("Status") == "503":
                            return found
                        found.add(_decode(message.data).id)
            except (TimeoutError, nats.errors.TimeoutError):
                return found or None  # Busy, or too far away for a ping.
            finally:
                with contextlib.suppress(nats.errors.Error):
                    await subscription.unsubscribe()
        except (nats.errors.Error, msgspec.MsgspecError, OSError) as error:
            log.warning("nobody knows who is there", service=service, error=repr(error)[:200])
            return None


def _unknown(operation: Operation, what: str) -> str:
    """That nobody knows, and how to go on; by what the contract says of a repetition."""
    begun = f"The service {operation.owner} {what}: whether this was done is not known."
    if "idempotency_key" in operation.request.__struct_fields__:  # type: ignore[attr-defined]
        return f"{begun} Send it again with the same Idempotency-Key: it is not done twice."
    if operation.method == "PUT" or "repeated" in operation.response.__struct_fields__:  # type: ignore[attr-defined]
        return f"{begun} Send the same again: it is not done twice."
    return f"{begun} Look first (/docs lists what GET tells of {operation.owner}), then send it again."
