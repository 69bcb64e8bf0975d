"""A service's side of the proof: equal rows give equal digests, and sums of any size are told exactly."""

import asyncio

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
)
from tieout.contracts.inventory import OrderRefused
from tieout.servicekit import Refused, Unprocessable
from tieout.servicekit.agreement import Evidence
from tieout.servicekit.findings import Findings

COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount", "kind")


@pytest.fixture
async def evidence(database):
    found = Evidence(database)
    await found.start()
    return found


async def total(evidence, database, upto, book="demand", measure=2):
    entries = (await evidence.digest(DigestRequest(measure, book, upto), database)).entries
    return entries[0] if entries else None


async def test_the_digest_does_not_depend_on_arrival_order_or_folding(evidence, database, toy) -> None:
    await toy.fill(database, list(range(1, 601)))
    unfolded = await total(evidence, database, 600)
    await evidence.fold()
    assert await total(evidence, database, 600) == unfolded
    leaves = (await evidence.digest(DigestRequest(2, "demand", 600, leaves=True), database)).entries
    assert [entry.leaf for entry in leaves] == [0, 1, 2]
    assert sum(entry.rows for entry in leaves) == unfolded.rows == 1200
    assert sum(int(entry.hash) for entry in leaves) == int(unfolded.hash)


async def test_the_begun_leaf_is_cut_exactly_at_the_watermark(evidence, database, toy) -> None:
    await toy.fill(database, list(range(1, 601)))
    rows = (await evidence.rows(RowsRequest(2, "demand", 300, tuple(range(512))), database)).rows
    cut = await total(evidence, database, 300)
    assert (cut.rows, cut.a, cut.b) == (len(rows), sum(row.a for row in rows), sum(row.b for row in rows))
    assert max(row.position for row in rows) == 300


async def test_a_book_holds_only_the_rows_of_its_condition(evidence, database, toy) -> None:
    await toy.fill(database, list(range(1, 101)))
    goods = await total(evidence, database, 255, "shipped_line", 4)
    assert goods.rows == 2 * 80
    rows = (await evidence.rows(RowsRequest(4, "shipped_line", 255, tuple(range(256))), database)).rows
    assert all(row.position % 5 for row in rows)


async def test_other_versions_and_unknown_books_are_refused(evidence, database) -> None:
    with pytest.raises(Refused, match="other_version"):
        await evidence.digest(DigestRequest(2, "demand", 1, version=99), database)
    with pytest.raises(Refused, match="no book 'demand' for measure 3"):
        await evidence.digest(DigestRequest(3, "demand", 1), database)


async def test_rows_say_when_there_are_more(evidence, database, toy) -> None:
    await toy.fill(database, list(range(1, 101)))
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
    assert (await Findings(None).scrub(database)).violations == ()


def decoded(digest: Digest) -> Digest:
    """As whoever asked receives it."""
    return msgspec.json.decode(msgspec.json.encode(digest), type=Digest)


async def test_sums_by_currency_go_on_though_nobody_waits_and_are_added_to(database, toy, owner) -> None:
    await owner.execute("UPDATE digest_book SET currency = 'kind' WHERE book = 'demand'")
    evidence = Evidence(database)
    await evidence.start()
    await toy.fill(database, list(range(1, 101)))
    async with owner.transaction():
        await owner.execute("LOCK TABLE demand IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await evidence.sums(SumsRequest(2, "demand", 60), database)
        other = asyncio.create_task(evidence.sums(SumsRequest(2, "demand", 100), database))
        await asyncio.sleep(0.05)
    assert sum(one.rows for one in (await other).sums) == 200
    assert sum(one.rows for one in (await evidence.sums(SumsRequest(2, "demand", 60), database)).sums) == 120
