"""What leaves with a commit, and what a rollback takes along."""

import contextlib

import pytest
from msgspec import json
from tieout.contracts.event import Notice, event_id
from tieout.contracts.inventory import OrderRefused
from tieout.servicekit import Unprocessable
from tieout.servicekit.outbox import IN_HAND, UNTOLD_MAX
from tieout.servicekit.rehearsal import announced, buried, received, run_parked


async def test_what_is_announced_is_in_the_outbox_after_the_commit(database, flow, toy) -> None:
    order = toy.placed("1001")
    await flow([received(order, position=7, order_no="1001", company="C1", chain=order.order_id)], database)
    (one,) = await announced(database, OrderRefused)
    assert one.data.order_no == "1001"
    assert one.envelope.id == event_id(OrderRefused.SUBJECT, order.order_id)
    assert one.envelope.chainid == str(order.order_id)
    assert one.envelope.causationid
    assert one.position == 1


async def test_a_rolled_back_transaction_announces_nothing(database, toy) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012
        async with database.transaction() as tx:
            (position,) = await tx.positions(1)
            tx.announce(OrderRefused(toy.placed().order_id, "C1", "1", ()), position=position, key=(1,), chain="x")
            raise RuntimeError
    assert await announced(database) == []
    async with database.transaction() as tx:
        assert await tx.positions(2) == [2, 3]  # The first number is lost, and that is fine.


async def test_the_notice_tells_the_batch_in_the_order_of_its_positions(database, toy, owner) -> None:
    async with database.transaction() as tx:
        first, second = await tx.positions(2)
        for position, order_no in ((second, "b"), (first, "a")):
            event = OrderRefused(toy.placed(order_no).order_id, "C1", order_no, ())
            tx.announce(event, position=position, key=(order_no,), chain=f"chain-{order_no}", order_no=order_no)
    row = await owner.fetchrow("SELECT pos, subjects, bodies FROM outbox")
    notice = json.decode(row["bodies"][-1], type=Notice)
    assert row["subjects"][-1] == "inventory.notice.v1"
    assert list(notice.positions) == row["pos"] == [first, second]
    assert notice.order_nos == ("a", "b")
    assert notice.chains == ("chain-a", "chain-b")


async def test_a_large_batch_becomes_several_rows(database, toy, owner) -> None:
    async with database.transaction() as tx:
        for position in await tx.positions(1500):
            tx.announce(
                OrderRefused(toy.placed().order_id, "C1", "1", ()), position=position, key=(position,), chain="x"
            )
    rows = await owner.fetch("SELECT cardinality(bodies) AS n, first_pos, last_pos, bodies FROM outbox ORDER BY batch")
    assert [tuple(row)[:3] for row in rows] == [(1000, 1, 999), (502, 1000, 1500)]
    first, second = (json.decode(row["bodies"][-1], type=Notice) for row in rows)
    assert first.turn == second.turn > 0  # Of one transaction.


async def test_a_notice_tells_what_its_process_committed_without_a_word_since_the_last_one(
    database, toy, owner
) -> None:
    """Each with its turn, and none that was rolled back; what a notice that was rolled back told is told again."""

    @contextlib.asynccontextmanager
    async def handling(*sequences, speaks=()):
        in_hand = IN_HAND.set(("inventory-reserve-stock", sequences))
        try:
            async with database.transaction() as tx:
                for position in await tx.positions(len(speaks)):
                    event = OrderRefused(toy.placed().order_id, "C1", "1", ())
                    tx.announce(event, position=position, key=(position,), chain="x")
                yield
        finally:
            IN_HAND.reset(in_hand)

    async def last_notice():
        notice = json.decode(
            await owner.fetchval("SELECT bodies[cardinality(bodies)] FROM outbox ORDER BY batch DESC LIMIT 1"),
            type=Notice,
        )
        turns = [*(one.turn for one in notice.handled[:-1]), notice.turn]
        assert turns == sorted(set(turns))
        assert notice.handled[-1].turn == 0
        return [one.sequences for one in notice.handled]

    async with handling(1, 2):
        pass
    for speaks in ((), "a"):
        with pytest.raises(RuntimeError):
            async with handling(3, speaks=speaks):
                raise RuntimeError
    async with handling(5):
        pass
    async with handling(3, 4, speaks="a"):
        pass
    assert await last_notice() == [(1, 2), (5,), (3, 4)]
    async with handling(6, speaks="a"):
        pass
    assert await last_notice() == [(6,)]


async def test_a_process_that_says_nothing_for_long_remembers_no_more_than_a_notice_may_hold(
    database, toy, owner
) -> None:
    for first in range(0, 3 * UNTOLD_MAX, UNTOLD_MAX // 2):
        in_hand = IN_HAND.set(("inventory-reserve-stock", tuple(range(first, first + UNTOLD_MAX // 2))))
        async with database.transaction():
            pass
        IN_HAND.reset(in_hand)
    async with database.transaction() as tx:
        (position,) = await tx.positions(1)
        tx.announce(OrderRefused(toy.placed().order_id, "C1", "1", ()), position=position, key=(1,), chain="x")
    notice = json.decode(await owner.fetchval("SELECT bodies[2] FROM outbox"), type=Notice)
    assert [one.sequences[0] for one in notice.handled] == [2 * UNTOLD_MAX, 2 * UNTOLD_MAX + UNTOLD_MAX // 2]


async def test_nobody_announces_another_services_event(database, toy) -> None:
    with pytest.raises(TypeError, match="belongs to order"):
        async with database.transaction() as tx:
            tx.announce(toy.placed(), position=1, key=(1,), chain="x")


async def test_an_event_larger_than_a_message_is_unprocessable(database, toy) -> None:
    with pytest.raises(Unprocessable, match="too_large"):
        async with database.transaction() as tx:
            tx.announce(OrderRefused(toy.placed().order_id, "C1", "1" * 1_000_000, ()), position=1, key=(1,), chain="x")


async def test_a_buried_message_is_a_letter_with_all_that_is_needed_to_replay_it(database, toy) -> None:
    message = received(toy.placed("1001"), position=7, order_no="1001", company="C1", flow="inventory-reserve-stock")
    async with database.transaction() as tx:
        tx.bury(message, reason="unknown_company", field="company", detail="C1 is not open.")
    (letter,) = await buried(database)
    assert (letter.reason, letter.field, letter.flow) == ("unknown_company", "company", "inventory-reserve-stock")
    assert letter.body.encode() == message.body
    assert (letter.subject, letter.order_no, letter.position) == ("order.placed.v1", "1001", 7)


async def test_a_parked_message_runs_again_when_its_partner_wakes_it(database, flow, toy) -> None:
    early = received(toy.placed("1001"), position=7, flow="inventory-reserve-stock")
    async with database.transaction() as tx:
        tx.park(early, key="1001", reason="waits for its company")
    assert await run_parked(database, [flow]) == 0
    async with database.transaction() as tx:
        tx.wake(["1001", "another"])
    assert await run_parked(database, [flow]) == 1
    assert len(await announced(database, OrderRefused)) == 1
    async with database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM parked") == 0


async def test_parking_the_same_message_twice_keeps_one(database, toy) -> None:
    early = received(toy.placed("1001"), position=7, flow="inventory-reserve-stock")
    for _ in range(2):
        async with database.transaction() as tx:
            tx.park(early, key="1001", reason="waits")
    async with database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM parked") == 1


async def test_a_failed_run_leaves_the_message_parked(database, toy) -> None:
    early = received(toy.placed("1001"), position=7, flow="inventory-reserve-stock")
    async with database.transaction() as tx:
        tx.park(early, key="1001", reason="waits")
    with pytest.raises(RuntimeError):
        async with database.taking("inventory-reserve-stock", [early.business_id]).transaction():
            raise RuntimeError
    async with database.read() as connection:
        assert await connection.fetchval("SELECT count(*) FROM parked") == 1
