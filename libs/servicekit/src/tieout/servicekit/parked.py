"""Parked messages: what came before its partner, and what failed unforeseen, runs again by its own flow.

A wake-up runs them right after the commit that brought the partner; without one they are tried now and then.
"""

import asyncio
import contextlib
import itertools
from datetime import UTC
from typing import Any

import structlog
from tieout.contracts.operation import TrailEntry
from tieout.servicekit import sql
from tieout.servicekit.batches import ACK_WAIT_SECONDS, FlowSubscriber
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
LEASE_SECONDS = float(ACK_WAIT_SECONDS)  # So long a killed process' messages wait for another one, parked or not.
HOLD_SECONDS = LEASE_SECONDS / 3  # What is still in hand is claimed anew so often.


async def trail(chain: str, database: Database) -> list[TrailEntry]:
    """What of a chain waits here and for whom, and which others wait for it: a step below the event that waits."""
    async with database.read() as connection:
        rows = await connection.fetch(statements.waiting, chain)
    return [
        TrailEntry(
            at=row["parked_at"].astimezone(UTC).isoformat(),
            step=reason if (reason := row["reason"].replace("_", " ")).startswith("waits") else f"waits: {reason}",
            document=row["order_no"],
            cause_id=row["event_id"],
        )
        for row in rows
    ]


class Waker:
    def __init__(self, database: Database, subscribers: list[FlowSubscriber]) -> None:
        self._database = database
        self._flows = {subscriber.flow.durable: subscriber for subscriber in subscribers}
        self._woken = asyncio.Event()
        database.on_woken.append(self._woken.set)

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                while await self.once():
                    pass
            except Exception as error:
                if cause_of(error) is Cause.CODE:
                    log.exception("parked messages failed")
                await asyncio.sleep(1.0)

    async def once(self) -> int:
        """Run what is due; the number of messages claimed."""
        async with self._database.read() as connection:
            rows: list[Any] = await connection.fetch(statements.claim, LEASE_SECONDS)
        if not rows:
            return 0
        rows.sort(key=lambda row: (row["durable"], row["parked_at"], row["stream_sequence"]))
        holding = asyncio.create_task(self._hold(rows))
        try:
            for durable, group in itertools.groupby(rows, key=lambda row: row["durable"]):
                flow = self._flows.get(durable)
                if flow is not None:
                    await flow.run_parked(list(group))
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
        return len(rows)

    async def _hold(self, rows: list[Any]) -> None:
        """Keep what is in hand from other processes, for as long as it takes."""
        durables, events = [row["durable"] for row in rows], [row["event_id"] for row in rows]
        while True:
            await asyncio.sleep(HOLD_SECONDS)
            with contextlib.suppress(Exception):  # The database is away; whoever runs a message twice books it once.
                async with self._database.quick() as connection:
                    await connection.execute(statements.hold, LEASE_SECONDS, durables, events)
