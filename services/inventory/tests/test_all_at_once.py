"""Every flow at once on the same few goods: no deadlock, nothing promised twice, every sum as it should be."""

import asyncio
import random
from collections import defaultdict
from datetime import date
from typing import Any

from tieout.contracts.inventory import ValuePeriod

ONE = 1_000_000


async def test_all_flows_run_beside_each_other_on_the_same_goods(counter: Any) -> None:
    await counter.open(
        MAIN="back_order auto period_average",
        YARD="back_order confirmed",
        SHOP="allow_negative auto fifo",
        LATE="allow_negative auto period_average",
    )
    chance = random.Random(7)
    skus, warehouses = ("A", "B", "C", "D"), ("MAIN", "YARD", "SHOP", "LATE")
    days = date(2026, 10, 30), date(2026, 11, 30)

    def line(n: int) -> Any:
        return counter.line(n, chance.choice(skus), chance.randint(1, 4), net=100, warehouse=chance.choice(warehouses))

    orders = [
        counter.placed(
            str(n),
            *(line(k) for k in range(1, chance.randint(2, 4))),
            business_date=chance.choice(days),
            control_passes="delivery" if n % 2 else "issue",
        )
        for n in range(120)
    ]
    facts = list(orders)
    for order in orders:
        sold = chance.choice(order.lines)
        if chance.random() < 0.3:
            facts.append(counter.cancel(order.order_no, (sold.line_no, 1)))
        if chance.random() < 0.6:
            facts.append(counter.confirmation(order.order_no, warehouse="YARD"))
        if chance.random() < 0.6:
            part = [(sold.line_no, 1)] if chance.random() < 0.5 else []
            facts.append(counter.delivery(order.order_no, *part))
        if chance.random() < 0.2:
            facts.append(counter.credit(f"R{order.order_no}", (sold.sku, 1, order.order_no, sold.line_no)))
    for _ in range(80):
        warehouse = chance.choice(warehouses)
        goods = [(sku, chance.randint(1, 9), chance.randint(1, 99)) for sku in chance.sample(skus, 2)]
        facts.append(counter.receipt(*goods, warehouse=warehouse, business_date=chance.choice(days)))
        facts.append(counter.count((chance.choice(skus), 1), warehouse=warehouse))
    chance.shuffle(facts)

    queues: dict[str, list[Any]] = defaultdict(list)
    for fact in facts:
        message = counter.message(fact)
        queues[message.durable].append(message)

    async def consume(messages: list[Any]) -> None:
        while messages:
            batch = [messages.pop() for _ in range(min(7, len(messages)))]
            await counter.flows[batch[0].subject].function(batch, counter.database)

    async def value() -> None:
        while any(queues.values()):
            await counter.ask(ValuePeriod("C1", "2026-10"))
            await asyncio.sleep(0.02)

    # Two consumers per flow, as with two replicas, and months are valued meanwhile. A deadlock would raise here.
    await asyncio.gather(*(consume(messages) for messages in queues.values() for _ in range(2)), value())
    await counter.give()
    idle = await counter.rows(
        "SELECT sku FROM stock WHERE warehouse NOT IN ('SHOP', 'LATE') AND back_ordered_micro > 0 "
        "AND on_hand_micro > reserved_micro"
    )
    assert idle == [], "goods are free while somebody waits for them"
    waiting = {reason for _, reason in await counter.parked()}
    assert waiting <= {"not_reserved_yet", "not_shipped_yet", "waits_for_its_shipment"}
    assert {kind for (kind,) in await counter.rows("SELECT DISTINCT kind FROM transit")} == {
        "sent",
        "delivered",
        "recalled",
    }

    for _ in range(2):
        valued = await counter.ask(ValuePeriod("C1", "2026-11"))
    assert (valued.stocks, valued.revalued) == (0, 0)
    assert await counter.rows("SELECT sku FROM stock WHERE on_hand_micro > 0 AND value_minor < 0") == []
    assert len(await counter.rows("SELECT FROM valuation")) > 20
