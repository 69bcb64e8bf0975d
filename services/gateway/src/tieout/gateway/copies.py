"""A copy of a small table in memory, read again when it is old or somebody asks for what is not in it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import asyncpg
from tieout.servicekit import Database

FRESH_SECONDS = 2.0  # So long another replica's change may take; in this process `forget` makes it at once.
MISS_SECONDS = 0.5  # Nobody can make us ask more often by naming what does not exist.

Key = TypeVar("Key")
Row = TypeVar("Row")


class Copied(Generic[Key, Row]):
    def __init__(
        self, database: Database, statement: str, understand: Callable[[Sequence[asyncpg.Record]], Mapping[Key, Row]]
    ) -> None:
        self._database = database
        self._statement = statement
        self._understand = understand
        self._rows: Mapping[Key, Row] = {}
        self._read_at = float("-inf")
        self._changes = 0  # Made in this process.
        self._reading = asyncio.Lock()

    async def find(self, key: Key) -> Row | None:
        age = time.monotonic() - self._read_at
        if age > FRESH_SECONDS or (age > MISS_SECONDS and key not in self._rows):
            await self._refresh()
        return self._rows.get(key)

    async def all(self) -> Mapping[Key, Row]:
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            await self._refresh()
        return self._rows

    def forget(self) -> None:
        """The table was changed in this process: ask before the next answer."""
        self._changes += 1
        self._read_at = float("-inf")

    async def _refresh(self) -> None:
        asked = time.monotonic()
        async with self._reading:
            if self._read_at > asked:
                return  # Somebody else has just done it.
            at, changes = time.monotonic(), self._changes
            try:
                async with self._database.read() as connection:
                    rows = await connection.fetch(self._statement)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if not self._rows:
                    raise
                return  # The database is away: what was true a moment ago still lets people in; writing will fail.
            self._rows = self._understand(rows)
            if changes == self._changes:  # Else a row was changed while we read.
                self._read_at = at
