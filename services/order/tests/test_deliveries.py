"""Where control passes at delivery: billed is what was delivered, and what is on its way can still be stopped."""

import pytest
from tieout.contracts.event import order_id
from tieout.contracts.order import CancelRequested, OrderCompleted, OrderPlaced, OrderReturned
from tieout.order.domain import (
    CreditDecision,
    LineBalance,
    OrderBalance,
    billing_of,
    fulfilment_of,
    is_complete,
    judge_credit,
)

ONE = 1_000_000
LATE = {"control_passes": "delivery"}
RULES = (
    "delivered_and_stopped_within_what_left",
    "shipped_and_stopped_within_ordered",
    "billed_is_the_shipped_part_of_its_line",
    "credited_within_billed_and_returned_within_shipped",
)


@pytest.fixture(autouse=True)
async def nothing_is_broken(desk):
    yield
    for rule in RULES:
        assert await desk.violations(rule) == []


async def test_the_policy_is_carried_along_but_an_order_without_goods_has_nothing_to_deliver(desk):
    service = desk.line(kind="service", account="carriage")
    await desk.give(desk.submit(**LATE), desk.submit(service, number="1002", **LATE), desk.submit(number="1003"))
    assert [(one.order_no, one.control_passes) for one in await desk.announced(OrderPlaced)] == [
        ("1001", "delivery"),
        ("1002", "issue"),
        ("1003", "issue"),
    ]
    assert (await desk.view()).summary.control_passes == "delivery"


async def test_goods_on_their_way_are_not_billed_and_deliveries_add_up_to_the_line(desk):
    await desk.give(desk.submit(desk.line(net=100, tax=10), **LATE), desk.shipped((1, 0, 3), **LATE))
    shown = await desk.view()
    assert (shown.summary.fulfilment, shown.summary.billing, shown.summary.billed_minor) == ("shipped", "unbilled", 0)
    await desk.give(desk.delivered((1, 0, 1)))
    shown = await desk.view()
    assert (shown.summary.fulfilment, shown.summary.billing, shown.summary.billed_minor) == (
        "shipped",
        "part_billed",
        36,
    )
    assert (shown.lines[0].shipped_micro, shown.lines[0].delivered_micro) == (3 * ONE, ONE)
    await desk.give(desk.delivered((1, 1, 3)))
    shown = await desk.view()
    assert (shown.summary.fulfilment, shown.summary.billing, shown.summary.billed_minor) == (
        "delivered",
        "billed",
        110,
    )


async def test_a_delivery_that_comes_twice_is_noted_once(desk):
    await desk.give(desk.submit(**LATE), desk.shipped((1, 0, 3), **LATE))
    message = desk.message(desk.delivered((1, 0, 2)))
    await desk.give(message, message)
    await desk.give(message)
    assert (await desk.view()).lines[0].delivered_micro == 2 * ONE


async def test_an_order_is_complete_when_it_is_delivered_and_paid(desk):
    await desk.give(desk.submit(**LATE), desk.shipped((1, 0, 3), **LATE))
    assert await desk.announced(OrderCompleted) == []
    await desk.give(desk.delivered((1, 0, 3)), desk.paid(("1001", 339)))
    assert len(await desk.announced(OrderCompleted)) == 1


async def test_what_was_stopped_on_its_way_is_cancelled_and_not_shipped(desk):
    await desk.give(desk.submit(**LATE), desk.shipped((1, 0, 3), **LATE), desk.delivered((1, 0, 1)))
    await desk.give(desk.cancel())
    (asked,) = await desk.announced(CancelRequested)
    await desk.give(desk.recalled(asked.cancel_id, (1, 2, 1)))
    (line,) = (await desk.view()).lines
    assert (line.cancelled_micro, line.shipped_micro, line.delivered_micro, line.unallocated_micro) == (
        2 * ONE,
        ONE,
        ONE,
        0,
    )
    shown = (await desk.view()).summary
    assert (shown.fulfilment, shown.billing, shown.billed_minor) == ("closed_short", "billed", 113)
    await desk.give(desk.paid(("1001", 113)))
    assert len(await desk.announced(OrderCompleted)) == 1


async def test_goods_that_come_back_undelivered_are_asked_to_be_stopped_and_delivered_ones_are_credited(desk):
    await desk.give(desk.submit(**LATE), desk.shipped((1, 0, 3), **LATE), desk.delivered((1, 0, 1)))
    await desk.give(desk.credit(desk.back(quantity=3, net=300, tax=39)))
    (returned,) = await desk.announced(OrderReturned)
    assert [(line.quantity_micro, line.net_minor, line.restock) for line in returned.lines] == [(ONE, 100, True)]
    (asked,) = await desk.announced(CancelRequested)
    assert [(line.line_no, line.quantity_micro) for line in asked.lines] == [(1, 2 * ONE)]
    await desk.give(desk.recalled(asked.cancel_id, (1, 2, 0)))
    assert len(await desk.announced(OrderReturned)) == 1
    assert (await desk.view()).summary.owed_minor == 0


async def test_what_was_delivered_before_it_could_be_stopped_is_credited_after_all(desk):
    await desk.give(desk.submit(**LATE), desk.shipped((1, 0, 3), **LATE))
    await desk.give(desk.credit(desk.back(quantity=3, net=300, tax=39)))
    (asked,) = await desk.announced(CancelRequested)
    await desk.give(desk.recalled(asked.cancel_id, (1, 1, 2)))
    assert await desk.announced(OrderReturned) == []  # Its delivery is not noted yet.
    await desk.give(desk.delivered((1, 0, 2)))
    (returned,) = await desk.announced(OrderReturned)
    assert [(line.quantity_micro, line.net_minor, line.restock) for line in returned.lines] == [(2 * ONE, 200, True)]
    assert (await desk.view()).summary.owed_minor == 0


async def test_a_credit_without_goods_waits_until_its_sale_is_delivered(desk):
    await desk.give(desk.submit(**LATE), desk.shipped((1, 0, 3), **LATE))
    await desk.give(desk.credit(desk.back(restock="no")))
    assert [durable for durable, _ in await desk.parked()] == ["order-accept-credits"]
    await desk.give(desk.delivered((1, 0, 1)))
    assert await desk.parked() == []
    assert len(await desk.announced(OrderReturned)) == 1


def balance(line: LineBalance) -> OrderBalance:
    return OrderBalance(linked, 1, "C1", "1001", "CNY", 1_000_000, {1: line}, at_delivery=True)


linked = order_id("C1", "shop", "1001")


@pytest.mark.parametrize(
    ("on_way", "stopped", "fulfilment", "billing", "complete"),
    [
        (3, 0, "shipped", "unbilled", False),
        (1, 0, "shipped", "part_billed", False),
        (0, 0, "delivered", "billed", True),
        (0, 1, "closed_short", "billed", True),
    ],
)
def test_statuses_follow_the_delivery(on_way, stopped, fulfilment, billing, complete):
    line = LineBalance("SKU1", 3, 0, 0, cancelled_micro=stopped, shipped_micro=3 - stopped, on_way_micro=on_way)
    order = balance(line)
    assert (fulfilment_of(order), billing_of(order), is_complete(order)) == (fulfilment, billing, complete)


def test_more_than_has_left_can_neither_be_stopped_on_its_way_nor_returned_yet(desk):
    order = balance(LineBalance("SKU1", 3 * ONE, 300, 39, shipped_micro=2 * ONE, on_way_micro=2 * ONE))
    credit = desk.credit(desk.back(quantity=3, net=300, tax=39))
    assert judge_credit(credit, [linked], {linked: order}) == CreditDecision(waits_for=linked)
