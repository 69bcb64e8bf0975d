"""How long after its document a voucher stands, whichever notice is heard first."""

from tieout.control.domain.journey import HeardStep
from tieout.control.domain.objective import HELD_SECONDS, Ended, Objective
from tieout.control.retelling import journey_steps

SUBMIT, CONFIRM, VOUCHER = "order.submit.v1", "inventory.confirm.v1", "finance.receivable_opened.v1"


def test_a_voucher_is_measured_from_its_order_and_counted_once() -> None:
    objective = Objective(30)
    objective.hear("gateway", 100, [SUBMIT, SUBMIT], ["a", "b"], 0)
    objective.hear("finance", 101, [VOUCHER, "finance.payment_applied.v1"], ["a", "a"], 0)
    objective.hear("finance", 131, [VOUCHER], ["b"], 0)
    assert objective.judged(HELD_SECONDS + 1) == [Ended("a", 100, 101), Ended("b", 100, 131)]
    assert objective.judged(HELD_SECONDS + 1) == []
    assert (objective.ended, objective.late) == (2, 1)


def test_the_days_in_which_a_warehouse_had_it_are_nobodys_delay() -> None:
    objective = Objective(30)
    objective.hear("gateway", 0, [SUBMIT], ["a"], 0)
    objective.hear("gateway", 100_000, [CONFIRM], ["a"], 0)
    objective.hear("finance", 100_001, [VOUCHER], ["a"], 0)
    assert objective.judged(HELD_SECONDS + 1) == [Ended("a", 100_000, 100_001)]
    assert objective.late == 0


def test_a_voucher_waits_a_moment_for_what_the_gateway_said_before_it() -> None:
    objective = Objective(30)
    objective.hear("gateway", 0, [SUBMIT], ["a"], 0)
    objective.hear("finance", 100_001, [VOUCHER], ["a"], 0)  # The confirmation's notice is behind.
    assert objective.judged(1) == []
    objective.hear("gateway", 100_000, [CONFIRM], ["a"], 1)
    objective.hear("gateway", 100_002, [SUBMIT], ["b"], 1)
    assert objective.judged(1) == [Ended("a", 100_000, 100_001)]


def test_a_voucher_whose_document_nobody_heard_of_is_no_sample() -> None:
    objective = Objective(30)
    objective.hear("finance", 5, [VOUCHER], ["a"], 0)
    assert objective.judged(HELD_SECONDS + 1) == []
    assert objective.ended == 0


def test_a_journey_becomes_spans_from_each_cause_to_its_effect() -> None:
    def step(kind: str, producer: str, event: str, cause: str, second: int) -> HeardStep:
        return HeardStep("c", event, kind, producer, f"2026-11-23T08:00:{second:02}Z", 1, "1001", "C1", cause, 0)

    heard = [step("order.placed.v1", "order", "b", "a", 40), step("order.submit.v1", "gateway", "a", "", 0)]
    steps = journey_steps(heard, "late")
    placed, submit = steps
    assert (placed.parent, (placed.ended - placed.began).total_seconds()) == ("a", 40)
    assert submit.began == submit.ended == placed.began
    assert placed.attributes["service.peer.name"] == "tieout-order"
    assert all(one.attributes["tieout.reconstructed"] and one.attributes["order.no"] == "1001" for one in steps)
