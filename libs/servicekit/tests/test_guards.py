"""Who guards the guards: what was done while triggers were off is found although they are armed again."""

import asyncio
import os
import signal

import asyncpg
import pytest
from tieout.contracts.agreement import MarkRequest
from tieout.contracts.inventory import OrderRefused
from tieout.devstack import databases
from tieout.devstack.postgres import binaries
from tieout.servicekit import Refused, migrate, recovery
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.findings import Findings
from tieout.servicekit.migrate import checksums
from tieout.servicekit.rehearsal import open_database

COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount")


@pytest.fixture
async def findings(database, toy):
    async with database.transaction() as tx:
        records = [(p, 1, toy.placed(str(p)).order_id, str(p), 3, 7) for p in range(1, 101)]
        await tx.copy("demand", columns=COLUMNS, records=records)
    found = Findings(None)
    assert await told(found, database) == set()
    return found


async def told(findings, database):
    found = (await findings.scrub(database)).violations
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
    findings, database, owner
) -> None:
    await unseen(owner, EDIT)
    assert await told(findings, database) == {TRIGGERS}
    (found,) = (await findings.glance(database)).violations
    assert "tamper_update" in found.detail
    assert "switched off and on" in found.detail


async def test_neither_a_crash_of_postgres_nor_a_reset_of_its_statistics_hides_it_or_raises_it(
    findings, database, owner, testbed, toy, toy_database
) -> None:
    superuser = await asyncpg.connect(testbed.postgres.url(toy_database.name))
    await superuser.execute("SELECT pg_stat_reset()")
    assert await told(findings, database) == set()
    await unseen(owner, EDIT)
    await superuser.execute("SELECT pg_stat_reset()")
    assert await told(findings, database) == {TRIGGERS}
    await owner.execute("CALL trust_guards('demand', 'a test')")
    os.kill(
        await superuser.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL
    )  # All sessions end, statistics are lost.
    superuser.terminate()
    away = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

    async def all_sessions_have_ended() -> bool:
        try:
            await owner.execute("SELECT 1")
        except away:
            return True
        return False

    async def there_is_an_answer():
        try:
            return [await told(findings, database)]
        except away:
            return None

    await toy.until(all_sessions_have_ended)
    assert await toy.until(there_is_an_answer) == [set()]
    owner = await asyncpg.connect(toy_database.owner_url)
    await unseen(owner, EDIT)
    await owner.close()
    assert await told(findings, database) == {TRIGGERS}


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
async def test_what_a_database_is_kept_well_with_is_no_finding(findings, database, owner, statement) -> None:
    await owner.execute(statement)
    assert await told(findings, database) == set()
    await owner.execute("VACUUM FULL demand")  # Months later.
    assert await told(findings, database) == set()


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
        ("DELETE FROM settings_tables WHERE tab = 'setting'; ALTER TABLE setting DISABLE TRIGGER ALL; "
         "UPDATE setting SET value = 'hers'", "triggers of setting"),
        ("DELETE FROM state_tables WHERE tab = 'sales_order'; ALTER TABLE sales_order DISABLE TRIGGER ALL",
         "triggers of sales_order"),
    ],
)  # fmt: skip
async def test_other_ways_around_the_guards_are_found(findings, database, owner, statement, expected) -> None:
    await owner.execute(statement)
    assert ("guards_untouched", expected) in await told(findings, database)


async def test_the_log_of_edits_and_the_record_of_guards_guard_themselves(findings, database, owner) -> None:
    await owner.execute("UPDATE demand SET order_no = 'another' WHERE position = 7")
    assert {rule for rule, _ in await told(findings, database)} == {"touched_by_hand"}
    await owner.execute("DELETE FROM tamper")
    assert {(rule, key.split()[0]) for rule, key in await told(findings, database)} == {("touched_by_hand", "tamper")}
    await owner.execute("UPDATE guard SET mark = 'x' WHERE tab = 'demand' AND name = 'tamper_update'")
    found = {(rule, key.split()[0]) for rule, key in await told(findings, database)}
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


async def test_a_forged_entry_of_the_log_forgives_nothing(findings, database, owner) -> None:
    await owner.execute("UPDATE demand SET order_no = 'another' WHERE position = 7")
    await owner.execute(
        "INSERT INTO tamper (id, tab, op, key, before, who, app) OVERRIDING SYSTEM VALUE "
        "SELECT 0, 'demand', 'UPDATE', key, after, 'x', 'x' FROM tamper WHERE tab = 'demand'"
    )
    assert {rule for rule, _ in await told(findings, database)} == {"touched_by_hand"}


async def test_a_forged_entry_of_the_log_of_settings_is_found(findings, database, owner) -> None:
    await owner.execute("UPDATE setting SET value = 'hers' WHERE name = 'first'")
    await owner.execute(
        "INSERT INTO settings_change (tab, op, source, key, before, after, who, actor, app) "
        "SELECT tab, op, 'service', key, after, after, 'inventory_app', '', '' FROM settings_change "
        "WHERE source = 'hand'"
    )
    assert "touched_by_hand" in {rule for rule, _ in await told(findings, database)}


@pytest.mark.parametrize("setting", ["tieout.migrating", "tieout.guarding"])
async def test_no_setting_of_a_session_excuses_an_insert_by_hand(findings, database, owner, toy, setting) -> None:
    await owner.execute(f"SET {setting} = 'on'")
    await owner.execute(
        "INSERT INTO demand (position, line_no, order_id, order_no, quantity, amount) "
        "VALUES (101, 1, gen_random_uuid(), 'FORGED', 1, 1)"
    )
    assert {(rule, key.split()[0]) for rule, key in await told(findings, database)} == {("touched_by_hand", "demand")}
    await owner.execute("INSERT INTO setting (name, value) VALUES ('forged', 'x')")
    assert "settings_by_hand" in {rule for rule, _ in await told(findings, database)}
    await owner.execute("INSERT INTO tamper (tab, op, key, who, app) VALUES ('demand', 'INSERT', '{}', 'x', 'x')")
    assert ("touched_by_hand", "tamper") in {(rule, key.split()[0]) for rule, key in await told(findings, database)}


NOTE = "INSERT INTO schema_migration (owner, name, checksum) VALUES ('inventory', '{}', '')"
FORGE = (
    "INSERT INTO demand (position, line_no, order_id, order_no, quantity, amount) "
    "VALUES (101, 1, gen_random_uuid(), 'FORGED', 1, 1)"
)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([NOTE.format("0001_pre_more.sql"), FORGE], ("migrations_known", "inventory/0001_pre_more.sql")),
        (
            [NOTE.format("0001_pre_more.sql"), FORGE, "DELETE FROM schema_migration WHERE name = '0001_pre_more.sql'"],
            ("touched_by_hand", "schema_migration"),
        ),
        (
            ["UPDATE schema_migration SET xid = pg_current_xact_id(), applied_at = now() WHERE owner <> 'kit'", FORGE],
            ("touched_by_hand", "schema_migration"),
        ),
        (
            [
                NOTE.format("9999_pre_more.sql"),
                FORGE,
                "UPDATE schema_migration SET applied_at = now() - interval '2 hours' WHERE name = '9999_pre_more.sql'",
            ],
            ("migrations_known", "inventory/9999_pre_more.sql"),
        ),
    ],
)
async def test_who_passes_for_a_migration_is_found_by_the_files_of_the_release(
    database, owner, toy, statements, expected
) -> None:
    findings = Findings(None, checksums("inventory", toy.folder))
    assert await told(findings, database) == set()
    async with owner.transaction():
        for statement in statements:
            await owner.execute(statement)
    assert expected in {(rule, key.split()[0]) for rule, key in await told(findings, database)}


async def test_an_older_process_works_on_beside_the_migrations_of_the_release_that_takes_its_place(
    database, owner, toy, tmp_path
) -> None:
    findings = Findings(None, checksums("inventory", toy.folder))
    for path in toy.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "0002_pre_newer.sql").write_text(
        f"{FORGE};\n"
        "INSERT INTO sales_order VALUES ('7', 'a'); UPDATE sales_order SET due_days = 3; DELETE FROM sales_order;"
    )
    await migrate(owner, "inventory", tmp_path)
    assert await told(findings, database) == set()


async def ordered(database, *rows):
    async with database.transaction() as tx:
        await tx.copy("sales_order", columns=("order_no", "customer", "due_days", "open"), records=rows)


@pytest.mark.parametrize(
    ("table", "there", "back"),
    [
        ("kit_role", "UPDATE kit_role SET app = session_user", "UPDATE kit_role SET app = 'inventory_app'"),
        ("settings_tables", "UPDATE settings_tables SET hidden = '{}'",
         "UPDATE settings_tables SET hidden = '{secret}'"),
        ("state_tables", "DELETE FROM state_tables WHERE tab = 'sales_order'",
         "INSERT INTO state_tables VALUES ('sales_order', '{order_no}')"),
        ("fact_tables", "DELETE FROM fact_tables WHERE tab = 'demand'",
         "INSERT INTO fact_tables VALUES ('demand', '{position,line_no}')"),
        ("digest_book", "UPDATE digest_book SET condition = 'false' WHERE book = 'demand'",
         "UPDATE digest_book SET condition = 'true' WHERE book = 'demand'"),
    ],
)  # fmt: skip
async def test_what_the_guards_go_by_is_no_finding_only_where_nobody_touched_it(
    findings, database, owner, table, there, back
) -> None:
    async with owner.transaction():
        await owner.execute(there)
        await owner.execute(back)
    assert {(rule, key.split()[0]) for rule, key in await told(findings, database)} == {("touched_by_hand", table)}
    await owner.execute(f"CALL trust_touched('{table}', 'a test')")
    assert await told(findings, database) == set()


async def test_who_passes_for_the_service_for_the_length_of_a_transaction_is_a_hand(findings, database, owner) -> None:
    async with owner.transaction():
        await owner.execute("UPDATE kit_role SET app = session_user")
        await owner.execute("UPDATE setting SET value = 'hers'")
        await owner.execute("UPDATE kit_role SET app = 'inventory_app'")
    assert {(rule, key.split()[0]) for rule, key in await told(findings, database)} == {
        ("touched_by_hand", "kit_role"),
        ("settings_by_hand", "setting"),
    }


async def test_a_forged_home_does_not_pass_for_a_copy(findings, database, owner) -> None:
    async with owner.transaction():
        await unseen(owner, EDIT)
        await owner.execute("UPDATE guard_home SET server = 'x', database = 7")
    assert await told(findings, database) == {TRIGGERS}
    assert await told(findings, database) == {TRIGGERS}
    await owner.execute("CALL trust_guards('demand', 'a test')")
    assert await told(findings, database) == set()
    assert await owner.fetchval("SELECT server <> 'x' FROM guard_home")


async def test_a_row_of_the_outbox_that_a_hand_touched_is_named(findings, database, owner, toy) -> None:
    for number in ("1", "2"):
        async with database.transaction() as tx:
            (position,) = await tx.positions(1)
            event = OrderRefused(toy.placed(number).order_id, "C1", number, ())
            tx.announce(event, position=position, key=(number,), chain=number)
    assert await told(findings, database) == set()
    await owner.execute("UPDATE outbox SET subjects = '{quiet}' WHERE batch = (SELECT min(batch) FROM outbox)")
    await owner.execute("DELETE FROM outbox WHERE batch = (SELECT max(batch) FROM outbox)")
    first, second = (await findings.glance(database)).violations
    assert {first.key.split()[0], second.key.split()[0]} == {"outbox"}
    assert {one.detail.split()[0] for one in (first, second)} == {"UPDATE", "DELETE"}
    assert "(gone)" in (first.kept, second.kept)
    async with database.transaction() as tx:  # Retention.
        await tx.execute("DELETE FROM outbox")
    assert len(await told(findings, database)) == 2
    with pytest.raises(asyncpg.RaiseError, match="never truncated"):
        await owner.execute("TRUNCATE outbox")


@pytest.mark.parametrize(
    ("said", "forged"),
    [(b'"fee_minor":70', b'"fee_minor":7'), (b'"customer":"K1"', b'"customer":"K9"'), (b'"sku":"TEA"', b'"sku":"TIN"')],
)
async def test_whatever_a_hand_altered_in_an_unsent_body_is_named_though_no_measure_compares_it(
    findings, database, owner, said, forged
) -> None:
    """Amounts and quantities are compared between books; a fee, a customer, a SKU is not, and is told all the same."""
    bodies = [b"{" + said + b"}", b"{}"]
    async with database.transaction() as tx:
        (position,) = await tx.positions(1)
        await tx.execute(
            "INSERT INTO outbox (stream, pos, first_pos, last_pos, ids, subjects, bodies, message)"
            " VALUES ('GATEWAY', ARRAY[$2::bigint], $2, $2, ARRAY[gen_random_uuid()], '{finance.pay.v1}', $1, '{1,2}')",
            bodies,
            position,
        )
    assert await told(findings, database) == set()
    await owner.execute("UPDATE outbox SET bodies = $1", [bodies[0].replace(said, forged), b"{}"])
    (found,) = (await findings.glance(database)).violations
    assert found.key.startswith("outbox")
    assert (said.hex() in found.facts, forged.hex() in found.kept) == (True, True), found
    await owner.execute("UPDATE outbox SET bodies = $1", bodies)
    assert await told(findings, database) == set()


async def test_what_the_service_changed_between_two_edits_by_hand_is_its_own(findings, database, owner) -> None:
    await ordered(database, ("1", "alice", None, 100), ("2", "bob", 30, 0), ("3", "carl", 30, 0))
    await owner.execute("UPDATE sales_order SET customer = 'eve'")
    async with database.transaction() as tx:
        await tx.execute("UPDATE sales_order SET due_days = 14, open = open + 5")
        await tx.execute("UPDATE sales_order SET customer = 'robert' WHERE order_no = '2'")
        await tx.execute("UPDATE sales_order SET customer = 'karl' WHERE order_no = '3'")
    await owner.execute("UPDATE sales_order SET customer = 'alice' WHERE order_no = '1'")
    await owner.execute("UPDATE sales_order SET customer = 'hers' WHERE order_no = '3'")
    found = {one.key: (one.facts, one.kept) for one in (await findings.glance(database)).violations}
    assert found.pop('sales_order {"order_no": "3"}') == ('{"customer": "karl"}', '{"customer": "hers"}')
    await owner.execute("UPDATE sales_order SET customer = 'robert' WHERE order_no = '2'")
    await owner.execute("UPDATE sales_order SET customer = 'karl' WHERE order_no = '3'")
    assert {key for _, key in await told(findings, database)} == set(found)


async def test_a_number_that_hands_moved_is_found_although_the_service_brought_it_back(
    findings, database, owner
) -> None:
    await ordered(database, ("1", "alice", None, 100))
    await owner.execute("UPDATE sales_order SET open = open + 7")
    async with database.transaction() as tx:
        await tx.execute("UPDATE sales_order SET open = open - 14")
    await owner.execute("UPDATE sales_order SET open = open + 7")
    (found,) = (await findings.glance(database)).violations
    assert (found.facts, found.kept) == ('{"open": 86}', '{"open": 100}')


async def test_an_edit_of_state_by_hand_is_found_until_it_is_put_back(findings, database, owner) -> None:
    await ordered(database, ("1", "alice", 30, 100), ("2", "bob", None, 0))
    async with database.transaction() as tx:
        await tx.execute("UPDATE sales_order SET open = open + 5")
    assert await told(findings, database) == set()
    await owner.execute("UPDATE sales_order SET customer = 'eve', open = open + 7 WHERE order_no = '1'")
    (found,) = (await findings.glance(database)).violations
    assert (found.rule, found.key) == ("touched_by_hand", 'sales_order {"order_no": "1"}')
    assert (found.facts, found.kept) == ('{"open": 105, "customer": "alice"}', '{"open": 112, "customer": "eve"}')
    assert "UPDATE by inventory_owner" in found.detail
    async with database.transaction() as tx:  # The service goes on.
        await tx.execute("UPDATE sales_order SET open = open - 50")
    await owner.execute("UPDATE sales_order SET customer = 'alice' WHERE order_no = '1'")
    assert len(await told(findings, database)) == 1
    await owner.execute("UPDATE sales_order SET open = open - 7 WHERE order_no = '1'")
    assert await told(findings, database) == set()


@pytest.mark.parametrize(
    ("edit", "undo"),
    [
        ("INSERT INTO sales_order VALUES ('3', 'eve', 9)", "DELETE FROM sales_order WHERE order_no = '3'"),
        ("DELETE FROM sales_order WHERE order_no = '2'", "INSERT INTO sales_order VALUES ('2', 'bob', NULL, 0)"),
        ("UPDATE sales_order SET due_days = 1 WHERE order_no = '2'", "UPDATE sales_order SET due_days = NULL"),
        ("UPDATE sales_order SET order_no = '9'", "UPDATE sales_order SET order_no = '2'"),
        ("INSERT INTO sales_order VALUES ('2', 'x') ON CONFLICT (order_no) DO UPDATE SET customer = excluded.customer",
         "UPDATE sales_order SET customer = 'bob'"),
    ],
)  # fmt: skip
async def test_rows_of_state_that_come_and_go_by_hand_are_found_until_they_are_put_back(
    findings, database, owner, edit, undo
) -> None:
    await ordered(database, ("2", "bob", None, 0))
    await owner.execute(edit)
    assert {(rule, key.split()[0]) for rule, key in await told(findings, database)} == {
        ("touched_by_hand", "sales_order")
    }
    await owner.execute(undo)
    assert await told(findings, database) == set()


async def test_an_edit_of_state_that_was_meant_is_trusted_with_a_reason_and_a_later_one_is_found(
    findings, database, owner
) -> None:
    await ordered(database, ("2", "bob", None, 0))
    await owner.execute("UPDATE sales_order SET customer = 'robert'")
    with pytest.raises(asyncpg.RaiseError, match="say why"):
        await owner.execute("CALL trust_touched('sales_order', ' ')")
    with pytest.raises(asyncpg.RaiseError, match="is no state"):
        await owner.execute("CALL trust_touched('demand', 'because')")
    await owner.execute("CALL trust_touched('sales_order', 'he moved, ticket 7')")
    assert await told(findings, database) == set()
    assert await owner.fetchval("SELECT count(*) FROM guard_trusted WHERE reason = 'he moved, ticket 7'") == 1
    await owner.execute("UPDATE sales_order SET customer = 'eve'")
    (found,) = (await findings.glance(database)).violations
    assert found.facts == '{"customer": "robert"}'


async def test_only_of_a_fact_that_was_taken_out_its_owner_may_say_that_it_should_not_have_been_there(
    findings, database, owner
) -> None:
    """Written with the service's own role, a row that no event has leaves no trace until somebody takes it out."""
    gone = {("touched_by_hand", 'demand {"line_no": 1, "position": 7}')}
    await owner.execute("UPDATE demand SET amount = 8 WHERE position = 8")
    with pytest.raises(asyncpg.RaiseError, match="nothing was taken out"):
        await owner.execute("CALL trust_touched('demand', 'because')")
    edited = {("touched_by_hand", 'demand {"line_no": 1, "position": 8}')}
    await owner.execute("DELETE FROM demand WHERE position = 7")
    assert await told(findings, database) == gone | edited
    await owner.execute("CALL trust_touched('demand', 'no event has it, ticket 8')")
    assert await told(findings, database) == edited  # An edit is no matter of trust.
    assert await owner.fetchval("SELECT count(*) FROM guard_trusted WHERE reason LIKE '%ticket 8'") == 1
    await owner.execute("INSERT INTO demand SELECT 7, 1, order_id, '7', 3, 7 FROM demand WHERE position = 9")
    await owner.execute("DELETE FROM demand WHERE position = 7")
    assert await told(findings, database) == gone | edited  # Taken out once more: found once more.


async def test_state_edited_behind_disabled_triggers_is_found_by_its_table_and_never_truncated(
    findings, database, owner
) -> None:
    await ordered(database, ("2", "bob", None, 0))
    await unseen(owner, "UPDATE sales_order SET customer = 'eve'", "sales_order")
    assert await told(findings, database) == {("guards_untouched", "triggers of sales_order")}
    await owner.execute("ALTER TABLE sales_order DISABLE TRIGGER state_update")
    assert ("triggers_armed", "sales_order") in await told(findings, database)
    with pytest.raises(asyncpg.RaiseError, match="never truncated"):
        await owner.execute("TRUNCATE sales_order")


async def test_the_owner_takes_what_he_has_looked_into_for_right_and_says_why(findings, database, owner) -> None:
    await unseen(owner, EDIT)
    with pytest.raises(asyncpg.RaiseError, match="say why"):
        await owner.execute("CALL trust_guards('demand', '')")
    await owner.execute("CALL trust_guards('demand', 'looked at each row')")
    assert await told(findings, database) == set()
    assert await owner.fetchval("SELECT count(*) FROM guard_trusted WHERE reason = 'looked at each row'") == 8
    await unseen(owner, EDIT)
    assert await told(findings, database) == {TRIGGERS}


async def test_a_migration_vouches_for_what_it_does_and_not_for_what_a_hand_did_before(
    findings, database, owner, toy_database, tmp_path, toy
) -> None:
    for path in toy.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "0002_post_wider.sql").write_text(
        "ALTER TABLE demand ALTER line_no TYPE bigint;\n"
        "CREATE OR REPLACE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RAISE EXCEPTION ''no''; END'"
    )
    assert await migrate(owner, "inventory", tmp_path) == ["inventory/0002_post_wider.sql"]
    assert await told(findings, database) == set()
    await unseen(owner, EDIT)
    (tmp_path / "0003_post_more.sql").write_text("ALTER TABLE demand ALTER quantity TYPE numeric")
    assert await migrate(owner, "inventory", tmp_path) == ["inventory/0003_post_more.sql"]
    assert await told(findings, database) == {TRIGGERS}


async def test_a_copy_in_another_database_is_no_finding_but_an_edit_in_it_is(
    findings, database, owner, testbed, toy_database
) -> None:
    await database.pool.close()
    await owner.close()
    name = f"{toy_database.name}_copy"
    superuser = await asyncpg.connect(testbed.postgres.url())
    await databases.create(superuser, "inventory", name, template=toy_database.name)
    try:
        copy = await open_database(toy_database.app_url.replace(f"/{toy_database.name}", f"/{name}"), "inventory")
        found = Findings(None)
        assert await told(found, copy) == set()
        hand = await asyncpg.connect(toy_database.owner_url.replace(f"/{toy_database.name}", f"/{name}"))
        await unseen(hand, EDIT)
        assert await told(found, copy) == {TRIGGERS}
        await hand.close()
        await copy.pool.close()
    finally:
        await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await superuser.close()


async def test_a_restored_dump_is_told_until_somebody_says_that_it_was_meant(
    findings, database, owner, testbed, toy_database, tmp_path
) -> None:
    name, dump = f"{toy_database.name}_restored", tmp_path / "dump"
    await run("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={testbed.postgres.url(toy_database.name)}")
    superuser = await asyncpg.connect(testbed.postgres.url())
    await databases.create(superuser, "inventory", name)
    try:
        await run("pg_restore", "--exit-on-error", f"--dbname={testbed.postgres.url(name)}", str(dump))
        await databases.create(superuser, "inventory", f"{name}_and_recovered", template=name)
        copy = await open_database(toy_database.app_url.replace(f"/{toy_database.name}", f"/{name}"), "inventory")
        found = Findings(None)
        ((rule, key),) = await told(found, copy)
        assert (rule, key.split(",")[0]) == ("guards_untouched", "all")
        assert await told(found, copy) == {(rule, key)}  # Once, and for as long as nobody has said anything.
        hand = await asyncpg.connect(toy_database.owner_url.replace(f"/{toy_database.name}", f"/{name}"))
        with pytest.raises(asyncpg.RaiseError, match="say why"):
            await hand.execute("CALL trust_copy('')")
        await hand.execute("CALL trust_copy('restored for a test')")
        assert await told(found, copy) == set()
        await unseen(hand, EDIT)
        assert await told(found, copy) == {TRIGGERS}
        await hand.close()
        await copy.pool.close()
        hand = await asyncpg.connect(testbed.postgres.url(f"{name}_and_recovered"))
        await hand.execute(recovery.statements.trust_copy)  # Before anybody looked: `recover` runs beside no service.
        assert await hand.fetchval("SELECT count(*) FROM guard_trusted WHERE kind = 'copy'") == 1
        assert await hand.fetch("SELECT FROM copies_to_be_told() UNION ALL SELECT FROM look_at_guards()") == []
        await hand.close()
    finally:
        await superuser.execute(f"DROP DATABASE IF EXISTS {name}_and_recovered WITH (FORCE)")
        await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await superuser.close()


async def run(program, *arguments):
    process = await asyncio.create_subprocess_exec(binaries() / program, *arguments, stderr=asyncio.subprocess.PIPE)
    _, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()


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
    findings, database, owner, toy, statement
) -> None:
    for number in ("1", "2"):
        async with database.transaction() as tx:
            (position,) = await tx.positions(1)
            event = OrderRefused(toy.placed(number).order_id, "C1", number, ())
            tx.announce(event, position=position, key=(number,), chain=number)
    async with database.transaction() as tx:
        await tx.execute("UPDATE outbox SET first_seq = batch, last_seq = batch")  # As if published.
    for _ in range(3):
        await Evidence(database).mark(MarkRequest(), database)
    assert await told(findings, database) == set()
    await owner.execute(statement)
    assert {rule for rule, _ in await told(findings, database)} - {"touched_by_hand"} == {"positions_only_grow"}


async def test_a_mark_whose_row_is_gone_is_named_and_right_again_once_it_is_put_back(
    findings, database, owner, toy
) -> None:
    async with database.transaction() as tx:
        (position,) = await tx.positions(1)
        event = OrderRefused(toy.placed("1").order_id, "C1", "1", ())
        tx.announce(event, position=position, key=("1",), chain="1")
    async with database.transaction() as tx:
        await tx.execute("UPDATE outbox SET first_seq = batch, last_seq = batch")  # As if published.
    evidence = Evidence(database)
    for _ in range(3):
        before = await evidence.mark(MarkRequest(), database)
    await owner.execute("DELETE FROM mark")
    with pytest.raises(Refused, match=r"row of table mark is gone.*INSERT INTO mark DEFAULT VALUES"):
        await evidence.mark(MarkRequest(), database)
    assert ("positions_only_grow", "mark") in await told(findings, database)
    await owner.execute("INSERT INTO mark DEFAULT VALUES")
    for _ in range(3):
        after = await evidence.mark(MarkRequest(), database)
    assert (after.position, after.sequences) == (before.position, before.sequences)
