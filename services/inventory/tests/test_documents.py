"""inventory.receive, inventory.adjust, the calendar: what comes in, what a count finds, when it is booked."""

from datetime import date
from typing import Any

from tieout.contracts.finance import CompanyOpened, PeriodClosed
from tieout.contracts.inventory import ConfirmRequest, DocumentSettled, GoodsReceived, StockAdjusted, StockRevalued

ONE = 1_000_000


async def test_a_receipt_counts_once_and_its_repeats_and_conflicts_are_told(counter: Any) -> None:
    await counter.open()
    message = counter.message(counter.receipt(("A", 2, 20), number="B1"))
    await counter.give(message, message)
    await counter.give(message)
    await counter.give(counter.receipt(("A", 2, 20), number="B1", version="2"))
    await counter.give(counter.receipt(("A", 3, 30), number="B1", fingerprint="b" * 64))
    assert await counter.stock() == (2, 0, 0, 20)
    assert len(await counter.announced(GoodsReceived)) == 1
    assert [(x.outcome, x.reason) for x in await counter.announced(DocumentSettled)] == [
        ("duplicate", ""),
        ("conflict", "other_content"),
    ]
    assert await counter.rows("SELECT outcome, quantity_micro FROM submission ORDER BY recorded_at") == [
        ("accepted", 2 * ONE),
        ("duplicate", 2 * ONE),
        ("conflict", 3 * ONE),
    ]


async def test_the_books_show_what_was_handed_over_and_not_what_it_moved(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed", NEGATIVE="allow_negative auto")
    first = counter.message(counter.receipt(("A", 9, 90), number="B1"))
    await counter.give(first, counter.receipt(("A", 9, 90), number="B1"))
    await counter.give(first, counter.receipt(("A", 3, 30), number="B1", fingerprint="b" * 64, currency="USD"))
    await counter.give(counter.count(("A", -1)), counter.placed("1001", ("A", 4)))
    await counter.give(counter.confirmation("1001", (1, 1)), counter.confirmation("1001"))
    await counter.give(counter.delivery("1001", (1, 4)))
    await counter.give(counter.placed("1002", ("A", 2)))
    await counter.ask(ConfirmRequest("C1", "shop", "1002", "key-1"))  # Nobody handed it over.
    said = "SELECT position, said_micro / 1000000, said_minor, currency, kind, outcome FROM submission"
    assert await counter.rows(f"{said} ORDER BY position") == [
        (1, 9, 90, "CNY", "receipt", "accepted"),
        (2, 9, 90, "CNY", "receipt", "duplicate"),
        (3, 3, 30, "USD", "receipt", "conflict"),
        (4, -1, 0, "", "adjustment", "accepted"),
        (5, 1, 0, "", "confirmation", "accepted"),
        (6, 0, 0, "", "confirmation", "accepted"),
        (7, 4, 0, "", "delivery", "conflict"),
        (None, 0, 0, "", "confirmation", "accepted"),
    ]
    shown = "SELECT sum(n)::int, sum(a)::int, sum(b)::int FROM digest_delta WHERE book = 'submission'"
    assert await counter.rows(shown) == [(7, 25 * ONE, 210)]


async def test_a_receipt_in_another_currency_is_refused(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 2, 20), currency="USD", number="B1"))
    assert [x.reason for x in await counter.announced(DocumentSettled)] == ["other_currency"]
    await counter.give(counter.receipt(("A", 2, 20), number="B1", fingerprint="b" * 64))
    assert await counter.stock() == (2, 0, 0, 20)


async def test_a_count_takes_what_is_missing_at_cost_and_adds_what_was_found_at_the_average(counter: Any) -> None:
    await counter.open()
    await counter.give(counter.receipt(("A", 3, 100), ("B", 2, 9)))
    await counter.give(counter.count(("A", -1), ("B", 1)))
    (adjusted,) = await counter.announced(StockAdjusted)
    assert [(x.quantity_micro // ONE, x.value_minor) for x in adjusted.lines] == [(-1, -33), (1, 5)]
    assert await counter.stock("A") == (2, 0, 0, 67)
    assert await counter.stock("B") == (3, 0, 0, 14)


async def test_a_count_cannot_take_more_than_is_there(counter: Any) -> None:
    await counter.open(NEGATIVE="allow_negative auto")
    await counter.give(counter.receipt(("A", 3, 100)))
    await counter.give(counter.count(("A", -2), ("A", -2)), counter.count(("A", 0)))
    await counter.give(counter.count(("A", -4), warehouse="NEGATIVE"))
    refused = await counter.announced(DocumentSettled)
    assert [x.reason for x in refused] == ["above_on_hand", "zero_quantity"]
    assert refused[0].detail.startswith("Line 2: 3 of A are on hand, and warehouse MAIN ")
    assert await counter.stock("A", "NEGATIVE") == (-4, 0, 0, 0)


async def test_goods_that_were_found_go_to_those_who_wait(counter: Any) -> None:
    await counter.open(MAIN="back_order confirmed")
    await counter.give(counter.placed("1001", ("A", 2)))
    await counter.give(counter.count(("A", 3)))
    assert await counter.stock() == (3, 2, 0, 0)


async def test_late_goods_are_stamped_with_the_first_open_period(counter: Any) -> None:
    await counter.open()
    await counter.give(PeriodClosed("C1", "2026-10", "2026-11"))
    await counter.give(PeriodClosed("C1", "2026-09", "2026-10"))  # Late; the later closing stands.
    await counter.give(
        counter.receipt(("A", 1, 1), business_date=date(2026, 8, 31)),
        counter.receipt(("A", 1, 1), business_date=date(2026, 12, 1)),
    )
    assert [x.period for x in await counter.announced(GoodsReceived)] == ["2026-11", "2026-12"]


async def test_an_older_revision_of_a_company_changes_nothing(counter: Any) -> None:
    await counter.give(CompanyOpened("C1", "New", "EUR", "Europe/Berlin", 2))
    await counter.give(CompanyOpened("C1", "Old", "CNY", "Asia/Shanghai", 1))
    assert await counter.rows("SELECT currency, zone, revision FROM company") == [("EUR", "Europe/Berlin", 2)]


async def test_documents_of_a_company_that_is_not_open_yet_wait(counter: Any) -> None:
    await counter.give(counter.receipt(("A", 1, 1)), counter.count(("A", 1)), counter.confirmation("1001"))
    await counter.give(counter.credit("R1", ("A", 1)))
    assert {reason for _, reason in await counter.parked()} == {"unknown_company"}
    await counter.open()
    assert (await counter.stock())[0] == 3
    assert [reason for _, reason in await counter.parked()] == ["waits_for_its_order"]


async def test_fifo_takes_the_oldest_layer_first(counter: Any) -> None:
    await counter.open(MAIN="allow_negative auto fifo")
    await counter.give(counter.receipt(("A", 2, 20)), counter.receipt(("A", 3, 60)))
    await counter.give(counter.placed("1001", ("A", 3)))
    assert await counter.stock() == (2, 0, 0, 40)
    await counter.give(counter.placed("1002", ("A", 3)))
    assert await counter.stock() == (-1, 0, 0, -20)
    await counter.give(counter.receipt(("A", 2, 50)))
    assert await counter.stock() == (1, 0, 0, 25)
    assert [x.lines[0].value_minor for x in await counter.announced(StockRevalued)] == [-5]
    assert await counter.rows("SELECT layers FROM stock") == [([1_000_000, 25],)]
