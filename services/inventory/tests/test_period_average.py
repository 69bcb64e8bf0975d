"""月末一次加权平均: goods leave at a provisional cost, and the month's end gives all of them its average."""

import random
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tieout.contracts.finance import PeriodClosed, PeriodReopened
from tieout.contracts.inventory import Article, PutArticles, StockRevalued, ValuePeriod
from tieout.inventory.period_average import Month, settle, spread
from tieout.inventory.valuation import Stock, half_up
from tieout.servicekit import Refused

PIECES = st.integers(1, 50)
VALUE = st.integers(0, 5_000)
MOVE = st.tuples(st.integers(1, 3), st.sampled_from(["receive", "cogs", "sample", "count_difference"]), PIECES, VALUE)


@given(total=st.integers(0, 10_000), weights=st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_the_parts_of_a_cost_add_up_and_nothing_costs_nothing(total: int, weights: list[int]) -> None:
    parts = spread(total, weights)
    assert sum(parts) == total
    if sum(weights):
        assert all(0 <= part - total * weight // sum(weights) <= 1 for part, weight in zip(parts, weights, strict=True))
        assert all(not part for part, weight in zip(parts, weights, strict=True) if not weight)


@given(moves=st.lists(MOVE, max_size=25), closes=st.lists(st.integers(1, 3), max_size=4))
def test_what_came_is_in_stock_or_gone_whenever_months_are_valued(
    moves: list[tuple[int, str, int, int]], closes: list[int]
) -> None:
    """Documents of three months come in any order, and months are valued in between, some of them twice."""
    stock = Stock(1, "C1", "MAIN", "A", policy="allow_negative")
    book = Ledger(stock)
    for n, (month, what, pieces, value) in enumerate(moves):
        book.move(month, what, pieces, value)
        for close in closes[n % 4 : n % 4 + 1]:
            book.value(close)
        book.check()
    for month in (1, 2, 3):
        book.value(month)
        book.check()
    seq = book.announced
    book.value(3)
    assert book.announced == seq  # Valued again: nothing is announced again.


class Ledger:
    """What the flows keep in the database, in short: which month each move is in, and what the last valuation held."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.month = Month("")
        self.new: list[tuple[int, str, int, int]] = []  # Not valued yet: month, account ("" came), quantity, value.
        self.came = self.gone = self.announced = 0

    def move(self, month: int, what: str, pieces: int, value: int) -> None:
        month = max(month, int(self.month.period or 1))
        if what == "receive":
            revaluation = self.stock.receive(pieces, value)
            self.came += value
            self.gone -= revaluation
            self.new.append((month, "", pieces, value))
            if revaluation:
                self.new.append((month, "cogs", 0, -revaluation))
        else:
            cost = self.stock.issue(pieces)
            self.gone += cost
            self.new.append((month, what, pieces, cost))

    def value(self, upto: int) -> None:
        due = sorted({month for month, *_ in self.new if month <= upto})
        for number in due:
            if str(number) != self.month.period:
                self.month = Month(str(number), self.month.closing, self.month.closing_value)
            for month, account, quantity, value in self.new:
                if month == number and account:
                    self.month.left(account, quantity, value)
                elif month == number:
                    self.month.arrived(quantity, value)
            for more in self.month.value().values():
                self.stock.value -= more
                self.gone += more
                self.announced += 1
            self.check_month()
        self.new = [move for move in self.new if move[0] > upto]
        if due and (rest := settle(self.stock)):
            self.gone -= rest
            self.announced += 1
            self.new.append((due[-1] + 1, "cogs", 0, -rest))

    def check(self) -> None:
        stock = self.stock
        assert stock.value == self.came - self.gone
        if stock.on_hand == 0:
            assert stock.value == 0
        if stock.on_hand > 0:
            assert stock.value >= 0
        if stock.on_hand < 0:
            assert stock.value <= 0

    def check_month(self) -> None:
        month = self.month
        quantity = sum(quantity for quantity, _ in month.gone.values())
        cost = sum(value for _, value in month.gone.values())
        available, worth = month.opening + month.came, month.opening_value + month.came_value
        if quantity == available:
            assert cost == worth
        elif available:
            assert cost == half_up(worth * quantity, available)
        if month.closing == 0:
            assert month.closing_value == 0
        if month.closing > 0:
            assert month.closing_value >= 0


@given(moves=st.lists(MOVE, max_size=20), seed=st.integers(0, 5))
def test_the_order_in_which_a_months_documents_came_changes_nothing_of_its_cost(
    moves: list[tuple[int, str, int, int]], seed: int
) -> None:
    shuffled = list(moves)
    random.Random(seed).shuffle(shuffled)
    ends = []
    for order in (moves, shuffled):
        book = Ledger(Stock(1, "C1", "MAIN", "A", policy="allow_negative"))
        for _, what, pieces, value in [(0, "receive", 2_000, 10_007), *order]:
            book.move(1, what, pieces, value)
        book.value(1)
        ends.append((book.month.gone.keys(), [cost for _, cost in book.month.gone.values()], book.stock.value))
    assert ends[0][2] == ends[1][2]
    assert sorted(ends[0][1]) == sorted(ends[1][1])


# ------------------------------------------------------------------------------------------ with a database

NOV, DEC = date(2026, 11, 10), date(2026, 12, 3)


async def one_by_one(counter: Any, *facts: Any) -> None:
    """Each in a transaction of its own: their order decides the provisional cost."""
    for fact in facts:
        await counter.give(fact)


async def test_a_month_is_valued_at_its_average_and_the_difference_is_announced(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average")
    await counter.give(counter.receipt(("A", 10, 1_000), business_date=NOV, kind="opening"))
    await counter.give(
        counter.placed("1001", ("A", 5), business_date=NOV),  # 500 at the moving average.
        counter.placed("1002", counter.line(1, "A", 2, cost_account="sample"), business_date=NOV),  # 200
        counter.count(("A", -1), business_date=NOV),  # 100
    )
    await counter.give(counter.receipt(("A", 10, 2_001), business_date=NOV))  # Average: 3001 / 20.
    valued = await counter.ask(ValuePeriod("C1", "2026-11"))
    assert (valued.stocks, valued.revalued, valued.value_minor) == (1, 1, -400)
    (told,) = await counter.announced(StockRevalued)
    assert (told.reason, told.period, told.business_date, told.cause_no) == (
        "period_average",
        "2026-11",
        date(2026, 11, 30),
        "2026-11",
    )
    assert [(x.account, x.quantity_micro, x.value_minor) for x in told.lines] == [
        ("cogs", 0, -250),  # 5 of 8 at 1200: 750
        ("count_difference", 0, -50),
        ("sample", 0, -100),
    ]
    assert await counter.stock() == (12, 0, 0, 1_801)


async def test_a_month_is_valued_once_whoever_asks_and_however_often(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average", OTHER="refuse auto")
    await one_by_one(
        counter,
        counter.receipt(("A", 1, 100), ("B", 1, 100), business_date=NOV),
        counter.receipt(("A", 1, 100), business_date=NOV, warehouse="OTHER"),
        counter.placed("1001", ("A", 1), business_date=NOV),
        counter.receipt(("A", 1, 300), business_date=NOV),
    )
    assert (await counter.ask(ValuePeriod("C1", "2026-11"))).revalued == 1
    again = await counter.ask(ValuePeriod("C1", "2026-11"))
    assert (again.stocks, again.revalued, again.value_minor) == (0, 0, 0)
    close = counter.message(PeriodClosed("C1", "2026-11", "2026-12"))
    await counter.give(close)
    await counter.give(close, counter.message(PeriodClosed("C1", "2026-11", "2026-12")))
    assert len(await counter.announced(StockRevalued)) == 1
    assert await counter.stock() == (1, 0, 0, 200)


async def test_a_month_that_nobody_valued_is_valued_by_its_close_in_the_first_open_one(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average")
    await one_by_one(
        counter,
        counter.receipt(("A", 2, 200), business_date=NOV),
        counter.placed("1001", ("A", 1), business_date=NOV),
        counter.receipt(("A", 2, 400), business_date=NOV),
    )
    await counter.give(PeriodClosed("C1", "2026-11", "2026-12"))
    (told,) = await counter.announced(StockRevalued)
    assert (told.business_date, told.period, told.lines[0].value_minor) == (date(2026, 11, 30), "2026-12", -50)
    # The next month opens with it: 450 for three pieces.
    await counter.give(counter.placed("1002", ("A", 1), business_date=DEC))
    await counter.ask(ValuePeriod("C1", "2026-12"))
    assert len(await counter.announced(StockRevalued)) == 1
    assert await counter.stock() == (2, 0, 0, 300)


async def test_a_late_document_makes_the_month_differ_by_what_is_new_only(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average")
    await one_by_one(
        counter, counter.receipt(("A", 4, 400), business_date=NOV), counter.placed("1001", ("A", 2), business_date=NOV)
    )
    assert (await counter.ask(ValuePeriod("C1", "2026-11"))).revalued == 0
    await counter.give(counter.receipt(("A", 4, 800), business_date=NOV))  # 1200 / 8: the two cost 300.
    assert (await counter.ask(ValuePeriod("C1", "2026-11"))).value_minor == -100
    await counter.give(PeriodClosed("C1", "2026-11", "2026-12"))
    await counter.give(counter.receipt(("A", 2, 300), business_date=NOV))  # Too late for November.
    await counter.give(PeriodClosed("C1", "2026-12", "2027-01"))
    assert [line.value_minor for told in await counter.announced(StockRevalued) for line in told.lines] == [-100]
    assert await counter.stock() == (8, 0, 0, 1_200)


async def test_a_month_that_was_reopened_and_closed_again_differs_by_what_is_new_only(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average")
    await one_by_one(
        counter,
        counter.receipt(("A", 2, 200), business_date=NOV),
        counter.placed("1001", ("A", 1), business_date=NOV),
        counter.receipt(("A", 2, 400), business_date=NOV),
        PeriodClosed("C1", "2026-11", "2026-12", 1),
        PeriodReopened("C1", "2026-11", "2026-11", 2),
        PeriodClosed("C1", "2026-11", "2026-12", 1),  # Late, and seen before.
    )
    assert len(await counter.announced(StockRevalued)) == 1
    await counter.give(counter.receipt(("A", 4, 600), business_date=NOV))  # Still 150 each.
    await counter.give(counter.receipt(("A", 2, 600), business_date=NOV))  # 1800 for ten.
    await counter.give(PeriodClosed("C1", "2026-11", "2026-12", 3))
    told = await counter.announced(StockRevalued)
    assert [(x.period, x.lines[0].value_minor) for x in told] == [("2026-12", -50), ("2026-12", -30)]
    assert await counter.stock() == (9, 0, 0, 1_620)
    assert await counter.rows("SELECT DISTINCT period FROM move WHERE kind = 'purchase'") == [("2026-11",)]


async def test_goods_that_left_since_bear_what_the_month_before_turned_out_to_cost(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average")
    await one_by_one(
        counter,
        counter.receipt(("A", 2, 200), business_date=NOV),
        counter.placed("1001", ("A", 1), business_date=NOV),
        counter.receipt(("A", 1, 400), business_date=NOV),  # Average 200, announced 100.
        counter.placed("1002", ("A", 2), business_date=DEC),  # Takes the rest, 500, which should have been 400.
    )
    assert await counter.stock() == (0, 0, 0, 0)
    await counter.ask(ValuePeriod("C1", "2026-11"))
    told = await counter.announced(StockRevalued)
    assert [(x.period, x.business_date, x.lines[0].value_minor) for x in told] == [
        ("2026-11", date(2026, 11, 30), -100),
        ("2026-12", date(2026, 12, 1), 100),
    ]
    assert await counter.stock() == (0, 0, 0, 0)
    assert (await counter.ask(ValuePeriod("C1", "2026-12"))).revalued == 0  # December cost 400, as is announced.


async def test_a_linked_return_comes_back_at_the_value_that_was_announced_with_its_issue(counter: Any) -> None:
    await counter.open(MAIN="refuse auto period_average")
    await one_by_one(
        counter,
        counter.receipt(("A", 2, 200), business_date=NOV),
        counter.placed("1001", ("A", 1), business_date=NOV),
        counter.receipt(("A", 2, 400), business_date=NOV),
    )
    await counter.ask(ValuePeriod("C1", "2026-11"))
    await counter.give(counter.credit("R1", ("A", 1, "1001", 1), business_date=DEC))
    assert await counter.stock() == (4, 0, 0, 550)
    await counter.give(PeriodClosed("C1", "2026-12", "2027-01"))
    assert len(await counter.announced(StockRevalued)) == 1


async def test_what_lay_below_zero_gets_the_average_of_the_month_that_covers_it(counter: Any) -> None:
    await counter.open(MAIN="allow_negative auto period_average")
    await counter.ask(PutArticles("C1", (Article("A", standard_cost_minor=100),)))
    await counter.give(counter.placed("1001", ("A", 2), business_date=NOV))
    await counter.ask(ValuePeriod("C1", "2026-11"))
    assert await counter.stock() == (-2, 0, 0, -200)
    await counter.give(
        counter.receipt(("A", 3, 450), business_date=DEC),  # The receipt's own cost, at once: 100 more for the two.
        counter.receipt(("A", 3, 750), business_date=DEC),  # The month's average: 200.
    )
    await counter.ask(ValuePeriod("C1", "2026-12"))
    told = await counter.announced(StockRevalued)
    assert [(x.reason, x.lines[0].value_minor) for x in told] == [("negative_stock", -100), ("period_average", -100)]
    assert await counter.stock() == (4, 0, 0, 800)


async def test_only_a_company_that_is_open_has_months(counter: Any) -> None:
    for request, field in ((ValuePeriod("C9", "2026-11"), "company"), (ValuePeriod("C1", "2026-13"), "period")):
        with pytest.raises(Refused) as refused:
            await counter.ask(request)
        assert refused.value.problem.field == field
