"""order.returned: goods come back at the value of their issue."""

import itertools
from datetime import date
from typing import Any

import pytest
from tieout.contracts.inventory import (
    Article,
    GoodsReturned,
    GoodsShipped,
    PutArticles,
    StockAdjusted,
    StockRevalued,
    ValuePeriod,
)

ONE = 1_000_000


async def test_linked_returns_in_parts_add_up_to_what_the_issue_cost(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.placed("1001", ("A", 3)))
    await counter.give(counter.receipt(("A", 1, 999)))  # The average is another one by now.
    for number in ("R1", "R2", "R3"):
        await counter.give(counter.credit(number, ("A", 1, "1001", 1)))
    back = await counter.announced(GoodsReturned)
    assert [x.lines[0].value_minor for x in back] == [33, 34, 33]
    assert await counter.stock() == (4, 0, 0, 1099)


async def test_unlinked_returns_come_at_the_average_else_the_last_else_the_standard_cost(counter: Any) -> None:
    await counter.open()
    await counter.ask(PutArticles("C1", (Article("A", standard_cost_minor=5, standard_quantity_micro=2 * ONE),)))
    await counter.give(counter.credit("R1", ("A", 3)))  # Standard: 2.50 each.
    await counter.give(counter.receipt(("A", 1, 12)))
    await counter.give(counter.credit("R2", ("A", 2)))  # Average: 20 / 4.
    await counter.give(counter.placed("1001", ("A", 6)))
    await counter.give(counter.credit("R3", ("A", 1)), counter.credit("R4", ("B", 1)))  # Last: 5; and nothing known.
    assert [x.lines[0].value_minor for x in await counter.announced(GoodsReturned)] == [8, 10, 5, 0]


async def test_a_return_waits_for_its_order_and_then_for_its_goods(counter: Any) -> None:
    await counter.open(MAIN="refuse confirmed")
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.credit("R1", ("A", 2, "1001", 1)))
    assert await counter.parked() == [("inventory-take-back", "waits_for_its_order")]
    await counter.give(counter.placed("1001", ("A", 3)))
    assert await counter.parked() == [("inventory-take-back", "waits_for_its_shipment")]
    await counter.give(counter.confirmation("1001", (1, 1)))
    assert await counter.parked() == [("inventory-take-back", "waits_for_its_shipment")]
    await counter.give(counter.confirmation("1001", (1, 2)))
    (back,) = await counter.announced(GoodsReturned)
    assert back.lines[0].value_minor == 67
    assert await counter.rows("SELECT position, line_no, quantity_micro FROM take_back") == [(1, 1, 2 * ONE)]


async def test_returned_goods_go_to_those_who_wait(counter: Any) -> None:
    await counter.open(MAIN="back_order auto")
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.placed("1001", ("A", 3)), counter.placed("1002", ("A", 1)))
    await counter.give(counter.credit("R1", ("A", 2, "1001", 1)))
    assert [x.order_no for x in await counter.announced(GoodsShipped)] == ["1001", "1002"]
    assert await counter.stock() == (1, 0, 0, 33)


async def test_a_repeated_credit_note_is_taken_back_once(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.placed("1001", ("A", 3)))
    message = counter.message(counter.credit("R1", ("A", 1, "1001", 1)))
    await counter.give(message, message)
    await counter.give(message)
    assert await counter.stock() == (1, 0, 0, 33)


async def test_credits_without_goods_are_none_of_inventorys_business(counter: Any) -> None:
    credit = counter.credit("R1", ("A", 1))
    await counter.give(type(credit)(**{f: getattr(credit, f) for f in credit.__struct_fields__} | {"lines": ()}))
    assert await counter.parked() == []


async def test_more_than_left_or_another_article_is_buried(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.placed("1001", ("A", 3)))
    await counter.give(
        counter.credit("R1", ("A", 2, "1001", 1), ("A", 2, "1001", 1)),
        counter.credit("R2", ("B", 1, "1001", 1)),
        counter.credit("R3", ("A", 1, "1001", 2)),
        counter.credit("R4", ("A", 1, "1001", 1)),
    )
    assert [x.reason for x in await counter.letters()] == ["above_shipped", "unknown_line", "unknown_line"]
    assert len(await counter.announced(GoodsReturned)) == 1


async def test_quantities_and_total_value_do_not_depend_on_the_order_of_arrival(counter: Any) -> None:
    """Stock value + cost of goods is the same; who gets which cost may differ, and is announced."""
    await counter.open(MAIN="allow_negative auto")
    for case, arrival in enumerate(itertools.permutations(range(4))):
        sku, number = f"A{case}", f"10{case}"
        facts = [
            counter.receipt((sku, 4, 101)),
            counter.receipt((sku, 2, 37)),
            counter.placed(number, (sku, 3)),
            counter.credit(f"R{case}", (sku, 1, number, 1)),
        ]
        for index in arrival:
            await counter.give(facts[index])
        on_hand, _, _, value = await counter.stock(sku)
        assert on_hand == 4
        (gone,) = await counter.rows(
            "SELECT -sum(m.value_minor)::bigint FROM move m JOIN stock USING (stock_id) "
            "WHERE sku = $1 AND kind IN ('issue', 'return', 'revaluation')",
            sku,
        )
        assert value + gone[0] == 138


@pytest.mark.parametrize("method", ["moving_average", "fifo", "period_average"])
async def test_what_comes_back_to_be_scrapped_leaves_again_at_the_value_of_its_issue(counter: Any, method: str) -> None:
    await counter.open(MAIN=f"back_order auto {method}")
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.placed("1001", ("A", 3)), counter.placed("1002", ("A", 1)))
    scrap = counter.message(counter.credit("R1", ("A", 2, "1001", 1), scrap=True))
    await counter.give(scrap, scrap)
    await counter.give(scrap)
    assert await counter.stock() == (0, 0, 1, 0), "nobody is served with it"
    (back,) = await counter.announced(GoodsReturned)
    (gone,) = await counter.announced(StockAdjusted)
    assert (back.lines[0].quantity_micro, back.lines[0].value_minor) == (2 * ONE, 67)
    assert (gone.number, gone.source, gone.reason, gone.warehouse) == ("R1", "shop", "scrapped", "MAIN")
    assert [(x.line_no, x.quantity_micro, x.value_minor) for x in gone.lines] == [(1, -2 * ONE, -67)]
    await counter.give(counter.receipt(("A", 5, 500)))
    assert await counter.stock() == (4, 0, 0, 400)
    await counter.give(counter.credit("R2", ("A", 1, "1001", 1)))
    assert [one.lines[0].value_minor for one in await counter.announced(GoodsReturned)] == [67, 33]


async def test_scrap_moves_no_average_and_covers_no_negative_stock(counter: Any) -> None:
    await counter.open(MAIN="allow_negative auto", AVG="allow_negative auto period_average")
    day = {"business_date": date(2026, 11, 3)}
    for warehouse in ("MAIN", "AVG"):
        number, where = f"1{warehouse}", {**day, "warehouse": warehouse}
        await counter.give(counter.receipt(("A", 2, 20), **where))
        await counter.give(counter.placed(number, counter.line(1, "A", 5, warehouse=warehouse), **day))
        await counter.give(counter.credit(f"R{number}", ("A", 4, number, 1), scrap=True, **where))
        assert await counter.stock(warehouse=warehouse) == (-3, 0, 0, -30)
        await counter.give(counter.receipt(("A", 4, 80), **where))
        assert await counter.stock(warehouse=warehouse) == (1, 0, 0, 20)
    await counter.ask(ValuePeriod("C1", "2026-11"))
    accounts = {x.account for one in await counter.announced(StockRevalued) for x in one.lines}
    assert accounts == {"cogs"}, "what was scrapped keeps the value it came with"
