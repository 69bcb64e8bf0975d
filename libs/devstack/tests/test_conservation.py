"""The conservation law: what goes in comes out somewhere, and what does not is named."""

from hypothesis import given
from hypothesis import strategies as some
from tieout.devstack.conservation import OUTCOMES, Term, balance, money, pieces
from tieout.devstack.formats import Measured


def test_the_law_holds_when_every_line_became_something() -> None:
    fed = {"2026-11": Measured(documents=3, lines=5, quantity_micro=9_000_000, amount_minor=700)}
    terms = [
        Term("2026-11", "booked", "finance", 2, 4, 10_000_000, 900),
        Term("2026-11", "credited", "finance", 1, 1, -1_000_000, -200),
    ]
    assert balance(fed, terms).holds


def test_what_is_missing_is_named_by_month_and_measure() -> None:
    fed = {"2026-10": Measured(lines=1, amount_minor=100), "2026-11": Measured(lines=2, amount_minor=50)}
    found = balance(fed, [Term("2026-10", "booked", "finance", lines=1, amount_minor=100)])
    assert not found.holds
    assert [(month.month, month.holds) for month in found.months] == [("2026-10", True), ("2026-11", False)]
    assert (found.months[1].missing.lines, found.months[1].missing.amount_minor) == (2, 50)


def test_two_errors_that_cancel_each_other_over_months_are_still_found() -> None:
    fed = {"2026-10": Measured(lines=1), "2026-11": Measured(lines=1)}
    assert not balance(fed, [Term("2026-10", "booked", "finance", lines=2)]).holds


def test_a_month_that_only_the_books_know_breaks_the_law() -> None:
    assert not balance({}, [Term("2026-11", "booked", "finance", lines=1)]).holds


@given(
    parts=some.lists(some.tuples(some.sampled_from(OUTCOMES), some.integers(-(10**9), 10**9)), max_size=30),
    lost=some.integers(-5, 5),
)
def test_the_law_holds_exactly_when_nothing_is_lost(parts: list[tuple[str, int]], lost: int) -> None:
    fed = {"2026-11": Measured(amount_minor=sum(amount for _, amount in parts) + lost)}
    terms = [Term("2026-11", outcome, "order", amount_minor=amount) for outcome, amount in parts]
    assert balance(fed, terms).holds is (lost == 0)


def test_numbers_are_written_for_people() -> None:
    assert [pieces(12_000_000), pieces(-1_500_000), pieces(1_234_000_000)] == ["12", "-1.5", "1,234"]
    assert [money(5), money(-123456), money(0)] == ["0.05", "-1,234.56", "0.00"]
