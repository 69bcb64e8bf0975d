"""What a journey is headed with, and how its money is told."""

import io
from pathlib import Path

import pytest
from tieout.contracts.control import Journey, JourneyChoice, JourneyPaper
from tieout.contracts.operation import MoneyPaper, MoneyStanding
from tieout.devstack import hints, journey
from tieout.devstack.terminal import Screen

AT = "2026-11-23T08:00:00Z"


@pytest.fixture(autouse=True)
def about_the_default_folder():
    """Whatever stack a test before this one spoke of: a hint for another folder is longer."""
    hints.about(Path(hints.DEFAULT_FOLDER).resolve())


def told(number, *papers, **more):
    papers = tuple(JourneyPaper(*one) for one in papers)
    return Journey(number, "C1", "o1", "00", AT, AT, 0.0, (), papers=papers, **more)


@pytest.mark.parametrize(
    ("number", "papers", "heading"),
    [
        ("1001", (), "Order 1001"),
        ("P1", (("payment", "P1"),), "Payment P1, without an order"),
        ("9999", (("payment", "P1"),), "No order 9999 is known here; it is named by payment P1"),
        (
            "9999",
            tuple(("refund", f"F{n}") for n in range(5)),
            "No order 9999 is known here; it is named by refund F0, refund F1, refund F2 and 2 more",
        ),
        ("R1", (("receipt", "R1"),), "Goods receipt R1"),
        ("N1", (("adjustment", "N1"),), "Stock count N1"),
        ("B1", (("voucher", "记-2026-11-000001"),), "Voucher 记-2026-11-000001, without an order"),
        ("1001", (("refused", "1001"),), "Refused document 1001"),
    ],
)
def test_a_heading_says_what_it_is_a_journey_of(number, papers, heading):
    assert journey.heading(told(number, *papers)) == heading


def test_money_is_told_in_one_line_for_each_currency_with_its_papers_below():
    papers = (MoneyPaper("payment", "P1", 33900, 40000), MoneyPaper("refund", "F1", -5000))
    yuan = MoneyStanding("CNY", 33900, 11300, 17600, 5000, 0, 22600, 11300, papers=papers)
    yen = MoneyStanding("JPY", 500, 0, 500, 0, 0, customer="K1")
    console = Screen(file=io.StringIO(), width=150)
    journey.render(journey.Journeys((told("1001", money=(yuan, yen)),)), console)
    lines = [line.strip("│├└─ ") for line in console.file.getvalue().splitlines()]
    assert lines[1:] == [
        "money received 339.00 CNY = applied 113.00 + held 176.00 + refunded 50.00; open 0.00 of 226.00 billed, "
        "113.00 credited",
        "payment P1  339.00 CNY of 400.00 CNY",
        "refund F1  -50.00 CNY",
        "money of customer K1 without an order: received 500 JPY = applied 0 + held 500 + refunded 0; "
        "open 0 of 0 billed",
    ]


def test_several_orders_of_a_voucher_are_listed_to_choose_from():
    console = Screen(file=io.StringIO(), width=80)
    choices = (JourneyChoice("C1", "10 01"), JourneyChoice("C2", "7"))
    journey.render_choices("记-2026-11-000001", choices, console)
    first, *rest = console.file.getvalue().splitlines()
    assert first == "记-2026-11-000001 leads to 2 orders and documents of 2 companies. Choose:"
    for line, words in zip(rest, ("'10 01' --company C1", "7 --company C2"), strict=True):
        assert f"journey {words}" in line
