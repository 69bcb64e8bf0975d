"""Value moves with goods and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tieout.inventory.valuation import FifoStock, Stock, half_up, value_of_first

QUANTITY = st.integers(1, 50)
VALUE = st.integers(0, 5_000)
STEP = st.tuples(st.sampled_from(["receive", "issue", "find", "lose"]), QUANTITY, VALUE)


def made(kind: type[Stock]) -> Stock:
    stock = kind(1, "C1", "MAIN", "A", policy="allow_negative")
    if isinstance(stock, FifoStock):
        stock.layers = []
    return stock


@pytest.mark.parametrize("kind", [Stock, FifoStock])
@given(steps=st.lists(STEP, max_size=30))
def test_what_came_is_in_stock_or_gone_and_nothing_is_worth_something(
    kind: type[Stock], steps: list[tuple[str, int, int]]
) -> None:
    stock = made(kind)
    came = gone = quantity = 0
    for what, pieces, value in steps:
        if what in ("issue", "lose"):
            gone += stock.issue(pieces)
            quantity -= pieces
        else:
            worth = value if what == "receive" else stock.estimate(pieces)
            gone -= stock.receive(pieces, worth)
            came += worth
            quantity += pieces
        assert stock.on_hand == quantity
        assert stock.value == came - gone
        if quantity == 0:
            assert stock.value == 0
        if quantity > 0:
            assert stock.value >= 0
        if isinstance(stock, FifoStock):
            assert sum(stock.layers[::2]) == max(quantity, 0)
            assert sum(stock.layers[1::2]) == (stock.value if quantity > 0 else 0)


@given(received=st.lists(st.tuples(QUANTITY, VALUE), min_size=1, max_size=6), parts=st.lists(QUANTITY, max_size=20))
def test_an_issue_takes_its_share_and_the_last_one_takes_the_rest(
    received: list[tuple[int, int]], parts: list[int]
) -> None:
    stock = made(Stock)
    for pieces, value in received:
        stock.receive(pieces, value)
    total, cost = stock.value, 0
    for part in parts:
        if part > stock.on_hand:
            break
        expected = stock.value if part == stock.on_hand else half_up(stock.value * part, stock.on_hand)
        taken = stock.issue(part)
        assert taken == expected
        cost += taken
    if stock.on_hand:
        cost += stock.issue(stock.on_hand)
    assert (cost, stock.value) == (total, 0)


@given(issues=st.lists(st.tuples(QUANTITY, VALUE), min_size=1, max_size=5), data=st.data())
def test_returns_in_parts_add_up_to_the_cost_of_what_left(issues: list[tuple[int, int]], data: st.DataObject) -> None:
    total = sum(quantity for quantity, _ in issues)
    cuts = sorted(data.draw(st.sets(st.integers(1, total), max_size=6)) | {total})
    back = [value_of_first(cut, issues) for cut in cuts]
    assert back == sorted(back)
    assert back[-1] == sum(cost for _, cost in issues)
    assert value_of_first(cuts[0], [*issues, (7, 7_000)]) == back[0]  # What leaves later changes nothing of it.


def test_below_zero_the_receipt_tells_the_true_cost() -> None:
    stock = made(Stock)
    stock.receive(2, 20)
    assert stock.issue(5) == 50  # 20 for two, and three at the same 10.
    assert stock.receive(4, 48) == -6  # The three cost 12 each: 6 more than was thought.
    assert (stock.on_hand, stock.value) == (1, 12)


def test_a_receipt_that_does_not_reach_zero_corrects_only_what_it_covers() -> None:
    stock = made(Stock)
    stock.standard_quantity, stock.standard_value = 1, 10
    assert stock.issue(4) == 40
    assert stock.receive(1, 13) == -3
    assert (stock.on_hand, stock.value) == (-3, -30)


def test_what_nobody_knows_a_cost_of_is_worth_nothing() -> None:
    assert made(Stock).estimate(5) == 0


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"), [(5, 2, 3), (-5, 2, -3), (1, 3, 0), (2, 3, 1), (-1, 3, 0)]
)
def test_halves_are_rounded_away_from_zero(numerator: int, denominator: int, rounded: int) -> None:
    assert half_up(numerator, denominator) == rounded
