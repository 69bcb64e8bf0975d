"""Each check says what is so; and where something is not well, why it matters and what to do."""

import pytest
from msgspec.structs import replace
from tieout.contracts.control import FlowState, ServiceStatus
from tieout.contracts.finance import StandingSum
from tieout.contracts.operation import Health
from tieout.contracts.watch import Blocked, Check, Ending, FlowVitals, TableSize, Vitals
from tieout.control.domain import checks

WELL = Vitals("order", "1", "host", 1, "2026-11-23T08:00:00Z", 60 << 20, 256 << 20)
HEALTH = Health("order", "1", 1, True, 60 << 20, "2026-11-23T08:00:00Z")
FLOW = FlowState("order-place-orders", "GATEWAY", waiting=0, unacked=0, floor=9)


def by(**changes: object) -> dict[str, Vitals]:
    return {"order": replace(WELL, **changes)}


FOUND = [
    (checks.services([ServiceStatus("order", up=True)]), "ok"),
    (checks.services([ServiceStatus("order", up=False)]), "wrong"),
    (checks.databases(by()), "ok"),
    (checks.databases(by(database="refused")), "wrong"),
    (checks.databases(by(database_ms=900.0)), "look"),
    (checks.durability(by()), "ok"),
    (checks.durability(by(unsafe=("fsync", "synchronous_commit"))), "wrong"),
    (checks.locks(by()), "ok"),
    (checks.locks(by(blocked=(Blocked(1, 20.0, "x", 2, "order_owner"),))), "wrong"),
    (checks.locks(by(blocked=(Blocked(1, 3.0, "x", 2, "order_owner"),))), "look"),
    (checks.locks(by(blocked=(Blocked(1, 0.1, "x", 2, "order_app"),))), "ok"),
    (checks.locks(by(blocked=(Blocked(1, 3.0, "x", 2, "order_app", "tieout-order", "active", 3.0),))), "ok"),
    (checks.stopped(by(flows=(FlowVitals("order-place-orders", stopped=True, trouble="KeyError"),))), "wrong"),
    (checks.lag([FLOW]), "ok"),
    (checks.lag([replace(FLOW, waiting=9, done_in_seconds=4.0, drained_per_second=3.0)]), "ok"),
    (checks.lag([replace(FLOW, waiting=9, done_in_seconds=4000.0)]), "look"),
    (checks.lag([replace(FLOW, waiting=9, done_in_seconds=-1.0)]), "look"),
    (checks.outboxes([HEALTH]), "ok"),
    (checks.outboxes([replace(HEALTH, outbox_waiting=2, outbox_oldest_seconds=60.0)]), "wrong"),
    (checks.approvals((), 0.0), "ok"),
    (checks.approvals((StandingSum("CNY", 1, 70, 0),), 60.0), "look"),
    (checks.dead_letters(0, 0), "ok"),
    (checks.dead_letters(3, 0), "look"),
    (checks.dead_letters(3, 1), "wrong"),
    (checks.tickets(0, 0), "ok"),
    (checks.tickets(1, 0), "look"),
    (checks.tickets(2, 1), "wrong"),
    (checks.parked(by(), [replace(HEALTH, parked=4)]), "ok"),
    (checks.parked(by(parked_oldest_seconds=200_000.0), [replace(HEALTH, parked=4)]), "look"),
    (checks.findings([replace(HEALTH, findings=1)]), "wrong"),
    (checks.findings([replace(HEALTH, scrub_failed="UndefinedTableError: tamper")]), "wrong"),
    (checks.findings([replace(HEALTH, unchecked=("stock_is_the_sum_of_its_moves",))]), "wrong"),
    (checks.findings([HEALTH]), "ok"),
    (checks.memory(by()), "ok"),
    (checks.memory(by(memory_bytes=240 << 20)), "look"),
    (checks.endings(by()), "ok"),
    (checks.endings(by(endings=(Ending("", "killed", 1),))), "look"),
    (checks.endings(by(endings=(Ending("", "out_of_memory", 1),))), "wrong"),
    (checks.quarantine(2), "look"),
    (checks.streams({"ORDER": 5 << 30}, {}, 0), "ok"),
    (checks.streams({"ORDER": None, "FINANCE": 7}, {"ORDER": "2026-11-23T08:00:00.5Z"}, 0), "wrong"),
    (checks.streams({"ORDER": 5 << 30}, {}, 6 << 30), "look"),
    (checks.tables(by(tables=(TableSize("open_item", 1 << 30, 10_000, 900_000),))), "look"),
    (checks.tables(by(tables=(TableSize("open_item", 1 << 30, 5_000_000, 900_000),))), "ok"),
]


@pytest.mark.parametrize(("check", "state"), FOUND, ids=lambda value: value.name if isinstance(value, Check) else value)
def test_a_check_tells_its_state_and_what_to_do(check: Check, state: str) -> None:
    assert check.state == state
    assert check.found
    assert bool(check.why) is bool(check.next_step) is (state != "ok")


def test_nobody_is_told_to_add_a_replica_of_what_stands_still() -> None:
    grows = replace(FLOW, waiting=9, done_in_seconds=-1.0, drained_per_second=0.0, arriving_per_second=4.0)
    assert "replica" in checks.lag([grows]).next_step
    up, away = ServiceStatus("order", up=True), ServiceStatus("order", up=False)
    stopped = by(flows=(FlowVitals(FLOW.durable, stopped=True, trouble="KeyError"),))
    assert checks.hampered([up], (), by(), [grows]) == set()
    for states, vitals in (([away], by()), ([up], stopped)):
        told = checks.lag([grows], checks.hampered(states, (), vitals, [grows]))
        assert told.state == "look"
        assert "replica" not in told.next_step


def test_a_forecast_is_told_in_words() -> None:
    assert checks.forecast(replace(FLOW, waiting=9, done_in_seconds=7200.0, drained_per_second=2.5)) == (
        "done in about 2 hours at 2.5/s"
    )
    grows = replace(FLOW, waiting=9, done_in_seconds=-1.0, drained_per_second=1.0, arriving_per_second=4.0)
    assert checks.forecast(grows) == "4/s arrive and 1/s are handled"


def test_count_differences_that_wait_are_told_with_number_amount_and_age():
    sums = (StandingSum("CNY", 262, 123_450, 3000, unasked=261), StandingSum("EUR", 1, 0, 500, unasked=1))
    told = checks.approvals(sums, 3 * 86_400.0)
    assert told.found == (
        "263 counts stand on 1901 (1,234.50 CNY missing, 30.00 CNY found, 5.00 EUR found), the oldest for 3 days; "
        "for 262 of them nobody has asked for an approval."
    )
    assert told.next_step == "./tieout approvals"
    assert "1 count stands" in checks.approvals((StandingSum("CNY", 1, 70, 0),), 60.0).found


def test_a_stream_that_does_not_exist_is_named_with_what_happens_next() -> None:
    told = checks.streams({"ORDER": None, "FINANCE": 7}, {"ORDER": "2026-11-23T08:00:00.5Z"}, 0)
    assert told.found == "Streams that do not exist: ORDER (since 2026-11-23T08:00:00Z)."
    assert "makes it anew" in told.why
    assert "./tieout logs order" in told.next_step
