"""gateway.put_satellite, gateway.hold: who may send, and whether what they send is mapped."""

import secrets
from zoneinfo import ZoneInfo

from tieout.contracts.gateway import (
    HOLD_SATELLITE,
    PUT_SATELLITE,
    HoldSatellite,
    PutSatellite,
    SatellitePut,
    SatelliteView,
)
from tieout.gateway.people import asking
from tieout.gateway.satellites import hash_of
from tieout.servicekit import Database, Refused, operation, sql

statements = sql.load(__file__)

SECRET_MIN = 16  # Characters of a secret that somebody else made.


@operation(PUT_SATELLITE)
async def put_satellite(request: PutSatellite, database: Database) -> SatellitePut:
    """A secret is answered where it was made in this call, and never again."""
    _check(request)
    async with database.transaction() as tx:
        before = await tx.fetchrow(statements.lock, request.satellite)
        row = await tx.fetchrow(
            statements.put,
            request.satellite,
            request.name,
            list(request.companies),
            request.zone,
            request.authentication,
            request.default_warehouse,
            request.due_days,
            request.control_passes,
            asking(),
        )
        assert row is not None
        told = ""
        changed = before is None or before["authentication"] != request.authentication
        if request.authentication == "leaf":
            await tx.execute(statements.remove_secret, request.satellite)
        elif changed or request.rotate or request.secret:
            secret = request.secret or secrets.token_urlsafe(32)
            told = "" if request.secret else secret
            if request.authentication == "key":
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


def _check(request: PutSatellite) -> None:
    try:
        ZoneInfo(request.zone)
    except (OSError, ValueError, KeyError):
        raise Refused(
            "invalid", f"{request.zone!r} is no time zone. Name one like Europe/Berlin.", field="zone", status=422
        ) from None
    if request.secret and request.authentication not in ("hmac", "shopify"):
        raise Refused(
            "invalid", "Only shared secrets can be given; API keys are made here.", field="secret", status=422
        )
    if request.secret and len(request.secret) < SECRET_MIN:
        raise Refused("invalid", f"A secret has at least {SECRET_MIN} characters.", field="secret", status=422)
