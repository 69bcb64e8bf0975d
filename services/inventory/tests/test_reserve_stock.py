"""order.placed: who gets which goods."""

from datetime import date
from typing import Any

from tieout.contracts.inventory import GoodsShipped, OrderRefused, StockReserved

ONE = 1_000_000


async def test_goods_of_an_auto_warehouse_leave_at_once_at_their_average_cost(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 100), ("B", 1, 7)))
    await counter.give(counter.placed("1001", counter.line(1, "A", 2, net=500, tax_minor=65), ("B", 1)))
    (shipped,) = await counter.announced(GoodsShipped)
    assert [(x.line_no, x.from_micro, x.to_micro, x.cost_minor, x.from_reserved) for x in shipped.lines] == [
        (1, 0, 2 * ONE, 67, False),
        (2, 0, ONE, 7, False),
    ]
    assert (shipped.ordinal, shipped.cost_currency, shipped.period) == (1, "CNY", "2026-11")
    assert (shipped.order_net_minor, shipped.order_tax_minor) == (500, 65)
    assert await counter.stock("A") == (1, 0, 0, 33)
    assert await counter.stock("B") == (0, 0, 0, 0)
    assert await counter.announced(StockReserved, OrderRefused) == []
