"""The desk's settings: teams, deadlines, working hours and holidays. control.desk | put_team | put_deadline | …

China's holidays and worked weekends come from `chinesecalendar`, which follows the State Council's announcement of each
year; a year that the company has entered itself replaces it. Changes are kept by the kit's log of settings.
"""

from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from chinese_calendar import constants as published  # type: ignore[import-untyped]
from tieout.contracts.desk import (
    PUT_DEADLINE,
    PUT_HOURS,
    PUT_TEAM,
    PUT_YEAR,
    SHOW_DESK,
    CalendarYear,
    Desk,
    DeskHours,
    DeskRequest,
    PutDeadline,
    PutHours,
    PutTeam,
    PutYear,
    ServiceTeam,
    TicketDeadline,
)
from tieout.contracts.streams import CORE_SERVICES
from tieout.contracts.zones import zone_named
from tieout.control.domain.hours import SATURDAY, Calendar, Clock, Deadline, Unclear, spans_of
from tieout.servicekit import Connection, Database, Refused, Transaction, operation, sql

statements = sql.load(__file__)
log = structlog.get_logger(__name__)


async def clocks(connection: "Connection[Any] | Transaction") -> dict[int, Clock]:
    """By priority, as the settings say now."""
    row = await connection.fetchrow(statements.clocks)
    assert row is not None
    found = zip(row["minutes"], row["kinds"], strict=True)
    deadlines = {priority: Deadline(*one) for priority, one in enumerate(found, 1)}
    try:
        calendar = _calendar(row)
        ZoneInfo(calendar.zone)
    except (LookupError, ValueError, OSError) as error:  # Edited by hand; a ticket must open all the same.
        log.error("the desk's hours cannot be read", error=repr(error)[:300])
        calendar = Calendar("UTC", ((0, 24 * 60),))
        deadlines = {priority: Deadline(one.minutes, "wall") for priority, one in deadlines.items()}
    return {priority: Clock(deadline, calendar) for priority, deadline in deadlines.items()}


def _calendar(row: Any) -> Calendar:
    own = frozenset(row["years"])
    days = dict.fromkeys(row["free"], False) | dict.fromkeys(row["worked"], True)
    if row["holidays"] == "none":
        return Calendar(row["zone"], spans_of(row["spans"]), days)
    known, years = china()
    days |= {day: works for day, works in known.items() if day.year not in own}
    return Calendar(row["zone"], spans_of(row["spans"]), days, years | own)


@cache
def china() -> tuple[dict[date, bool], frozenset[int]]:
    """Days that are not as their weekday, and the years that are published."""
    days = {day: False for day in published.holidays if day.weekday() < SATURDAY}
    days |= {day: True for day in published.workdays if day.weekday() >= SATURDAY}
    return days, frozenset(day.year for day in published.holidays)


@operation(SHOW_DESK)
async def show_desk(request: DeskRequest, database: Database) -> Desk:
    async with database.read() as connection:
        row = await connection.fetchrow(statements.clocks)
        assert row is not None
        year = request.year or datetime.now(UTC).astimezone(ZoneInfo(row["zone"])).year
        teams = await connection.fetch(statements.teams)
        deadlines = await connection.fetch(statements.deadlines)
        own = await connection.fetchrow(statements.year, year)
    calendar = _calendar(row)
    through = max(calendar.years, default=0) if calendar.years is not None else 0
    shown = _year(year, calendar, entered=own is not None)
    note = "" if shown else f"The holidays of {year} are not published: weekdays are counted. {ENTER.format(year=year)}"
    return Desk(
        teams=tuple(ServiceTeam(**dict(team)) for team in teams),
        deadlines=tuple(TicketDeadline(**dict(deadline)) for deadline in deadlines),
        hours=DeskHours(row["zone"], row["spans"], row["holidays"]),
        year=shown,
        published_through=through,
        note=note,
    )


ENTER = "Enter them as soon as they are announced: ./tieout desk year {year} --free … --worked …"


def _year(year: int, calendar: Calendar, *, entered: bool) -> CalendarYear | None:
    if not entered and calendar.years is not None and year not in calendar.years:
        return None
    days = sorted((day, works) for day, works in calendar.days.items() if day.year == year)
    return CalendarYear(
        year,
        "company" if entered or calendar.years is None else "published",
        tuple(str(day) for day, works in days if not works),
        tuple(str(day) for day, works in days if works),
    )


async def known_teams(tx: Transaction) -> set[str]:
    return {row["team"] for row in await tx.fetch(statements.known_teams)}


@operation(PUT_TEAM)
async def put_team(request: PutTeam, database: Database) -> Desk:
    if request.service not in CORE_SERVICES:
        told = f"There is no service {request.service!r}; there are: {', '.join(CORE_SERVICES)}."
        raise Refused("invalid", told, field="service", status=422)
    async with database.transaction() as tx:
        await tx.execute(statements.put_team, request.service, request.team)
    return await show_desk(DeskRequest(), database)


@operation(PUT_DEADLINE)
async def put_deadline(request: PutDeadline, database: Database) -> Desk:
    async with database.transaction() as tx:
        await tx.execute(statements.put_deadline, request.priority, request.due_minutes, request.clock)
    return await show_desk(DeskRequest(), database)


@operation(PUT_HOURS)
async def put_hours(request: PutHours, database: Database) -> Desk:
    try:
        zone_named(request.zone)
    except ValueError:
        detail = f"There is no zone {request.zone!r}; name one as Asia/Shanghai."
        raise Refused("invalid", detail, field="zone", status=422) from None
    try:
        spans_of(request.spans)
    except Unclear as unclear:
        raise Refused("invalid", str(unclear), field="spans", status=422) from None
    async with database.transaction() as tx:
        await tx.execute(statements.put_hours, request.zone, " ".join(request.spans.split()), request.holidays)
    return await show_desk(DeskRequest(), database)


@operation(PUT_YEAR)
async def put_year(request: PutYear, database: Database) -> Desk:
    free = [_day(text, request.year, "free", weekend=False) for text in request.free]
    worked = [_day(text, request.year, "worked", weekend=True) for text in request.worked]
    async with database.transaction() as tx:
        await tx.execute(statements.put_year, request.year, sorted(set(free)), sorted(set(worked)))
    return await show_desk(DeskRequest(request.year), database)


def _day(text: str, year: int, field: str, *, weekend: bool) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Refused("invalid", f"{text!r} is no day.", field=field, status=422) from None
    if day.year != year:
        raise Refused("invalid", f"{text} is not in {year}.", field=field, status=422)
    if (day.weekday() >= SATURDAY) is not weekend:
        why = "free anyway; name weekdays only" if not weekend else "worked anyway; name Saturdays and Sundays only"
        raise Refused("invalid", f"{text} is a {day:%A}, which is {why}.", field=field, status=422)
    return day


OPERATIONS = (show_desk, put_team, put_deadline, put_hours, put_year)
