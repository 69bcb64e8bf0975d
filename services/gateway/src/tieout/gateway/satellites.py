"""Who may send, and how they prove it: a copy of two small tables, read again when it is old or somebody is unknown."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

import asyncpg
from msgspec import Struct
from tieout.contracts.gateway import Authentication
from tieout.gateway.domain.drafts import Satellite
from tieout.servicekit import Database, sql

statements = sql.load(__file__)

FRESH_SECONDS = 2.0  # Another replica may have changed a satellite.
MISS_SECONDS = 0.5  # Nobody can make us ask more often by naming satellites that do not exist.


class Member(Struct, frozen=True):
    satellite: Satellite
    authentication: Authentication
    key_hash: bytes
    secret: bytes
    held: bool

    def knows_key(self, key: str) -> bool:
        return self.authentication == "key" and hmac.compare_digest(hash_of(key), self.key_hash)

    def signed(self, body: bytes | bytearray, signature: str) -> bool:
        """Whether the signature over the raw bytes is this satellite's."""
        if self.authentication not in ("hmac", "shopify") or not self.secret:
            return False
        digest = hmac.new(self.secret, body, hashlib.sha256).digest()
        expected = base64.b64encode(digest).decode() if self.authentication == "shopify" else digest.hex()
        given = signature.strip() if self.authentication == "shopify" else signature.strip().lower()
        return hmac.compare_digest(expected.encode(), given.encode())


def hash_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class Satellites:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._members: dict[str, Member] = {}
        self._read_at = float("-inf")
        self._changes = 0  # Made in this process.
        self._reading = asyncio.Lock()

    async def find(self, name: str) -> Member | None:
        age = time.monotonic() - self._read_at
        if age > FRESH_SECONDS or (age > MISS_SECONDS and name not in self._members):
            await self._refresh()
        return self._members.get(name)

    async def all(self) -> Mapping[str, Member]:
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            await self._refresh()
        return self._members

    def forget(self) -> None:
        """Somebody was changed in this process: ask before the next answer."""
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
                    rows = await connection.fetch(statements.members)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if not self._members:
                    raise
                return  # The database is away: what was true a moment ago still lets people in; writing will fail.
            self._members = {row["satellite"]: _member(row) for row in rows}
            if changes == self._changes:  # Else somebody was changed while we read.
                self._read_at = at


def _member(row: asyncpg.Record) -> Member:
    return Member(
        Satellite(
            row["satellite"],
            tuple(row["companies"]),
            row["zone"],
            row["default_warehouse"],
            row["due_days"],
            row["control_passes"],
        ),
        row["authentication"],
        row["key_hash"] or b"",
        (row["secret"] or "").encode(),
        row["held"],
    )
