"""What people and the gateway ask."""

import asyncio
from typing import Any

import pytest
from tieout.contracts.event import event_id, order_id
from tieout.contracts.inventory import (
    Article,
    ArticlesListed,
    GoodsShipped,
    InventoryOutcomesRequest,
    ListMoves,
    ListStock,
    ListWarehouses,
    PutArticles,
    PutWarehouse,
    WarehouseView,
)
from tieout.contracts.operation import TrailRequest
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.inventory import companies
from tieout.inventory.reads import trail
from tieout.servicekit import Refused

ONE = 1_000_000


async def test_new_articles_and_warehouses_are_announced_once(counter: Any) -> None:
    await counter.open()
    articles = tuple(Article(f"SKU-{n:05}") for n in range(6_000))
    assert (await counter.ask(PutArticles("C1", articles))).added == 6_000
    put = await counter.ask(PutArticles("C1", (*articles[:2], Article("NEW", "A new one"))))
    assert (put.added, put.changed) == (1, 2)
    listed = await counter.announced(ArticlesListed)
    assert [len(x.skus) for x in listed] == [5_000, 1_000, 1]
    for _ in range(2):
        await counter.ask(PutWarehouse("C1", "MAIN", "back_order", "confirmed"))
    assert (await counter.announced(ArticlesListed))[-1].warehouses == ("MAIN",)
    assert len(await counter.announced(ArticlesListed)) == 4
    (view,) = (await counter.ask(ListWarehouses("C1"))).warehouses
    assert (view.stock_policy, view.fulfilment, view.method) == ("back_order", "confirmed", "moving_average")


async def test_what_is_not_named_stays_as_it_is(counter: Any) -> None:
    await counter.open()
    await counter.ask(PutWarehouse("C1", "MAIN", "back_order", "confirmed", "fifo", "The big one"))
    await counter.give(counter.receipt(("A", 1, 1)))
    view = await counter.ask(PutWarehouse("C1", "MAIN", name="The old one"))
    assert view == WarehouseView("C1", "MAIN", "back_order", "confirmed", "fifo", "The old one")
    assert (await counter.ask(ListWarehouses("C1"))).warehouses == (view,)
    beside = await counter.ask(PutWarehouse("C1", "BESIDE", stock_policy="refuse"))
    assert beside == WarehouseView("C1", "BESIDE", "refuse", "confirmed", "fifo", "")  # Else as MAIN.

    read = "SELECT name, uom, standard_cost_minor, standard_quantity_micro FROM article WHERE sku = 'T'"
    await counter.ask(PutArticles("C1", (Article("T", "Tea", "KG", 500, 2 * ONE),)))
    await counter.ask(PutArticles("C1", (Article("T", standard_cost_minor=600),)))
    assert await counter.rows(read) == [("Tea", "KG", 600, 2 * ONE)]
    await counter.ask(PutArticles("C1", (Article("T", "Green tea"), Article("U"))))
    assert await counter.rows(read) == [("Green tea", "KG", 600, 2 * ONE)]
    assert await counter.rows(read.replace("'T'", "'U'")) == [("U", "PCS", 0, ONE)]


async def test_nothing_is_described_for_a_company_that_nobody_opened(counter: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(companies, "HEARD_SECONDS_MAX", 0.1)
    for request in (PutWarehouse("NOPE", "MAIN"), PutArticles("NOPE", (Article("A"),))):
        with pytest.raises(Refused) as refused:
            await counter.ask(request)
        problem = refused.value.problem
        assert (problem.code, problem.field, problem.status) == ("unknown_company", "company", 422)
        assert "PUT /v1/companies/NOPE" in problem.detail


async def test_a_company_that_was_opened_a_moment_ago_is_waited_for(counter: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(companies, "HEARD_SECONDS_MAX", PATIENCE_SECONDS)
    described = asyncio.create_task(counter.ask(PutWarehouse("C1", "MAIN")))
    await asyncio.sleep(0.05)
    await counter.open()
    assert (await described).method == "moving_average"


async def test_the_valuation_method_stays_once_goods_have_moved(counter: Any) -> None:
    await counter.open(MAIN="refuse auto")
    await counter.ask(PutWarehouse("C1", "MAIN", "refuse", "auto", "fifo"))
    await counter.ask(PutWarehouse("C1", "MAIN", "refuse", "auto", "moving_average"))
    await counter.give(counter.receipt(("A", 1, 1), warehouse="NOBODY"))
    for warehouse in ("MAIN", "NOBODY"):
        with pytest.raises(Refused) as refused:
            await counter.ask(PutWarehouse("C1", warehouse, "refuse", "auto", "fifo"))
        assert refused.value.problem.code == "method_in_use"
    await counter.ask(PutWarehouse("C1", "FRESH", "refuse", "auto", "fifo"))


async def test_stock_and_its_ledger_are_read_page_by_page(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(*((f"A{n}", 2, 20) for n in range(5)), number="B1"))
    await counter.give(counter.placed("1001", ("A0", 1), ("A1", 1)))
    seen, after = [], ""
    while True:
        page = await counter.ask(ListStock("C1", limit=2, after=after))
        seen += [(view.sku, view.free_micro // ONE, view.value_minor) for view in page.stock]
        after = page.next
        if not after:
            break
    assert seen == [("A0", 1, 10), ("A1", 1, 10), ("A2", 2, 20), ("A3", 2, 20), ("A4", 2, 20)]
    first = await counter.ask(ListMoves(limit=6))
    rest = await counter.ask(ListMoves(limit=6, after=first.next))
    assert [m.document_no for m in (*first.moves, *rest.moves)] == ["B1"] * 5 + ["1001"] * 2
    assert rest.next == ""
    (issue,) = (await counter.ask(ListMoves(sku="A0", document_no="1001"))).moves
    assert (issue.kind, issue.quantity_micro, issue.value_minor, issue.seq) == ("issue", -ONE, -10, 2)
    for broken in (ListStock(after="x"), ListMoves(after="x")):
        with pytest.raises(Refused):
            await counter.ask(broken)


async def test_outcomes_split_a_line_without_rest(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed", STRICT="refuse auto")
    await counter.give(counter.receipt(("A", 2, 20), kind="opening"), counter.receipt(("A", 3, 30)))
    await counter.give(counter.count(("A", -1)), counter.count(("A", 1)))
    await counter.give(
        counter.placed("1001", counter.line(1, "A", 7, net=1000, tax_minor=130)),
        counter.placed("1002", counter.line(1, "A", 1, net=9, warehouse="STRICT")),
    )
    await counter.give(counter.confirmation("1001", (1, 2)))
    await counter.give(counter.cancel("1001", (1, 1)))
    await counter.give(counter.receipt(("A", 1, 1), currency="USD"))
    rows = (await counter.ask(InventoryOutcomesRequest("C1"))).outcomes
    found = {
        (r.source, r.outcome): (
            r.documents,
            r.lines,
            r.lines_part,
            r.quantity_micro // ONE,
            r.amount_minor,
            r.value_minor,
        )
        for r in rows
    }
    assert found == {
        ("shop", "reserved"): (1, 0, 1, 3, 484, 0),
        ("shop", "back_ordered"): (1, 0, 1, 1, 161, 0),
        ("shop", "cancelled"): (1, 0, 1, 1, 162, 0),
        ("shop", "refused"): (1, 1, 0, 1, 9, 0),
        ("erp", "opening"): (1, 1, 0, 2, 0, 20),
        ("erp", "purchase"): (1, 1, 0, 3, 0, 30),
        ("count", "adjusted_gain"): (1, 1, 0, 1, 0, 10),
        ("count", "adjusted_loss"): (1, 1, 0, -1, 0, -10),
        ("erp", "conflict"): (1, 1, 0, 1, 0, 1),
        ("wms", "confirmed"): (1, 1, 0, -2, 0, -20),
    }
    assert {r.month for r in rows} == {"2026-11"}


async def test_the_trail_of_an_order_tells_what_happened_to_its_goods(counter: Any) -> None:
    await counter.open(MAIN="back_order auto")
    await counter.give(counter.receipt(("A", 2, 20)))
    await counter.give(counter.placed("1001", ("A", 3), counter.line(2, "POST", 1, kind="service")))
    await counter.give(counter.receipt(("A", 1, 10), number="B2"))
    await counter.give(counter.cancel("1001"))
    await counter.give(counter.credit("R1", ("A", 1, "1001", 1)))
    chain = order_id("C1", "shop", "1001")
    entries = (await trail(TrailRequest(str(chain)), counter.database)).entries
    assert [e.step for e in entries] == [
        "back_ordered",
        "shipped",  # Two pieces and the carriage,
        "reserved",
        "shipped",  # and the third one.
        "nothing to cancel",  # Too late for everything.
        "returned",
    ]
    assert [e.quantity_micro // ONE for e in entries] == [1, 2, 1, 1, 0, 1]
    assert [e.amount_minor for e in entries] == [0, 20, 0, 10, 0, 10]
    shipped = [e for e in entries if e.step == "shipped"]
    assert shipped[0].detail == "2 lines with 1 of carriage or another service, stock value"
    assert {e.event_id for e in shipped} == {event_id(GoodsShipped.SUBJECT, chain, n) for n in (1, 2)}
    credit = (await trail(TrailRequest(str(counter.credit("R1").credit_id)), counter.database)).entries
    assert [e.step for e in credit] == ["returned"]
    assert (await trail(TrailRequest(str(counter.credit("R9").credit_id)), counter.database)).entries == ()


async def test_a_trail_counts_goods_as_people_do(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed", AUTO="refuse auto")
    await counter.give(counter.receipt(("A", 1, 10)), counter.receipt(("B", 30, 10), number="W2", warehouse="AUTO"))
    await counter.give(counter.placed("1001", ("A", 3)))
    (promised,) = (await trail(TrailRequest(str(order_id("C1", "shop", "1001"))), counter.database)).entries
    assert promised.detail == "1 line, 2 back-ordered"
    await counter.give(counter.placed("1002", counter.line(1, "B", 20, warehouse="AUTO")))
    await counter.give(counter.cancel("1002", (1, 20)))
    entries = (await trail(TrailRequest(str(order_id("C1", "shop", "1002"))), counter.database)).entries
    assert [entry.detail for entry in entries if entry.step == "nothing to cancel"] == ["too late for 20"]


async def test_a_trail_tells_of_a_cancellation_that_found_nothing_to_stop(counter: Any) -> None:
    await counter.open(MAIN="refuse auto")
    await counter.give(counter.placed("1001", ("A", 3)), counter.cancel("1001"))  # Refused as a whole.
    entries = (await trail(TrailRequest(str(order_id("C1", "shop", "1001"))), counter.database)).entries
    assert [(e.step, e.detail) for e in entries][-1] == ("nothing to cancel", "nothing was left to stop")


async def test_a_trail_tells_of_goods_that_left_although_they_had_been_cancelled(counter: Any) -> None:
    await counter.open(MAIN="refuse confirmed")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 3)))
    await counter.give(counter.cancel("1001", (1, 2)))
    await counter.give(counter.confirmation("1001", (1, 3)))
    entries = (await trail(TrailRequest(str(order_id("C1", "shop", "1001"))), counter.database)).entries
    steps = {entry.step: (entry.quantity_micro // ONE, entry.detail) for entry in entries}
    assert steps["cancelled"] == (2, "")
    assert steps["left although cancelled"] == (2, "too late for 2: the warehouse had sent it")
    assert steps["shipped"][0] == 3
