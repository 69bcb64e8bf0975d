"""Each difference between a period's moves and its postings has its reason, or is said to have none."""

from datetime import date

from msgspec.structs import replace
from tieout.contracts.period import Deferred, OpenCount, PeriodMoves, PeriodPostings
from tieout.control.domain.periods import compare

MOVES = PeriodMoves("CNY", 1000, -70)
POSTINGS = PeriodPostings(1000, -70, 0, 0, (), ())
LATE = Deferred(7, "R3", "chain", 300, "2026-10", "2026-11", "记-2026-11-000004")
COUNT = OpenCount("D1", "wms", "chain", -70, "Li", "2026-11-01T08:00:00+00:00", 0, 1)


def told(
    postings: PeriodPostings, *, period: str = "2026-10", caught_up: bool = True
) -> tuple[str, list[tuple[str, int]]]:
    found = compare("C1", period, MOVES, postings, caught_up=caught_up, today=None)
    for figure in found.figures:
        assert figure.happened_minor == figure.posted_minor + figure.explained_minor + figure.unexplained_minor
    return found.verdict, [(one.cause, one.amount_minor) for one in found.differences]


def test_what_is_posted_where_it_happened_agrees() -> None:
    assert told(POSTINGS) == ("agree", [])


def test_what_a_closed_period_did_not_take_is_deferred_out_of_it_and_into_the_next() -> None:
    out = replace(POSTINGS, value_minor=700, deferred_out_minor=300, deferred=(LATE,))
    assert told(out) == ("open", [("period_deferred", 300)])
    into = replace(POSTINGS, value_minor=1300, deferred_in_minor=300, deferred=(LATE,))
    assert told(into, period="2026-11") == ("open", [("period_deferred", -300)])


def test_a_count_waits_for_approval_and_it_is_said_for_whose() -> None:
    waiting = replace(POSTINGS, counted_minor=0, open_counts=(COUNT,))
    assert told(waiting) == ("open", [("waiting_approval", -70)])
    (one,) = compare("C1", "2026-10", MOVES, waiting, caught_up=True, today=None).differences
    assert (
        one.why
        == "count D1 stands on 1901: Li asked for its approval at 2026-11-01T08:00:00+00:00, 1 more must give it"
    )
    nobody = replace(waiting, open_counts=(replace(COUNT, asked_by=""),))
    (one,) = compare("C1", "2026-10", MOVES, nobody, caught_up=True, today=None).differences
    assert "nobody has asked for its approval" in one.why


def test_the_rest_is_on_its_way_or_has_no_reason_and_is_never_called_rounding() -> None:
    assert told(replace(POSTINGS, value_minor=999), caught_up=False) == ("open", [("in_flight", 1)])
    assert told(replace(POSTINGS, value_minor=999)) == ("differ", [("unknown", 1)])


def sentences(today: date | None, moves: PeriodMoves, postings: PeriodPostings) -> tuple[str, str]:
    known = replace(postings, zone="Asia/Shanghai")
    found = compare("C1", "2026-10", moves, known, caught_up=True, today=today)
    return found.sentence, found.sentence_zh


def test_a_month_that_is_not_over_says_so_and_one_that_is_does_not() -> None:
    over = ("All that happened in 2026-10 is posted in it.", "2026-10 发生的业务均已记入当期。")
    for today in (date(2026, 11, 1), date(2027, 1, 1), None):
        assert sentences(today, MOVES, POSTINGS) == over
    for today in (date(2026, 10, 31), date(2026, 9, 30), date(2025, 12, 1)):
        assert sentences(today, MOVES, POSTINGS) == (
            "All that happened in 2026-10 so far is posted in it. It goes on until 2026-10-31 (Asia/Shanghai).",
            "2026-10 迄今发生的业务均已记入当期。该月至 2026-10-31（Asia/Shanghai）才结束。",
        )
    differs = sentences(date(2026, 10, 31), MOVES, replace(POSTINGS, value_minor=999))
    assert differs == (
        "Not all of 2026-10 is posted in it: 1 without a reason. It goes on until 2026-10-31 (Asia/Shanghai).",
        "2026-10 的业务未全部记入当期：原因不明 1 项。该月至 2026-10-31（Asia/Shanghai）才结束。",
    )


def test_a_month_without_moves_is_told_as_one_where_nothing_moved() -> None:
    nothing = PeriodMoves("CNY", 0, 0, 0)
    posted = replace(POSTINGS, value_minor=0, counted_minor=0)
    assert sentences(date(2026, 11, 1), nothing, posted) == (
        "No stock moved in 2026-10, and nothing of stock is posted in it.",
        "2026-10 没有库存变动，也没有相关入账。",
    )
    assert sentences(date(2026, 10, 1), nothing, posted) == (
        "No stock has moved in 2026-10 yet, and nothing of stock is posted in it. "
        "It goes on until 2026-10-31 (Asia/Shanghai).",
        "2026-10 尚无库存变动，也没有相关入账。该月至 2026-10-31（Asia/Shanghai）才结束。",
    )
    # Moves that come to nothing in all, an older inventory that does not count them, postings without moves.
    assert "All that happened" in sentences(None, replace(nothing, moves=2), posted)[0]
    assert "All that happened" in sentences(None, replace(nothing, moves=None), posted)[0]
    assert "Not all of" in sentences(None, nothing, POSTINGS)[0]
