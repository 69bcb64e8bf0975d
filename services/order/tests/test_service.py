"""The whole service on real Postgres and NATS: streams, permissions, acknowledgements, operations."""

import msgspec
from tieout.contracts.agreement import Digest, DigestRequest, Violations
from tieout.contracts.event import Envelope
from tieout.contracts.operation import Health, Nothing
from tieout.contracts.order import OrderView, ShowOrder
from tieout.devstack.patience import ask, until
from tieout.devstack.testbed import events_of, stream_config
from tieout.order.app import build
from tieout.order.settings import Settings


async def test_orders_flow_from_the_gateways_stream_to_the_order_stream(desk, service_database, operator):
    jetstream = operator.jetstream()
    for producer in ("gateway", "inventory", "finance"):
        await jetstream.add_stream(stream_config(producer))
    database = await service_database("order")
    service = build(Settings.from_environment(database.environment))
    await service.start()
    try:
        for n in range(300):
            await operator.publish("order.submit.v1", desk.message(desk.submit(number=str(n))).body)
        await operator.publish("order.submit.v1", b'{"no": "envelope"}')
        await operator.flush()

        async def placed():
            return await service.database.pool.fetchval("SELECT count(*) FROM order_header") == 300

        await until(placed)
        await operator.publish("inventory.shipped.v1", desk.message(desk.shipped((1, 0, 3), number="7")).body)
        await operator.publish("finance.settled.v1", desk.message(desk.paid(("7", 339))).body)
        await operator.flush()

        async def completed():
            return await service.database.pool.fetchval("SELECT count(*) FROM completion") == 1

        async def published():
            kinds = ("order.placed.v1", "order.completed.v1")
            return [len(await events_of(operator, "ORDER", kind)) for kind in kinds] == [300, 1]

        await until(completed)
        await until(published)
        (told,) = await events_of(operator, "ORDER", "order.completed.v1")
        envelope = msgspec.json.decode(told, type=Envelope)
        assert (envelope.type, envelope.orderno, envelope.chainid) == ("order.completed.v1", "7", str(desk.id("7")))

        view = await ask(operator, "rpc.order.show", ShowOrder("7"), OrderView)
        assert (view.summary.fulfilment, view.summary.payment, view.summary.completed) == ("shipped", "paid", True)
        digest = await ask(operator, "rpc.order.digest", DigestRequest(2, "order_line", 10**6), Digest)
        assert [(entry.rows, entry.a, entry.b) for entry in digest.entries] == [(300, 900_000_000, 101_700)]
        assert (await ask(operator, "rpc.order.violations", Nothing(), Violations)).violations == ()
        health = await ask(operator, "rpc.order.health", Nothing(), Health)
        assert (health.ready, health.dead, health.parked) == (True, 1, 0)
    finally:
        await service.stop()
