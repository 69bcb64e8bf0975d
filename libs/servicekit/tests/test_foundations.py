"""Settings, statements, migrations: what a service stands on before its first message."""

import asyncpg
import nats.js.errors
import pytest
from tieout.servicekit import Misconfigured, Settings, migrate, secret, sql
from tieout.servicekit.errors import MigrationFailed, told


class OwnSettings(Settings, frozen=True, kw_only=True):
    horizon_days: int = 7


def test_settings_come_from_the_environment_and_default_to_something_safe() -> None:
    settings = OwnSettings.from_environment({"TIEOUT_HORIZON_DAYS": "30", "TIEOUT_SOMEBODY_ELSES": "x"})
    assert settings.horizon_days == 30
    assert settings.stream_replicas == 1


def test_a_senseless_setting_is_refused_by_the_name_of_its_variable() -> None:
    with pytest.raises(Misconfigured, match="TIEOUT_HORIZON_DAYS='soon'"):
        OwnSettings.from_environment({"TIEOUT_HORIZON_DAYS": "soon"})


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("TIEOUT_STREAM_MAX_AGE_DAYS", "-1", "a whole number, at least 0 and at most 36500"),
        ("TIEOUT_STREAM_REPLICAS", "0", "a whole number, at least 1 and at most 5"),
        ("TIEOUT_RULE_SECONDS_MAX", "nan", "a number, more than 0 and at most 86400"),
        ("TIEOUT_LOG", "xml", "json or text"),
    ],
)
def test_a_setting_beyond_its_bounds_is_refused_with_what_it_may_be(variable, value, wanted) -> None:
    with pytest.raises(Misconfigured, match=f"{variable}='{value}'.*Set it to {wanted}"):
        OwnSettings.from_environment({variable: value})


def test_the_brokers_own_words_are_told_of_its_refusals() -> None:
    refusal = nats.js.errors.ServerError(code=500, err_code=10052, description="max age needs to be >= 100ms")
    assert "max age needs to be >= 100ms" in told(refusal)
    assert told(TimeoutError("so")) == "TimeoutError('so')"


def test_a_missing_secret_file_is_named(tmp_path) -> None:
    with pytest.raises(Misconfigured, match="TIEOUT_DATABASE_PASSWORD_FILE"):
        secret(str(tmp_path / "gone"), "TIEOUT_DATABASE_PASSWORD_FILE")


def test_statements_are_found_by_name_without_their_comments(tmp_path) -> None:
    (tmp_path / "flow.sql").write_text("-- name: one\n-- Why.\nSELECT 1;\n\n-- name: two\nSELECT '-- kept';\n")
    statements = sql.load(str(tmp_path / "flow.py"))
    assert statements.one == "SELECT 1"
    assert statements.two == "SELECT '-- kept'"
    with pytest.raises(AttributeError, match="has no statement 'three'; it has one, two"):
        _ = statements.three


def test_a_statement_that_stands_there_twice_is_refused(tmp_path) -> None:
    (tmp_path / "flow.sql").write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(Misconfigured, match="twice"):
        sql.load(str(tmp_path / "flow.py"))


async def test_migrations_are_applied_once_and_in_order(toy_database, owner, toy) -> None:
    assert await migrate(owner, "inventory", toy.folder) == []
    rows = await owner.fetch("SELECT owner, name FROM schema_migration ORDER BY applied_at, name")
    owners = [row["owner"] for row in rows]
    assert owners == [*["kit"] * (len(owners) - 1), "inventory"]


async def test_a_migration_that_changed_after_it_was_applied_is_refused(toy_database, owner, toy, tmp_path) -> None:
    (tmp_path / "0001_pre_toy.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationFailed, match="was changed after it had been applied"):
        await migrate(owner, "inventory", tmp_path)


async def test_a_failing_migration_leaves_nothing_and_names_its_line(toy_database, owner, toy, tmp_path) -> None:
    for path in toy.folder.glob("0*.sql"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "0002_pre_broken.sql").write_text("CREATE TABLE half (a int);\nSELECT * FROM nowhere;")
    with pytest.raises(MigrationFailed, match=r"0002_pre_broken.sql, line 2: .*nowhere"):
        await migrate(owner, "inventory", tmp_path)
    assert await owner.fetchval("SELECT to_regclass('half')") is None


async def test_post_migrations_wait_for_their_phase(toy_database, owner, toy, tmp_path) -> None:
    for path in toy.folder.glob("0*.sql"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "0002_post_later.sql").write_text("CREATE TABLE later (a int);")
    assert await migrate(owner, "inventory", tmp_path, "pre") == []
    assert await migrate(owner, "inventory", tmp_path, "post") == ["inventory/0002_post_later.sql"]


PRE, POST = "0002_pre_wide.sql", "0003_post_narrow.sql"


@pytest.fixture
def releases(toy, tmp_path):
    """`releases("1", name, …)`: the folder of a release that holds these migrations beyond the toy's."""

    def release(number, *names):
        folder = tmp_path / number
        folder.mkdir()
        for path in toy.folder.glob("0*.sql"):
            (folder / path.name).write_text(path.read_text())
        for name in names:
            (folder / name).write_text(f"CREATE TABLE t{name[:4]} (a int);")
        return folder

    return release


async def lives(owner, *holds):
    """A process of the service that has these post migrations in its package."""
    added = "INSERT INTO process_run (host, pid, version, memory_bytes, memory_limit_bytes, oom_kills, holds) "
    return await owner.fetchval(added + "VALUES ('pod', 1, '0', 0, 0, 0, $1) RETURNING run", list(holds))


async def test_an_upgrade_runs_post_migrations_of_earlier_releases_and_pre_migrations_of_its_own(
    toy_database, owner, releases
) -> None:
    first = await lives(owner)
    two, three = releases("2", PRE, POST), releases("3", PRE, POST, "0004_pre_next.sql", "0005_post_next.sql")
    assert await migrate(owner, "inventory", two, "upgrade", "2") == [f"inventory/{PRE}"]
    assert await migrate(owner, "inventory", two, "upgrade", "2") == []  # The same release again: old pods may serve.
    await owner.execute("UPDATE process_run SET ended = 'stopped' WHERE run = $1", first)
    await lives(owner, f"inventory/{POST}")
    assert await migrate(owner, "inventory", two, "upgrade", "2") == []
    wanted = [f"inventory/{POST}", "inventory/0004_pre_next.sql"]
    assert await migrate(owner, "inventory", three, "upgrade", "3") == wanted


async def test_a_post_migration_waits_while_a_process_of_an_older_release_lives(toy_database, owner, releases) -> None:
    """Release 2 was noted, but never got to run: release 3 comes beside pods of release 1."""
    old = await lives(owner)
    two, three = releases("2", PRE, POST), releases("3", PRE, POST, "0004_pre_next.sql")
    await migrate(owner, "inventory", two, "upgrade", "2")
    assert await migrate(owner, "inventory", three, "upgrade", "3") == ["inventory/0004_pre_next.sql"]
    await owner.execute("UPDATE process_run SET seen_at = seen_at - interval '11 minutes' WHERE run = $1", old)  # Gone.
    four = releases("4", PRE, POST, "0004_pre_next.sql")
    assert await migrate(owner, "inventory", four, "upgrade", "4") == [f"inventory/{POST}"]


async def test_an_upgrade_of_an_empty_database_leaves_nothing_to_a_later_release(service_database, releases) -> None:
    made = await service_database("inventory", migrate=False)
    connection = await asyncpg.connect(made.owner_url)
    applied = await migrate(connection, "inventory", releases("1", PRE, POST), "upgrade", "1")
    assert applied[-2:] == [f"inventory/{PRE}", f"inventory/{POST}"]
    await connection.close()


async def test_a_process_notes_the_post_migrations_that_its_package_holds(start_service, owner, releases) -> None:
    await start_service(migrations=releases("2", PRE, POST))
    assert await owner.fetchval("SELECT holds FROM process_run") == [f"inventory/{POST}"]


async def test_a_digest_of_a_column_that_is_not_there_fails_in_the_migration(toy_database, owner) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError):
        await owner.execute("""CALL digest_attach('order_anchor', '[{"measure": 1, "book": "x", "a": "nothing"}]')""")


async def test_the_service_itself_cannot_change_its_facts(database) -> None:
    async with database.read() as connection:
        for statement in ("UPDATE demand SET amount = 0", "DELETE FROM demand", "TRUNCATE demand"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_even_the_owner_cannot_truncate_facts(owner) -> None:
    with pytest.raises(asyncpg.RaiseError, match="never truncated"):
        await owner.execute("TRUNCATE demand")
