"""What a service does from time to time beside its work: digests folded and closed, short looks at the streams, audits,
what the outbox may forget, figures for metrics, and looks for Python's garbage."""

import asyncio
import gc
import time
from collections.abc import Sequence

import structlog
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.auditing import Auditing
from tieout.servicekit.batches import FlowSubscriber
from tieout.servicekit.connection import QuickClient
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, cause_of, told
from tieout.servicekit.outbox import statements as outbox_statements
from tieout.servicekit.retention import Retention

log = structlog.get_logger(__name__)

FOLD_SECONDS = 1.0
QUIET_FOLDS = 5  # After so many without a transaction of ours only each fifth: positions are closed, hands may edit.
AUDIT_SECONDS = 60.0
LOOK_SECONDS = 5.0  # Between two short looks at what the stream lacks,
LOOK_IDLE_SECONDS = 20.0  # and while nothing is published.
PRUNE_SECONDS = 600.0
LAG_SECONDS = 5.0  # Asked for metrics only.
YOUNG_GARBAGE_SECONDS = 5.0  # What is in hand is looked through as well: 20 ms where a batch is 50,000 objects.
GARBAGE_SECONDS = 30.0
GARBAGE_OBJECTS_MAX = 1_000_000  # More than this many new objects are looked through at once; about 100 MB.


class Housekeeping:
    """`measured`: whether somebody collects metrics. `outbox_seen` is for them: the age in seconds of what waits
    longest, and how many batches wait."""

    def __init__(
        self,
        database: Database,
        evidence: Evidence,
        nats: QuickClient,
        auditing: Auditing,
        retention: Retention,
        subscribers: Sequence[FlowSubscriber],
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._nats = nats
        self._auditing = auditing
        self._retention = retention
        self._subscribers = subscribers
        self.measured = False
        self.outbox_seen = (0.0, 0)
        self._seen = 0  # Transactions up to the last round.
        self._quiet = 0  # Rounds since there was a new one.
        self._done: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled. What fails waits for its next time."""
        began = time.monotonic()
        self._done = dict.fromkeys(("look", "young garbage", "garbage", "lag", "audit", "prune"), began)
        while True:
            await asyncio.sleep(FOLD_SECONDS)
            try:
                await self._round()
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("housekeeping failed")
                else:
                    log.warning("housekeeping waits", error=told(error))

    async def _round(self) -> None:
        transactions = self._database.transactions
        self._quiet = self._quiet + 1 if transactions == self._seen else 0
        self._seen = transactions
        idle = self._quiet >= QUIET_FOLDS
        if not idle or self._quiet % QUIET_FOLDS == 0:  # An idle service costs Postgres next to nothing.
            await self._evidence.fold()
            await self._evidence.close_positions()
        if self._nats.is_connected and self._is_due("look", LOOK_IDLE_SECONDS if idle else LOOK_SECONDS):
            await self._auditing.look()
        self._collect_garbage()
        if self.measured:
            await self._measure()
        if self._nats.is_connected and self._is_due("audit", AUDIT_SECONDS):
            self._auditing.soon()
        if self._nats.is_connected and self._is_due("prune", PRUNE_SECONDS):
            await self._retention.run()

    def _is_due(self, what: str, seconds: float) -> bool:
        """Then it counts as done, also if it fails now."""
        now = time.monotonic()
        if now - self._done[what] <= seconds:
            return False
        self._done[what] = now
        return True

    def _collect_garbage(self) -> None:
        """Failures leave cycles behind: exceptions, their frames, and all that these hold. A look costs what is alive
        then and is new, not what is garbage: the batch in hand. Each second that was 8 us an order."""
        if not self._quiet and self._is_due("young garbage", YOUNG_GARBAGE_SECONDS):
            gc.collect(0)
        if self._is_due("garbage", GARBAGE_SECONDS):
            gc.collect(1)

    async def _measure(self) -> None:
        async with self._database.read() as connection:
            row = await connection.fetchrow(outbox_statements.waiting)
        if row is not None:
            self.outbox_seen = (row["seconds"], row["batches"])
        if self._nats.is_connected and self._is_due("lag", LAG_SECONDS):
            for subscriber in self._subscribers:
                await subscriber.look_at_lag()


def calm_the_collector() -> None:
    """Batches are thousands of small objects without cycles: looking for cycles among them cost a tenth of our time.

    The limit is above what the batches in hand hold, so a look hardly ever falls into one; housekeeping looks instead.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS_MAX, 20, 100)
