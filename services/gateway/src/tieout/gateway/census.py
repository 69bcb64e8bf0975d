"""The source census: what a satellite says that it sent, beside what has arrived."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import asyncpg
from tieout.contracts.watch import (
    CENSUS,
    CENSUS_OURS,
    CensusPart,
    CensusRequest,
    Counted,
    Listed,
    Ours,
    OursRequest,
    other_sign,
)
from tieout.servicekit import Connection, Database, Refused, operation, sql

statements = sql.load(__file__)


@operation(CENSUS)
async def census(request: CensusRequest, database: Database) -> CensusPart:
    """Asks only; raises Refused(not_found) for a satellite that is not known."""
    listed = {one.number for one in request.orders}
    numbers = sorted(listed | {other_sign(number) for number in listed})
    async with database.read() as connection:
        await _known(connection, request.satellite)
        mapped = await connection.fetch(statements.mapped, request.satellite, numbers)
        refused = await connection.fetch(statements.refused, request.satellite, numbers)
    ours: dict[str, list[Any]] = {}
    for row in mapped:
        ours.setdefault(row["number"], []).append(row)
    kept_back = {row["number"]: row for row in refused}
    here = ours.keys() | kept_back.keys()
    # Who lists both means two orders: one must not stand for the other.
    called = {
        number: other_sign(number)
        for number in listed
        if number not in here and other_sign(number) in here and other_sign(number) not in listed
    }
    found = []
    for one in request.orders:
        number = called.get(one.number, one.number)
        found.append(_judge(one, ours.get(number, ()), kept_back.get(number)))
    told = tuple(one for one in found if one is not None)
    return CensusPart(len(found) - len(told), told, tuple(sorted(called)))


def _judge(listed: Listed, ours: Sequence[Any], refusal: Any) -> Counted | None:
    """None where it is here as the source has it. Of several versions any may be the source's."""
    if not ours:
        if refusal is None:
            return Counted(listed.number, "missing")
        return Counted(
            listed.number,
            "dismissed" if refusal["decision"] == "dismissed" else "quarantined",
            intake_id=str(refusal["id"]),
            reason=refusal["reason"],
        )
    best: Counted | None = None
    for row in ours:
        pairs = (
            ("amount_minor", listed.amount_minor, row["amount_minor"]),
            ("currency", listed.currency or None, row["currency"]),
            ("date", listed.date[:10] or None, row["business_date"].isoformat()),
        )
        fields = tuple(name for name, theirs, mine in pairs if theirs is not None and theirs != mine)
        if not fields:
            return None
        if best is None or len(fields) < len(best.fields):
            best = Counted(
                listed.number,
                "differs",
                row["amount_minor"],
                row["currency"],
                row["business_date"].isoformat(),
                fields,
                str(row["id"]),
            )
    return best


@operation(CENSUS_OURS)
async def census_ours(request: OursRequest, database: Database) -> Ours:
    first, last = _day(request.first_day, "first_day"), _day(request.last_day, "last_day")
    async with database.read() as connection:
        await _known(connection, request.satellite)
        rows = await connection.fetch(statements.ours, request.satellite, first, last, request.after, request.limit)
    more = rows[-1]["position"] if len(rows) == request.limit else 0
    return Ours(tuple(row["number"] for row in rows), more)


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("invalid", f"{text!r} is no day. Write it as 2026-11-23.", field=field, status=422) from None


async def _known(connection: "Connection[asyncpg.Record]", satellite: str) -> None:
    if not await connection.fetchval(statements.satellite, satellite):
        raise Refused(
            "not_found",
            f"There is no satellite {satellite!r}. GET /v1/satellites lists them.",
            field="satellite",
            status=404,
        )
