"""A consumer that somebody paused on the hub goes on: at each start, and as soon as its flow is restarted."""

from datetime import UTC, datetime, timedelta

from tieout.contracts.agreement import RestartedFlow, RestartFlowRequest
from tieout.devstack.patience import ask

DURABLE = "inventory-reserve-stock"


async def pause(operator) -> None:
    until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (await operator.jsm().pause_consumer("ORDER", DURABLE, until)).paused
    assert (await operator.jetstream().consumer_info("ORDER", DURABLE)).paused


async def test_a_paused_consumer_goes_on_when_its_flow_is_restarted_and_at_each_start(
    start_service, flow, toy, play, operator
) -> None:
    async def told(count):
        return len(await toy.told(operator)) == count

    first = await start_service([flow])
    await play(toy.placed("1001"))
    await toy.until(lambda: told(1))
    await pause(operator)
    await play(toy.placed("1002"))
    request = RestartFlowRequest(DURABLE, "somebody", "paused by hand")
    await ask(operator, "rpc.inventory.restart_flow", request, RestartedFlow)
    await toy.until(lambda: told(2))
    await first.stop()
    await pause(operator)
    await play(toy.placed("1003"))
    await start_service([flow])
    await toy.until(lambda: told(3))
    assert not (await operator.jetstream().consumer_info("ORDER", DURABLE)).paused
