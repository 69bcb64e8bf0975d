"""order.cancel_requested: inventory decides what can still be stopped."""

from typing import Any

from tieout.contracts.inventory import CancelDecided, GoodsShipped

ONE = 1_000_000


def stopped(decided: Any) -> list[tuple[int, int, int, int]]:
    return [
        (x.line_no, x.back_ordered_micro // ONE, x.reserved_micro // ONE, x.too_late_micro // ONE)
        for x in decided.lines
    ]


async def test_back_ordered_quantity_is_stopped_before_reserved_and_what_left_is_too_late(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 8)))
    await counter.give(counter.confirmation("1001", (1, 2)))  # 2 left, 3 reserved, 3 back-ordered.
    await counter.give(counter.cancel("1001", (1, 4)))
    await counter.give(counter.cancel("1001"))
    first, second = await counter.announced(CancelDecided)
    assert stopped(first) == [(1, 3, 1, 0)]
    assert stopped(second) == [(1, 0, 2, 2)]
    assert await counter.stock() == (3, 0, 0, 30)


async def test_a_cancellation_frees_the_goods_for_those_who_wait(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed")
    await counter.give(counter.receipt(("A", 2, 20)))
    await counter.give(counter.placed("1001", ("A", 2)), counter.placed("1002", ("A", 2)))
    await counter.give(counter.cancel("1001"))
    assert await counter.stock() == (2, 2, 0, 20)
    await counter.give(counter.confirmation("1002"))
    (shipped,) = await counter.announced(GoodsShipped)
    assert shipped.order_no == "1002"


async def test_one_batch_may_cancel_an_order_that_another_cancellation_of_it_would_serve(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed")
    await counter.give(counter.receipt(("A", 2, 20)))
    await counter.give(*(counter.placed(f"100{n}", ("A", 2)) for n in range(4)))
    await counter.give(counter.cancel("1000"), counter.cancel("1001"), counter.cancel("1003", (1, 1)))
    assert await counter.rows(
        "SELECT order_no, reserved_micro / 1000000, back_ordered_micro / 1000000 "
        "FROM open_line JOIN sales_order USING (order_id) ORDER BY 1"
    ) == [
        ("1002", 2, 0),
        ("1003", 0, 1),
    ]


async def test_a_cancellation_that_comes_before_its_order_keeps_the_goods_from_leaving(counter: Any) -> None:
    await counter.open(MAIN="refuse auto")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.cancel("1001", (1, 2)))
    assert await counter.parked() == [("inventory-decide-cancellations", "waits_for_its_order")]
    carriage = counter.line(2, "POST", 1, kind="service")
    await counter.give(counter.placed("1001", ("A", 3), carriage))
    assert await counter.parked() == []
    (decided,) = await counter.announced(CancelDecided)
    assert stopped(decided) == [(1, 0, 2, 0)]
    (shipped,) = await counter.announced(GoodsShipped)  # The rest leaves, because the warehouse is auto.
    assert [(x.line_no, x.to_micro // ONE) for x in shipped.lines] == [(1, 1), (2, 1)]
    assert await counter.stock() == (4, 0, 0, 40)


async def test_an_order_that_says_that_a_cancellation_waits_lets_nothing_leave_before_it(counter: Any) -> None:
    await counter.open(MAIN="refuse auto")
    await counter.give(counter.receipt(("A", 5, 50)))
    carriage = counter.line(2, "POST", 1, kind="service")
    await counter.give(counter.placed("1001", ("A", 3), carriage, cancel_waits=True))
    assert await counter.announced(GoodsShipped) == []
    await counter.give(counter.cancel("1001", (1, 2)))
    (decided,) = await counter.announced(CancelDecided)
    assert stopped(decided) == [(1, 0, 2, 0)]
    (shipped,) = await counter.announced(GoodsShipped)
    assert [(x.line_no, x.to_micro // ONE) for x in shipped.lines] == [(1, 1), (2, 1)]


async def test_a_void_cancellation_lets_go_what_was_held_back_for_it(counter: Any) -> None:
    await counter.open(MAIN="refuse auto")
    await counter.give(counter.receipt(("A", 5, 50)))
    void = counter.message(counter.cancel("1001", void=True))
    await counter.give(counter.placed("1001", ("A", 3), cancel_waits=True))
    await counter.give(void)
    await counter.give(void)
    (shipped,) = await counter.announced(GoodsShipped)
    assert [(x.line_no, x.to_micro // ONE) for x in shipped.lines] == [(1, 3)]
    assert await counter.announced(CancelDecided) == []
    await counter.give(counter.cancel("1002", void=True))  # In the other order, too.
    await counter.give(counter.placed("1002", ("A", 2), cancel_waits=True))
    assert await counter.stock() == (0, 0, 0, 0)
    assert await counter.parked() == []


async def test_a_repeated_request_is_decided_once(counter: Any) -> None:
    await counter.open(MAIN="refuse confirmed")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 3)))
    message = counter.message(counter.cancel("1001", (1, 1)))
    await counter.give(message, message)
    await counter.give(message)
    assert len(await counter.announced(CancelDecided)) == 1
    assert await counter.stock() == (5, 2, 0, 50)


async def test_what_an_auto_warehouse_has_sent_is_too_late(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 3)))
    await counter.give(counter.cancel("1001"))
    (decided,) = await counter.announced(CancelDecided)
    assert stopped(decided) == [(1, 0, 0, 3)]


async def test_services_go_when_no_goods_are_left_to_wait_for(counter: Any) -> None:
    await counter.open(MAIN="refuse confirmed")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 3), counter.line(2, "POST", 1, kind="service")))
    await counter.give(counter.cancel("1001", (1, 3)))
    (shipped,) = await counter.announced(GoodsShipped)
    assert [line.line_no for line in shipped.lines] == [2]


async def test_a_cancelled_order_takes_its_services_with_it(counter: Any) -> None:
    await counter.open(MAIN="refuse confirmed")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.placed("1001", ("A", 3), counter.line(2, "POST", 1, kind="service")))
    await counter.give(counter.cancel("1001"))
    assert await counter.announced(GoodsShipped) == []
    (decided,) = await counter.announced(CancelDecided)
    assert stopped(decided) == [(1, 0, 3, 0), (2, 0, 1, 0)]


async def test_a_refused_order_has_nothing_left_to_cancel(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.placed("1001", ("A", 3)))
    await counter.give(counter.cancel("1001"))
    (decided,) = await counter.announced(CancelDecided)
    assert decided.lines == ()


async def test_a_cancellation_of_an_unknown_line_is_buried(counter: Any) -> None:
    await counter.open(MAIN="refuse auto")
    await counter.give(counter.receipt(("A", 5, 50)))
    await counter.give(counter.cancel("1001", (7, 1)))
    await counter.give(counter.placed("1001", ("A", 3)))
    assert [(x.reason, x.field) for x in await counter.letters()] == [("unknown_line", "lines")]
    assert len(await counter.announced(GoodsShipped)) == 1  # What was held back for it leaves after all.
