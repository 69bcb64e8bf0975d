"""One ticket per cause: counted, reopened, resolved; with its history and what has to be told outside."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tieout.contracts.ticket import TicketOpened, TicketResolved
from tieout.control import tickets
from tieout.control.tickets import Affected, Opening
from tieout.devstack.testbed import Testbed
from tieout.servicekit import Database
from tieout.servicekit.rehearsal import announced, open_database

STALL = "stall:finance-bill-shipments"


@pytest.fixture
async def database(testbed: Testbed) -> AsyncIterator[Database]:
    made = await testbed.create_database("control")
    database = await open_database(made.app_url, "control")
    yield database
    await database.pool.close()
    await testbed.drop_database(made)


async def opened(database: Database, fingerprint: str = STALL, **more: object) -> int:
    async with database.transaction() as tx:
        return await tickets.open_ticket(
            tx, "stall", fingerprint, "Bills stand still", "开票停滞", service="finance", **more
        )


async def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.fetch(statement)]


async def test_the_same_cause_is_counted_on_one_ticket(database: Database) -> None:
    numbers = {await opened(database, detail=f"try {n}", count=n) for n in (1, 2, 3)}
    assert len(numbers) == 1
    assert await rows(database, "SELECT count, state, owner, priority, detail, times FROM ticket") == [
        (6, "open", "finance", 1, "try 3", 1)
    ]
    assert await rows(database, "SELECT what, actor FROM ticket_history") == [("opened", "control")]
    (event,) = await announced(database, TicketOpened)
    assert (event.data.fingerprint, event.data.title_zh, event.data.times) == (STALL, "开票停滞", 1)


async def test_a_resolved_ticket_opens_again_when_its_cause_returns_and_its_clock_starts_anew(
    database: Database,
) -> None:
    number = await opened(database)
    async with database.transaction() as tx:
        assert await tickets.settle_ticket(tx, STALL, "it goes on")
    async with database.transaction() as tx:
        assert not await tickets.settle_ticket(tx, STALL, "it goes on")  # It is resolved already.
    assert await opened(database) == number
    assert await rows(
        database, "SELECT state, times, count, resolved_at, due_at - opened_at > '59 min' FROM ticket"
    ) == [("open", 2, 2, None, True)]
    assert await rows(database, "SELECT what FROM ticket_history ORDER BY number") == [
        ("opened",),
        ("resolved",),
        ("reopened",),
    ]
    assert await rows(database, "SELECT what FROM notification ORDER BY number") == [
        ("opened",),
        ("resolved",),
        ("reopened",),
    ]
    assert [event.data.times for event in await announced(database, TicketOpened)] == [1, 2]
    assert len(await announced(database, TicketResolved)) == 1


async def test_an_order_counts_once_with_its_largest_amount(database: Database) -> None:
    one = Affected("C1", "1001", "CNY", 500)
    await opened(database, orders=[one, Affected("C1", "1001", "CNY", 900), Affected("C2", "1001")])
    await opened(database, orders=[one])
    assert await rows(database, "SELECT company, order_no, amount_minor FROM ticket_order ORDER BY 1") == [
        ("C1", "1001", 900),
        ("C2", "1001", 0),
    ]


async def test_replicas_that_notice_the_same_at_once_open_one_ticket_and_tell_it_once(database: Database) -> None:
    async def notice(order: tuple[str, str]) -> None:
        async with database.transaction() as tx:
            await tickets.open_tickets(
                tx, [Opening(kind="stall", fingerprint=name, title_en=name, title_zh=name) for name in order]
            )

    await asyncio.gather(*(notice(order) for order in [("stall:a", "stall:b"), ("stall:b", "stall:a")] * 4))
    assert await rows(database, "SELECT fingerprint, count FROM ticket ORDER BY 1") == [("stall:a", 8), ("stall:b", 8)]
    assert await rows(database, "SELECT what, count(*) FROM ticket_history GROUP BY 1") == [("opened", 2)]


async def test_the_history_of_a_ticket_cannot_be_changed(database: Database) -> None:
    await opened(database)
    with pytest.raises(Exception, match="permission denied"):
        await rows(database, "UPDATE ticket_history SET note = 'x' RETURNING 1")
