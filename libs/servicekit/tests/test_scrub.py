"""The background look is due when Postgres itself has counted changes that the service did not make."""

import asyncio

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
