"""What a kubelet asks a pod: has it started, can it work, does it live. Each means something else on purpose.

* `/livez`: the event loop turns; answering is the proof. It never looks at database, broker, backlog or stopped flows:
  a process that is killed for those comes back to the same trouble, and has lost what it knew.
* `/startupz`: our own part of the start is done. A start that waits for its servers passes as well: killing it would
  only let the next one wait.
* `/readyz`: it can do its work now; false from the first moment of a stop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from tieout.servicekit.plain_http import Page, PlainHttp

DATABASE_SECONDS_MAX = 1.5  # Below a probe's own limit, so that the answer says which server is silent.


class Probes:
    """`why_not`: what keeps it from working; `waits`: for a server, at the start; `look_at_database` may raise."""

    def __init__(
        self,
        service: str,
        version: str,
        *,
        why_not: Callable[[], Sequence[str]],
        waits: Callable[[], bool],
        look_at_database: Callable[[], Awaitable[Any]],
    ) -> None:
        self._about = {"service": service, "version": version}
        self._why_not = why_not
        self._waits = waits
        self._look_at_database = look_at_database
        self._look: asyncio.Task[Any] | None = None
        self.started = False
        self._http = PlainHttp({"/livez": self._live, "/startupz": self._startup, "/readyz": self._ready})

    async def start(self, host: str, port: int) -> int:
        return await self._http.start(host, port, "TIEOUT_HEALTH_HOST or TIEOUT_HEALTH_PORT")

    def close(self) -> None:
        self._http.close()
        if self._look is not None:
            self._look.cancel()

    async def _live(self) -> Page:
        return self._page(200, live=True)

    async def _startup(self) -> Page:
        passed = self.started or self._waits()
        return self._page(200 if passed else 503, started=self.started, why=list(self._why_not()))

    async def _ready(self) -> Page:
        why = list(self._why_not())
        if self.started and not why and not await self._database_answers():
            why.append("the database does not answer")
        return self._page(503 if why else 200, ready=not why, why=why)

    async def _database_answers(self) -> bool:
        """All who ask at once share one look. It is not cancelled: whoever cancels a statement waits for its end."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(self._look_at_database())
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())  # Else asyncio complains.
        done, _ = await asyncio.wait({self._look}, timeout=DATABASE_SECONDS_MAX)
        return bool(done) and not self._look.cancelled() and self._look.exception() is None

    def _page(self, status: int, **told: Any) -> Page:
        return Page(status, msgspec.json.encode({**self._about, **told}) + b"\n")
