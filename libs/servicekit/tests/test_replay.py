"""Events again: what a rehearsal says without writing, and that a replay books once."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tieout.contracts.order import OrderPlaced
from tieout.contracts.replay import Effect, Kept, KeptRequest, Played, PlayedBatch, PlayedEvent, PlayRequest
from tieout.devstack.patience import ask
from tieout.servicekit import Refused, Service, Unprocessable, batch_flow

DURABLE = "inventory-reserve-stock"
BOOKED, THERE = Played("booked"), Played("already_there")


def flow_that(handle: Any) -> Any:
    return batch_flow(DURABLE, OrderPlaced, size=100)(handle)


def again(*bodies: bytes) -> PlayRequest:
    events = (PlayedEvent(OrderPlaced.SUBJECT, "ORDER", place, Raw(body)) for place, body in enumerate(bodies, 1))
    return PlayRequest(DURABLE, tuple(events))


async def asked(operator: Any, request: PlayRequest, verb: str = "replay") -> PlayedBatch:
    return await ask(operator, f"rpc.inventory.{verb}", request, PlayedBatch)


async def rows(service: Service) -> Any:
    counts = "(SELECT count(*) FROM demand), (SELECT count(*) FROM outbox), (SELECT count(*) FROM parked)"
    return tuple(await service.database.pool.fetchrow(f"SELECT {counts}"))


@pytest.fixture
def orders(toy: Any) -> list[bytes]:
    return [toy.envelope(toy.placed(str(number)), number) for number in range(1, 6)]


async def test_a_rehearsal_says_what_would_be_booked_and_writes_nothing(start_service, flow, orders, operator) -> None:
    service = await start_service([flow])
    told = await asked(operator, again(*orders), "rehearse")
    assert told.played == (BOOKED,) * 5
    assert Effect("inventory", "demand", ("quantity_micro", "amount_minor"), "", 5, 25, 3500) in told.effects
    assert await rows(service) == (0, 0, 0)


async def test_a_rehearsal_adds_up_beyond_64_bits(start_service, flow, toy, operator) -> None:
    await start_service([flow])
    bodies = [toy.envelope(toy.placed(str(number), amount=4 * 10**18), number) for number in (1, 2, 3)]
    told = await asked(operator, again(*bodies), "rehearse")
    (demand,) = (effect for effect in told.effects if effect.figure == "demand")
    assert (demand.rows, demand.b) == (3, 12 * 10**18)


async def test_a_replay_books_once_and_then_says_that_it_is_there(start_service, flow, orders, toy, operator) -> None:
    service = await start_service([flow])
    assert (await asked(operator, again(*orders[:3]))).played == (BOOKED,) * 3
    assert (await asked(operator, again(*orders))).played == (THERE,) * 3 + (BOOKED,) * 2
    before = await rows(service)
    assert (await asked(operator, again(*orders))).played == (THERE,) * 5
    assert (await asked(operator, again(*orders), "rehearse")).played == (THERE,) * 5
    assert await rows(service) == before

    async def published() -> bool:
        return len(await toy.told(operator)) == 5

    await toy.until(published)


async def test_what_fails_is_named_and_the_others_are_booked(start_service, toy, orders, operator) -> None:
    async def handle(batch: Any, database: Any) -> None:
        if any(one.data.order_no == "2" for one in batch):
            raise Unprocessable("unknown_company", "company", "C9 is not open.")
        if any(one.data.order_no == "3" for one in batch):
            raise LookupError
        await toy.note_demand(batch, database)

    service = await start_service([flow_that(handle)])
    told = await asked(operator, again(orders[0], orders[1], orders[2], b'{"specversion":"1.0"}', orders[4]))
    assert [(one.outcome, one.reason, one.field) for one in told.played] == [
        ("booked", "", ""),
        ("failed", "unknown_company", "company"),
        ("failed", "internal_error", ""),
        ("failed", "unreadable", ""),
        ("booked", "", ""),
    ]
    assert await rows(service) == (2, 2, 0)  # No letter and nothing parked: who asked has them.


async def test_what_a_flow_parks_waits_and_what_was_parked_is_taken(start_service, toy, orders, operator) -> None:
    early = ["1", "2"]

    async def handle(batch: Any, database: Any) -> None:
        if not early:
            await toy.note_demand(batch, database)
            return
        async with database.transaction() as tx:
            for one in batch:
                tx.park(one, key="k", reason="waits for its order")

    service = await start_service([flow_that(handle)])
    told = await asked(operator, again(*orders[:2]), "rehearse")
    assert [one.outcome for one in told.played] == ["waits", "waits"]
    assert await rows(service) == (0, 0, 0)
    await asked(operator, again(*orders[:2]))
    assert (await rows(service))[2] == 2
    early.clear()
    assert (await asked(operator, again(*orders[:2]))).played == (BOOKED, BOOKED)
    assert (await rows(service))[::2] == (2, 0)


ANCHOR = "INSERT INTO order_anchor SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"


async def test_of_state_beside_the_books_each_event_is_told_for_itself(start_service, toy, orders, operator) -> None:
    batches = []

    async def handle(batch: Any, database: Any) -> None:
        batches.append(len(batch))
        async with database.transaction() as tx:
            await tx.execute(ANCHOR, [one.data.order_id for one in batch])

    service = await start_service([flow_that(handle)])
    assert (await asked(operator, again(orders[3]))).played == (BOOKED,)
    batches.clear()
    for verb in ("rehearse", "replay"):
        told = await asked(operator, again(*orders), verb)
        assert told.played == (BOOKED,) * 3 + (THERE, BOOKED)
    assert await service.database.pool.fetchval("SELECT count(*) FROM order_anchor") == 5
    batches.clear()
    assert (await asked(operator, again(*orders))).played == (THERE,) * 5
    assert batches == [5]  # Where nothing came or went, nobody is told apart.


async def test_what_a_flow_says_of_itself_is_believed_also_where_rows_were_only_changed(
    start_service, toy, orders, operator
) -> None:
    batches = []

    async def handle(batch: Any, database: Any) -> None:
        batches.append(len(batch))
        async with database.transaction() as tx:
            for one in batch:
                note = "UPDATE setting SET remark = remark || $1 WHERE NOT remark LIKE '%' || $1 || '%'"
                if await tx.execute(note, f"<{one.data.order_no}>") != "UPDATE 0":
                    tx.changed(one)

    await start_service([flow_that(handle)])
    assert (await asked(operator, again(*orders[:2]))).played == (BOOKED, BOOKED)
    assert (await asked(operator, again(*orders[:3]))).played == (THERE, THERE, BOOKED)
    assert (await asked(operator, again(*orders[:3]))).played == (THERE,) * 3


async def test_a_batch_that_books_for_some_is_run_apart_for_those_of_whom_nothing_is_known(
    start_service, toy, orders, operator
) -> None:
    """Order 1 announces, order 2 only leaves a row, orders 3 and 4 change nothing."""

    async def handle(batch: Any, database: Any) -> None:
        some = [one for one in batch if one.data.order_no == "1"]
        async with database.transaction() as tx:
            await tx.execute(ANCHOR, [one.data.order_id for one in batch if one.data.order_no in "12"])
            for one, position in zip(some, await tx.positions(len(some)), strict=True):
                tx.announce(toy.refused(one.data), position=position, key=(one.data.order_id,), chain="c", cause=one)

    service = await start_service([flow_that(handle)])
    told = await asked(operator, again(*orders[:4]))
    assert told.played == (BOOKED, BOOKED, THERE, THERE)
    assert (await rows(service))[1] == 1  # What was undone to be run apart announced nothing.


async def test_a_flow_that_is_not_here_is_refused(start_service, flow, operator) -> None:
    await start_service([flow])
    with pytest.raises(Refused) as refused:
        await asked(operator, PlayRequest("inventory-take-back", ()))
    assert (refused.value.problem.code, refused.value.problem.field) == ("not_found", "flow")


async def test_a_producer_gives_its_own_events_by_position_and_by_place_in_the_stream(
    start_service, flow, orders, toy, operator
) -> None:
    service = await start_service([flow])
    await asked(operator, again(*orders))

    async def marked_as_published() -> bool:
        return bool(await service.database.pool.fetchval("SELECT bool_and(first_seq IS NOT NULL) FROM outbox"))

    await toy.until(marked_as_published)
    positions = await service.database.pool.fetchval("SELECT pos FROM outbox")
    kept = await ask(operator, "rpc.inventory.kept", KeptRequest(positions=tuple(positions[1:3])), Kept)
    assert [(one.position, one.sequence, one.subject) for one in kept.events] == [
        (positions[1], 1, "inventory.refused.v1"),
        (positions[2], 1, "inventory.refused.v1"),
    ]
    assert msgspec.json.decode(kept.events[0].body)["orderno"] == "2"
    ranged = await ask(operator, "rpc.inventory.kept", KeptRequest(first_sequence=1, last_sequence=9), Kept)
    assert [one.position for one in ranged.events] == positions
    assert (await ask(operator, "rpc.inventory.kept", KeptRequest(positions=(999,)), Kept)).events == ()
