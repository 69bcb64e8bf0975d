"""order.placed: who gets which goods."""

import asyncio
from datetime import date
from typing import Any

import pytest
from tieout.contracts.inventory import GoodsShipped, OrderRefused, PutWarehouse, StockReserved

ONE = 1_000_000


def parts(shipped: Any) -> list[tuple[int, int, int, int]]:
    return [(x.line_no, x.from_micro // ONE, x.to_micro // ONE, x.cost_minor) for x in shipped.lines]


async def test_goods_of_an_auto_warehouse_leave_at_once_at_their_average_cost(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 100), ("B", 1, 7)))
    await counter.give(counter.placed("1001", counter.line(1, "A", 2, net=500, tax_minor=65), ("B", 1)))
    (shipped,) = await counter.announced(GoodsShipped)
    assert parts(shipped) == [(1, 0, 2, 67), (2, 0, 1, 7)]
    assert not any(line.from_reserved for line in shipped.lines)
    assert (shipped.ordinal, shipped.cost_currency, shipped.period) == (1, "CNY", "2026-11")
    assert (shipped.order_net_minor, shipped.order_tax_minor) == (500, 65)
    assert await counter.stock("A") == (1, 0, 0, 33)
    assert await counter.stock("B") == (0, 0, 0, 0)
    assert await counter.announced(StockReserved, OrderRefused) == []


async def test_the_same_order_again_in_a_batch_or_later_changes_nothing(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 9, 90)))
    message = counter.message(counter.placed("1001", ("A", 2)))
    await counter.give(message, message)
    await counter.give(message)
    assert await counter.stock() == (7, 0, 0, 70)
    assert len(await counter.announced(GoodsShipped)) == 1


async def test_one_sku_on_two_lines_is_one_demand_and_a_refused_order_takes_nothing(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 30), ("B", 5, 50)))
    await counter.give(
        counter.placed("1001", ("B", 1), ("A", 2), ("A", 2)),
        counter.placed("1002", ("A", 3)),  # The small order behind it is not starved.
    )
    (refused,) = await counter.announced(OrderRefused)
    assert [(line.line_no, line.short) for line in refused.lines] == [(1, False), (2, True), (3, True)]
    (shipped,) = await counter.announced(GoodsShipped)
    assert shipped.order_no == "1002"
    assert await counter.stock("B") == (5, 0, 0, 50)


async def test_two_batches_at_once_never_sell_the_last_piece_twice(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 10, 100), ("B", 10, 100)))
    batches = [[counter.message(counter.placed(f"{k}-{n}", ("A", 1), ("B", 1))) for n in range(5)] for k in range(6)]
    reserve = counter.flows["order.placed.v1"].function
    await asyncio.gather(*(reserve(batch, counter.database) for batch in batches))
    assert await counter.stock("A") == await counter.stock("B") == (0, 0, 0, 0)
    assert len(await counter.announced(GoodsShipped)) == 10
    assert len(await counter.announced(OrderRefused)) == 20


async def test_a_back_order_gives_what_is_there_and_notes_the_rest(counter: Any) -> None:
    await counter.open(MAIN="back_order auto", DEPOT="back_order confirmed")
    await counter.give(counter.receipt(("A", 2, 20)), counter.receipt(("A", 1, 10), warehouse="DEPOT"))
    await counter.give(counter.placed("1001", ("A", 3), counter.line(2, "A", 4, warehouse="DEPOT")))
    (held,) = await counter.announced(StockReserved)
    assert [(x.line_no, x.reserved_micro // ONE, x.back_ordered_micro // ONE) for x in held.lines] == [
        (1, 0, 1),
        (2, 1, 3),
    ]
    (shipped,) = await counter.announced(GoodsShipped)
    assert parts(shipped) == [(1, 0, 2, 20)]
    assert await counter.stock("A") == (0, 0, 1, 0)
    assert await counter.stock("A", "DEPOT") == (1, 1, 3, 10)


async def test_who_waits_longest_is_served_first_and_in_part(counter: Any) -> None:
    await counter.open(MAIN="back_order auto")
    for number, pieces in (("1001", 3), ("1002", 2), ("1003", 4)):
        await counter.give(counter.placed(number, ("A", pieces)))
    await counter.give(counter.receipt(("A", 6, 60), business_date=date(2026, 12, 2)))
    shipped = await counter.announced(GoodsShipped)
    assert [(x.order_no, parts(x)[0]) for x in shipped] == [
        ("1001", (1, 0, 3, 30)),
        ("1002", (1, 0, 2, 20)),
        ("1003", (1, 0, 1, 10)),
    ]
    assert all(x.lines[0].from_reserved and x.period == "2026-12" for x in shipped)
    assert [x.lines[0].back_ordered_micro // ONE for x in await counter.announced(StockReserved)] == [
        3,
        2,
        4,
        -3,
        -2,
        -1,
    ]
    await counter.give(counter.receipt(("A", 9, 90)))
    assert parts((await counter.announced(GoodsShipped))[-1]) == [(1, 1, 4, 30)]
    assert await counter.stock() == (6, 0, 0, 60)


async def test_goods_may_leave_below_zero_where_the_warehouse_allows_it(counter: Any) -> None:
    await counter.open(MAIN="allow_negative auto")
    await counter.give(counter.receipt(("A", 1, 10)))
    await counter.give(counter.placed("1001", ("A", 3)))
    assert await counter.stock() == (-2, 0, 0, -20)
    await counter.give(counter.receipt(("A", 5, 60)))  # They cost 12, not 10: 4 more for the two that are gone.
    assert await counter.stock() == (3, 0, 0, 36)
    assert await counter.rows("SELECT kind, value_minor FROM move ORDER BY seq") == [
        ("purchase", 10),
        ("issue", -30),
        ("purchase", 60),
        ("revaluation", -4),
    ]


async def test_services_go_with_the_first_goods_or_at_once_without_any(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed")
    await counter.give(counter.receipt(("A", 1, 10)))
    carriage = counter.line(2, "POST", 1, net=5, kind="service", account="carriage")
    await counter.give(
        counter.placed("1001", ("A", 2), carriage),
        counter.placed("1002", counter.line(1, "ADVICE", 1, net=9, kind="service", account="other")),
    )
    (alone,) = await counter.announced(GoodsShipped)
    assert (alone.order_no, parts(alone)) == ("1002", [(1, 0, 1, 0)])
    await counter.give(counter.confirmation("1001"))
    await counter.give(counter.receipt(("A", 1, 10)))
    await counter.give(counter.confirmation("1001"))
    _, first, second = await counter.announced(GoodsShipped)
    assert parts(first) == [(1, 0, 1, 10), (2, 0, 1, 0)]
    assert parts(second) == [(1, 1, 2, 10)]
    assert (first.ordinal, second.ordinal) == (1, 2)


async def test_an_order_of_a_company_that_is_not_open_yet_waits_for_it(counter: Any) -> None:
    await counter.give(counter.placed("1001", counter.line(1, "X", 1, kind="service")))
    assert await counter.parked() == [("inventory-reserve-stock", "unknown_company")]
    await counter.open()
    assert await counter.parked() == []
    assert len(await counter.announced(GoodsShipped)) == 1


async def test_an_undescribed_warehouse_works_like_the_main_one(counter: Any) -> None:
    await counter.open(MAIN="allow_negative auto")
    await counter.give(counter.placed("1001", counter.line(1, "A", 1, warehouse="ELSEWHERE")))
    assert await counter.stock("A", "ELSEWHERE") == (-1, 0, 0, 0)
    await counter.ask(PutWarehouse("C1", "ELSEWHERE", "refuse", "auto"))
    await counter.give(counter.placed("1002", counter.line(1, "A", 1, warehouse="ELSEWHERE")))
    assert len(await counter.announced(OrderRefused)) == 1


async def test_companies_keep_their_own_stock_and_currency(counter: Any) -> None:
    await counter.open("C1", "CNY")
    await counter.open("C2", "JPY")
    await counter.give(counter.receipt(("A", 1, 10)), counter.receipt(("A", 1, 999), company="C2", currency="JPY"))
    await counter.give(counter.placed("1001", ("A", 1)), counter.placed("1001", ("A", 1), company="C2"))
    shipped = await counter.announced(GoodsShipped)
    assert [(x.company, x.cost_currency, parts(x)[0][3]) for x in shipped] == [("C1", "CNY", 10), ("C2", "JPY", 999)]


async def test_a_broken_order_is_buried_and_its_neighbours_are_not(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(
        counter.placed("1001", ("A", 0)),
        counter.placed("1002"),
        counter.placed("1003", counter.line(1, "A", 1), counter.line(1, "A", 1)),
        counter.placed("1004", ("A", 1)),
    )
    assert [(x.reason, x.field) for x in await counter.letters()] == [
        ("broken_order", "lines[1].quantity_micro"),
        ("broken_order", "lines"),
        ("broken_order", "lines"),
    ]
    assert [x.order_no for x in await counter.announced(GoodsShipped)] == ["1004"]


async def test_a_large_order_is_shipped_in_several_announcements(counter: Any) -> None:
    await counter.open()
    lines = [counter.line(n, "A", 1) for n in range(1, 2_502)]
    await counter.give(counter.receipt(("A", 2_501, 2_501)))
    await counter.give(counter.placed("1001", *lines))
    assert [(x.ordinal, len(x.lines)) for x in await counter.announced(GoodsShipped)] == [(1, 2_000), (2, 501)]


@pytest.mark.parametrize(
    ("edit", "mend", "rule"),
    [
        (
            "UPDATE stock SET sku = 'Z' WHERE sku = 'A'",
            "UPDATE stock SET sku = 'A' WHERE sku = 'Z'",
            "stock_is_of_the_goods_that_were_ordered",
        ),
        (
            "UPDATE open_line SET stock_id = stock_id + 1",
            "UPDATE open_line SET stock_id = stock_id - 1",
            "open_line_waits_for_its_own_goods",
        ),
        (
            "UPDATE sales_order SET net_minor = net_minor + 1",
            "UPDATE sales_order SET net_minor = net_minor - 1",
            "order_is_the_sum_of_its_lines",
        ),
        (
            "UPDATE sales_order SET position = position + 1",
            "UPDATE sales_order SET position = position - 1",
            "order_is_the_sum_of_its_lines",
        ),
        (
            "UPDATE document SET number = number || 'x'",
            "UPDATE document SET number = rtrim(number, 'x')",
            "document_holds_the_number_of_its_paper",
        ),
        (
            "UPDATE stock SET last_value_minor = last_value_minor + 1",
            "UPDATE stock SET last_value_minor = last_value_minor - 1",
            "last_average_is_that_of_its_moves",
        ),
        (
            "UPDATE open_line SET since = since - 1",
            "UPDATE open_line SET since = since + 1",
            "open_line_waits_since_its_first_promise",
        ),
    ],
)
async def test_what_is_kept_beside_the_facts_is_proved_by_them(counter: Any, edit: str, mend: str, rule: str) -> None:
    await counter.open(MAIN="back_order confirmed")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 3)))
    await counter.rows(edit)
    assert rule in {violation.rule for violation in await counter.violations()}
    await counter.rows(mend)
