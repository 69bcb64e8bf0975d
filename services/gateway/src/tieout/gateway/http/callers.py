"""Who calls an operation: a copy of the tokens, read again when it is old or one is unknown."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import asyncpg
from msgspec import Struct
from tieout.gateway.copies import Copied
from tieout.gateway.people import ADMIN
from tieout.servicekit import Database, sql

statements = sql.load(__file__)


class Caller(Struct, frozen=True):
    actor: str
    token: str  # Its name; "": the one that was made with the stack.
    scopes: frozenset[str]
    expires_at: datetime | None = None


class Callers:
    """The token of whoever runs the stack, which stands in a file, and those that were made since, by their hashes."""

    def __init__(self, database: Database, admin_token: str | None) -> None:
        self._admin = hashlib.sha256(admin_token.encode()).digest() if admin_token else None
        self._callers = Copied(database, statements.tokens, _by_hash)

    async def find(self, authorization: str) -> Caller | None:
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return None
        given = hashlib.sha256(token.strip().encode()).digest()
        if self._admin is not None and hmac.compare_digest(given, self._admin):
            return Caller(ADMIN, "", frozenset({"read", "write", "admin"}))
        caller = await self._callers.find(given)  # Of random bits: how long a look-up takes tells nothing of them.
        if caller is None or (caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)):
            return None
        return caller

    def forget(self) -> None:
        """A token was made, rotated or revoked in this process: ask before the next answer."""
        self._callers.forget()


def _by_hash(rows: Sequence[asyncpg.Record]) -> Mapping[bytes, Caller]:
    return {
        row["key_hash"]: Caller(row["actor"], row["name"], frozenset(row["scopes"]), row["expires_at"]) for row in rows
    }
