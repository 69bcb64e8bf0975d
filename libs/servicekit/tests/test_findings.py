"""Nothing done by hand to the books stays unseen, and a look at them is shared by whoever asks for it."""

import asyncio

import asyncpg
import pytest
from tieout.contracts.agreement import DigestRequest, ViolationsRequest
from tieout.contracts.operation import Nothing
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.servicekit import sql
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.findings import Findings
from tieout.servicekit.scrub import Scrub


@pytest.fixture
async def evidence(database):
    found = Evidence(database)
    await found.start()
    return found


@pytest.fixture
def findings():
    return Findings(None)


async def total(evidence, database, upto):
    entries = (await evidence.digest(DigestRequest(2, "demand", upto), database)).entries
    return entries[0] if entries else None


async def rules(findings, database):
    return {violation.rule for violation in (await findings.scrub(database)).violations}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE demand SET amount = amount + 1 WHERE position = 7 AND line_no = 1",
        "DELETE FROM demand WHERE position = 7 AND line_no = 2",
        "INSERT INTO demand SELECT 7, 9, order_id, order_no, 1, 1, kind FROM demand WHERE position = 7 AND line_no = 1",
        "UPDATE demand SET amount = amount + CASE position WHEN 7 THEN 1 ELSE -1 END WHERE position IN (7, 8)",
        "UPDATE demand SET position = 9000 WHERE position = 7 AND line_no = 1",
    ],
)
async def test_what_is_done_by_hand_changes_the_digest_and_is_named(
    evidence, findings, database, owner, toy, statement
) -> None:
    await toy.fill(database, list(range(1, 301)))
    before = await total(evidence, database, 300)
    await owner.execute(statement)
    assert await total(evidence, database, 300) != before
    found = (await findings.scrub(database)).violations
    assert {violation.rule for violation in found} == {"touched_by_hand"}
    assert any('"position": 7' in violation.key for violation in found)


async def test_a_row_that_was_put_back_is_forgiven(evidence, findings, database, owner, toy) -> None:
    await toy.fill(database, list(range(1, 301)))
    before = await total(evidence, database, 300)
    row = await owner.fetchrow("DELETE FROM demand WHERE position = 7 AND line_no = 1 RETURNING *")
    assert await rules(findings, database) == {"touched_by_hand"}
    await owner.execute("INSERT INTO demand VALUES ($1, $2, $3, $4, $5, $6, $7)", *row)
    assert await total(evidence, database, 300) == before
    assert await rules(findings, database) == set()


async def test_an_edit_behind_disabled_triggers_is_found_by_the_scrub(findings, database, owner, toy) -> None:
    await toy.fill(database, list(range(1, 301)))
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    await owner.execute("UPDATE demand SET amount = amount + 1 WHERE position = 7")
    assert await rules(findings, database) == {"triggers_armed", "digest_is_rows"}
    await owner.execute("UPDATE demand SET amount = amount - 1 WHERE position = 7")
    await owner.execute("ALTER TABLE demand ENABLE TRIGGER USER")  # Not ALWAYS: a replica role would slip through.
    assert await rules(findings, database) == {"triggers_armed"}


async def test_an_edit_of_the_digest_itself_is_found(evidence, findings, database, owner, toy) -> None:
    await toy.fill(database, list(range(1, 301)))
    await evidence.fold()
    await owner.execute("UPDATE digest SET a = a + 1 WHERE leaf = 0 AND book = 'demand'")
    assert await rules(findings, database) == {"digest_is_rows"}


# What a hand may write into positions.
HUGE = (2**55, 2**62, 2**63 - 1, -1, -(2**40), -(2**63))


@pytest.mark.parametrize("leaf", [2**47, 2**55 - 1, 2**60, 2**63 - 1, -1, -(2**50), -(2**63) + 1])
async def test_a_forged_digest_however_far_away_is_found_in_as_many_statements(
    evidence, findings, database, owner, toy, leaf
) -> None:
    await toy.fill(database, list(range(1, 301)))
    await evidence.fold()
    await owner.execute("INSERT INTO digest VALUES ('demand', $1, 1, 1, 1, 1)", leaf)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await rules(findings, database) == {"digest_is_rows"}
    assert f"demand, leaf {leaf}" in {one.key for one in findings.found.violations}
    assert await owner.fetchval("SELECT count(*) FROM scrub_cuts(1000)") == 0


@pytest.mark.parametrize("position", HUGE)
async def test_a_row_at_a_place_that_is_never_given_out_is_found_and_hides_nothing(
    findings, database, owner, toy, position
) -> None:
    await toy.fill(database, list(range(1, 301)))
    await owner.execute("INSERT INTO demand SELECT $1, 9, order_id, order_no, 1, 1, kind FROM demand LIMIT 1", position)
    assert await rules(findings, database) == {"touched_by_hand"}
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    await owner.execute("UPDATE demand SET amount = amount + 1 WHERE position IN (7, $1)", position)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await rules(findings, database) >= {"touched_by_hand", "triggers_armed", "digest_is_rows"}
    named = {one.key for one in findings.found.violations if one.rule == "digest_is_rows"}
    assert {"demand, leaf 0", f"demand, leaf {position >> 8}"} <= named


async def test_numbers_beyond_all_bounds_are_one_finding_and_hide_no_other_book(database, owner, toy, tmp_path) -> None:
    await toy.fill(database, list(range(1, 301)))
    path = tmp_path / "violations.sql"
    path.write_text(
        "-- name: doubled\n"
        "SELECT order_no AS key, '' AS kept, '' AS facts, '' AS detail FROM demand WHERE amount * 2 = 1;\n"
        "-- name: always\nSELECT 'k' AS key, '' AS kept, '' AS facts, '' AS detail;\n"
    )
    findings = Findings(sql.load_file(str(path), "violations.sql"))
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    await owner.execute("UPDATE demand SET amount = 9223372036854775807 WHERE position = 7")
    await owner.execute("UPDATE digest_book SET b = 'amount * 2' WHERE book = 'demand'")
    found = (await findings.scrub(database)).violations
    told = {(one.rule, one.kept.partition(":")[0]) for one in found}
    assert {("doubled", "cannot be computed"), ("always", ""), ("digest_is_rows", "cannot be computed")} <= told


async def test_a_look_goes_on_though_nobody_waits_for_it_and_who_comes_meanwhile_shares_the_next(
    findings, database, owner
) -> None:
    before = await findings.scrub(database)
    async with owner.transaction():
        await owner.execute("LOCK TABLE tamper IN ACCESS EXCLUSIVE MODE")
        told = await findings.violations(ViolationsRequest(wait_seconds=0.1), database)
        assert (told.at, told.under_way) == (before.at, True)
        others = [
            asyncio.create_task(findings.violations(ViolationsRequest(PATIENCE_SECONDS), database)) for _ in range(3)
        ]
        await asyncio.sleep(0.1)
    answers = await asyncio.gather(*others)
    assert {answer.at for answer in answers} == {findings.found.at}
    assert findings.found.at > before.at
    assert not any(answer.under_way for answer in answers)


async def test_a_look_that_fails_is_told_until_one_comes_to_its_end(findings, database, owner) -> None:
    good = await findings.scrub(database)
    await owner.execute("ALTER TABLE digest_book RENAME TO digest_bok")
    with pytest.raises(asyncpg.UndefinedTableError):
        await findings.violations(ViolationsRequest(PATIENCE_SECONDS), database)
    told = await findings.findings(Nothing(), database)
    assert "digest_book" in told.failed
    assert told.at == good.at
    await owner.execute("ALTER TABLE digest_bok RENAME TO digest_book")
    assert not (await findings.scrub(database)).failed


async def test_a_rule_that_takes_too_long_is_told_as_not_checked_and_keeps_no_other_from_being_checked(
    database, owner, toy, tmp_path
) -> None:
    await toy.fill(database, list(range(1, 301)))
    path = tmp_path / "violations.sql"
    path.write_text(
        "-- name: demanded\n"
        "SELECT order_no AS key, '' AS kept, '' AS facts, '' AS detail FROM demand WHERE position = 7;\n"
        "-- name: always\nSELECT 'k' AS key, '' AS kept, '' AS facts, '' AS detail;\n"
    )
    rules = sql.load_file(str(path), "violations.sql")
    findings = Findings(rules, rule_seconds=0.2)
    async with owner.transaction():
        await owner.execute("LOCK TABLE demand IN ACCESS EXCLUSIVE MODE")
        first = await findings.scrub(database)
        assert {one.rule for one in first.unchecked} >= {"demanded", "digest_is_rows"}
        assert {"demanded", "digest_is_rows"}.isdisjoint(first.rules)
        assert "always" in first.rules
        assert "timeout" in first.unchecked[0].why
        assert {one.rule for one in first.violations} == {"always"}
        with pytest.raises(TimeoutError, match="demanded"):
            await findings.rules(database)
    findings = Findings(rules, rule_seconds=PATIENCE_SECONDS)
    whole = await findings.scrub(database)
    assert ({one.rule for one in whole.violations}, whole.unchecked) == ({"always", "demanded"}, ())
    findings._rule_seconds = 0.2
    async with owner.transaction():
        await owner.execute("LOCK TABLE demand IN ACCESS EXCLUSIVE MODE")
        again = await findings.scrub(database)
    assert {one.rule for one in again.violations} == {"always", "demanded"}  # What was known of it stands.


async def test_what_could_not_be_checked_is_looked_at_again_although_nothing_has_moved(database, owner, toy) -> None:
    await toy.fill(database, [1])
    findings = Findings([("all", "SELECT 'k' AS key, '' AS kept, '' AS facts, '' AS detail FROM demand WHERE false")])
    now = 0.0
    scrub = Scrub(findings, database, 1.0, lambda: now)
    findings._rule_seconds = 0.2
    now += 100
    async with owner.transaction():
        await owner.execute("LOCK TABLE demand IN ACCESS EXCLUSIVE MODE")
        assert await scrub.look() == "whole"
        assert "all" in {one.rule for one in findings.found.unchecked}
    findings._rule_seconds = PATIENCE_SECONDS
    now += 100
    assert await scrub.look() == "whole"
    assert findings.found.unchecked == ()
