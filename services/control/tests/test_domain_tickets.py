"""What people may do with a ticket, what its clock says, and what a dead letter means to them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from tieout.contracts.streams import FLOWS as DECLARED
from tieout.control.domain import tickets as rules
from tieout.control.domain.hours import Calendar, Clock, Deadline, spans_of
from tieout.control.domain.letters import FLOWS, Letter, affected, openings, title
from tieout.control.domain.opening import Affected
from tieout.control.domain.tickets import Refusal, Standing, Wish

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
OFFICE = Calendar("UTC", spans_of("08:00-16:00"))
CLOCKS = {
    1: Clock(Deadline(60, "wall"), OFFICE),
    2: Clock(Deadline(480, "working"), OFFICE),
    3: Clock(Deadline(600, "wall"), OFFICE),
}
OPEN = Standing("open", 1, "finance", "", NOW, NOW + HOUR)


def change(before: Standing, wish: Wish, now: datetime) -> Standing:
    return rules.change(before, wish, now, CLOCKS, {"finance", "inventory"})


def wish(action: str, **more: Any) -> Wish:
    return Wish(action, "li", **{"reason": "because", **more})  # type: ignore[arg-type]


def test_who_acknowledges_has_it() -> None:
    after = change(OPEN, wish("acknowledge", reason=""), NOW)
    assert (after.state, after.assignee, after.acknowledged_at) == ("acknowledged", "li", NOW)
    assert change(after, wish("acknowledge"), NOW + HOUR) == after


def test_the_clock_stands_while_a_ticket_waits() -> None:
    waiting = change(OPEN, wish("wait"), NOW)
    assert change(waiting, wish("wait"), NOW + HOUR) == waiting
    again = change(waiting, wish("reopen"), NOW + 3 * HOUR)
    assert (again.state, again.due_at, again.waiting_since) == ("open", OPEN.due_at + 3 * HOUR, None)


def test_a_clock_of_working_hours_stands_at_night_and_while_the_ticket_waits() -> None:
    monday = replace(OPEN, priority=2, due_at=NOW + 8 * HOUR)
    noon, tuesday = NOW + 4 * HOUR, NOW + 28 * HOUR
    waiting = change(monday, wish("wait"), noon)
    again = change(waiting, wish("acknowledge"), tuesday)
    assert (again.due_at, again.paused_seconds) == (tuesday + 4 * HOUR, 8 * 3600)
    urgent = change(again, wish("prioritise", priority=1), tuesday)
    assert urgent.due_at == NOW + HOUR + 8 * HOUR  # What it waited is not taken from it.
    late = change(replace(waiting, due_at=noon - HOUR), wish("acknowledge"), tuesday)
    assert late.due_at == noon - HOUR  # Overdue before it waited.


def test_a_resolved_ticket_that_is_opened_by_hand_starts_its_clock_anew() -> None:
    resolved = change(OPEN, wish("resolve"), NOW)
    assert change(resolved, wish("resolve"), NOW) == resolved
    again = change(resolved, wish("reopen"), NOW + 5 * HOUR)
    assert (again.state, again.opened_at, again.due_at) == ("open", NOW + 5 * HOUR, NOW + 6 * HOUR)


def test_a_ticket_is_muted_until_an_instant_that_is_ahead() -> None:
    after = change(OPEN, wish("mute", until=NOW + HOUR), NOW)
    assert (after.state, after.muted_until) == ("muted", NOW + HOUR)
    for until in (None, NOW, NOW + timedelta(days=91)):
        with pytest.raises(Refusal) as refused:
            change(OPEN, wish("mute", until=until), NOW)
        assert refused.value.field == "until"


def test_a_team_takes_a_ticket_over_from_the_person_who_had_it() -> None:
    taken = change(OPEN, wish("assign", to="Han Meimei"), NOW)
    assert (taken.owner, taken.assignee) == ("finance", "Han Meimei")
    moved = change(taken, wish("assign", to="@inventory"), NOW)
    assert (moved.owner, moved.assignee) == ("inventory", "")


def test_another_priority_is_another_deadline() -> None:
    after = change(OPEN, wish("prioritise", priority=3), NOW + HOUR)
    assert (after.priority, after.due_at) == (3, NOW + 10 * HOUR)


@pytest.mark.parametrize("action", ["wait", "resolve", "reopen", "mute", "comment", "prioritise"])
def test_a_change_needs_a_reason(action: str) -> None:
    with pytest.raises(Refusal) as refused:
        change(OPEN, wish(action, reason=" ", until=NOW + HOUR, priority=2), NOW)
    assert refused.value.field == "reason"


@pytest.mark.parametrize("action", ["acknowledge", "wait", "mute"])
def test_a_resolved_ticket_is_opened_again_before_anything_else(action: str) -> None:
    with pytest.raises(Refusal) as refused:
        change(replace(OPEN, state="resolved"), wish(action, until=NOW + HOUR), NOW)
    assert refused.value.code == "conflict"


def letter(**more: Any) -> Letter:
    given = {
        "id": "1",
        "at": "2026-11-23T08:00:00Z",
        "service": "finance",
        "flow": "finance-bill-shipments",
        "reason": "unknown_company",
        "detail": "C9 is not open.",
        "subject": "inventory.shipped.v1",
        "attempts": 1,
        "cause": "abc",
        "order_no": "1001",
        "company": "C1",
    }
    return Letter(**(given | more))


def test_every_flow_has_a_name_that_people_understand_in_both_languages() -> None:
    heard = {flow.durable for flow in DECLARED if not flow.durable.startswith("control-follow-")}
    assert heard - set(FLOWS) == set()
    assert all(any(sign >= "\u4e00" for sign in chinese) for _, chinese in FLOWS.values())


def test_a_title_says_what_failed_and_why() -> None:
    assert title(letter(field="company")) == (
        "Billing shipments: a company that is not set up (field company)",
        "发货开票记账：公司未建立（字段 company）",
    )


def body(**data: Any) -> str:
    return json.dumps({"specversion": "1.0", "data": data})


@pytest.mark.parametrize(
    ("told", "money"),
    [
        (body(currency="CNY", net_minor=100, tax_minor=13, lines=[{"net_minor": 100}]), ("CNY", 113)),
        (body(currency="EUR", amount_minor=-700), ("EUR", -700)),
        (
            body(currency="CNY", lines=[{"net_minor": 101, "from_micro": 0, "to_micro": 1, "ordered_micro": 2}]),
            ("CNY", 51),
        ),
        (body(currency="CNY", net_minor=10**200), ("", 0)),
        ("[" * 100_000, ("", 0)),
        ('{"data":' + "[" * 100_000, ("", 0)),
        ("", ("", 0)),
    ],
)
def test_the_money_of_a_letter_is_what_its_message_tells_and_nothing_where_it_cannot_be_read(
    told: str, money: tuple[str, int]
) -> None:
    assert affected(letter(body=told)) == [Affected("C1", "1001", *money)]


def test_an_order_number_is_found_in_the_message_where_its_envelope_could_not_be_read() -> None:
    found = affected(letter(order_no="", company="", body=body(order_no="77\0", company="C2")))
    assert found == [Affected("C2", "77\u2400")]
    wrong = json.dumps({"orderno": "78", "company": "C2", "data": {"lines": 1}})
    assert affected(letter(order_no="", company="", body=wrong)) == [Affected("C2", "78")]


def test_a_letter_is_found_by_its_own_number_and_by_each_order_that_its_document_names() -> None:
    refund = body(company="C1", number="R-1", order_number="1001", currency="CNY", paid_minor=300)
    assert affected(letter(order_no="", body=refund)) == [
        Affected("C1", "1001", "CNY", 300),
        Affected("C1", "R-1", paper=True),
    ]
    shares = [{"order_source": "web", "order_number": number} for number in ("1002", "1001")]
    payment = body(company="C1", number="P-1", allocations=shares, currency="CNY", received_minor=900)
    assert affected(letter(order_no="", body=payment)) == [
        Affected("C1", "1001"),
        Affected("C1", "1002"),
        Affected("C1", "P-1", "CNY", 900, paper=True),
    ]
    order = letter(order_no="", subject="order.submit.v1", body=body(company="C1", number="1003"))
    assert affected(order) == [Affected("C1", "1003")]


def test_letters_of_one_cause_are_one_opening_and_the_newest_speaks() -> None:
    newer = letter(at="2026-11-23T09:00:00Z", order_no="1002", detail="C8 is not open.")
    (opening,) = openings([("dead_letter:x", newer), ("dead_letter:x", letter())])
    assert (opening.count, opening.detail, opening.service) == (2, "C8 is not open.", "finance")
    assert (opening.first_at, opening.last_at) == (NOW, NOW + HOUR)
    assert [order.order_no for order in opening.orders] == ["1002", "1001"]
