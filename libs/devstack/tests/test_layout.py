"""What is shown fits the terminal: figures are never broken, and what has no room is left out or stands below."""

import io
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from rich.text import Text
from tieout.contracts.agreement import CurrencySum, SettingsChange
from tieout.contracts.control import Agreement, BookSide, MeasureResult, ServiceStatus, Settings, Status, StepLatency
from tieout.contracts.finance import (
    PeriodStanding,
    PeriodView,
    Requests,
    RequestView,
    StandingCount,
    StandingCounts,
    StandingSum,
)
from tieout.contracts.operation import Health
from tieout.contracts.period import PeriodAgreement, PeriodDifference, PeriodFigure
from tieout.contracts.watch import Check
from tieout.devstack import agreement, approvals, doctor, hints, periods, settings, status
from tieout.devstack.terminal import Screen, tell

WIDTHS = (60, 80, 120)
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
REQUEST = UUID("01a2081c-337b-56b9-9ec1-0739a6000000")


@pytest.fixture(autouse=True)
def about_the_default_folder():
    """Whatever stack a test before this one spoke of: a hint for another folder is longer."""
    hints.about(Path(hints.DEFAULT_FOLDER).resolve())


def screen(width):
    return Screen(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def lines_of(console):
    told = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    return [line.rstrip() for line in told.splitlines()]


def seen(width, render, *arguments):
    """The lines; none is wider than the terminal but those that hold a command, which is copied as it stands."""
    console = screen(width)
    render(console, *arguments)
    lines = lines_of(console)
    assert max(len(line) for line in lines if "tieout " not in line) <= width
    return lines


@pytest.mark.parametrize("width", WIDTHS)
def test_a_status_shows_every_figure_whole(width):
    health = Health("order", "1", 1, True, 60 << 20, "2026-11-23T08:00:00Z", outbox_waiting=12_345)
    told = Status(
        "",
        (ServiceStatus("order", up=True, instances=(health,), waiting=7_654_321),),
        (),
        latencies=(
            StepLatency("order.submit.v1", "finance.receivable_opened.v1", 1_234_567, 1_395.0, 21_024.0, 61_722.0),
            StepLatency("inventory.cancel_decided.v1", "inventory.document_settled.v1", 2, 1.0, 2.0, 3.0),
        ),
    )
    fact = {
        "name": "order",
        "up": True,
        "suspended": False,
        "pid": 4_123_456,
        "restarts": 12,
        "memory_bytes": 1234 << 20,
    }
    lines = seen(width, lambda console: status.show(console, "http://127.0.0.1:1", [fact], told, ""))
    whole = "\n".join(lines)
    for figure in ("7654321", "12345", "1,234,567", "1,395", "21,024", "61,722"):
        assert figure in whole
    assert width == 60 or "  inventory.document_settled " in whole
    (latency,) = (line for line in lines if "1,234,567" in line)
    assert width == 60 or "finance.receivable_opened " in latency
    assert ".v1" not in whole
    assert ("4123456" in whole) == (width > 60)


def test_the_latencies_say_why_their_counts_differ():
    told = Status("", (), (), latencies=(StepLatency("a.v1", "b.v1", 1, 1.0, 1.0, 1.0),))
    lines = seen(120, lambda console: status.show(console, "http://127.0.0.1:1", [], told, ""))
    (why,) = (line for line in lines if line.startswith("Counts differ: "))
    assert "not every document takes every step" in why
    assert "step latency of the last 15 minutes, ms" in lines


@pytest.mark.parametrize("width", WIDTHS)
def test_a_period_shows_every_amount_whole(width):
    names = {"title": "count differences in profit and loss", "title_zh": ""}
    figure = PeriodFigure(
        "counted",
        **names,
        happened_minor=-9_876_543_210,
        posted_minor=-1_234_567_890,
        explained_minor=-8_641_975_319,
        unexplained_minor=-1,
    )
    why = "count COUNT-1 stands on 1901: nobody has asked for its approval since it was rejected"
    difference = PeriodDifference("counted", "waiting_approval", -8_641_975_319, why, "")
    told = PeriodAgreement("C1", "2026-11", "CNY", "differ", "Not all.", (figure,), (difference,))
    lines = seen(width, lambda console: agreement.render_period(told, console))
    whole = "\n".join(lines)
    for amount in ("-98,765,432.10 CNY", "-12,345,678.90 CNY", "-86,419,753.19 CNY", "-0.01 CNY"):
        assert amount in whole
    assert why in " ".join(whole.split())
    assert lines[-1] == "Not all."


@pytest.mark.parametrize("width", WIDTHS)
def test_an_agreement_folds_titles_and_remarks_and_no_figure(width):
    sums = (CurrencySum("CNY", 9, 0, 9_876_543_210_99),)
    sides = tuple(BookSide(name, "book", 12_345_678, 3_000_000, 9_876_543_210_99, sums) for name in ("order", "x"))
    one = MeasureResult(
        4,
        "shipped",
        "shipped quantity, and delivered where control passes then",
        "",
        "order",
        ("quantity_micro", "amount_minor"),
        "differ",
        7,
        7,
        sides,
        differing=1_234_567,
        dead=2,
        parked=3,
        in_flight=4,
    )
    told = Agreement("differ", "They differ.", "2026-11-23T08:00:00Z", 1.0, (one,), ())
    lines = seen(width, lambda console: agreement.render(told, console))
    assert sum("9,876,543,210.99 CNY" in line and "12,345,678" in line for line in lines) == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_a_change_of_a_setting_is_broken_between_words(width):
    row = ", ".join(f'"column_{number}": "value-{number}-of-some-length"' for number in range(12))
    at = "2026-11-23T08:00:00.5Z"
    change = SettingsChange(
        "gateway", 3, at, "satellite", "INSERT", "service", '{"k": "web"}', "", f"{{{row}}}", "", "admin"
    )
    lines = seen(width, lambda console: settings.render(Settings((change,)), console))
    assert all(f"value-{number}-of-some-length" in "\n".join(lines) for number in range(12))
    assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_checkup_goes_on_below_its_explanation(width, monkeypatch):
    why = "What was counted is no profit or loss before somebody approves it, and its period cannot be closed."
    check = Check("approvals", "look", "8 counts stand on 1901 (32.96 CNY missing).", why, "./tieout approvals")
    console = screen(width)
    monkeypatch.setattr(doctor, "Screen", lambda: console)
    doctor._show([check], everything=False)
    told = lines_of(console)
    assert max(map(len, told)) <= width
    first = next(number for number, line in enumerate(told) if "why it matters" in line)
    last = next(number for number, line in enumerate(told) if "next step" in line)
    assert all(line.startswith(" " * 20) for line in told[first + 1 : last])


STEPS = (
    "See what its process says, and start it again: kill -CONT 4711 4712",
    "The pod's last words: kubectl logs deployment/tieout-finance --previous; then look at its memory.",
    'Whoever holds the lock: psql -c "SELECT pg_terminate_backend(4711)" (as the owner), then wait.',
    "Start control; `./tieout logs control` has its last words, and what is known of it stands in ./tieout status.",
    "./tieout agreement; ./tieout settings",
    "Make room, or lower the retention: docs/retention.md says how long which of the tables keep what they have.",
)


@pytest.mark.parametrize("step", STEPS)
def test_a_next_step_fits_the_terminal_and_no_command_in_it_is_broken(step, monkeypatch):
    console = screen(80)
    monkeypatch.setattr(doctor, "Screen", lambda: console)
    doctor._show([Check("x", "look", f"What is wrong. {step}", "Why it matters.", step)], everything=False)
    told = lines_of(console)
    assert max(map(len, told)) <= 80
    for command in re.findall(r"(?:kill -CONT|kubectl|psql|\./tieout) [^;`.()]*(?:\(\d+\)\")?", step):
        assert sum(command.strip() in line for line in told) == 2


def test_a_command_wider_than_the_terminal_is_one_line_that_the_terminal_folds(monkeypatch):
    console = screen(80)
    step = f"Look at it: ./tieout logs finance --dir /tmp/{'long/' * 20}x"
    monkeypatch.setattr(doctor, "Screen", lambda: console)
    doctor._show([Check("x", "look", "It is wrong.", "", step)], everything=False)
    assert step.partition(": ")[2] in "\n".join(lines_of(console))


def test_what_no_terminal_shows_is_one_line():
    console = Screen(file=io.StringIO(), width=40)
    tell(console, Text("word " * 30), first=4)
    assert len(console.file.getvalue().strip().splitlines()) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_what_waits_for_an_approval_is_listed_with_the_next_steps(width):
    counts = StandingCounts(
        (
            StandingCount("C1", "wms", "CNT 7", NOW.date(), NOW - timedelta(hours=5), "CNY", -123_450),
            StandingCount("C1", "wms", "CNT-8", NOW.date(), NOW, "CNY", 3000, request_id=REQUEST, asked_by="Li"),
        ),
        (StandingSum("CNY", 2, 123_450, 3000),),
    )
    asked = RequestView(REQUEST, "count", "C1", "CNT-8 of wms", "CNY", 3000, "recounted", "Li", NOW, 1, (), "waiting")
    lines = seen(
        width, lambda console: approvals.render(counts, Requests((asked,), 203), console, NOW, "http://127.0.0.1:1")
    )
    whole = " ".join(" ".join(lines).split())
    for told in (
        "1,234.50 CNY missing",
        "30.00 CNY found",
        "booked 5 h 0 min ago",
        "approvals ask --company C1 --source wms --number 'CNT 7' --cause management",
        str(REQUEST),
        "Li asked 0 ms ago",
        "203 requests wait for a verdict",
        "… and 202 more requests, asked for earlier",
        "approvals approve REQUEST_ID",
        "approvals approve REQUEST_ID --url http://127.0.0.1:1 --token-file FILE",
    ):
        assert told in whole
    assert whole.count("nobody has asked") == 1
    nothing = seen(width, lambda console: approvals.render(StandingCounts(()), Requests(()), console, NOW))
    assert nothing == ["Nothing waits for an approval."]


def test_counts_that_are_not_listed_come_with_a_choice_that_was_not_made_yet():
    one = StandingCount("UCI", "wms", "CNT-7", NOW.date(), NOW, "CNY", -70)
    counts = StandingCounts((one,), (StandingSum("CNY", 263, 70, 0, unasked=263),))
    for chosen, told in (
        (("", ""), "262 more counts; choose with --company"),
        (("UCI", ""), "262 more counts; choose with --period"),
        (("UCI", "2026-10"), "approvals ask --company UCI --period 2026-10 --cause management"),
    ):
        how = approvals._narrower(*chosen)
        lines = seen(80, lambda console, how=how: approvals.render(counts, Requests(()), console, NOW, "", how))
        assert told in " ".join(" ".join(lines).split())


def test_what_a_verdict_came_to_is_told_in_a_sentence():
    asked = RequestView(REQUEST, "write_off", "C1", "1001 of web", "CNY", 900, "lost", "Li", NOW, 2, (), "waiting")
    told = approvals.outcome(asked, "http://127.0.0.1:1")
    assert "write-off 1001 of web of C1  9.00 CNY: 2 more approvals needed, by somebody else than Li" in told
    assert f"approvals approve {REQUEST} --url http://127.0.0.1:1 --token-file FILE" in told


def standing(company, period, state="open", **more):
    last = date(int(period[:4]), int(period[5:]), 28)
    more = {"ended": True, "vouchers": 1234, "currency": "CNY", **more}
    return PeriodStanding(company, period, state, "Asia/Shanghai", last, **more)


MONTHS = (
    standing(
        "C1",
        "2026-08",
        "closed",
        closed_by="Anna Li",
        closed_at=NOW,
        reason="all in",
        reopening_id=REQUEST,
        reopening_asked_by="Wang",
    ),
    standing("C1", "2026-09", counts=3, counts_unasked=2, missing_minor=7000, found_minor=3000, waiting=1),
    standing("C1", "2026-10"),
    standing("C1", "2026-11", ended=False),
    standing("C 2", "2026-10"),
)
MONTH_DIFFERS = PeriodAgreement(
    "C1",
    "2026-09",
    "CNY",
    "differ",
    "",
    (),
    (
        PeriodDifference("stock_value", "period_deferred", 5, "late", ""),
        PeriodDifference("counted", "waiting_approval", 70, "count", ""),
        PeriodDifference("stock_value", "unknown", -1250, "no deferral", ""),
    ),
)


@pytest.mark.parametrize("width", WIDTHS)
def test_months_tell_what_stands_in_the_way_of_closing_them(width):
    beside = {("C1", "2026-09"): periods.differences(MONTH_DIFFERS, "./tieout agreement --period 2026-09")}
    books = Agreement(
        "open",
        "",
        "",
        1.0,
        (MeasureResult(1, "m", "t", "", "order", ("", ""), "open", 1, 1, (), in_flight=3, parked=1),),
        (),
    )
    answer = periods.Answer(periods.judged(MONTHS, beside), periods.of_books(books))
    lines = seen(width, lambda console: periods.render(answer, console, "http://gateway"))
    whole = " ".join(" ".join(lines).split())
    for told in (
        "C1 2026-08 closed 1,234 Anna Li",
        f"Wang asks for it to be opened again; somebody else approves: {hints.program()} approvals approve {REQUEST} "
        "--url http://gateway --token-file FILE",
        "3 counts stand on 1901 (70.00 CNY missing, 30.00 CNY found): nobody has asked for the approval of 2: "
        f"{hints.program()} approvals list --company C1",
        "1 request waits for a verdict; closed before, what they ask for is posted in a later month",
        "-12.50 CNY happened and is not posted: ./tieout agreement --period 2026-09",
        f"2026-09 is still open, and would be closed with it: {hints.program()} periods close C1 2026-09 --why WHY",
        "C1 2026-11: its last day is 2026-11-28 (Asia/Shanghai).",
        f"C 2 2026-10: can be closed: {hints.program()} periods close 'C 2' 2026-10 --why WHY",
        "1 event waits for a partner",
        "3 events are on their way",
    ):
        assert told in whole
    assert [len(month.obstacles) for month in answer.months] == [0, 3, 1, 1, 0]


def test_a_close_tells_what_should_have_been_done_before():
    view = PeriodView("C1", "2026-10", "2026-11", "Li", NOW, False, 7, 0, 2, 900, ("USD",))
    done, rates, goods, allowance = periods.closed(view)
    assert done.startswith("2026-10 of C1 is closed, by Li at ")
    assert done.endswith("; 7 vouchers in it. The first open month is 2026-11.")
    assert ("USD" in rates, "2 orders" in goods, "1231" in allowance) == (True, True, True)
