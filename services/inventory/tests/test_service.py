"""The whole service on real Postgres and NATS: streams, permissions, acknowledgements, operations."""

from typing import Any

import msgspec
from tieout.contracts.agreement import Digest, DigestRequest, Violations
from tieout.contracts.event import Envelope, order_id
from tieout.contracts.finance import CompanyOpened
from tieout.contracts.inventory import GoodsReturned, GoodsShipped, ListStock, PutWarehouse, StockPage, WarehouseView
from tieout.contracts.operation import Health, Nothing
from tieout.devstack.patience import ask, until
from tieout.devstack.testbed import events_of, stream_config
from tieout.inventory.app import build
from tieout.inventory.settings import Settings


async def test_goods_flow_from_the_orders_stream_to_the_inventory_stream(
    counter: Any, service_database: Any, operator: Any
) -> None:
    made = await service_database("inventory")
    jetstream = operator.jetstream()
    for producer in ("gateway", "order", "finance"):
        await jetstream.add_stream(stream_config(producer))
    service = build(Settings.from_environment(made.environment))
    await service.start()
    try:
        # Opened in an announcement of its own: a warehouse is of a company that is known.
        opened = CompanyOpened("C1", "One", "CNY", "Asia/Shanghai")
        await operator.publish("finance.company_opened.v1", counter.message(opened).body)
        rule = PutWarehouse("C1", "MAIN", "back_order", "auto")
        assert (await ask(operator, "rpc.inventory.put_warehouse", rule, WarehouseView)).stock_policy == "back_order"
        # Everything in the wrong order: orders, a return, and last the goods.
        for n in range(300):
            await operator.publish("order.placed.v1", counter.message(counter.placed(str(n), ("A", 2))).body)
        await operator.publish("order.placed.v1", b'{"no": "envelope"}')
        await operator.publish("order.returned.v1", counter.message(counter.credit("R1", ("A", 1, "7", 1))).body)
        await operator.publish("inventory.receive.v1", counter.message(counter.receipt(("A", 600, 6_000))).body)
        await operator.flush()

        async def everything_left_and_one_piece_is_back() -> bool:
            (stock,) = (await ask(operator, "rpc.inventory.stock", ListStock("C1"), StockPage)).stock or (None,)
            return stock is not None and (stock.on_hand_micro, stock.moves) == (1_000_000, 302)

        await until(everything_left_and_one_piece_is_back)

        async def published() -> bool:
            kinds = (GoodsShipped, GoodsReturned)
            return [len(await events_of(operator, "INVENTORY", kind.SUBJECT)) for kind in kinds] == [300, 1]

        await until(published)
        *_, last = await events_of(operator, "INVENTORY", GoodsShipped.SUBJECT)
        envelope = msgspec.json.decode(last, type=Envelope)
        assert envelope.chainid == str(order_id("C1", "shop", envelope.orderno))

        for measure, book, rows, quantity in ((2, "demand", 300, 600), (4, "shipped_line", 300, 600)):
            request = DigestRequest(measure, book, 10**6)
            (total,) = (await ask(operator, "rpc.inventory.digest", request, Digest)).entries
            assert (total.rows, total.a) == (rows, quantity * 1_000_000)
        assert (await ask(operator, "rpc.inventory.violations", Nothing(), Violations)).violations == ()
        health = await ask(operator, "rpc.inventory.health", Nothing(), Health)
        assert (health.ready, health.dead, health.parked) == (True, 1, 0)
    finally:
        await service.stop()
