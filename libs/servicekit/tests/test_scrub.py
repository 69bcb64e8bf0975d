"""The background look is due when Postgres itself has counted changes that the service did not make."""

import asyncio

import pytest
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.servicekit.findings import Findings
from tieout.servicekit.scrub import Scrub


async def test_the_scrub_looks_once_after_a_hand_edit_and_then_rests(database, owner) -> None:
    findings = Findings(None)
    scrub = Scrub(findings, database, 1.0)
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO setting (name, value) VALUES ('zone', 'UTC')")

    async def until(expected):
        while await scrub.look() != expected:  # noqa: ASYNC110 - a database tells no event.
            await asyncio.sleep(0.05)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await until("whole")
        async with database.read() as connection:  # Postgres reports what a session did up to ten seconds later.
            await connection.execute("SELECT pg_stat_force_next_flush()")
        await until("nothing")
        await owner.execute("ALTER TABLE setting DISABLE TRIGGER USER")
        await owner.execute("UPDATE setting SET value = 'hers' WHERE name = 'zone'")
        await owner.close()  # And when it ends, at the latest.
        while {one.rule for one in findings.found.violations} != {"settings_are_logged", "triggers_armed"}:
            await until("whole")
        await until("nothing")
    assert findings.found.at


class Clock:
    """What the scrub takes for the time; a look takes as long as is said here."""

    now = 0.0
    look_seconds = 0.1

    def __call__(self) -> float:
        return self.now


class SlowFindings(Findings):
    """Whole looks at books that are large, or at a database that hangs: each takes as long as the clock says."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(None)
        self._clock = clock

    async def scrub(self, database):
        self._clock.now += self._clock.look_seconds
        return await super().scrub(database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def edit(database, owner, clock, toy):
    """A hand edits a fact 15 s after the scrub looked last; returns once the scrub has done as expected."""
    await toy.fill(database, [1])
    scrub = Scrub(SlowFindings(clock), database, 1.0, clock)

    async def edit(*expected: str) -> None:
        clock.now += 15
        await owner.execute("UPDATE demand SET amount = amount + 1")
        await owner.execute("SELECT pg_stat_force_next_flush()")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await scrub.look() not in expected:  # noqa: ASYNC110 - Postgres may tell of it later.
                await asyncio.sleep(0.05)

    clock.now += 100
    await edit("whole")
    return edit


async def test_a_look_during_which_the_database_hung_keeps_no_later_edit_waiting(edit, clock) -> None:
    for look_seconds in (40, 40, 0.1, 0.1, 40, 40, 0.1):
        clock.look_seconds = look_seconds
        await edit("whole")


async def test_where_each_look_takes_long_an_edit_every_few_seconds_does_not_keep_the_database_busy(
    edit, clock
) -> None:
    clock.look_seconds = 45
    for _ in range(5):
        await edit("whole", "glance")
    for _ in range(10):
        await edit("glance")
    clock.now += 20 * 45
    await edit("whole")
