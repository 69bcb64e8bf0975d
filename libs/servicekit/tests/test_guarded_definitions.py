"""What refuses a wrong row, and who may write one: dropped constraints and indexes, wider rights, other settings."""

import asyncpg
import pytest
from tieout.servicekit import migrate
from tieout.servicekit.findings import Findings

GUARDS = "guards_untouched"


@pytest.fixture
async def findings(database, owner):
    """A table with a constraint, a key besides its primary one, an index, and a partition that a service made."""
    found = Findings(None)
    assert await told(found, database) == set()
    return found


@pytest.fixture
def toy_files(toy, tmp_path):
    for path in toy.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    return tmp_path


@pytest.fixture
async def superuser(testbed, toy_database):
    connection = await asyncpg.connect(testbed.postgres.url(toy_database.name))
    yield connection
    await connection.close()


async def told(findings, database):
    found = (await findings.scrub(database)).violations
    return {(one.rule, one.key) for one in found}


@pytest.mark.parametrize(
    ("statement", "back", "expected"),
    [
        ("ALTER TABLE outbox DROP CONSTRAINT outbox_pkey", "ALTER TABLE outbox ADD PRIMARY KEY (batch)",
         {"constraints of outbox", "indexes of outbox"}),
        ("ALTER TABLE demand DROP CONSTRAINT demand_pkey", "ALTER TABLE demand ADD PRIMARY KEY (position, line_no)",
         {"constraints of demand", "indexes of demand"}),
        ("ALTER TABLE kit_role DROP CONSTRAINT kit_role_one_check", "ALTER TABLE kit_role ADD CHECK (one)",
         {"constraints of kit_role"}),
        ("ALTER TABLE demand ADD CHECK (amount > 0) NOT VALID",
         "ALTER TABLE demand DROP CONSTRAINT demand_amount_check", {"constraints of demand"}),
        ("ALTER TABLE demand ALTER amount DROP NOT NULL", "ALTER TABLE demand ALTER amount SET NOT NULL",
         {"columns' rules of demand"}),
        ("ALTER TABLE demand ALTER kind SET DEFAULT 'service'", "ALTER TABLE demand ALTER kind SET DEFAULT 'goods'",
         {"columns' rules of demand"}),
        ("DROP INDEX outbox_unsent", "CREATE INDEX outbox_unsent ON outbox (batch) WHERE first_seq IS NULL",
         {"indexes of outbox"}),
        ("CREATE UNIQUE INDEX one_a_day ON demand (order_no)", "DROP INDEX one_a_day", {"indexes of demand"}),
        ("CREATE INDEX slow ON demand (lower(order_no))", "DROP INDEX slow", {"indexes of demand"}),
        ("GRANT UPDATE, DELETE ON demand TO inventory_app", "REVOKE UPDATE, DELETE ON demand FROM inventory_app",
         {"rights of demand"}),
        ("GRANT UPDATE (amount) ON demand TO inventory_app", "REVOKE UPDATE (amount) ON demand FROM inventory_app",
         {"rights of demand"}),
        ("GRANT SELECT ON demand TO public", "REVOKE SELECT ON demand FROM public", {"rights of demand"}),
        ("REVOKE INSERT ON demand FROM inventory_app", "GRANT INSERT ON demand TO inventory_app", {"rights of demand"}),
        ("GRANT UPDATE ON SEQUENCE outbox_pos TO inventory_app",
         "REVOKE UPDATE ON SEQUENCE outbox_pos FROM inventory_app", {"rights of outbox_pos"}),
        ("GRANT UPDATE ON digest TO inventory_app", "REVOKE UPDATE ON digest FROM inventory_app", {"rights of digest"}),
        ("ALTER DEFAULT PRIVILEGES GRANT UPDATE ON TABLES TO inventory_app",
         "ALTER DEFAULT PRIVILEGES REVOKE UPDATE ON TABLES FROM inventory_app", {"rights"}),
        ("ALTER TABLE demand ENABLE ROW LEVEL SECURITY", "ALTER TABLE demand DISABLE ROW LEVEL SECURITY",
         {"rights of demand"}),
        ("CREATE TABLE shadow () INHERITS (demand)", "DROP TABLE shadow", {"inheriting tables of demand"}),
        ("CREATE TABLE aside (LIKE demand); ALTER TABLE aside INHERIT demand", "ALTER TABLE aside NO INHERIT demand",
         {"inheriting tables of demand"}),
        ("CREATE POLICY quiet ON demand USING (amount < 5)", "DROP POLICY quiet ON demand", {"policies of demand"}),
    ],
)  # fmt: skip
async def test_what_a_table_refuses_and_who_may_write_it_is_told_until_it_is_put_back(
    findings, database, owner, statement, back, expected
) -> None:
    await owner.execute(statement)
    assert await told(findings, database) == {(GUARDS, key) for key in expected}
    await owner.execute(back)
    assert await told(findings, database) == set()


@pytest.mark.parametrize(
    ("statement", "back", "expected"),
    [
        ("GRANT CREATE ON SCHEMA public TO inventory_app",
         "REVOKE CREATE ON SCHEMA public FROM inventory_app", "rights"),
        ("ALTER TABLE order_anchor OWNER TO inventory_app",
         "ALTER TABLE order_anchor OWNER TO inventory_owner; "
         "GRANT SELECT, INSERT, UPDATE, DELETE ON order_anchor TO inventory_app", "rights of order_anchor"),
        ("ALTER DATABASE {name} SET synchronous_commit = off", "ALTER DATABASE {name} RESET synchronous_commit",
         "settings of sessions"),
        ("ALTER ROLE inventory_app IN DATABASE {name} SET session_replication_role = replica",
         "ALTER ROLE inventory_app IN DATABASE {name} RESET ALL", "settings of sessions"),
    ],
)  # fmt: skip
async def test_what_a_superuser_gives_the_service_or_sets_for_its_sessions_is_told_until_it_is_put_back(
    findings, database, superuser, toy_database, statement, back, expected
) -> None:
    await superuser.execute(statement.format(name=toy_database.name))
    assert await told(findings, database) == {(GUARDS, expected)}
    await superuser.execute(back.format(name=toy_database.name))
    assert await told(findings, database) == set()


async def test_a_constraint_that_was_dropped_is_told_with_what_brings_it_back(findings, database, owner) -> None:
    await owner.execute("ALTER TABLE demand DROP CONSTRAINT demand_pkey")
    (index, constraint) = sorted((await findings.glance(database)).violations, key=lambda one: one.facts)
    assert (constraint.facts, constraint.kept) == ('demand_pkey PRIMARY KEY ("position", line_no)', "(gone)")
    assert index.facts == 'CREATE UNIQUE INDEX demand_pkey ON public.demand USING btree ("position", line_no)'


async def test_a_constraint_that_what_came_meanwhile_breaks_stays_a_finding(findings, database, owner) -> None:
    await owner.execute("ALTER TABLE kit_role DROP CONSTRAINT kit_role_one_check")
    await owner.execute("ALTER TABLE kit_role ADD CHECK (one) NOT VALID")
    (found,) = (await findings.glance(database)).violations
    assert found.kept == "kit_role_one_check CHECK (one) NOT VALID"
    await owner.execute("ALTER TABLE kit_role VALIDATE CONSTRAINT kit_role_one_check")
    assert await told(findings, database) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "REINDEX TABLE CONCURRENTLY demand",
        "CREATE INDEX CONCURRENTLY demand_order ON demand (order_id)",
        "GRANT SELECT ON demand TO inventory_app",  # It had it.
        "CREATE TABLE somebodys_own (id bigint PRIMARY KEY, what text NOT NULL DEFAULT 'x' CHECK (what <> ''))",
        "ALTER DATABASE {name} SET work_mem = '8MB'",
    ],
)
async def test_what_alters_neither_is_no_finding(findings, database, superuser, toy_database, statement) -> None:
    await superuser.execute(statement.format(name=toy_database.name))
    assert await told(findings, database) == set()


async def test_a_partition_that_a_service_makes_and_lets_go_of_is_no_finding(database, owner, toy_files) -> None:
    (toy_files / "0002_pre_parts.sql").write_text(
        "CREATE TABLE paper (id bigint PRIMARY KEY, day integer NOT NULL CHECK (day > 0)) PARTITION BY RANGE (id);\n"
        "CREATE TABLE paper_rest PARTITION OF paper DEFAULT;\n"
        "CREATE INDEX paper_day ON paper (day);\n"
        "CALL fact_table('paper');"
    )
    await migrate(owner, "inventory", toy_files)
    findings = Findings(None)
    assert await told(findings, database) == set()
    async with owner.transaction():
        await owner.execute("CREATE TABLE paper_7 PARTITION OF paper FOR VALUES FROM (7) TO (8)")
        await owner.execute("CALL fact_part('paper', 'paper_7')")
    assert await told(findings, database) == set()
    await owner.execute("GRANT DELETE ON paper_7 TO inventory_app")
    assert await told(findings, database) == {(GUARDS, "rights of paper_7")}
    async with owner.transaction():
        await owner.execute("DROP TABLE paper_7")
        await owner.execute("SELECT unguard_part('paper_7')")
    assert await told(findings, database) == set()


async def test_a_migration_vouches_for_its_own_and_not_for_what_a_hand_did_to_the_same_table(
    findings, database, owner, toy_files
) -> None:
    await owner.execute("GRANT UPDATE ON demand TO inventory_app; ALTER TABLE demand ALTER amount DROP NOT NULL")
    (toy_files / "0002_post_more.sql").write_text(
        "ALTER TABLE demand ADD remark text NOT NULL DEFAULT '', ADD UNIQUE (order_id, position, line_no);\n"
        "CREATE INDEX demand_no ON demand (order_no) WHERE amount > 0;\n"
        "GRANT TRIGGER ON demand TO inventory_auditor;"
    )
    assert await migrate(owner, "inventory", toy_files) == ["inventory/0002_post_more.sql"]
    assert await told(findings, database) == {(GUARDS, "rights of demand"), (GUARDS, "columns' rules of demand")}
    await owner.execute("CALL trust_guards('demand', 'ticket 7')")
    assert await told(findings, database) == set()
    trusted = await owner.fetch('SELECT kind, name, recorded, found FROM guard_trusted ORDER BY kind COLLATE "C"')
    assert [tuple(row) for row in trusted] == [
        ("column", "amount", "amount NOT NULL", None),
        ("rights", "inventory_app=", "inventory_app=ar/inventory_owner", "inventory_app=arw/inventory_owner"),
    ]
    await owner.execute("DROP INDEX demand_no")
    assert await told(findings, database) == {(GUARDS, "indexes of demand")}
