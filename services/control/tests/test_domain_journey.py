"""Steps of several services become one tree that reads from cause to effect."""

import pytest
from tieout.contracts.operation import MoneyStanding, TrailEntry
from tieout.control.domain.journey import HeardStep, chains_by_journey, tell, verb


def heard(
    event_id: str, event_type: str, second: float, *, cause: str = "", chain: str = "o1", company: str = "C1"
) -> HeardStep:
    producer = "gateway" if "submit" in event_type or "pay." in event_type else event_type.split(".")[0]
    at = f"2026-11-23T08:00:{second:06.3f}Z"
    return HeardStep(chain, event_id, event_type, producer, at, 1, "1001", company, cause, 0)


STEPS = [
    heard("d", "finance.receivable_opened.v1", 0.5, cause="c"),
    heard("a", "order.submit.v1", 0.0),
    heard("b", "order.placed.v1", 0.1, cause="a"),
    heard("c", "inventory.shipped.v1", 0.25, cause="b"),
    heard("e", "order.completed.v1", 0.3, cause="c"),
]


def test_parents_come_before_children_and_each_step_says_how_long_it_took() -> None:
    journey = tell("1001", "C1", "o1", STEPS, {})
    assert [(s.depth, s.step, s.after_ms, s.since_start_ms) for s in journey.steps] == [
        (0, "submit", 0.0, 0.0),
        (1, "placed", 100.0, 100.0),
        (2, "shipped", 150.0, 250.0),
        (3, "completed", 50.0, 300.0),
        (3, "receivable opened", 250.0, 500.0),
    ]
    assert (journey.duration_ms, journey.trace_id) == (500.0, "o1")


def test_a_duplicate_that_comes_later_does_not_make_the_order_take_longer() -> None:
    again = [
        TrailEntry(at="2026-11-23T08:01:06Z", step="received", document="1001"),
        TrailEntry(at="2026-11-23T08:01:06Z", step="handed over", document="1001", event_id="x"),
    ]
    known = TrailEntry(at="2026-11-23T08:01:06.1Z", step="duplicate", document="1001", cause_id="x")
    journey = tell("1001", "C1", "o1", STEPS, {"gateway": again, "order": [known]})
    assert (journey.duration_ms, journey.ended_at) == (500.0, "2026-11-23T08:00:00.500000Z")
    assert max(step.since_start_ms for step in journey.steps) == 66_100
    only = tell("1001", "C1", "o1", [], {"gateway": again})
    assert only.ended_at == "2026-11-23T08:01:06Z"


def test_what_the_books_say_of_an_event_fills_in_its_step() -> None:
    entry = TrailEntry(
        at="2026-11-23T08:00:00.5Z",
        step="billed",
        event_id="d",
        voucher_no="记-2026-11-000001",
        amount_minor=11300,
        currency="CNY",
        attempts=2,
    )
    journey = tell("1001", "C1", "o1", STEPS, {"finance": [entry]})
    billed = next(step for step in journey.steps if step.event_id == "d")
    assert (billed.step, billed.amount_minor, billed.attempts) == ("billed", 11300, 2)
    assert journey.vouchers == ("记-2026-11-000001",)
    assert len(journey.steps) == len(STEPS)


def test_what_only_the_books_know_stands_below_its_cause() -> None:
    received = TrailEntry(at="2026-11-23T07:59:59Z", step="received", document="1001")
    reserved = TrailEntry(at="2026-11-23T08:00:00.2Z", step="reserved", cause_id="b")
    journey = tell("1001", "C1", "o1", STEPS, {"gateway": [received], "inventory": [reserved]})
    assert [(s.depth, s.service, s.step) for s in journey.steps][:4] == [
        (0, "gateway", "received"),
        (0, "gateway", "submit"),
        (1, "order", "placed"),
        (2, "inventory", "reserved"),
    ]
    assert journey.began_at == "2026-11-23T07:59:59Z"


def test_a_service_that_names_the_event_of_another_tells_a_step_of_its_own() -> None:
    noted = TrailEntry(at="2026-11-23T08:00:00.4Z", step="noted", event_id="c")
    journey = tell("1001", "C1", "o1", STEPS, {"order": [noted]})
    steps = [(s.depth, s.service, s.step) for s in journey.steps]
    assert (3, "order", "noted") in steps
    assert (2, "inventory", "shipped") in steps


def test_a_step_whose_cause_is_unknown_or_goes_in_a_ring_is_told_all_the_same() -> None:
    ring = [heard("x", "order.placed.v1", 1, cause="y"), heard("y", "inventory.shipped.v1", 2, cause="x")]
    lost = heard("z", "finance.settled.v1", 3, cause="never heard")
    journey = tell("1001", "C1", "o1", [*ring, lost], {})
    assert sorted(step.event_id for step in journey.steps) == ["x", "y", "z"]


def test_a_thousand_steps_in_a_row_do_not_end_at_the_stack() -> None:
    row = [heard("0", "order.submit.v1", 0)]
    row += [heard(str(n), "inventory.reserved.v1", n / 1000, cause=str(n - 1)) for n in range(1, 3000)]
    assert tell("1001", "C1", "o1", row, {}).steps[-1].depth == 2999


def test_nothing_known_is_no_journey() -> None:
    with pytest.raises(ValueError, match="1001"):
        tell("1001", "C1", "o1", [], {})


def test_a_payment_joins_the_one_order_of_its_company_and_number() -> None:
    payment = heard("p", "finance.pay.v1", 2, chain="pay1")
    elsewhere = heard("q", "order.placed.v1", 2, chain="o9", company="C2")
    assert chains_by_journey([*STEPS, payment, elsewhere]) == {("C1", "o1"): ["o1", "pay1"], ("C2", "o9"): ["o9"]}


def test_where_two_satellites_use_one_number_only_a_cause_tells_whose_payment_it_is() -> None:
    second = heard("b2", "order.placed.v1", 1, chain="o2")
    settled = heard("s", "finance.settled.v1", 2, chain="pay1", cause="b2")
    stray = heard("t", "finance.pay.v1", 2, chain="pay2")
    assert chains_by_journey([*STEPS, second, settled, stray]) == {
        ("C1", "o1"): ["o1"],
        ("C1", "o2"): ["o2", "pay1"],
        ("C1", "pay2"): ["pay2"],
    }


def test_a_type_reads_as_words() -> None:
    assert verb("order.cancel_requested.v1") == "cancel requested"


def test_a_journey_without_an_order_tells_what_it_is_of() -> None:
    assert tell("1001", "C1", "o1", STEPS, {}).papers == ()
    paid = heard("p", "finance.pay.v1", 0.0, chain="d1")
    handed = TrailEntry("2026-11-23T08:00:00Z", "handed over", "P1", event_id="p", detail="payment")
    journey = tell("1001", "C1", "d1", [paid], {"gateway": [handed]})
    assert [(one.kind, one.number) for one in journey.papers] == [("payment", "P1")]
    refused = TrailEntry("2026-11-23T08:00:00Z", "quarantined", "1001", detail="unknown_sku")
    assert [one.kind for one in tell("1001", "", "0", [], {"gateway": [refused]}).papers] == ["refused"]
    posted = TrailEntry("2026-11-23T08:00:00Z", "posted", "B1", voucher_no="记-2026-11-000001")
    assert [one.number for one in tell("B1", "C1", "d1", [], {"finance": [posted]}).papers] == ["记-2026-11-000001"]
    assert [one.kind for one in tell("1001", "C1", "d1", [paid], {}).papers] == ["document"]


def test_an_orders_journey_has_its_own_money_and_not_what_a_payment_of_it_holds_for_its_customer() -> None:
    own = MoneyStanding("CNY", 100, 100, 0, 0, 0)
    customers = MoneyStanding("CNY", 7, 0, 7, 0, 0, customer="K1")
    assert tell("1001", "C1", "o1", STEPS, {}, [own, customers, own]).money == (own,)
    paid = heard("p", "finance.pay.v1", 0.0, chain="d1")
    assert tell("P1", "C1", "d1", [paid], {}, [customers]).money == (customers,)
