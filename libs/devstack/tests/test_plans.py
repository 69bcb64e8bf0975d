"""The work of a statement is counted, so that a test can tell a nested loop from a busy machine."""

from tieout.devstack.plans import rows_touched
from tieout.servicekit.rehearsal import open_database

LINES = 1_000
JOINED = "SELECT count(*) FROM generate_series(1, $1::integer) a JOIN generate_series(1, $1::integer) b ON a = b"
IN_A_FUNCTION = (
    "DO $$ BEGIN PERFORM count(*) FROM generate_series(1, 1000) a, generate_series(1, 1000) b WHERE a + b = 7; END $$"
)


async def test_a_nested_loop_touches_its_lines_squared_and_a_hash_join_does_not(testbed, service_database):
    made = await service_database("order", migrate=False)
    database = await open_database(made.app_url, "order")
    try:
        async with rows_touched(testbed.postgres, database) as touched, database.transaction() as tx:
            assert await tx.fetchval(JOINED, LINES) == LINES
        assert touched.above(10 * LINES) == {}
        async with rows_touched(testbed.postgres, database) as touched, database.transaction() as tx:
            await tx.execute("SET LOCAL enable_hashjoin = off")
            await tx.execute("SET LOCAL enable_mergejoin = off")
            assert await tx.fetchval(JOINED, LINES) == LINES
        assert touched.above(10 * LINES).keys() == {JOINED}
        async with rows_touched(testbed.postgres, database) as touched, database.transaction() as tx:
            await tx.execute(IN_A_FUNCTION)
        assert touched.most.total() > LINES * LINES
        settings = (
            "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = $1"
        )
        async with database.read() as connection:
            assert await connection.fetch(settings, made.name) == []  # Nothing of it is left.
    finally:
        await database.pool.close()
