"""The pure rules: amounts, periods, open items."""

from datetime import date
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as some
from tieout.finance.domain.amounts import convert, exponent, half_up, part
from tieout.finance.domain.chart import CHART, ROLES
from tieout.finance.domain.open_item import OpenItem
from tieout.finance.domain.periods import next_period, posting

amounts = some.integers(0, 10**9)


def item(**more):
    return OpenItem(UUID(int=1), "CNY", "C1", "K1", "shop", "1001", True, **more)


def test_minor_units_are_those_of_iso_4217_in_every_currency():
    for currency, decimals, minor in (("JPY", 0, 150), ("EUR", 2, 15_000), ("KWD", 3, 150_000), ("CLF", 4, 1_500_000)):
        assert exponent(currency) == decimals
        assert convert(15_000, 1_000_000, "CNY", currency) == minor  # 150 at par.
    assert convert(10_000, 33_000_000, "CLF", "CNY") == 3_300  # 1 CLF at 33.


@given(some.integers(0, 10**12), some.integers(1, 10**9), some.data())
def test_parts_of_a_line_add_up_to_the_line(amount, whole, data):
    cuts = sorted(data.draw(some.lists(some.integers(0, whole), max_size=6)))
    edges = [0, *cuts, whole]
    parts = [part(amount, start, end, whole) for start, end in pairwise(edges)]
    assert sum(parts) == amount
    assert min(parts) >= 0


@given(some.integers(-(10**12), 10**12), some.integers(1, 10**6))
def test_rounding_mirrors_reversals(numerator, denominator):
    assert half_up(-numerator, denominator) == -half_up(numerator, denominator)
    assert abs(half_up(numerator, denominator) * denominator - numerator) * 2 <= denominator


def test_rates_are_between_major_units():
    assert convert(12345, 7_100_000, "USD", "CNY") == 87650  # 123.45 dollars
    assert convert(100, 151_237_000, "USD", "JPY") == 151  # 1.00 dollar
    assert convert(151, 6_612, "JPY", "USD") == 100
    assert convert(1_000, 3_250_000, "KWD", "USD") == 325  # 1.000 dinar
    assert convert(-1, 500_000, "USD", "CNY") == -1


def test_a_posting_belongs_to_its_own_month_or_the_first_open_one():
    day = date(2026, 12, 31)
    assert posting(day, "") == ("2026-12", day, "")
    assert posting(day, "2026-11") == ("2026-12", day, "")
    assert posting(day, "2026-12") == ("2027-01", date(2027, 1, 1), "2026-12")
    assert posting(day, "", stamped="2027-02") == ("2027-02", date(2027, 2, 1), "2026-12")
    assert posting(day, "2027-03", stamped="2027-02").period == "2027-04"
    assert next_period("2026-09") == "2026-10"


@given(amounts, amounts, amounts, amounts, amounts, amounts, some.booleans())
def test_no_money_is_lost_or_made_between_the_balances(net, tax, billed, credited, received, refunded, known):
    one = item(billed=billed, credited=credited, received=received, refunded=refunded)
    if known:
        one.order_net, one.order_tax = net, tax
    one.settle()
    assert sum(one.held()) == received - refunded
    assert one.deposit_net >= 0
    assert one.deposit_tax >= 0
    assert one.unapplied >= 0
    assert one.settled <= max(billed - credited, 0)
    if one.unapplied or one.deposit_net:
        assert one.owed <= 0  # Nobody owes what he has paid already.


@given(some.permutations(["place", "bill", "bill", "credit", "pay", "pay", "refund"]))
def test_balances_do_not_depend_on_what_came_first(steps):
    one = item()
    for step in steps:
        match step:
            case "place":
                one.order_net, one.order_tax = 300, 39
            case "bill":
                one.billed += 113
            case "credit":
                one.credited += 50
            case "pay":
                one.received += 150
            case "refund":
                one.refunded += 20
        one.settle()
    assert one.held() == (176, 92, 12, 0, 0)
    final = item(billed=226, credited=50, received=300, refunded=20, order_net=300, order_tax=39)
    final.settle()
    assert one.held() == final.held()


def test_every_role_has_an_account_in_the_chart():
    assert set(ROLES.values()) <= {account.code for account in CHART}
    assert len({account.code for account in CHART}) == len(CHART)
