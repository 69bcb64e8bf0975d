"""The desk's settings: put by people, kept with who it was, and in force for the next ticket."""

from datetime import UTC, datetime, timedelta

import pytest
from tieout.contracts.desk import Desk, DeskRequest, PutDeadline, PutHours, PutTeam, PutYear
from tieout.control import office, ticket_reads, tickets
from tieout.servicekit import ACTOR, Database, Refused


async def show(database: Database, year: int = 0) -> Desk:
    return await office.show_desk(DeskRequest(year), database)


async def opened(database: Database, priority: int) -> timedelta:
    """How long the next ticket of a priority has."""
    async with database.transaction() as tx:
        number = await tickets.open_ticket(
            tx, "stall", f"stall:{priority}:{datetime.now(UTC)}", "x", "x", service="finance", priority=priority
        )
    async with database.read() as connection:
        ticket = await ticket_reads.one(connection, number)
    return datetime.fromisoformat(ticket.due_at) - datetime.fromisoformat(ticket.opened_at)


async def test_who_put_a_setting_is_kept_and_the_next_ticket_follows_it(database: Database) -> None:
    token = ACTOR.set("li.lei")
    try:
        told = await office.put_team(PutTeam("finance", "ledger"), database)
        await office.put_team(PutTeam("finance", "ledger"), database)  # Was so already: no change.
        await office.put_deadline(PutDeadline(1, 30, "wall"), database)
        await office.put_hours(PutHours("UTC", "00:00-24:00", "none"), database)
        await office.put_deadline(PutDeadline(2, 90), database)
    finally:
        ACTOR.reset(token)
    assert [one.team for one in told.teams if one.service == "finance"] == ["ledger"]
    assert timedelta(minutes=29) < await opened(database, 1) <= timedelta(minutes=31)
    assert await opened(database, 2) > timedelta(minutes=89)
    async with database.read() as connection:
        changes = await connection.fetch(
            "SELECT tab, actor, source FROM settings_change WHERE op = 'UPDATE' ORDER BY number"
        )
        owner = await connection.fetchval("SELECT owner FROM ticket LIMIT 1")
    assert owner == "ledger"
    assert [tuple(row) for row in changes] == [
        ("team", "li.lei", "service"),
        ("ticket_priority", "li.lei", "service"),
        ("desk_hours", "li.lei", "service"),
        ("ticket_priority", "li.lei", "service"),
    ]


async def test_a_year_that_nobody_published_is_told_until_the_company_enters_it(database: Database) -> None:
    year = max(office.china()[1]) + 1
    before = await show(database, year)
    assert before.year is None
    assert f"The holidays of {year} are not published: weekdays are counted." in before.note
    first = next(day for day in (f"{year}-01-0{n}" for n in range(1, 8)) if datetime.fromisoformat(day).weekday() < 5)
    after = await office.put_year(PutYear(year, (first,), ()), database)
    assert after.year is not None
    assert (after.year.source, after.year.free, after.year.worked, after.note) == ("company", (first,), (), "")
    published = await show(database, 2026)
    assert published.year is not None
    assert "2026-10-01" in published.year.free
    assert "2026-10-10" in published.year.worked  # 调休: a Saturday.


@pytest.mark.parametrize(
    ("put", "request_", "field"),
    [
        (office.put_hours, PutHours("Mars/Olympus", "09:00-18:00"), "zone"),
        (office.put_hours, PutHours("Asia/Shanghai", "18:00-09:00"), "spans"),
        (office.put_year, PutYear(2027, ("2026-01-01",)), "free"),
        (office.put_year, PutYear(2027, ("2027-02-30",)), "free"),
        (office.put_year, PutYear(2027, ("2027-01-02",)), "free"),  # A Saturday is free anyway.
        (office.put_year, PutYear(2027, (), ("2027-01-04",)), "worked"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field(
    database: Database, put: object, request_: object, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        await put(request_, database)  # type: ignore[attr-defined]
    assert refused.value.problem.field == field


async def test_a_ticket_opens_although_somebody_has_spoiled_the_hours_by_hand(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE desk_hours SET spans = 'when we like'")
    assert timedelta(hours=7) < await opened(database, 2) < timedelta(hours=9)
