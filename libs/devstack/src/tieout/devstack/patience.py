"""How tests wait: for a state, and so long that only a fault is late.

A machine that is four times slower and does other work as well takes seconds for what takes milliseconds here. A
generous limit costs nothing where the state comes, so there is one for all; it is below pytest's own, so that a test
fails with the line that waited. What must NOT happen is waited for briefly, and a slow machine may only miss it.

    await until(lambda: pool.fetchval("SELECT count(*) = 300 FROM order_header"))
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from nats.aio.client import Client
from tieout import servicekit

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02

Found = TypeVar("Found")
Answered = TypeVar("Answered")


async def until(
    look: Callable[[], Awaitable[Found]],
    satisfied: Callable[[Found], object] = bool,
    *,
    seconds: float = PATIENCE_SECONDS,
    passing: tuple[type[Exception], ...] = (),
) -> Found:
    """What `look` found once that satisfies. Raises AssertionError with what it found last.

    What `look` raises is raised, but for `passing`: the answer of what is not there yet.
    """
    last = "no look came to an end"
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                try:
                    found = await look()
                    if satisfied(found):
                        return found
                    last = f"found last: {found!r}"
                except passing as failure:
                    if limit.expired():
                        raise
                    last = f"found last: {failure!r}"
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        if not limit.expired():
            raise  # The look's own.
        raise AssertionError(f"never came, within {seconds:g} s; {last}") from None


async def until_seen(see: Callable[[], Found], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """The same where looking takes no time: what a receiver in this process has heard, a file that is there."""

    async def look() -> Found:
        return see()

    return await until(look, seconds=seconds)


async def ask(connection: Client, subject: str, request: Any, kind: type[Answered], *, actor: str = "") -> Answered:
    """servicekit.ask with our patience: its own limit is that of a service in a hurry."""
    return await servicekit.ask(connection, subject, request, kind, timeout=PATIENCE_SECONDS, actor=actor)
