"""gateway.put_satellite, gateway.hold: who may send, and whether what they send is mapped."""

import asyncio
import secrets
import time
from typing import Any

from msgspec import UNSET
from tieout.contracts.gateway import (
    HOLD_SATELLITE,
    PUT_SATELLITE,
    HoldSatellite,
    PutSatellite,
    SatellitePut,
    SatelliteView,
)
from tieout.contracts.zones import zone_named
from tieout.gateway.domain.judging import MAIN
from tieout.gateway.people import asking
from tieout.gateway.satellites import hash_of
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

SECRET_MIN = 16  # Characters of a secret that somebody else made.
HEARD_SECONDS_MAX = 2.0


@operation(PUT_SATELLITE)
async def put_satellite(request: PutSatellite, database: Database) -> SatellitePut:
    """A secret is answered where it was made in this call, and never again."""
    await _check(request, database)
    await _check_warehouse(request, database)
    async with database.transaction() as tx:
        await tx.execute(statements.queue, request.satellite)
        before = await tx.fetchrow(statements.lock, request.satellite)
        had = before["authentication"] if before is not None else "key"
        authentication = had if request.authentication is UNSET else request.authentication
        _check_secret(request.secret, authentication)
        row = await tx.fetchrow(
            statements.put,
            request.satellite,
            _told(request.name),
            _told(request.companies),
            _told(request.zone),
            _told(request.authentication),
            _told(request.default_warehouse),
            _told(request.due_days),
            _told(request.control_passes),
            asking(),
        )
        assert row is not None
        told = ""
        changed = before is None or had != authentication
        if authentication == "leaf":
            await tx.execute(statements.remove_secret, request.satellite)
        elif changed or request.rotate or request.secret:
            secret = request.secret or secrets.token_urlsafe(32)
            told = "" if request.secret else secret
            if authentication == "key":
                await tx.execute(statements.put_secret, request.satellite, hash_of(secret), None)
            else:
                await tx.execute(statements.put_secret, request.satellite, None, secret)
    return SatellitePut(SatelliteView(**row), told)


@operation(HOLD_SATELLITE)
async def hold_satellite(request: HoldSatellite, database: Database) -> SatelliteView:
    async with database.transaction() as tx:
        row = await tx.fetchrow(statements.hold, request.satellite, request.held, asking())
    if row is None:
        raise Refused("not_found", f"There is no satellite {request.satellite}.", field="satellite", status=404)
    return SatelliteView(**row)


def _told(value: Any) -> Any:
    """None where nobody named it."""
    return None if value is UNSET else value


async def _check(request: PutSatellite, database: Database) -> None:
    try:
        zone_named("UTC" if request.zone is UNSET else request.zone)
    except ValueError:
        raise Refused(
            "invalid", f"{request.zone!r} is no time zone. Name one like Europe/Berlin.", field="zone", status=422
        ) from None
    if request.companies is not UNSET:
        await _known(request.companies, database)


async def _known(companies: tuple[str, ...], database: Database) -> None:
    """A company that was opened a moment ago is heard of within a second: who waits for it needs no second attempt."""
    deadline = time.monotonic() + HEARD_SECONDS_MAX
    while True:
        async with database.read() as connection:
            known = {row[0] for row in await connection.fetch(statements.known_companies, companies)}
        unknown = [company for company in companies if company not in known]
        if not unknown:
            return
        if time.monotonic() > deadline:
            detail = f"No company {unknown[0]} keeps its books here. Open it first: PUT /v1/companies/{unknown[0]}."
            raise Refused("unknown_company", detail, field="companies", status=422)
        await asyncio.sleep(0.05)


async def _check_warehouse(request: PutSatellite, database: Database) -> None:
    """A misspelt default warehouse would only show once its orders are refused. Each company that is named must have
    it; where the satellite speaks for all, one of them. MAIN every company has."""
    if request.default_warehouse is UNSET and request.companies is UNSET:
        return
    deadline = time.monotonic() + HEARD_SECONDS_MAX
    while True:
        async with database.read() as connection:
            before = await connection.fetchrow(statements.speaks_for, request.satellite)
            companies = list(_or(request.companies, before and before["companies"], ()))
            name = _or(request.default_warehouse, before and before["default_warehouse"], MAIN)
            rows = await connection.fetch(statements.described, companies)
        having = {row["company"] for row in rows if row["warehouse"] == name}
        lacking = [company for company in companies if company not in having]
        if name == MAIN or (having and not lacking):
            return
        if time.monotonic() > deadline:
            raise _no_warehouse(name, lacking[0] if lacking else "", [tuple(row) for row in rows])
        await asyncio.sleep(0.05)


def _or(told: Any, kept: Any, default: Any) -> Any:
    return told if told is not UNSET else default if kept is None else kept


def _no_warehouse(name: str, company: str, described: list[tuple[str, str]]) -> Refused:
    if company:
        there = ", ".join((MAIN, *(warehouse for owner, warehouse in described[:50] if owner == company)))
        detail = f"Nobody has described a warehouse {name} of {company}; it has {there}."
    else:
        there = ", ".join((MAIN, *(f"{warehouse} of {owner}" for owner, warehouse in described[:50])))
        detail = f"Nobody has described a warehouse {name} of any company; there are {there}."
    path = f"PUT /v1/companies/{company or '{company}'}/warehouses/{name}"
    detail = f"{detail} Name one of these, or describe it first: {path}."
    return Refused("unknown_warehouse", detail, field="default_warehouse", status=422)


def _check_secret(secret: str, authentication: str) -> None:
    if secret and authentication not in ("hmac", "shopify"):
        raise Refused(
            "invalid", "Only shared secrets can be given; API keys are made here.", field="secret", status=422
        )
    if secret and len(secret) < SECRET_MIN:
        raise Refused("invalid", f"A secret has at least {SECRET_MIN} characters.", field="secret", status=422)
