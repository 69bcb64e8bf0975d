"""What `tieout journey` and `tieout agreement` show: a clerk must find the answer without knowing the inside."""

import argparse
import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from rich.console import Console
from tieout.contracts.agreement import CurrencySum, SettingsChange, Violation
from tieout.contracts.control import (
    Agreement,
    BookSide,
    Difference,
    DifferenceSide,
    Journey,
    Journeys,
    JourneyStep,
    MeasureResult,
    MeasureState,
    Settings,
    Verdict,
    Watermark,
)
from tieout.contracts.currency import spelled
from tieout.devstack import agreement, journey, settings
from tieout.devstack.failures import CommandFailed
from tieout.devstack.terminal import Screen

VERDICTS: tuple[Verdict, ...] = ("agree", "differ", "open")


def shown(render: Callable[[Any, Console], None], answer: object) -> str:
    text = io.StringIO()
    render(answer, Screen(file=text, width=120))
    return text.getvalue()


def measure(state: MeasureState, **told: int) -> MeasureResult:
    sides = (
        BookSide("inventory", "shipped_line", 3, 3_500_000, 0),
        BookSide("finance", "billed_quantity", 2, 2_000_000, 0),
    )
    return MeasureResult(
        4,
        "shipped",
        "shipped quantity",
        "发货数量",
        "inventory",
        ("quantity_micro", ""),
        state,
        7,
        7,
        sides,
        **told,  # type: ignore[arg-type]
    )


def answer(verdict: Verdict, sentence: str, **told: object) -> Agreement:
    return Agreement(
        verdict=verdict,
        sentence=sentence,
        at="2026-11-23T08:00:00Z",
        took_ms=12.5,
        measures=(measure(verdict, differing=int(verdict == "differ")),),
        watermarks=(Watermark("inventory", 7, 7, 7, "2026-11-23T08:00:00Z"),),
        **told,  # type: ignore[arg-type]
    )


def test_amounts_have_the_decimals_of_their_currency() -> None:
    told = [spelled(12_345, code) for code in ("KWD", "JPY", "CNY", "UYW", "KRW", "IQD")]
    assert told == ["12.345 KWD", "12,345 JPY", "123.45 CNY", "1.2345 UYW", "12,345 KRW", "12.345 IQD"]


def test_an_order_without_a_number_is_told_before_anything_is_asked() -> None:
    with pytest.raises(CommandFailed, match="name the order"):
        journey.run(argparse.Namespace(order_no=" ", company="", json=False, dir=None))


def test_what_came_after_the_last_effect_is_told_apart() -> None:
    at = "2026-11-23T08:00:00Z"
    steps = (JourneyStep(0, "order", "placed", at), JourneyStep(1, "order", "duplicate", at, since_start_ms=66_000.0))
    told = shown(journey.render, Journeys((Journey("1001", "C1", "o1", "", at, at, 800.0, steps),)))
    assert "took 800 ms (what came after that, until 1 min 6 s, changed nothing)" in " ".join(told.split())


def test_an_edited_document_is_shown_as_text_and_cut() -> None:
    body = '{"kind":"order"}'
    edited = Violation("raw_document", "7", f'{{"body":"\\\\x{body.encode().hex()}"}}', '{"body":"\\\\xff"}', "")
    told = shown(agreement.render, answer("differ", "The books differ.", violations=(("gateway", edited),)))
    assert f"body: \\xff -> {body}" in told
    long = Violation("raw_document", "7", "\\x" + ("x" * 900).encode().hex(), "was", "")
    assert "x … (900 characters)" in shown(agreement.render, answer("differ", "", violations=(("gateway", long),)))


def test_where_the_books_differ_the_next_step_is_told() -> None:
    told = shown(agreement.render, answer("differ", "The books differ."))
    assert "agreement --explain" in told
    assert "repair preview" in told
    assert "repair preview" not in shown(agreement.render, answer("agree", "They agree."))


def test_the_verdict_is_the_last_line_and_the_exit_code() -> None:
    agreed = answer("agree", "Orders, stock and books agree.")
    assert shown(agreement.render, agreed).rstrip().splitlines()[-1] == "✓ Orders, stock and books agree."
    assert [agreement.exit_code(answer(verdict, "")) for verdict in VERDICTS] == [0, 1, 2]


def test_a_quick_look_says_that_no_balance_was_checked_since_the_start() -> None:
    text = io.StringIO()
    agreement.render(answer("agree", "They agree."), Screen(file=text, width=200), quick=True)
    assert "no balances checked" in text.getvalue()
    assert "Not every service has checked its balances since it started" in text.getvalue()
    looked = answer("agree", "They agree.", rules_checked=9, rules_at="2026-11-23T07:00:00Z")
    text = io.StringIO()
    agreement.render(looked, Screen(file=text, width=200), quick=True)
    assert "9 balance rules" in text.getvalue()
    assert "since it started" not in text.getvalue()


def test_a_difference_shows_the_order_and_what_each_book_says() -> None:
    difference = Difference(
        4,
        "shipped",
        ("quantity_micro", ""),
        "unknown",
        "1001",
        "chain",
        7,
        1,
        (
            DifferenceSide("inventory", "shipped_line", True, 1_500_000),
            DifferenceSide("finance", "billed_quantity", False),
        ),
    )
    violation = Violation(
        "touched_by_hand", 'billed_line {"position": 7}', "(gone)", "{…}", "DELETE by somebody [at] 8:00"
    )
    text = shown(
        agreement.render,
        answer(
            "differ",
            "The books differ.",
            differences=(difference,),
            violations=(("finance", violation),),
            violations_found=1,
        ),
    )
    assert "1001" in text
    assert "inventory: quantity 1.5" in text
    assert "finance: nothing" in text
    assert "DELETE by somebody [at] 8:00" in text  # Square brackets of the data are no markup.
    assert text.rstrip().splitlines()[-1] == "✗ The books differ."


def test_of_a_row_touched_by_hand_only_the_columns_that_differ_are_shown() -> None:
    was = '{"sku": "A", "net_minor": 100, "long": "' + "x" * 200 + '"}'
    found = Violation("touched_by_hand", "order_line 7", was.replace("100", "999"), was, "UPDATE by somebody")
    told = answer("differ", "The books differ.", violations=(("order", found),), violations_found=1)
    text = io.StringIO()
    agreement.render(told, Console(file=text, width=80))
    lines = text.getvalue().splitlines()
    at = lines.index("order touched_by_hand  order_line 7")
    assert lines[at + 1 : at + 3] == ["    UPDATE by somebody", "    net_minor: 100 -> 999"]
    assert "xxx" not in text.getvalue()


def test_a_journey_is_a_tree_with_durations_documents_and_vouchers() -> None:
    steps = (
        JourneyStep(0, "order", "placed", "2026-11-23T08:00:00Z", document="1001"),
        JourneyStep(
            1,
            "finance",
            "billed",
            "2026-11-23T08:00:01.5Z",
            after_ms=1500,
            cause_id="a",
            voucher_no="记-2026-11-000123",
            amount_minor=123450,
            currency="CNY",
            attempts=2,
        ),
    )
    told = Journeys((Journey("1001", "C1", "c", "c", steps[0].at, steps[1].at, 1500, steps),), unanswered=("gateway",))
    text = shown(journey.render, told)
    assert "Order 1001" in text
    assert "finance billed  voucher 记-2026-11-000123  1,234.50 CNY  after 1.5 s  2 attempts" in text
    assert "no answer from gateway" in text


def test_a_journey_that_ended_in_quarantine_names_the_document_and_what_to_do() -> None:
    refused = "01a2081c-337b-76b9-9ec1-0739a6000000"
    step = JourneyStep(0, "gateway", "quarantined", "2026-11-23T08:00:00Z", document="1001", intake_id=refused)
    told = Journeys((Journey("1001", "", "0", "0", step.at, step.at, 0, (step, step)),))
    text = shown(journey.render, told)
    assert text.count(f"tieout quarantine show {refused}") == 1
    assert f"tieout quarantine correct {refused} --file FILE" in text


def test_a_change_of_a_setting_tells_what_was_and_what_is_and_marks_a_hand() -> None:
    change = SettingsChange(
        "finance",
        3,
        "2026-11-23T08:00:00.5Z",
        "account_role",
        "UPDATE",
        "hand",
        '{"company": "C1", "role": "revenue"}',
        '{"company": "C1", "role": "revenue", "code": "6001"}',
        '{"company": "C1", "role": "revenue", "code": "9999"}',
        "finance_owner",
        "",
    )
    text = shown(settings.render, Settings((change,)))
    assert "finance account_role C1, revenue  UPDATE by finance_owner by hand" in text
    assert "code: 6001 -> 9999" in text


def test_money_of_several_currencies_is_never_one_number() -> None:
    sides = tuple(
        BookSide(service, "book", 2, 3_000_000, 3000, (CurrencySum("CNY", 1, 1, cny), CurrencySum("EUR", 1, 1, 1000)))
        for service, cny in (("order", 2000), ("inventory", 2000))
    )
    values = ("quantity_micro", "amount_minor")
    ordered = MeasureResult(2, "ordered", "ordered", "", "order", values, "agree", 9, 9, sides)
    text = shown(agreement.render, msgspec.structs.replace(answer("agree", "They agree."), measures=(ordered,)))
    assert text.count("20.00 CNY") == text.count("10.00 EUR") == 2
    assert "3,000" not in text
    one = msgspec.structs.replace(sides[0], currencies=(CurrencySum("CNY", 2, 2, 3000),))
    ordered = msgspec.structs.replace(ordered, sides=(one, one))
    text = shown(agreement.render, msgspec.structs.replace(answer("agree", ""), measures=(ordered,)))
    assert text.count("30.00 CNY") == 2


def test_money_whose_currency_a_book_does_not_know_is_shown_and_not_left_out() -> None:
    one = BookSide("gateway", "command", 2, 0, 3000, (CurrencySum("CNY", 2, 0, 3000),))
    other = BookSide("order", "submission", 2, 0, 3000, (CurrencySum("", 1, 0, 1000), CurrencySum("CNY", 1, 0, 2000)))
    values = ("quantity_micro", "amount_minor")
    handed = MeasureResult(1, "submitted", "handed over", "", "gateway", values, "agree", 9, 9, (one, other))
    text = shown(agreement.render, msgspec.structs.replace(answer("agree", ""), measures=(handed,)))
    assert "30.00 CNY" in text
    assert "20.00 CNY" in text
    assert "1,000 minor units" in text


def test_a_difference_of_money_is_told_in_its_currency() -> None:
    sides = tuple(DifferenceSide(service, "book", True, 0, minor) for service, minor in (("order", 4321), ("x", 1)))
    values = ("quantity_micro", "amount_minor")
    difference = Difference(2, "ordered", values, "unknown", "1001", "chain", 7, 1, sides, currency="CNY")
    text = shown(agreement.render, answer("differ", "", differences=(difference,)))
    assert "order: quantity 0, amount 43.21 CNY" in text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(123450, "CNY", "1,234.50 CNY"), (-5, "EUR", "-0.05 EUR"), (1000, "JPY", "1,000 JPY"), (1500, "KWD", "1.500 KWD")],
)
def test_money_has_the_decimals_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert spelled(amount, currency) == text


def test_durations_and_quantities_read_as_people_say_them() -> None:
    durations = [journey.duration(ms) for ms in (12, 3400, 320_000, 7_500_000, 200_000_000)]
    assert durations == ["12 ms", "3.4 s", "5 min 20 s", "2 h 5 min", "2 days"]
    assert [journey.quantity(micro) for micro in (1_000_000, 1_500_000, -250_000)] == ["1", "1.5", "-0.25"]
