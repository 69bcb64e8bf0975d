"""The background scrub: what hands did to the books is found without anybody asking.

Two counters of the Postgres server itself say whether to look. They count every row that changes, also behind disabled
triggers, so an idle service compares two numbers and is done. A whole scrub costs as much as `tieout agreement` does
here, so under load it may only take a small share of the time; where the counters say that a hand was at work, it is
due at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog
from tieout.servicekit import sql
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, cause_of
from tieout.servicekit.findings import Findings

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

SHARE_WORKING = 0.005  # Of the time, while the service itself works,
SHARE_SUSPICIOUS = 0.05  # and where rows changed without it.
REST_WORKING_SECONDS = 60.0
LOOKS_REMEMBERED = 3  # The shortest of them is what one costs: a database that hung during one, or two, says nothing.
REST_UNKNOWN_SECONDS = 10.0  # At most, after the first looks.
QUIET_LOOKS = 2  # Without a transaction of ours; Postgres reports what we did up to ten seconds later.
REST_SECONDS_MAX = 900.0  # Counters can be reset or switched off: a whole scrub from time to time in any case.


class Scrub:
    """One per process. `seconds` is the time between two looks; 0: never."""

    def __init__(
        self, findings: Findings, database: Database, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._findings = findings
        self._database = database
        self._seconds = seconds
        self._seen: tuple[int, ...] | None = None  # Moved rows, edited facts, armed triggers: before the last whole.
        self._begun = 0  # Our transactions at the last look.
        self._quiet = 0
        self._ended = clock()  # At a start there may be a backlog, and nothing is known of its cost.
        self._took = 0.0
        self._lasted = deque[float](maxlen=LOOKS_REMEMBERED)

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited for."""
        if self._seconds <= 0:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.look()
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("scrub failed")
                else:
                    log.warning("scrub waits", error=repr(error)[:300])

    async def look(self) -> str:
        """What was done: nothing, a glance, or the whole."""
        begun = self._database.transactions
        self._quiet = self._quiet + 1 if begun == self._begun else 0
        self._begun = begun
        async with self._database.read() as connection:
            row = await connection.fetchrow(statements.moved)
        assert row is not None
        counted = (row["moved"], row["edited"], row["armed"])
        rested = self._clock() - self._ended
        if counted == self._seen:
            if rested < max(REST_SECONDS_MAX, self._took / SHARE_WORKING):
                return "nothing"
        elif not self._due(counted, rested):
            await self._findings.glance(self._database)
            return "glance"
        began = self._clock()
        await self._findings.scrub(self._database)
        self._ended = self._clock()
        self._took = self._ended - began
        self._lasted.append(self._took)
        # From before: what moved meanwhile is looked at again. And so is what could not be checked.
        self._seen = None if self._findings.found.unchecked else counted
        return "whole"

    def _due(self, counted: tuple[int, ...], rested: float) -> bool:
        edited = self._seen is not None and counted[1:] != self._seen[1:]
        if edited or self._quiet >= QUIET_LOOKS:
            rest = min(self._lasted, default=0.0) / SHARE_SUSPICIOUS
            return rested >= (rest if len(self._lasted) == LOOKS_REMEMBERED else min(rest, REST_UNKNOWN_SECONDS))
        # How long the last one took says little while a backlog makes the books grow a thousandfold.
        return rested >= max(REST_WORKING_SECONDS, self._took / SHARE_WORKING)
