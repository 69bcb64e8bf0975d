"""A database that stands elsewhere than before: does it know what it confirmed, also where nobody heard of it?"""

import pytest
from tieout.contracts.order import OrderPlaced
from tieout.servicekit import batch_flow
from tieout.servicekit.errors import OlderThanItsStream

COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount")
MOVED = "UPDATE database_home SET database = 1"
PROMOTED = "UPDATE database_home SET timeline = timeline - 1"


@pytest.fixture
def quiet_flow():
    """Writes its rows once and announces nothing."""

    async def note(batch, database) -> None:
        async with database.transaction() as tx:
            known = {row[0] for row in await tx.fetch("SELECT order_id FROM demand")}
            records = [
                (one.position, 1, one.data.order_id, one.data.order_no, 1, 1)
                for one in batch
                if one.data.order_id not in known
            ]
            await tx.copy("demand", columns=COLUMNS, records=records)

    return batch_flow("inventory-reserve-stock", OrderPlaced, size=100)(note)


@pytest.fixture
async def confirmed(start_service, quiet_flow, play, toy, owner, operator):
    """Two orders are noted, confirmed, and the service has stopped."""

    async def all_confirmed() -> bool:
        info = await operator.jetstream().consumer_info("ORDER", "inventory-reserve-stock")
        return info.ack_floor is not None and info.ack_floor.stream_seq == 2

    service = await start_service(flows=[quiet_flow])
    await play(toy.placed("1"), toy.placed("2"))
    await toy.until(all_confirmed)
    await service.stop()


@pytest.mark.parametrize("elsewhere", [MOVED, PROMOTED])
async def test_a_backup_that_lacks_only_what_nobody_heard_of_is_seen_at_start(
    elsewhere, confirmed, start_service, quiet_flow, owner
) -> None:
    await owner.execute(f"DELETE FROM demand WHERE order_no = '2'; {elsewhere}")
    for _ in range(2):  # A second attempt finds the same.
        with pytest.raises(OlderThanItsStream, match="tieout recover inventory"):
            await start_service(flows=[quiet_flow])


@pytest.mark.parametrize("elsewhere", [MOVED, PROMOTED])
async def test_a_move_that_lost_nothing_asks_nobody(elsewhere, confirmed, start_service, quiet_flow, owner) -> None:
    await owner.execute(elsewhere)
    service = await start_service(flows=[quiet_flow])
    assert service.ready
    assert await owner.fetchval("SELECT database FROM database_home") > 1


async def test_a_start_where_it_stood_looks_at_nothing(confirmed, start_service, quiet_flow, owner) -> None:
    await owner.execute("DELETE FROM demand WHERE order_no = '2'")
    assert (await start_service(flows=[quiet_flow])).ready


async def test_where_a_recovery_has_not_ended_no_service_starts_until_it_has(
    confirmed, start_service, quiet_flow, owner
) -> None:
    await owner.execute("UPDATE database_home SET recovering = true")
    with pytest.raises(OlderThanItsStream, match="tieout recover inventory"):
        await start_service(flows=[quiet_flow])
    await owner.execute("UPDATE database_home SET recovering = false")
    assert (await start_service(flows=[quiet_flow])).ready


async def test_a_hand_that_sets_or_takes_back_the_mark_of_a_recovery_is_named(
    confirmed, start_service, quiet_flow, owner
) -> None:
    async def touched(service):
        found = await service.findings.scrub(service.database)
        return [one.rule for one in found.violations if one.key.startswith("database_home")]

    await owner.execute("UPDATE database_home SET recovering = true")
    with pytest.raises(OlderThanItsStream, match="set it by hand"):
        await start_service(flows=[quiet_flow])
    await owner.execute("UPDATE database_home SET recovering = false")
    service = await start_service(flows=[quiet_flow])
    assert await touched(service) == []
    async with service.database.transaction() as tx:
        await tx.execute("UPDATE database_home SET recovering = true")
    await owner.execute("UPDATE database_home SET recovering = false")
    assert await touched(service) == ["touched_by_hand"]
