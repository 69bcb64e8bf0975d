"""Which probable cause a standing consumer gets, from what its service says or does not say."""

import pytest
from msgspec.structs import replace
from tieout.contracts.control import FlowState
from tieout.contracts.watch import Blocked, Ending, FlowVitals, Vitals
from tieout.control.domain.pace import NEVER, Track
from tieout.control.domain.stalls import why_it_stands

DURABLE = "finance-bill-shipments"
FLOW = FlowState(DURABLE, "INVENTORY", waiting=12, unacked=3, floor=77, stalled_seconds=9)
WELL = Vitals("finance", "1.0.0", "host", 4711, "2026-11-23T08:00:00Z", 90 << 20, flows=(FlowVitals(DURABLE),))
LOCK = Blocked(11, 9.5, "INSERT INTO voucher", 12, "finance_owner", "psql", "idle in transaction", 40.0)
KILLED = Ending("2026-11-23T08:10:00Z", "killed", 4700, 80 << 20)
STARVED = Ending("2026-11-23T08:10:00Z", "out_of_memory", 4700, 250 << 20, 256 << 20)


def flow(**more: object) -> Vitals:
    return replace(WELL, flows=(FlowVitals(DURABLE, **more),))


@pytest.mark.parametrize(
    ("vitals", "cause"),
    [
        (WELL, "unknown"),
        (replace(WELL, database="connection refused"), "database_away"),
        (replace(WELL, blocked=(LOCK,)), "blocked_by_lock"),
        (flow(stopped=True, trouble="KeyError('x')"), "code_is_wrong"),
        (replace(WELL, endings=(STARVED,)), "out_of_memory"),
        (replace(WELL, endings=(KILLED, KILLED)), "keeps_dying"),
        (replace(WELL, endings=(KILLED,)), "unknown"),
        (replace(WELL, flows=()), "not_consumed"),
        (flow(attempts=4), "poison_message"),
        (flow(attempts=3, in_hand_seconds=9.0), "long_batch"),
        (flow(trouble="LockNotAvailableError()"), "passing"),
    ],
)
def test_a_service_that_answers_tells_why_its_flow_stands(vitals: Vitals, cause: str) -> None:
    verdict = why_it_stands(FLOW, vitals, "", None)
    assert verdict.cause == cause
    assert verdict.told
    assert verdict.told_zh
    assert verdict.next_step


def test_a_consumer_that_was_paused_is_named_with_until_when() -> None:
    paused = replace(FLOW, paused_until="2026-11-24T08:00:00Z")
    verdict = why_it_stands(paused, WELL, "", None)
    assert verdict.cause == "paused"
    assert all(f"{DURABLE}" in told and "2026-11-24T08:00:00Z" in told for told in (verdict.told, verdict.told_zh))
    assert why_it_stands(paused, None, "gone", None).cause == "process_gone"


def test_what_hides_another_cause_is_named_first() -> None:
    both = replace(flow(trouble="timeout", attempts=9), blocked=(LOCK,))
    assert why_it_stands(FLOW, both, "", None).cause == "blocked_by_lock"
    assert why_it_stands(FLOW, replace(both, database="away"), "", None).cause == "database_away"


def test_a_lock_names_who_holds_it_and_how_to_end_it() -> None:
    verdict = why_it_stands(FLOW, replace(WELL, blocked=(LOCK,)), "", None)
    assert "pid 12, role finance_owner, psql, idle in transaction for 40 s" in verdict.told
    assert "pg_terminate_backend(12)" in verdict.next_step


OWN = Blocked(11, 1.0, "INSERT INTO voucher", 12, "finance_app", "tieout-finance", "active", 1.0)


@pytest.mark.parametrize(
    ("lock", "cause"),
    [
        (OWN, "long_batch"),
        (replace(OWN, waits_seconds=9.0), "blocked_by_lock"),
        (replace(OWN, by_seconds=40.0), "blocked_by_lock"),
        (replace(OWN, by_state="idle in transaction"), "blocked_by_lock"),
        (replace(OWN, by_application="psql"), "blocked_by_lock"),
        (replace(OWN, by_role="finance_owner"), "blocked_by_lock"),
        (replace(OWN, by_role="order_app", by_application="", by_state="", by_seconds=0.0), "blocked_by_lock"),
    ],
)
def test_a_batch_that_waits_a_moment_for_another_of_its_service_is_at_work(lock: Blocked, cause: str) -> None:
    vitals = replace(flow(in_hand_seconds=1.0), blocked=(lock,))
    verdict = why_it_stands(FLOW, vitals, "", None)
    assert verdict.cause == cause
    assert ("pg_terminate_backend" in verdict.next_step) == (cause == "blocked_by_lock")


def test_of_those_who_wait_for_each_other_the_one_is_named_who_waits_for_nobody() -> None:
    behind = Blocked(13, 9.9, "INSERT INTO voucher", 11, "finance_app", "tieout-finance", "active", 10.0)
    verdict = why_it_stands(FLOW, replace(WELL, blocked=(behind, OWN, LOCK)), "", None)
    assert "pg_terminate_backend(12)" in verdict.next_step


@pytest.mark.parametrize(
    ("silence", "before", "cause"),
    [
        ("gone", None, "process_gone"),
        ("hangs", None, "hangs"),
        ("gone", replace(WELL, endings=(STARVED,)), "out_of_memory"),
        ("gone", replace(WELL, endings=(KILLED, KILLED)), "keeps_dying"),
    ],
)
def test_a_service_that_does_not_answer_is_judged_by_how_it_is_silent(
    silence: str, before: Vitals | None, cause: str
) -> None:
    assert why_it_stands(FLOW, None, silence, before).cause == cause


def test_the_forecast_is_the_backlog_over_what_it_shrinks_by() -> None:
    track = Track()
    for second in range(11):
        pace = track.look(float(second), handled=second * 30, behind=1000 - second * 10)
    assert (pace.drained_per_second, pace.arriving_per_second, pace.done_in_seconds) == (30.0, 20.0, 90.0)


def test_a_backlog_that_does_not_shrink_has_no_end() -> None:
    track = Track()
    for second in range(11):
        pace = track.look(float(second), handled=second * 5, behind=100 + second)
    assert pace.done_in_seconds == NEVER
    assert track.look(11.0, handled=0, behind=50).done_in_seconds == 0.0, "a new consumer is too young for a forecast"
