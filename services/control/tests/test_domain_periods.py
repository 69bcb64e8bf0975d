"""Each difference between a period's moves and its postings has its reason, or is said to have none."""

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
    found = compare("C1", period, MOVES, postings, caught_up=caught_up)
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
    (one,) = compare("C1", "2026-10", MOVES, waiting, caught_up=True).differences
    assert (
        one.why
        == "count D1 stands on 1901: Li asked for its approval at 2026-11-01T08:00:00+00:00, 1 more must give it"
    )
    nobody = replace(waiting, open_counts=(replace(COUNT, asked_by=""),))
    (one,) = compare("C1", "2026-10", MOVES, nobody, caught_up=True).differences
    assert "nobody has asked for its approval" in one.why


def test_the_rest_is_on_its_way_or_has_no_reason_and_is_never_called_rounding() -> None:
    assert told(replace(POSTINGS, value_minor=999), caught_up=False) == ("open", [("in_flight", 1)])
    assert told(replace(POSTINGS, value_minor=999)) == ("differ", [("unknown", 1)])
