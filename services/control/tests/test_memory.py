"""Control's memory of orders is state: who takes it away by hand is found, and the service's own forgetting is not."""

from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace
from tieout.control.forgetting import forget_once
from tieout.control.settings import Settings

OLD = "now() - interval '31 days'"
SETTINGS = replace(Settings(), journey_days=30)
NUMBERS = map(str, count(3101))  # A process notes an order's number once, however often a test empties the table.


async def found(trio: Any) -> set[tuple[str, str]]:
    """Rule and table of all that hands did to control's database."""
    violations = (await trio.control.findings.scrub(trio.control.database)).violations
    return {(one.rule, one.key.split()[0]) for one in violations}


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("notice", "DELETE FROM notice"),
        ("heard", "DELETE FROM heard"),
        ("membership", "DELETE FROM membership"),
        ("notice", "UPDATE notice SET body = '{}'"),
        ("notice", "UPDATE notice SET first_position = first_position + 100000"),
        ("heard", "UPDATE heard SET chain_id = gen_random_uuid()"),
        ("membership", "UPDATE membership SET order_no = '9999'"),
        ("membership", "INSERT INTO membership VALUES ('9999', 'C1', gen_random_uuid())"),
        ("heard", "DO $$ BEGIN DELETE FROM heard; EXCEPTION WHEN division_by_zero THEN NULL; END $$"),
    ],
)
async def test_what_control_has_heard_is_not_edited_or_taken_away_unseen(trio: Any, table: str, statement: str) -> None:
    await trio.ship(next(NUMBERS))
    await trio.settled()
    assert await found(trio) == set()
    await trio.by_hand("control", statement)
    assert await found(trio) == {("touched_by_hand", table)}


@pytest.mark.parametrize("table", ["notice", "heard", "membership"])
async def test_a_memory_that_was_put_back_as_it_was_is_forgiven_and_so_is_one_that_somebody_meant(
    trio: Any, table: str
) -> None:
    await trio.ship(next(NUMBERS), next(NUMBERS))
    await trio.settled()
    await trio.by_hand("control", f"DELETE FROM {table}")
    await trio.by_hand(
        "control",
        f"BEGIN; INSERT INTO {table} SELECT r.* FROM tamper t, jsonb_populate_record(NULL::{table}, t.before) r"
        f" WHERE t.tab = '{table}'; INSERT INTO {table} SELECT * FROM {table} LIMIT 0; COMMIT",
    )
    assert await found(trio) == set()
    await trio.by_hand("control", f"DELETE FROM {table}")
    assert await found(trio) == {("touched_by_hand", table)}
    await trio.by_hand("control", f"CALL trust_touched('{table}', 'a test of it')")
    assert await found(trio) == set()


async def test_what_control_hears_and_forgets_by_itself_is_nobodys_hand(trio: Any) -> None:
    await trio.ship(next(NUMBERS))
    await trio.settled()
    pool = trio.control.database.pool
    await pool.execute(f"UPDATE notice SET heard_at = {OLD}")
    await pool.execute(f"UPDATE membership SET noted_at = {OLD}")
    went = await forget_once(trio.control.database, SETTINGS)
    assert (went["notices"], went["memberships"]) == (1, 1)
    assert await pool.fetchval("SELECT count(*) FROM tamper") == 0
    assert await found(trio) == set()


async def test_the_memory_cannot_be_emptied_at_once_and_its_triggers_cannot_be_off_unseen(trio: Any) -> None:
    with pytest.raises(Exception, match="never truncated"):
        await trio.by_hand("control", "TRUNCATE notice")
    await trio.by_hand("control", "ALTER TABLE heard DISABLE TRIGGER state_delete")
    assert ("triggers_armed", "heard") in await found(trio)
    await trio.by_hand("control", "ALTER TABLE heard ENABLE ALWAYS TRIGGER state_delete")
