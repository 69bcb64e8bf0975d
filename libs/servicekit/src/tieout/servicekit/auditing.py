"""When the streams are compared with our outbox: before anything new is published, at each new connection to the
broker, and from time to time. How it is done: streams.py for the own stream, letterbox.py for the dead letters."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from nats.js.errors import NotFoundError
from tieout.servicekit.errors import Cause, OlderThanItsStream, cause_of, told
from tieout.servicekit.letterbox import Letterbox
from tieout.servicekit.lifetime import Lifetime
from tieout.servicekit.outbox import SWEEP_ROWS, Outbox
from tieout.servicekit.streams import Audit

log = structlog.get_logger(__name__)


class Auditing:
    """`make_streams`: what the service makes beside its own stream."""

    def __init__(
        self,
        audit: Audit,
        letterbox: Letterbox,
        outbox: Outbox,
        lifetime: Lifetime,
        make_streams: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.audit = audit
        self.letterbox = letterbox
        self._outbox = outbox
        self._lifetime = lifetime
        self._make_streams = make_streams
        self.task: asyncio.Task[None] | None = None  # The latest, done or not.

    def soon(self) -> None:
        """An audit, unless one is under way."""
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._until_done())

    async def look(self) -> None:
        """The short looks, which nearly always find that nothing lacks. A stream that is gone is made anew."""
        try:
            await self.audit.look()
        except NotFoundError:
            self.soon()
        await self.letterbox.look()
        if self._make_streams is not None and self._outbox.letters_created is None:
            self.soon()

    async def _until_done(self) -> None:
        """Nothing new is published before our stream is known to hold what we published before."""
        pause = 0.1
        while not self._lifetime.ending.is_set():
            try:
                await self.letterbox.look()  # First: afterwards new letters would take the place of lost ones.
                await self.audit.run()
                if self._make_streams is not None:
                    await self._make_streams()
                while await self._outbox.sweep(0.0) == SWEEP_ROWS:
                    pass
                return
            except OlderThanItsStream as error:
                self._lifetime.end_for(error)
                return
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("audit failed")
                else:
                    log.warning("audit waits for the broker", error=told(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
