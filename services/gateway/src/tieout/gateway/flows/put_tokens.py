"""gateway.create_token | rotate_token | revoke_token | tokens: who may call operations, and as whom."""

import secrets
from datetime import UTC, datetime
from typing import Any, Literal

from tieout.contracts.access import (
    CREATE_TOKEN,
    REVOKE_TOKEN,
    ROTATE_TOKEN,
    TOKENS,
    CreateToken,
    ListTokens,
    RevokeToken,
    RotateToken,
    TokenMade,
    Tokens,
    TokenView,
)
from tieout.contracts.streams import CORE_SERVICES
from tieout.gateway.people import ADMIN, asking, same_name
from tieout.gateway.satellites import hash_of
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

PREFIX = "tieout_"  # So that people and scanners of code recognise one that lies about.


@operation(CREATE_TOKEN)
async def create_token(request: CreateToken, database: Database) -> TokenMade:
    _check_end(request.expires_at)
    if same_name(request.actor) == ADMIN:
        detail = f"{ADMIN} is whoever runs the stack. Name the person or the service."
        raise Refused("invalid", detail, field="actor", status=422)
    if same_name(request.actor).partition(" ")[0] in CORE_SERVICES:
        detail = "This begins like the name of one of our services, whose vouchers nobody else may seem to prepare."
        raise Refused("invalid", detail, field="actor", status=422)
    secret = _secret()
    scopes = sorted(set(request.scopes))
    async with database.transaction() as tx:
        await tx.execute(statements.one_at_a_time)
        for known in await tx.fetch(statements.actors):
            if known["actor"] != request.actor.strip() and same_name(known["actor"]) == same_name(request.actor):
                detail = f"There is {known['actor']!r} already, who must not be two people. Spell the name like that."
                raise Refused("conflict", detail, field="actor", status=409)
        row = await tx.fetchrow(
            statements.create,
            request.name,
            request.actor.strip(),
            scopes,
            hash_of(secret),
            asking(),
            request.expires_at,
        )
        if row is None:
            detail = f"There is a token {request.name}, or was one. Give this one another name, or rotate that one."
            raise Refused("conflict", detail, field="name", status=409)
    return TokenMade(_view(row), secret)


@operation(ROTATE_TOKEN)
async def rotate_token(request: RotateToken, database: Database) -> TokenMade:
    _check_end(request.expires_at)
    secret = _secret()
    async with database.transaction() as tx:
        before = await tx.fetchrow(statements.lock, request.name)
        if before is None:
            raise _unknown(request.name)
        if before["revoked_at"] is not None:
            detail = f"{request.name} was revoked, which is for good. Make a new token."
            raise Refused("conflict", detail, field="name", status=409)
        row = await tx.fetchrow(statements.rotate, request.name, hash_of(secret), asking(), request.expires_at)
    return TokenMade(_view(row), secret)


@operation(REVOKE_TOKEN)
async def revoke_token(request: RevokeToken, database: Database) -> TokenView:
    async with database.transaction() as tx:
        row = await tx.fetchrow(statements.revoke, request.name, asking())
        if row is None:
            raise _unknown(request.name)
    return _view(row)


@operation(TOKENS)
async def list_tokens(request: ListTokens, database: Database) -> Tokens:
    async with database.read() as connection:
        rows = await connection.fetch(statements.list, request.actor, request.all)
    return Tokens(tuple(_view(row) for row in rows))


def _secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _check_end(at: datetime | None) -> None:
    if at is None:
        return
    if at.tzinfo is None:
        detail = "An end needs its offset, 2027-01-31T00:00:00Z."
    elif at <= datetime.now(UTC):
        detail = f"{at.isoformat()} is past. Name an end to come, or none."
    else:
        return
    raise Refused("invalid", detail, field="expires_at", status=422)


def _unknown(name: str) -> Refused:
    detail = f"There is no token {name}. See ./tieout token list (GET /v1/tokens)."
    return Refused("not_found", detail, field="name", status=404)


def _view(row: Any) -> TokenView:
    ended = row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC)
    state: Literal["valid", "expired", "revoked"]
    state = "revoked" if row["revoked_at"] is not None else "expired" if ended else "valid"
    return TokenView(**{**row, "scopes": tuple(row["scopes"])}, state=state)
