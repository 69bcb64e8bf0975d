"""Reading that goes on although whoever asked has stopped waiting: else it would begin anew with each who asks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Unawaited:
    """What is under way. What fails is logged, as there may be nobody left to be told."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    def go_on(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Wait for it with a shield or with `asyncio.wait`: awaiting it plainly would end it with whoever asked."""
        task = asyncio.create_task(work)
        self._under_way.add(task)

        def ended(task: "asyncio.Task[Any]") -> None:
            self._under_way.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("a look at the books failed", error=repr(error)[:300])

        task.add_done_callback(ended)
        return task

    async def stop(self) -> None:
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=1.0)
