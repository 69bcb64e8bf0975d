"""A restored database is brought forward in the order of then: also what changed it without a word has its place."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from tieout.contracts.event import Handled, Notice
from tieout.contracts.inventory import OrderRefused, RefusedLine
from tieout.contracts.order import OrderPlaced
from tieout.contracts.streams import notice_subject
from tieout.devstack.patience import until, until_seen
from tieout.devstack.testbed import stream_config
from tieout.servicekit import batch_flow
from tieout.servicekit.database import open_pool
from tieout.servicekit.lost_part import Group, LostPart, Places, read_lost
from tieout.servicekit.received import Outgoing, encode
from tieout.servicekit.recovery import Recoverer

DURABLE = "inventory-reserve-stock"
COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount")
FORGET = (
    "DELETE FROM demand; DELETE FROM order_anchor; DELETE FROM parked; "
    "DELETE FROM outbox WHERE stream = 'INVENTORY'; UPDATE mark SET m = 0"
)
BOOK = "SELECT position, order_no, quantity FROM demand ORDER BY position"


def places(*heard, known=None):
    groups = [Group(f"2026-11-23T08:00:{number:02}Z", [], dict(one)) for number, one in enumerate(heard)]
    return Places(LostPart(groups, {}, set(), [], 0, None, known_heard=known or {}))


def at(second):
    return f"2026-11-23T08:00:{second:02}Z"


def test_an_event_has_its_place_before_the_first_notice_that_knows_of_it_whatever_its_time():
    found = places({"f": 3}, {"f": 3, "g": 9}, {"f": 7})
    assert [found.place("f", sequence, at(0)) for sequence in (3, 4, 7, 8)] == [0, 2, 2, 3]
    assert found.place("f", 4, at(59)) == 2


def test_what_the_backup_knows_came_before_everything_that_was_lost():
    found = places({"f": 12}, known={"f": 10})
    assert [found.place("f", sequence, at(59)) for sequence in (10, 11, 12, 13)] == [0, 0, 0, 1]
    assert places({}, {"f": 12}, known={"f": 10}).place("f", 11, at(0)) == 1


def test_where_nothing_was_lost_every_event_has_the_same_place():
    assert places().place("f", 1, at(0)) == 0
    assert places(known={"f": 3}).place("f", 5, at(0)) == 0


def test_notices_of_older_versions_leave_it_to_the_time():
    found = places({}, {}, {})
    assert [found.place("f", 4, at(second)) for second in (0, 1, 3)] == [0, 1, 3]
    mixed = places({}, {}, {"f": 7}, {"f": 9})
    assert [mixed.place("f", 7, at(second)) for second in (0, 1, 59)] == [0, 1, 2]
    assert mixed.place("f", 8, at(0)) == 3
    assert places({"g": 1}, {"g": 2}).place("f", 4, at(1)) == 1  # Of this flow none tells.


def test_a_process_that_has_just_started_takes_nothing_back_of_what_the_one_before_had_heard():
    found = places({"f": 100}, {}, {"f": 40}, {"f": 101})
    assert [found.place("f", sequence, at(0)) for sequence in (40, 100, 101, 102)] == [0, 0, 3, 4]


def test_where_a_turn_is_told_an_event_has_its_place_by_it_whatever_others_had_heard():
    groups = [Group(at(0), [], {"f": 9}, 10), Group(at(1), [], {"f": 12}, 14), Group(at(2), [], {}, 20)]
    handled = {("f", 8): (10, 0), ("f", 7): (15, 0), ("f", 11): (9, 1), ("f", 5): (21, 0)}
    found = Places(LostPart(groups, {}, set(), [], 0, None, handled=handled))
    assert [found.place("f", sequence, at(0)) for sequence in (8, 7, 11, 5)] == [0, 2, 0, 3]
    assert [found.turn("f", sequence) for sequence in (11, 10)] == [(9, 1), (0, 0)]
    assert found.place("f", 10, at(0)) == 1  # Nobody has told of it: the first that had heard of one behind it.


async def note_in_turn(batch, database):
    """Who has a quiet number is only counted; each other one announces how many were."""
    async with database.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock(7)")
        known = {row[0] for row in await tx.fetch("SELECT order_no FROM demand")}
        fresh = list({one.data.order_no: one for one in batch if one.data.order_no not in known}.values())
        quiet = sum(number.startswith("quiet") for number in known)
        loud = [one for one in fresh if not one.data.order_no.startswith("quiet")]
        positions = iter(await tx.positions(len(loud)))
        records = []
        for one in fresh:
            if one.data.order_no.startswith("quiet"):
                quiet += 1
            else:
                event = refused_of(one.data, quiet)
                tx.announce(
                    event, position=next(positions), key=(event.order_id,), chain=event.order_id, cause=one,
                    order_no=event.order_no, company="C1",
                )  # fmt: skip
            records.append((one.position, 1, one.data.order_id, one.data.order_no, quiet, 1))
        await tx.copy("demand", columns=COLUMNS, records=records)


def refused_of(order, quiet):
    return OrderRefused(order.order_id, order.company, order.order_no, (RefusedLine(1, quiet, True),))


@pytest.fixture
def in_turn():
    return batch_flow(DURABLE, OrderPlaced, size=100)(note_in_turn)


@pytest.fixture
def spoken(toy):
    """An event of the order service, with its position; `late`: its clock was so many seconds behind."""
    positions = itertools.count(1)

    def spoken(number, late=0.0):
        order, position = toy.placed(number), next(positions)
        when = (datetime.now(UTC) - timedelta(seconds=late)).isoformat().replace("+00:00", "Z")
        identity, chain = f"00000000-0000-0000-0000-{position:012}", str(order.order_id)
        kind, form = order.SUBJECT, "application/json"
        return encode(
            Outgoing("1.0", identity, "/order", kind, when, str(position), chain, form, order, number, order.company)
        )

    return spoken


async def brought_forward(toy_database, flow, operator, owner):
    """Everything is forgotten, and comes back."""
    await owner.execute(FORGET)
    pool = await open_pool(toy_database.app_url, None, "inventory-recovery")
    work = Recoverer("inventory", [flow], pool, operator.jetstream())
    await work.examine()
    found = await work.run()
    await pool.close()
    return found


async def test_what_a_slow_machine_heard_late_is_played_where_it_was_heard(
    toy_database, start_service, in_turn, play, spoken, operator, owner, toy
):
    service = await start_service(flows=[in_turn])
    for number, late in (("1", 0), ("quiet", 3600), ("2", 0)):
        await play(spoken(number, late))
        await until(lambda number=number: owner.fetchval("SELECT count(*) FROM demand WHERE order_no = $1", number))
    await until(lambda: toy.told(operator), lambda told: told == ["1", "2"])
    await service.stop()
    before = await owner.fetch(BOOK)
    assert [row["quantity"] for row in before] == [0, 1, 1]

    found = await brought_forward(toy_database, in_turn, operator, owner)
    assert (found.again, found.differing, found.missing, found.exact) == (2, 0, 0, True)
    assert await owner.fetch(BOOK) == before


@pytest.mark.parametrize("numbers", [("quiet1", "1", "quiet2", "2", "quiet3"), ("1", "quiet1", "2"), ("quiet1", "1")])
async def test_what_stood_in_one_batch_with_others_has_its_place_among_them(
    numbers, toy_database, start_service, in_turn, play, spoken, operator, owner, toy
):
    """Its own transaction had not been confirmed when its notice was written."""
    for number in numbers:
        await play(spoken(number))
    service = await start_service(flows=[in_turn])
    await until(lambda: owner.fetchval("SELECT count(*) FROM demand"), lambda count: count == len(numbers))
    loud = [number for number in numbers if not number.startswith("quiet")]
    await until(lambda: toy.told(operator), lambda told: told == loud)
    await service.stop()
    before = await owner.fetch(BOOK)

    found = await brought_forward(toy_database, in_turn, operator, owner)
    assert (found.again, found.differing, found.missing, found.exact) == (len(loud), 0, 0, True)
    assert await owner.fetch(BOOK) == before


async def test_what_two_processes_handled_at_the_same_moment_is_played_in_the_order_of_their_commits(
    toy_database, start_service, play, spoken, operator, owner, toy
):
    """Neither the sequences nor what each of them had heard tells it."""
    gate, spoke, opened = {}, set(), asyncio.Event()

    async def wait_at_the_gate(batch, database):
        number = batch[0].data.order_no
        if not opened.is_set():
            gate[number] = asyncio.Event()
            await gate[number].wait()
        await note_in_turn(batch, database)
        if not number.startswith("quiet"):
            spoke.add(database.outbox)

    flow = batch_flow(DURABLE, OrderPlaced, size=1)(wait_at_the_gate)
    services = [await start_service(flows=[flow]) for _ in range(2)]
    await play(spoken("1"))
    await until_seen(lambda: gate)
    numbers = itertools.count(1)

    async def another_process_has_one():
        await play(spoken(f"quiet{next(numbers)}"))
        return len(gate) == 2

    await until(another_process_has_one)
    quiet = max(gate)
    gate[quiet].set()
    await until(lambda: owner.fetchval("SELECT count(*) FROM demand"))
    gate["1"].set()  # Stood before it in the stream, and comes after it.
    await until(lambda: toy.told(operator), lambda told: told == ["1"])
    opened.set()
    for event in gate.values():
        event.set()

    async def all_is_there():
        played = (await operator.jetstream().stream_info("ORDER")).state.messages
        return played == await owner.fetchval("SELECT count(*) FROM demand")

    async def both_have_spoken():
        """So both have told what they did without a word before."""
        await play(spoken(str(100 + next(numbers))))
        return len(spoke) == 2

    await until(all_is_there)
    spoke.clear()
    await until(both_have_spoken)
    await until(all_is_there)
    loud = await owner.fetchval("SELECT count(*) FROM demand WHERE order_no NOT LIKE 'quiet%'")
    await until(lambda: toy.told(operator), lambda told: len(told) == loud)
    for service in services:
        await service.stop()
    before = await owner.fetch(BOOK)
    assert {row["order_no"]: row["quantity"] for row in before}["1"] == 1
    assert len({row["quantity"] for row in before if row["order_no"].startswith("quiet")}) > 1

    found = await brought_forward(toy_database, batch_flow(DURABLE, OrderPlaced)(note_in_turn), operator, owner)
    assert (found.differing, found.missing, found.exact) == (0, 0, True)
    assert await owner.fetch(BOOK) == before


async def test_transactions_are_brought_forward_in_the_order_of_their_commits_whatever_the_stream_has(
    toy_database, operator, toy
):
    """One process may publish late, or have been cut off from the broker; rows of one transaction stay together."""
    jetstream = operator.jetstream()
    await jetstream.add_stream(stream_config("inventory"))
    kind = OrderRefused.SUBJECT
    for position, turn, time in ((7, 30, at(3)), (2, 10, at(9)), (5, 20, at(1)), (3, 10, at(9))):
        event = toy.refused(toy.placed(str(position)))
        identity, form = f"00000000-0000-0000-0000-{position:012}", "application/json"
        body = encode(Outgoing("1.0", identity, "/inventory", kind, time, str(position), "x", form, event))
        told = Notice(time, (kind,), (identity,), (position,), ("x",), ("",), ("",), ("",), (), turn)
        await jetstream.publish(kind, body)
        await jetstream.publish(notice_subject("inventory"), encode(told))
    lost = await read_lost(jetstream, "inventory", set(), 0, set())
    positions = [[event.position for row in group.rows for event in row.events] for group in lost.groups]
    assert positions == [[2, 3], [5], [7]]
    assert lost.top_turn == 30


async def wait_for_partner(batch, database):
    """`after 1` waits until `1` is known; each order announces how many wait for it at that moment."""
    async with database.transaction() as tx:
        known = {row[0] for row in await tx.fetch("SELECT order_no FROM demand")}
        waiting = [row[0] for row in await tx.fetch("SELECT key FROM parked")]
        for one in batch:
            number = one.data.order_no
            partner = number.removeprefix("after ")
            if number != partner and partner not in known:
                tx.park(one, key=partner, reason="waits for its order")
            elif number not in known:
                (position,) = await tx.positions(1)
                event = refused_of(one.data, waiting.count(number))
                tx.announce(event, position=position, key=(event.order_id,), chain="x", cause=one, order_no=number)
                row = (one.position, 1, one.data.order_id, number, waiting.count(number), 1)
                await tx.copy("demand", columns=COLUMNS, records=[row])
                tx.wake([number])


async def test_what_waited_for_another_event_waits_for_it_again(
    toy_database, start_service, play, spoken, operator, owner, toy
):
    """Who brings the other one sees that it waits, and says so."""
    flow = batch_flow(DURABLE, OrderPlaced, size=1)(wait_for_partner)
    service = await start_service(flows=[flow])
    for number in ("0", "after 1", "after 2", "3"):
        await play(spoken(number))
    await until(lambda: toy.told(operator), lambda told: told == ["0", "3"])
    await play(spoken("1"))
    await until(lambda: toy.told(operator), lambda told: told == ["0", "3", "1", "after 1"])
    await service.stop()
    before = await owner.fetch(BOOK)
    assert {row["order_no"]: row["quantity"] for row in before} == {"0": 0, "3": 0, "1": 1, "after 1": 0}

    found = await brought_forward(toy_database, flow, operator, owner)
    assert (found.again, found.differing, found.missing, found.new, found.exact) == (4, 0, 0, 0, True)
    assert await owner.fetch(BOOK) == before
    assert await owner.fetch("SELECT key FROM parked") == [("2",)]  # Its partner has not come to this day.


async def test_what_failed_at_first_has_its_effect_only_where_it_had_it(
    toy_database, start_service, play, spoken, operator, owner, toy
):
    """In a recovery nothing fails where it failed before: what it would announce there is taken back."""

    async def fail_until_it_is_quiet(batch, database):
        if batch[0].data.order_no == "1" and not await database.pool.fetchval("SELECT count(*) FROM demand"):
            raise RuntimeError("no quiet number is there yet")
        await note_in_turn(batch, database)

    flow = batch_flow(DURABLE, OrderPlaced, size=1, retry_seconds=(0.01,) * 3)(fail_until_it_is_quiet)
    service = await start_service(flows=[flow])
    await play(spoken("1"), spoken("quiet"), spoken("2"))
    await until(lambda: toy.told(operator), lambda told: sorted(told) == ["1", "2"])
    await service.stop()
    before = await owner.fetch(BOOK)
    assert [row["quantity"] for row in before] == [1, 1, 1]

    always = batch_flow(DURABLE, OrderPlaced, size=1)(note_in_turn)
    found = await brought_forward(toy_database, always, operator, owner)
    assert (found.again, found.differing, found.missing, found.exact) == (2, 0, 0, True)
    assert await owner.fetch(BOOK) == before


async def test_sequences_of_a_stream_that_was_lost_say_nothing_of_the_one_that_stands_there_now(
    toy_database, in_turn, play, spoken, operator
):
    """Else all that came since would seem to have been heard before."""
    await play(spoken("1"))
    jetstream = operator.jetstream()
    await jetstream.add_stream(stream_config("inventory"))
    for time, position in (("2020-01-01T00:00:00Z", 1), ("2999-01-01T00:00:00Z", 2)):
        handled = (Handled(DURABLE, 0, time, (7000 + position,)),)
        notice = Notice(time, ("x",), ("i",), (position,), ("c",), ("1",), ("C1",), ("",), handled, position)
        await jetstream.publish(notice_subject("inventory"), encode(notice))
    made = str((await jetstream.stream_info("ORDER")).created)
    assert "2020" < made < "2999"
    lost = await read_lost(jetstream, "inventory", {1, 2}, 0, set(), {DURABLE: made})
    assert lost.known_heard == {DURABLE: 7002}
    lost = await read_lost(jetstream, "inventory", {1}, 0, set(), {DURABLE: made})
    assert lost.known_heard == {}
