"""Who guards the guards: what was done while triggers were off is found although they are armed again."""

import asyncio
import os
import signal

import asyncpg
import pytest
from tieout.contracts.inventory import OrderRefused
from tieout.contracts.operation import Nothing
from tieout.devstack import databases
from tieout.servicekit import migrate
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.rehearsal import open_database

COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount")


@pytest.fixture
async def evidence(database, toy):
    async with database.transaction() as tx:
        records = [(p, 1, toy.placed(str(p)).order_id, str(p), 3, 7) for p in range(1, 101)]
        await tx.copy("demand", columns=COLUMNS, records=records)
    found = Evidence(database, None)
    await found.start()
    assert await told(found, database) == set()
    return found


async def told(evidence, database):
    found = (await evidence.violations(Nothing(), database)).violations
    return {(one.rule, one.key) for one in found}


async def unseen(owner, statement, table="demand"):
    """Behind disabled triggers, which are armed again afterwards."""
    names = await owner.fetch("SELECT tgname FROM pg_trigger WHERE tgrelid = $1::text::regclass", table)
    await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await owner.execute(statement)
    for row in names:
        await owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {row['tgname']}")


EDIT = "UPDATE demand SET order_no = 'another' WHERE position = 7"
TRIGGERS = ("guards_untouched", "triggers of demand")


async def test_an_edit_that_no_digest_covers_is_found_although_triggers_were_armed_again(
    evidence, database, owner
) -> None:
    await unseen(owner, EDIT)
    assert await told(evidence, database) == {TRIGGERS}
    (found,) = (await evidence.glance(database)).violations
    assert "tamper_update" in found.detail
    assert "switched off and on" in found.detail


async def test_neither_a_crash_of_postgres_nor_a_reset_of_its_statistics_hides_it_or_raises_it(
    evidence, database, owner, testbed, toy_database
) -> None:
    superuser = await asyncpg.connect(testbed.postgres.url(toy_database.name))
    await superuser.execute("SELECT pg_stat_reset()")
    assert await told(evidence, database) == set()
    await unseen(owner, EDIT)
    await superuser.execute("SELECT pg_stat_reset()")
    assert await told(evidence, database) == {TRIGGERS}
    await owner.execute("CALL trust_guards('demand', 'a test')")
    os.kill(
        await superuser.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL
    )  # All sessions end, statistics are lost.
    superuser.terminate()
    await asyncio.sleep(0.2)
    async with asyncio.timeout(20):
        while True:
            try:
                assert await told(evidence, database) == set()
                break
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.05)
    owner = await asyncpg.connect(toy_database.owner_url)
    await unseen(owner, EDIT)
    await owner.close()
    assert await told(evidence, database) == {TRIGGERS}


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM FULL demand",
        "VACUUM (FREEZE, ANALYZE) demand",
        "CLUSTER demand USING demand_pkey",
        "REINDEX TABLE demand",
        "ALTER TABLE demand ALTER order_no SET STATISTICS 500",
        "CREATE INDEX demand_order ON demand (order_id)",
        "CREATE FUNCTION somebodys_own() RETURNS integer LANGUAGE sql RETURN 1",
        "ALTER TABLE demand ENABLE ALWAYS TRIGGER tamper_update",  # It was.
    ],
)
async def test_what_a_database_is_kept_well_with_is_no_finding(evidence, database, owner, statement) -> None:
    await owner.execute(statement)
    assert await told(evidence, database) == set()
    await owner.execute("VACUUM FULL demand")  # Months later.
    assert await told(evidence, database) == set()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE demand ALTER order_no TYPE text USING order_no || 'x'", "columns of demand"),
        ("DROP TRIGGER tamper_update ON demand; CREATE TRIGGER tamper_update AFTER UPDATE ON demand "
         "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT "
         "EXECUTE FUNCTION note_tamper('demand'); ALTER TABLE demand ENABLE ALWAYS TRIGGER tamper_update",
         "triggers of demand"),
        ("CREATE OR REPLACE FUNCTION note_tamper() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
         "functions"),
        ("CREATE RULE quiet AS ON UPDATE TO demand DO INSTEAD NOTHING", "rules of demand"),
        ("CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.amount := 1; RETURN NEW; END'; "
         "CREATE TRIGGER mine BEFORE INSERT ON demand FOR EACH ROW EXECUTE FUNCTION mine()", "triggers of demand"),
        ("DELETE FROM fact_tables WHERE tab = 'demand'", "columns of demand"),
    ],
)  # fmt: skip
async def test_other_ways_around_the_guards_are_found(evidence, database, owner, statement, expected) -> None:
    await owner.execute(statement)
    assert ("guards_untouched", expected) in await told(evidence, database)


async def test_the_log_of_edits_and_the_record_of_guards_guard_themselves(evidence, database, owner) -> None:
    await owner.execute("UPDATE demand SET order_no = 'another' WHERE position = 7")
    assert {rule for rule, _ in await told(evidence, database)} == {"touched_by_hand"}
    await owner.execute("DELETE FROM tamper")
    assert {(rule, key.split()[0]) for rule, key in await told(evidence, database)} == {("touched_by_hand", "tamper")}
    await owner.execute("UPDATE guard SET mark = 'x' WHERE tab = 'demand' AND name = 'tamper_update'")
    found = {(rule, key.split()[0]) for rule, key in await told(evidence, database)}
    assert found >= {("touched_by_hand", "guard"), ("guards_untouched", "triggers")}
    async with database.read() as connection:
        for statement in (
            "DELETE FROM guard",
            "INSERT INTO tamper (tab, op, key, who, app) VALUES ('x', 'x', '{}', '', '')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CALL trust_guards('demand', 'because')")


async def test_a_forged_entry_of_the_log_forgives_nothing(evidence, database, owner) -> None:
    await owner.execute("UPDATE demand SET order_no = 'another' WHERE position = 7")
    await owner.execute(
        "INSERT INTO tamper (id, tab, op, key, before, who, app) OVERRIDING SYSTEM VALUE "
        "SELECT 0, 'demand', 'UPDATE', key, after, 'x', 'x' FROM tamper WHERE tab = 'demand'"
    )
    assert {rule for rule, _ in await told(evidence, database)} == {"touched_by_hand"}


async def test_a_forged_entry_of_the_log_of_settings_is_found(evidence, database, owner) -> None:
    await owner.execute("UPDATE setting SET value = 'hers' WHERE name = 'first'")
    await owner.execute(
        "INSERT INTO settings_change (tab, op, source, key, before, after, who, actor, app) "
        "SELECT tab, op, 'service', key, after, after, 'inventory_app', '', '' FROM settings_change "
        "WHERE source = 'hand'"
    )
    assert "touched_by_hand" in {rule for rule, _ in await told(evidence, database)}


async def test_the_owner_takes_what_he_has_looked_into_for_right_and_says_why(evidence, database, owner) -> None:
    await unseen(owner, EDIT)
    with pytest.raises(asyncpg.RaiseError, match="say why"):
        await owner.execute("CALL trust_guards('demand', '')")
    await owner.execute("CALL trust_guards('demand', 'looked at each row')")
    assert await told(evidence, database) == set()
    assert await owner.fetchval("SELECT count(*) FROM guard_trusted WHERE reason = 'looked at each row'") == 8
    await unseen(owner, EDIT)
    assert await told(evidence, database) == {TRIGGERS}


async def test_a_migration_vouches_for_what_it_does_and_not_for_what_a_hand_did_before(
    evidence, database, owner, toy_database, tmp_path, toy
) -> None:
    for path in toy.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "0002_post_wider.sql").write_text(
        "ALTER TABLE demand ALTER line_no TYPE bigint;\n"
        "CREATE OR REPLACE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    assert await migrate(owner, "inventory", tmp_path) == ["inventory/0002_post_wider.sql"]
    assert await told(evidence, database) == set()
    await unseen(owner, EDIT)
    (tmp_path / "0003_post_more.sql").write_text("ALTER TABLE demand ALTER quantity TYPE numeric")
    assert await migrate(owner, "inventory", tmp_path) == ["inventory/0003_post_more.sql"]
    assert await told(evidence, database) == {TRIGGERS}


async def test_a_copy_in_another_database_is_no_finding_but_an_edit_in_it_is(
    evidence, database, owner, testbed, toy_database
) -> None:
    await database.pool.close()
    await owner.close()
    name = f"{toy_database.name}_copy"
    superuser = await asyncpg.connect(testbed.postgres.url())
    await databases.create(superuser, "inventory", name, template=toy_database.name)
    try:
        copy = await open_database(toy_database.app_url.replace(f"/{toy_database.name}", f"/{name}"), "inventory")
        found = Evidence(copy, None)
        await found.start()
        assert await told(found, copy) == set()
        hand = await asyncpg.connect(toy_database.owner_url.replace(f"/{toy_database.name}", f"/{name}"))
        await unseen(hand, EDIT)
        assert await told(found, copy) == {TRIGGERS}
        await hand.close()
        await copy.pool.close()
    finally:
        await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await superuser.close()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER SEQUENCE outbox_pos RESTART WITH 1",
        "UPDATE mark SET m = 1000000000000",
        "UPDATE mark SET last = 1000000000000",
        "UPDATE outbox SET last_pos = 1000000000000",
    ],
)
async def test_a_sequence_that_was_set_back_and_a_forged_mark_are_found(
    evidence, database, owner, toy, statement
) -> None:
    for number in ("1", "2"):
        async with database.transaction() as tx:
            (position,) = await tx.positions(1)
            event = OrderRefused(toy.placed(number).order_id, "C1", number, ())
            tx.announce(event, position=position, key=(number,), chain=number)
    await owner.execute("UPDATE outbox SET first_seq = batch, last_seq = batch")  # As if published.
    for _ in range(3):
        await evidence.mark(Nothing(), database)
    assert await told(evidence, database) == set()
    await owner.execute(statement)
    assert {rule for rule, _ in await told(evidence, database)} == {"positions_only_grow"}
