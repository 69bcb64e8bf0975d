"""Who may send, and how they prove it: a copy of two small tables, read again when it is old or somebody is unknown."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

import asyncpg
from msgspec import Struct
from tieout.contracts.gateway import Authentication
from tieout.gateway.copies import Copied
from tieout.gateway.domain.drafts import Satellite
from tieout.servicekit import Database, sql

statements = sql.load(__file__)


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


class Satellites(Copied[str, Member]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, statements.members, _by_name)


def _by_name(rows: Sequence[asyncpg.Record]) -> Mapping[str, Member]:
    return {row["satellite"]: _member(row) for row in rows}


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
