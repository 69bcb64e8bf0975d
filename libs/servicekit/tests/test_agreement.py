"""A service's side of the proof: equal rows give equal digests, and nothing done by hand stays unseen."""

import asyncio

import asyncpg
import msgspec
import pytest
from tieout.contracts.agreement import (
    BookUpto,
    Digest,
    DigestRequest,
    MarkRequest,
    RowsRequest,
    SumsRequest,
    TotalsRequest,
    ViolationsRequest,
)
from tieout.contracts.inventory import OrderRefused
from tieout.contracts.operation import Nothing
from tieout.devstack.testbed import PATIENCE_SECONDS
from tieout.servicekit import Refused, Unprocessable, sql
from tieout.servicekit.agreement import Evidence

COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount", "kind")


@pytest.fixture
async def evidence(database):
    found = Evidence(database, None)
    await found.start()
    return found


async def fill(database, toy, positions, *, size=50):
    """Rows of `positions`, `size` per transaction; what a row holds follows from its position."""
    for first in range(0, len(positions), size):
        async with database.transaction() as tx:
            records = [
                (
                    p,
                    line,
                    toy.placed(str(p)).order_id,
                    str(p),
                    p % 7 + line,
                    p % 11 - 5,
                    "service" if p % 5 == 0 else "goods",
                )
                for p in positions[first : first + size]
                for line in (1, 2)
            ]
            await tx.copy("demand", columns=COLUMNS, records=records)


async def total(evidence, database, upto, book="demand", measure=2):
    entries = (await evidence.digest(DigestRequest(measure, book, upto), database)).entries
    return entries[0] if entries else None


async def rules(evidence, database):
    return {violation.rule for violation in (await evidence.scrub(database)).violations}


async def test_the_digest_does_not_depend_on_arrival_order_or_folding(evidence, database, toy) -> None:
    await fill(database, toy, list(range(1, 601)))
    unfolded = await total(evidence, database, 600)
    await evidence.fold()
    assert await total(evidence, database, 600) == unfolded
    leaves = (await evidence.digest(DigestRequest(2, "demand", 600, leaves=True), database)).entries
    assert [entry.leaf for entry in leaves] == [0, 1, 2]
    assert sum(entry.rows for entry in leaves) == unfolded.rows == 1200
    assert sum(int(entry.hash) for entry in leaves) == int(unfolded.hash)


async def test_the_begun_leaf_is_cut_exactly_at_the_watermark(evidence, database, toy) -> None:
    await fill(database, toy, list(range(1, 601)))
    rows = (await evidence.rows(RowsRequest(2, "demand", 300, tuple(range(512))), database)).rows
    cut = await total(evidence, database, 300)
    assert (cut.rows, cut.a, cut.b) == (len(rows), sum(row.a for row in rows), sum(row.b for row in rows))
    assert max(row.position for row in rows) == 300


async def test_a_book_holds_only_the_rows_of_its_condition(evidence, database, toy) -> None:
    await fill(database, toy, list(range(1, 101)))
    goods = await total(evidence, database, 255, "shipped_line", 4)
    assert goods.rows == 2 * 80
    rows = (await evidence.rows(RowsRequest(4, "shipped_line", 255, tuple(range(256))), database)).rows
    assert all(row.position % 5 for row in rows)


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
async def test_what_is_done_by_hand_changes_the_digest_and_is_named(evidence, database, owner, toy, statement) -> None:
    await fill(database, toy, list(range(1, 301)))
    before = await total(evidence, database, 300)
    await owner.execute(statement)
    assert await total(evidence, database, 300) != before
    found = (await evidence.scrub(database)).violations
    assert {violation.rule for violation in found} == {"touched_by_hand"}
    assert any('"position": 7' in violation.key for violation in found)


async def test_a_row_that_was_put_back_is_forgiven(evidence, database, owner, toy) -> None:
    await fill(database, toy, list(range(1, 301)))
    before = await total(evidence, database, 300)
    row = await owner.fetchrow("DELETE FROM demand WHERE position = 7 AND line_no = 1 RETURNING *")
    assert await rules(evidence, database) == {"touched_by_hand"}
    await owner.execute("INSERT INTO demand VALUES ($1, $2, $3, $4, $5, $6, $7)", *row)
    assert await total(evidence, database, 300) == before
    assert await rules(evidence, database) == set()


async def test_an_edit_behind_disabled_triggers_is_found_by_the_scrub(evidence, database, owner, toy) -> None:
    await fill(database, toy, list(range(1, 301)))
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    await owner.execute("UPDATE demand SET amount = amount + 1 WHERE position = 7")
    assert await rules(evidence, database) == {"triggers_armed", "digest_is_rows"}
    await owner.execute("UPDATE demand SET amount = amount - 1 WHERE position = 7")
    await owner.execute("ALTER TABLE demand ENABLE TRIGGER USER")  # Not ALWAYS: a replica role would slip through.
    assert await rules(evidence, database) == {"triggers_armed"}


async def test_an_edit_of_the_digest_itself_is_found(evidence, database, owner, toy) -> None:
    await fill(database, toy, list(range(1, 301)))
    await evidence.fold()
    await owner.execute("UPDATE digest SET a = a + 1 WHERE leaf = 0 AND book = 'demand'")
    assert await rules(evidence, database) == {"digest_is_rows"}


async def test_other_versions_and_unknown_books_are_refused(evidence, database) -> None:
    with pytest.raises(Refused, match="other_version"):
        await evidence.digest(DigestRequest(2, "demand", 1, version=99), database)
    with pytest.raises(Refused, match="no book 'demand' for measure 3"):
        await evidence.digest(DigestRequest(3, "demand", 1), database)


async def test_rows_say_when_there_are_more(evidence, database, toy) -> None:
    await fill(database, toy, list(range(1, 101)))
    answer = await evidence.rows(RowsRequest(2, "demand", 255, tuple(range(256)), limit=10), database)
    assert answer.truncated
    assert len(answer.rows) == 10


async def test_parked_positions_are_told_beside_the_rows(evidence, database, toy) -> None:
    from tieout.servicekit.rehearsal import received

    async with database.transaction() as tx:
        tx.park(received(toy.placed("7"), position=7, flow="inventory-reserve-stock"), key="7", reason="waits")
    answer = await evidence.rows(RowsRequest(2, "demand", 255, tuple(range(256))), database)
    assert [(w.position, w.flow, w.key, w.reason) for w in answer.waiting] == [
        (7, "inventory-reserve-stock", "7", "waits")
    ]
    assert Unprocessable("x").reason == "x"


# What a hand may write into positions


HUGE = (2**55, 2**62, 2**63 - 1, -1, -(2**40), -(2**63))


@pytest.mark.parametrize("leaf", [2**47, 2**55 - 1, 2**60, 2**63 - 1, -1, -(2**50), -(2**63) + 1])
async def test_a_forged_digest_however_far_away_is_found_in_as_many_statements(
    evidence, database, owner, toy, leaf
) -> None:
    await fill(database, toy, list(range(1, 301)))
    await evidence.fold()
    await owner.execute("INSERT INTO digest VALUES ('demand', $1, 1, 1, 1, 1)", leaf)
    async with asyncio.timeout(PATIENCE_SECONDS):  # Leaf by leaf, it would take years.
        assert await rules(evidence, database) == {"digest_is_rows"}
    assert f"demand, leaf {leaf}" in {one.key for one in evidence.found.violations}
    assert await owner.fetchval("SELECT count(*) FROM scrub_cuts(1000)") == 0


@pytest.mark.parametrize("position", HUGE)
async def test_a_row_at_a_place_that_is_never_given_out_is_found_and_hides_nothing(
    evidence, database, owner, toy, position
) -> None:
    await fill(database, toy, list(range(1, 301)))
    await owner.execute("INSERT INTO demand SELECT $1, 9, order_id, order_no, 1, 1, kind FROM demand LIMIT 1", position)
    assert await rules(evidence, database) == {"touched_by_hand"}
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    await owner.execute("UPDATE demand SET amount = amount + 1 WHERE position IN (7, $1)", position)
    async with asyncio.timeout(PATIENCE_SECONDS):  # Leaf by leaf, it would take years.
        assert await rules(evidence, database) >= {"touched_by_hand", "triggers_armed", "digest_is_rows"}
    named = {one.key for one in evidence.found.violations if one.rule == "digest_is_rows"}
    assert {"demand, leaf 0", f"demand, leaf {position >> 8}"} <= named


async def test_numbers_beyond_all_bounds_are_one_finding_and_hide_no_other_book(database, owner, toy, tmp_path) -> None:
    await fill(database, toy, list(range(1, 301)))
    path = tmp_path / "violations.sql"
    path.write_text(
        "-- name: doubled\n"
        "SELECT order_no AS key, '' AS kept, '' AS facts, '' AS detail FROM demand WHERE amount * 2 = 1;\n"
        "-- name: always\nSELECT 'k' AS key, '' AS kept, '' AS facts, '' AS detail;\n"
    )
    evidence = Evidence(database, sql.load_file(str(path), "violations.sql"))
    await evidence.start()
    await owner.execute("ALTER TABLE demand DISABLE TRIGGER USER")
    await owner.execute("UPDATE demand SET amount = 9223372036854775807 WHERE position = 7")
    await owner.execute("UPDATE digest_book SET b = 'amount * 2' WHERE book = 'demand'")
    found = (await evidence.scrub(database)).violations
    told = {(one.rule, one.kept.partition(":")[0]) for one in found}
    assert {("doubled", "cannot be computed"), ("always", ""), ("digest_is_rows", "cannot be computed")} <= told


async def test_what_the_broker_does_not_take_is_told_with_the_mark(evidence, database, owner, toy) -> None:
    async with database.transaction() as tx:
        (position,) = await tx.positions(1)
        event = OrderRefused(toy.placed("1").order_id, "C1", "1", ())
        tx.announce(event, position=position, key=("1",), chain="1")
    await owner.execute("UPDATE outbox SET written_at = now() + interval '1 minute'")
    fresh = await evidence.mark(MarkRequest(), database)
    assert (fresh.position, fresh.unpublished) == (0, 0)  # Of a moment ago: on its way.
    await owner.execute("UPDATE outbox SET written_at = now() - interval '4 minutes'")
    told = await evidence.mark(MarkRequest(), database)
    assert (told.position, told.last_position, told.unpublished) == (0, 1, 1)
    assert told.unpublished_seconds >= 240
    await owner.execute("UPDATE outbox SET first_seq = 1, last_seq = 1")
    for _ in range(3):
        published = await evidence.mark(MarkRequest(), database)
    assert (published.position, published.unpublished) == (1, 0)


async def test_sums_beyond_64_bits_are_told_exactly(evidence, database, toy) -> None:
    """Each value fits; a year of them, or one satellite's large receipts, need not."""
    huge, rows = 4 * 10**18, 7
    async with database.transaction() as tx:
        records = [(p, 1, toy.placed(str(p)).order_id, str(p), huge, -huge, "goods") for p in range(1, rows + 1)]
        await tx.copy("demand", columns=COLUMNS, records=records)
    asked = TotalsRequest((BookUpto(2, "demand", 600),))
    for _ in range(2):  # From the deltas and rows, and from the folded tree.
        told = decoded(await evidence.totals(asked, database))
        (whole,) = told.entries
        assert (whole.rows, whole.a, whole.b) == (rows, rows * huge, -rows * huge)
        for level in ({"leaves": True}, {"by_branch": True}):
            (entry,) = decoded(await evidence.digest(DigestRequest(2, "demand", 600, **level), database)).entries
            assert (entry.a, entry.b, entry.hash) == (whole.a, whole.b, whole.hash)
        await evidence.fold()
    rows_told = (await evidence.rows(RowsRequest(2, "demand", 600, (1,)), database)).rows
    assert [(row.a, row.b) for row in rows_told] == [(huge, -huge)]
    assert await rules(evidence, database) == set()


def decoded(digest: Digest) -> Digest:
    """As whoever asked receives it."""
    return msgspec.json.decode(msgspec.json.encode(digest), type=Digest)


async def test_a_look_goes_on_though_nobody_waits_for_it_and_who_comes_meanwhile_shares_the_next(
    evidence, database, owner
) -> None:
    before = await evidence.scrub(database)
    async with owner.transaction():
        await owner.execute("LOCK TABLE tamper IN ACCESS EXCLUSIVE MODE")
        told = await evidence.violations(ViolationsRequest(wait_seconds=0.1), database)
        assert (told.at, told.under_way) == (before.at, True)
        others = [
            asyncio.create_task(evidence.violations(ViolationsRequest(PATIENCE_SECONDS), database)) for _ in range(3)
        ]
        await asyncio.sleep(0.1)
    answers = await asyncio.gather(*others)
    assert {answer.at for answer in answers} == {evidence.found.at}
    assert evidence.found.at > before.at
    assert not any(answer.under_way for answer in answers)


async def test_a_look_that_fails_is_told_until_one_comes_to_its_end(evidence, database, owner) -> None:
    good = await evidence.scrub(database)
    await owner.execute("ALTER TABLE digest_book RENAME TO digest_bok")
    with pytest.raises(asyncpg.UndefinedTableError):
        await evidence.violations(ViolationsRequest(PATIENCE_SECONDS), database)
    told = await evidence.findings(Nothing(), database)
    assert "digest_book" in told.failed
    assert told.at == good.at
    await owner.execute("ALTER TABLE digest_bok RENAME TO digest_book")
    assert not (await evidence.scrub(database)).failed


async def test_sums_by_currency_go_on_though_nobody_waits_and_are_added_to(database, toy, owner) -> None:
    await owner.execute("UPDATE digest_book SET currency = 'kind' WHERE book = 'demand'")
    evidence = Evidence(database, None)
    await evidence.start()
    await fill(database, toy, list(range(1, 101)))
    async with owner.transaction():
        await owner.execute("LOCK TABLE demand IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await evidence.sums(SumsRequest(2, "demand", 60), database)
        other = asyncio.create_task(evidence.sums(SumsRequest(2, "demand", 100), database))
        await asyncio.sleep(0.05)
    assert sum(one.rows for one in (await other).sums) == 200
    assert sum(one.rows for one in (await evidence.sums(SumsRequest(2, "demand", 60), database)).sums) == 120
