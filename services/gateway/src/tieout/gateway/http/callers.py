"""Who calls an operation: a copy of the tokens, read again when it is old or one is unknown."""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import asyncpg
import structlog
from msgspec import Struct
from tieout.gateway.copies import Copied
from tieout.gateway.people import ADMIN
from tieout.servicekit import Database, Misconfigured, sql

statements = sql.load(__file__)
log = structlog.get_logger(__name__)
ADMIN_READ_SECONDS = 1.0  # So long an exchanged admin token may still let somebody in.


class Caller(Struct, frozen=True):
    actor: str
    token: str  # Its name; "": the one that was made with the stack.
    scopes: frozenset[str]
    expires_at: datetime | None = None


class Callers:
    """The token of whoever runs the stack, which stands in a file, and those that were made since, by their hashes."""

    def __init__(self, database: Database, admin_token: Callable[[], str] | None) -> None:
        """`admin_token` reads the file as it is now."""
        self._read_admin = admin_token
        self._admin: bytes | None = None
        self._admin_read_at = float("-inf")
        self._callers = Copied(database, statements.tokens, _by_hash)

    async def find(self, authorization: str) -> Caller | None:
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return None
        given = hashlib.sha256(token.strip().encode()).digest()
        admin = self._admin_hash()
        if admin is not None and hmac.compare_digest(given, admin):
            return Caller(ADMIN, "", frozenset({"read", "write", "admin"}))
        caller = await self._callers.find(given)  # Of random bits: how long a look-up takes tells nothing of them.
        if caller is None or (caller.expires_at is not None and caller.expires_at <= datetime.now(UTC)):
            return None
        return caller

    def _admin_hash(self) -> bytes | None:
        """None where nobody may administer: no file is named, or it is empty."""
        now = time.monotonic()
        if self._read_admin is not None and now - self._admin_read_at >= ADMIN_READ_SECONDS:
            self._admin_read_at = now
            try:
                token = self._read_admin()
            except Misconfigured as error:
                log.warning("the admin token cannot be read; the one of before stays", error=str(error))
            else:
                self._admin = hashlib.sha256(token.encode()).digest() if token else None
        return self._admin

    def forget(self) -> None:
        """A token was made, rotated or revoked in this process: ask before the next answer."""
        self._callers.forget()


def _by_hash(rows: Sequence[asyncpg.Record]) -> Mapping[bytes, Caller]:
    return {
        row["key_hash"]: Caller(row["actor"], row["name"], frozenset(row["scopes"]), row["expires_at"]) for row in rows
    }
