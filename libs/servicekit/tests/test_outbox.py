"""Nothing that was committed is ever lost: not by a process that dies, nor by a broker that forgets."""

import asyncio

import pytest
from msgspec.structs import replace
from nats.js.api import DiscardPolicy
from tieout.contracts.agreement import Mark
from tieout.contracts.inventory import OrderRefused
from tieout.contracts.operation import Nothing
from tieout.devstack.patience import PATIENCE_SECONDS, ask
from tieout.servicekit import streams
from tieout.servicekit.errors import Cause, DatabaseReplaced, OlderThanItsStream, cause_of
from tieout.servicekit.retention import Retention


async def announce(service, toy, *order_nos):
    async with service.database.transaction() as tx:
        for order_no, position in zip(order_nos, await tx.positions(len(order_nos)), strict=True):
            event = OrderRefused(toy.placed(order_no).order_id, "C1", order_no, ())
            tx.announce(event, position=position, key=(order_no,), chain=order_no, order_no=order_no)


def stream_has(operator, toy, *order_nos):
    async def look() -> bool:
        return sorted(await toy.told(operator)) == sorted(order_nos)

    return look


def everything_sent(service):
    async def look() -> bool:
        return bool(await service.database.pool.fetchval("SELECT count(*) = 0 FROM outbox WHERE first_seq IS NULL"))

    return look


async def test_what_a_dead_process_left_behind_goes_out_at_the_next_start(
    start_service, database, toy, operator
) -> None:
    class Dead:
        pass

    dead = Dead()
    dead.database = database  # type: ignore[attr-defined]
    await announce(dead, toy, "1", "2")  # Committed by a process that never published.
    await start_service()
    await toy.until(stream_has(operator, toy, "1", "2"))


async def test_what_was_left_behind_by_another_process_goes_out_when_it_is_overdue(
    start_service, database, toy, operator, owner
) -> None:
    service = await start_service()
    service_like = type("Dead", (), {"database": database})()
    await announce(service_like, toy, "1")
    await owner.execute("UPDATE outbox SET written_at = now() - interval '6 seconds'")
    await toy.until(stream_has(operator, toy, "1"))
    await toy.until(everything_sent(service))


async def test_while_the_broker_is_away_transactions_commit_and_go_out_later(
    start_service, toy, operator, testbed
) -> None:
    service = await start_service()
    await announce(service, toy, "1")
    await toy.until(everything_sent(service))
    testbed.hub.stop()
    try:
        await announce(service, toy, "2")
        await announce(service, toy, "3")
    finally:
        testbed.hub.start()
    await toy.until(stream_has(operator, toy, "1", "2", "3"))
    await toy.until(everything_sent(service))


async def test_a_stream_deleted_under_a_running_service_is_made_anew_as_soon_as_something_is_announced(
    start_service, toy, operator
) -> None:
    service = await start_service()
    await announce(service, toy, "1")
    await toy.until(everything_sent(service))
    await operator.jetstream().delete_stream("INVENTORY")
    await announce(service, toy, "2")
    await toy.until(stream_has(operator, toy, "1", "2"))
    await toy.until(everything_sent(service))


async def test_a_deleted_stream_is_made_anew_by_the_next_short_look_also_where_nothing_is_announced(
    start_service, toy, operator
) -> None:
    service = await start_service()
    await announce(service, toy, "1")
    await toy.until(everything_sent(service))
    await operator.jetstream().delete_stream("INVENTORY")
    await service.auditing.look()
    assert service.auditing.task is not None
    await service.auditing.task
    assert await stream_has(operator, toy, "1")()


async def lose_the_stream(operator, js):
    await js.delete_stream("INVENTORY")


async def lose_one_message(operator, js):
    await js.delete_msg("INVENTORY", 1)


async def lose_the_tail(operator, js):
    for sequence in (3, 4):
        await js.delete_msg("INVENTORY", sequence)


async def empty_the_stream(operator, js):
    await js.purge_stream("INVENTORY")


@pytest.mark.parametrize("harm", [lose_the_stream, lose_one_message, lose_the_tail, empty_the_stream])
async def test_the_audit_publishes_again_what_the_broker_lost(start_service, toy, operator, harm) -> None:
    service = await start_service()
    await announce(service, toy, "1")
    await announce(service, toy, "2")
    await toy.until(everything_sent(service))
    before = (await operator.jetstream().stream_info("INVENTORY")).state.last_seq
    await harm(operator, operator.jetstream())
    assert await service.auditing.audit.run() > 0
    assert await stream_has(operator, toy, "1", "2")()
    state = (await operator.jetstream().stream_info("INVENTORY")).state
    assert state.last_seq > before  # No sequence was given out twice.
    assert await service.auditing.audit.run() == 0
    mark = await ask(operator, "rpc.inventory.mark", Nothing(), Mark)
    assert mark.sequences["INVENTORY"] == state.last_seq


async def test_a_stream_whose_limits_a_hand_altered_has_them_back_and_everything_it_threw_away(
    start_service, toy, operator
) -> None:
    """Else each message that is published again throws another one away, and a slow consumer never has it."""
    service = await start_service()
    await toy.until(everything_sent(service))
    for number in range(6):
        await announce(service, toy, str(number))
    await toy.until(everything_sent(service))
    js = operator.jetstream()
    config = (await js.stream_info("INVENTORY")).config
    config.max_msgs, config.discard = 3, DiscardPolicy.OLD
    state = (await js.update_stream(config)).state
    assert state.messages == 3
    assert await service.auditing.audit.look() > 0
    assert await stream_has(operator, toy, *map(str, range(6)))()
    config = (await js.stream_info("INVENTORY")).config
    assert (config.max_msgs, config.discard) == (-1, DiscardPolicy.NEW)
    assert await service.auditing.audit.look() == 0
    assert await service.auditing.audit.run() == 0


async def test_a_clean_audit_is_short_and_changes_nothing(start_service, toy, operator) -> None:
    service = await start_service()
    for number in range(10):
        await announce(service, toy, str(number))
    await toy.until(everything_sent(service))
    before = (await operator.jetstream().stream_info("INVENTORY")).state.last_seq
    assert await service.auditing.audit.run() == 0
    assert (await operator.jetstream().stream_info("INVENTORY")).state.last_seq == before


async def test_looks_that_stop_after_so_many_events_come_to_every_batch_in_turn(
    start_service, toy, operator, monkeypatch
) -> None:
    monkeypatch.setattr(streams, "EVENTS_PER_LOOK", 2)
    service = await start_service()
    monkeypatch.setattr(service.auditing, "look", asyncio.Event().wait)  # Only ours are counted.
    for number in range(5):
        await announce(service, toy, str(number))
    await toy.until(everything_sent(service))
    batches = [row["batch"] for row in await service.database.pool.fetch("SELECT batch FROM outbox ORDER BY batch")]
    looked = []
    compare = service.auditing.audit._lacking

    async def note(batch):
        looked.append(batch)
        return await compare(batch)

    monkeypatch.setattr(service.auditing.audit, "_lacking", note)
    for _ in range(4):
        assert await service.auditing.audit.look() == 0
    assert looked == [*batches, *batches[:2]]  # Two, two, the last one; and from the beginning again.


async def test_a_missing_letter_box_does_not_hold_up_events(start_service, toy, operator) -> None:
    service = await start_service()
    from tieout.servicekit.rehearsal import received

    async with service.database.transaction() as tx:
        tx.bury(received(toy.placed(), flow="inventory-reserve-stock"), reason="x")
    await announce(service, toy, "1")
    await toy.until(stream_has(operator, toy, "1"))


async def test_old_rows_are_pruned_only_below_what_every_consumer_confirmed(
    start_service, toy, operator, owner
) -> None:
    from nats.js.api import AckPolicy, ConsumerConfig

    service = await start_service()
    await announce(service, toy, "1")
    await announce(service, toy, "2")
    await toy.until(everything_sent(service))
    js = operator.jetstream()
    await js.add_consumer("INVENTORY", ConsumerConfig(durable_name="slow", ack_policy=AckPolicy.EXPLICIT))
    subscription = await js.pull_subscribe_bind("slow", "INVENTORY")
    await owner.execute("UPDATE outbox SET written_at = now() - interval '30 days'")
    retention = retention_of(service)
    await retention.run()
    assert await owner.fetchval("SELECT count(*) FROM outbox") == 2
    for message in await subscription.fetch(2, timeout=PATIENCE_SECONDS):
        await message.ack_sync()

    async def pruned():
        await retention.run()
        return await owner.fetchval("SELECT count(*) FROM outbox") == 1

    await toy.until(pruned)  # The broker tells of a confirmation a moment after it took it.


def retention_of(service, **changes):
    return Retention(
        service.jetstream, service.database.outbox, service.database.pool, replace(service.settings, **changes)
    )


async def test_a_stream_above_its_bytes_lets_go_of_what_all_confirmed_and_the_audit_misses_nothing(
    start_service, toy, operator, owner
) -> None:
    service = await start_service()
    for number in range(40):
        await announce(service, toy, str(number))
    await toy.until(everything_sent(service))
    js = operator.jetstream()
    before = (await js.stream_info("INVENTORY")).state
    assert await retention_of(service, stream_bytes_max=before.bytes // 2).run() == 0, "nothing is a day old yet"
    await owner.execute("UPDATE outbox SET written_at = now() - interval '25 hours'")
    forgotten = await retention_of(service, stream_bytes_max=before.bytes // 2).run()
    after = (await js.stream_info("INVENTORY")).state
    assert 10 <= forgotten <= 25
    assert after.bytes < before.bytes * 0.7
    assert await owner.fetchval("SELECT min(first_seq) FROM outbox") == after.first_seq
    assert await service.auditing.audit.run() == 0
    await owner.execute("UPDATE outbox SET written_at = now() - interval '30 days'")
    await retention_of(service).run()
    assert await owner.fetchval("SELECT max(last_seq) FROM outbox") == after.last_seq, "where a new stream would begin"


async def test_a_slow_transaction_holds_the_mark_back_and_a_rolled_back_one_does_not(
    start_service, toy, operator
) -> None:
    service = await start_service()

    async def position() -> int:
        return (await ask(operator, "rpc.inventory.mark", Nothing(), Mark)).position

    await announce(service, toy, "1")
    await toy.until(everything_sent(service))
    assert await position() == 1
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with service.database.transaction() as tx:
            (number,) = await tx.positions(1)
            begun.set()
            await release.wait()
            event = OrderRefused(toy.placed("2").order_id, "C1", "2", ())
            tx.announce(event, position=number, key=("2",), chain="2")

    task = asyncio.create_task(slow())
    await begun.wait()
    await announce(service, toy, "3")  # Overtakes it.
    await toy.until(everything_sent(service))
    assert await position() == 1
    release.set()
    await task
    await toy.until(everything_sent(service))
    assert await position() == 3
    with pytest.raises(RuntimeError):  # noqa: PT012
        async with service.database.transaction() as tx:
            await tx.positions(1)
            raise RuntimeError
    await announce(service, toy, "5")
    await toy.until(everything_sent(service))
    assert await position() == 5


async def test_what_is_not_published_holds_the_mark_back(start_service, toy, operator) -> None:
    service = await start_service()
    await announce(service, toy, "1")
    await toy.until(everything_sent(service))
    service.database.outbox.open.clear()
    await announce(service, toy, "2")
    assert (await ask(operator, "rpc.inventory.mark", Nothing(), Mark)).position == 1
    service.database.outbox.open.set()
    await toy.until(everything_sent(service))
    assert (await ask(operator, "rpc.inventory.mark", Nothing(), Mark)).position == 2


async def start_with_three(start_service, toy, operator):
    """A service whose stream holds three events of its own."""
    service = await start_service()
    await announce(service, toy, "1", "2", "3")
    await toy.until(stream_has(operator, toy, "1", "2", "3"))
    return service


async def test_a_database_from_an_older_backup_is_refused_before_anything_is_written(
    start_service, toy, operator, owner
) -> None:
    service = await start_with_three(start_service, toy, operator)
    await service.stop()
    await owner.execute("DELETE FROM outbox WHERE last_pos > 0; ALTER SEQUENCE outbox_pos RESTART WITH 2")
    with pytest.raises(OlderThanItsStream, match="restored from an older backup"):
        await start_service()


async def test_a_dump_whose_sequence_is_newer_than_its_rows_is_refused_as_well(
    start_service, toy, operator, owner
) -> None:
    service = await start_with_three(start_service, toy, operator)
    await service.stop()
    await owner.execute("DELETE FROM outbox WHERE last_pos > 1; UPDATE mark SET m = 0, last = 0")
    with pytest.raises(OlderThanItsStream, match="tieout recover inventory"):
        await start_service()


async def test_a_database_that_is_replaced_below_a_running_service_ends_it_before_a_position_is_given_twice(
    start_service, toy, operator, owner
) -> None:
    service = await start_with_three(start_service, toy, operator)
    await owner.execute("ALTER SEQUENCE outbox_pos RESTART WITH 2")
    with pytest.raises(DatabaseReplaced, match="position 2 after position 3"):
        await announce(service, toy, "4")
    assert service.lifetime.ending.is_set()
    assert isinstance(service.lifetime.failure, DatabaseReplaced)
    assert cause_of(service.lifetime.failure) is Cause.PASSING  # A batch in hand is not given up for it.


async def test_what_was_about_to_be_published_when_the_broker_went_away_is_published_later(
    start_service, toy, operator
) -> None:
    service = await start_service()
    outbox = service.database.outbox
    await outbox.open.wait()
    await toy.until(everything_sent(service))
    room = outbox.room._value
    await announce(service, toy, "1")  # Its publishing has been scheduled, and has not begun.
    outbox.disconnected()
    await asyncio.sleep(0)
    service.auditing.soon()
    await toy.until(stream_has(operator, toy, "1"))
    await toy.until(everything_sent(service))

    async def given_back() -> bool:  # Just after the mark.
        return (outbox._in_flight, outbox.room._value) == (set(), room)

    await toy.until(given_back)
