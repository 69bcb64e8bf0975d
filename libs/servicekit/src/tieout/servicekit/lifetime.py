"""How long a process goes on: until it is told to end, or one of its tasks dies."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

log = structlog.get_logger(__name__)

CANCEL_AGAIN_SECONDS = 1.0


class Lifetime:
    """`ready`: between start and stop. `ending` is set from the first moment of a stop; `failure` is why, where nobody
    asked for it."""

    def __init__(self) -> None:
        self.ready = False
        self.ending = asyncio.Event()
        self.failure: BaseException | None = None

    def end_for(self, error: BaseException) -> None:
        """The process cannot go on; the next one looks at everything anew."""
        if self.failure is None:
            self.failure = error
        self.ending.set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """A task whose death ends the process: a half-dead service helps nobody, and the supervisor starts it again."""
        task = asyncio.create_task(work, name=name)

        def ended(task: "asyncio.Task[Any]") -> None:
            if task.cancelled() or self.ending.is_set():
                return
            error = task.exception()
            log.error("task died", task=name, exc_info=error)
            self.end_for(error or RuntimeError(f"task {name} ended by itself"))

        task.add_done_callback(ended)
        return task


async def cancel(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Again until they end: a cancellation that meets the result of a `wait_for` is swallowed by Python 3.11."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
        for task in done:
            if not task.cancelled() and (failure := task.exception()) is not None:
                log.warning("a task ended badly at the stop", task=task.get_name(), error=repr(failure)[:300])
        for task in pending:
            log.warning("a task does not stop, asked again", task=task.get_name())
