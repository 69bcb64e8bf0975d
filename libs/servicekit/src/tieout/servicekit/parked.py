"""Parked messages: what came before its partner, and what failed unforeseen, runs again by its own flow.

A wake-up runs them right after the commit that brought the partner; without one they are tried now and then.
"""

import asyncio
import itertools
from datetime import UTC
from typing import Any

import structlog
from tieout.contracts.operation import TrailEntry
from tieout.servicekit import sql
from tieout.servicekit.batches import FlowSubscriber
from tieout.servicekit.database import Database
from tieout.servicekit.errors import Cause, cause_of

statements = sql.load(__file__)
log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0


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
            rows: list[Any] = await connection.fetch(statements.claim)
        rows.sort(key=lambda row: (row["durable"], row["parked_at"], row["stream_sequence"]))
        for durable, group in itertools.groupby(rows, key=lambda row: row["durable"]):
            flow = self._flows.get(durable)
            if flow is not None:
                await flow.run_parked(list(group))
        return len(rows)
