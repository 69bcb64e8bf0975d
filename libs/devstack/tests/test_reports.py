"""What feed and demo print, without a stack."""

import io
from collections import Counter

from msgspec.structs import replace
from rich.console import Console
from tieout.contracts.watch import Counted, Listed
from tieout.devstack import census, feed_report
from tieout.devstack.conservation import Term, balance
from tieout.devstack.demo_report import Goods, Line, Side, compare, outcomes_of, whereabouts
from tieout.devstack.formats import Measured
from tieout.devstack.terminal import Screen


def printed(law, terms, **more):
    told = io.StringIO()
    feed_report.render(law, terms, "GBP", Console(file=told, width=120), **more)
    return told.getvalue()


def test_a_report_names_the_months_that_moved_and_what_is_missing():
    fed = {"2010-12": Measured(documents=1, lines=2, quantity_micro=3_500_000, amount_minor=1250)}
    terms = [Term("2010-12", "booked", "finance", 1, 1, 3_000_000, 1000), Term("2010-11", "booked", "finance")]
    told = printed(balance(fed, terms), terms)
    assert "2010-12" in told
    assert "2010-11" not in told
    assert "2.50" in told
    assert "✗ The books do not account for everything" in told


def test_a_report_gives_reasons_and_rounding():
    fed = {"2010-12": Measured(documents=1, lines=1, amount_minor=5, rounding_micro=100_000)}
    terms = [Term("2010-12", "conflict", "order", 1, 1, 0, 5, 100_000, "other_content")]
    told = printed(balance(fed, terms), terms)
    assert "other_content" in told
    assert "0.100000 minor units" in told
    assert "✓ Everything that went in is accounted for" in told


def test_documents_are_compared_by_satellite_kind_and_outcome():
    planned = Counter({("web", "order", "accepted"): 2})
    told = Counter({("web", "order", "accepted"): 1, ("web", "order", "conflict"): 1})
    assert compare(planned, told) == (
        Line("web", "order", "accepted", 2, 1),
        Line("web", "order", "conflict", 0, 1),
    )


def test_books_agree_where_those_that_hold_an_amount_hold_the_same():
    assert Side("C1", "billed", "CNY", 5, None, 5).agrees
    assert not Side("C1", "billed", "CNY", 5, None, 6).agrees
    assert not Side("C1", "billed", "CNY", 5, 4, 5).agrees


def test_a_feed_that_came_to_nothing_has_one_verdict():
    fed = {"2010-12": Measured(documents=1, lines=1, amount_minor=5)}
    for outcome, one in (("quarantined", "accounted for."), ("", "The books do not account for everything")):
        terms = [Term("2010-12", outcome, "gateway", 1, 1, 0, 5)] if outcome else []
        told = printed(balance(fed, terms), terms, sent="1 document in 0.1 s.", in_vain=True)
        (verdict,) = [line for line in told.splitlines() if line.startswith(("✓", "✗"))]
        assert verdict.startswith("✗")
        assert one in verdict
        assert told.rstrip().endswith(verdict)


def test_the_ordered_quantity_is_told_as_the_sum_of_what_became_of_it():
    goods = Goods(163_450_000, 14_000_000, 142_450_000, 5_000_000, 2_000_000)
    told = whereabouts(goods).plain
    assert told.startswith("✓  ordered 163.45 = shipped 142.45 + refused or cancelled 14 + still open 7 (5 reserved, 2")
    assert whereabouts(replace(goods, reserved=4_000_000)).plain.startswith("✗")
    assert whereabouts(replace(goods, reserved=4_000_000)).plain.endswith("; 1 in none of them")


def test_the_demo_says_why_there_are_more_outcomes_than_documents():
    lines = (Line("web", "credit", "accepted", 2, 2), Line("web", "refund", "accepted", 1, 1))
    assert outcomes_of(lines, 2).startswith("3 outcomes of 2 documents: a refund webhook")
    assert outcomes_of(lines, 3) == ""


def test_a_census_shows_both_values_in_major_units_and_the_next_step_of_each_state(capsys):
    found = [
        Counted("1001", "differs", 1250, "EUR", "2026-11-23", ("amount_minor",)),
        Counted("1002", "quarantined", intake_id="01a0a0a0-0000-7000-8000-000000000010", reason="unknown_sku"),
        Counted("1003", "missing"),
    ]
    theirs = {"1001": Listed("1001", 1300, "EUR")}
    census.show(census.Report("web", 3, 0, found, [], theirs=theirs), Screen(width=160))
    told = capsys.readouterr().out
    for words in ("amount", "13.00 EUR", "12.50 EUR 2026-11-23", "journey 1001", "quarantine show 01a0", "--fetch"):
        assert words in told
    assert "amount_minor" not in told
