"""Who calls an operation: a copy of the tokens, read again when it is old or one is unknown."""

import asyncio
import hashlib
import hmac
import time
from datetime import UTC, datetime

import asyncpg
from msgspec import Struct
from tieout.gateway.people import ADMIN
from tieout.servicekit import Database, sql

statements = sql.load(__file__)

FRESH_SECONDS = 2.0  # So long another replica's revocation may take; in this process it is at once.
MISS_SECONDS = 0.5  # Nobody can make us ask more often with tokens that do not exist.


class Caller(Struct, frozen=True):
    actor: str
    token: str  # Its name; "": the one that was made with the stack.
    scopes: frozenset[str]
    expires_at: datetime | None = None


class Callers:
    """The token of whoever runs the stack, which stands in a file, and those that were made since, by their hashes."""

    def __init__(self, database: Database, admin_token: str | None) -> None:
        self._database = database
        self._admin = hashlib.sha256(admin_token.encode()).digest() if admin_token else None
        self._callers: dict[bytes, Caller] = {}
        self._read_at = float("-inf")
        self._changes = 0
        self._reading = asyncio.Lock()

    async def find(self, authorization: str) -> Caller | None:
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return None
        given = hashlib.sha256(token.strip().encode()).digest()
        if self._admin is not None and hmac.compare_digest(given, self._admin):
            return Caller(ADMIN, "", frozenset({"read", "write", "admin"}))
        age = time.monotonic() - self._read_at
        if age > FRESH_SECONDS or (age > MISS_SECONDS and given not in self._callers):
            await self._refresh()
        caller = self._callers.get(given)  # Of random bits: how long a look-up takes tells nothing of them.
        if caller is None or (caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)):
            return None
        return caller

    def forget(self) -> None:
        """A token was made, rotated or revoked in this process: ask before the next answer."""
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
                    rows = await connection.fetch(statements.tokens)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if not self._callers:
                    raise
                return  # The database is away: what was true a moment ago still lets people in; writing will fail.
            self._callers = {
                row["key_hash"]: Caller(row["actor"], row["name"], frozenset(row["scopes"]), row["expires_at"])
                for row in rows
            }
            if changes == self._changes:  # Else a token was changed while we read.
                self._read_at = at
