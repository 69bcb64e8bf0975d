"""Settings may change, but never unseen: each change is logged, and one by hand is a finding until it is mended."""

import asyncpg
import pytest
from tieout.contracts.agreement import SettingsChangesRequest
from tieout.servicekit.database import ACTOR
from tieout.servicekit.findings import Findings
from tieout.servicekit.settings_log import settings_changes

PUT = (
    "INSERT INTO setting (name, value, secret) VALUES ($1, $2, $3) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value, secret = excluded.secret"
)


@pytest.fixture
def put(database):
    """What a command of the service does."""

    async def put(name, value, secret=None):
        async with database.transaction() as tx:
            await tx.execute(PUT, name, value, secret)

    return put


@pytest.fixture
def changes(database):
    async def changes(**asked):
        told = await settings_changes(SettingsChangesRequest(**asked), database)
        return told.changes

    return changes


@pytest.fixture
def findings(database):
    async def findings():
        found = (await Findings(None).scrub(database)).violations
        return [(one.rule, one.key, one.kept, one.facts) for one in found]

    return findings


async def test_the_log_says_who_changed_what_and_for_whom(put, changes, findings) -> None:
    await put("zone", "UTC")
    ACTOR.set("clerk")
    await put("zone", "Europe/Berlin")
    await put("zone", "Europe/Berlin")  # Nothing changed, nothing to tell.
    newest, made, first = await changes()
    assert (newest.table, newest.op, newest.source, newest.key) == ("setting", "UPDATE", "service", '{"name": "zone"}')
    assert (newest.who, newest.actor, made.op, made.actor) == ("inventory_app", "clerk", "INSERT", "")
    assert '"value": "UTC"' in newest.before
    assert '"value": "Europe/Berlin"' in newest.after
    assert (first.op, first.source) == ("FIRST", "migration")
    assert await findings() == []


async def test_a_secret_is_never_in_the_log_yet_its_change_is(put, changes, owner, findings) -> None:
    await put("shop", "1", "open sesame")
    await put("shop", "1", "hunter2")
    assert len(await changes(table="setting", limit=2)) == 2
    assert not await owner.fetchval("SELECT bool_or(c::text ~ 'sesame|hunter2') FROM settings_change c")
    await owner.execute("UPDATE setting SET secret = 'mine' WHERE name = 'shop'")
    ((rule, key, kept, facts),) = await findings()
    assert (rule, key) == ("settings_by_hand", 'setting {"name": "shop"}')
    assert "hidden:" in kept
    assert "mine" not in kept + facts


@pytest.mark.parametrize(
    ("statement", "kept", "facts"),
    [
        ("UPDATE setting SET value = 'hers' WHERE name = 'zone'", '{"value": "hers"}', '{"value": "UTC"}'),
        ("DELETE FROM setting WHERE name = 'zone'", "(gone)", '"value": "UTC"'),
        ("UPDATE setting SET name = 'other' WHERE name = 'zone'", "(gone)", '"value": "UTC"'),
        ("INSERT INTO setting (name, value) VALUES ('more', 'x')", '"value": "x"', "(was not there)"),
    ],
)
async def test_a_change_by_hand_is_named_with_both_values(
    put, findings, owner, changes, statement, kept, facts
) -> None:
    await put("zone", "UTC")
    await owner.execute(statement)
    found = await findings()
    assert {rule for rule, *_ in found} == {"settings_by_hand"}
    assert any(kept in now and facts in expected for _, _, now, expected in found)
    assert {change.source for change in await changes(by_hand=True)} == {"hand"}


async def test_what_was_put_back_or_written_by_the_service_since_is_forgiven(put, findings, owner) -> None:
    await put("zone", "UTC")
    await owner.execute("UPDATE setting SET value = 'hers', remark = 'why' WHERE name = 'zone'")
    await put("zone", "Europe/Berlin")  # Says nothing of the remark.
    ((_, _, kept, facts),) = await findings()
    assert (kept, facts) == ('{"remark": "why"}', '{"remark": ""}')
    await owner.execute("UPDATE setting SET remark = '' WHERE name = 'zone'")
    assert await findings() == []


async def test_an_edit_behind_disabled_triggers_is_found_and_stays_found(put, findings, owner, changes) -> None:
    await put("zone", "UTC")
    await owner.execute("ALTER TABLE setting DISABLE TRIGGER USER")
    await owner.execute("UPDATE setting SET remark = 'hers' WHERE name = 'zone'")
    await owner.execute("DELETE FROM setting WHERE name = 'first'")
    for name in ("insert", "update", "delete", "truncate"):
        await owner.execute(f"ALTER TABLE setting ENABLE ALWAYS TRIGGER settings_{name}")
    found = await findings()
    assert {rule for rule, *_ in found} == {"settings_are_logged", "guards_untouched"}
    assert ('{"remark": "hers"}', '{"remark": ""}') in [found[2:] for found in found]
    await put("zone", "Europe/Berlin")  # The next change by the service does not hide it.
    assert ("settings_by_hand", 'setting {"name": "zone"}', '{"remark": "hers"}', '{"remark": ""}') in await findings()
    assert [change.op for change in await changes(by_hand=True)] == ["UNSEEN"]


async def test_nobody_empties_settings_or_writes_the_log(put, findings, owner, database) -> None:
    with pytest.raises(asyncpg.RaiseError, match="never truncated"):
        await owner.execute("TRUNCATE setting")
    async with database.read() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM settings_change")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO settings_change (tab, key) VALUES ('x', '{}')")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT * FROM settings_salt")
    await put("zone", "UTC")
    await owner.execute("DELETE FROM settings_change WHERE op = 'INSERT'")
    assert {rule for rule, *_ in await findings()} == {"touched_by_hand", "settings_are_logged"}


async def test_another_salt_is_named_itself_and_blames_no_secret(put, findings, owner) -> None:
    await put("shop", "EU", "hers")
    for statement in ("UPDATE settings_salt SET salt = 'x'", "DELETE FROM settings_salt", "TRUNCATE settings_salt"):
        with pytest.raises(asyncpg.RaiseError, match="settings_salt is never changed"):
            await owner.execute(statement)
    assert await findings() == []
    async with owner.transaction():
        await owner.execute("ALTER TABLE settings_salt DISABLE TRIGGER USER")
        await owner.execute("UPDATE settings_salt SET salt = 'x'")
        for name in ("insert", "delete", "update", "truncate"):
            await owner.execute(f"ALTER TABLE settings_salt ENABLE ALWAYS TRIGGER state_{name}")
    found = await findings()
    assert {(rule, key.split()[-1] if rule == "guards_untouched" else key) for rule, key, *_ in found} == {
        ("settings_are_logged", 'settings_salt {"one": true}'),
        ("guards_untouched", "settings_salt"),
    }
