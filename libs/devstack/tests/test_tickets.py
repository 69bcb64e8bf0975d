"""What people see of tickets, and which mistakes at the keyboard are told before anything is asked."""

import argparse
import io
from datetime import timedelta

import pytest
from rich.console import Console
from tieout.contracts.ticket import (
    DeadLetterStory,
    Money,
    Ticket,
    TicketChanged,
    TicketLetter,
    TicketOrder,
    Tickets,
    TicketStep,
    TicketStory,
)
from tieout.devstack import questions, tickets

AT = "2026-11-23T08:00:00Z"
TICKET = Ticket(
    7,
    "dead_letter",
    "dead_letter:x",
    "Billing shipments: an article",
    "发货开票记账：商品未建立",
    "open",
    2,
    "finance",
    12_000,
    1,
    AT,
    AT,
    AT,
    AT,
    overdue=True,
    orders=12_000,
    money=(Money("CNY", 1_234_550), Money("JPY", 100)),
    runbook="DeadLetters",
)


def shown(render, *arguments):
    console = Console(file=io.StringIO(), width=200)
    render(*arguments, console)
    return console.file.getvalue()


def parsed(*words):
    parser = argparse.ArgumentParser()
    tickets.add_arguments(parser)
    arguments = parser.parse_args(words)
    arguments.dir = None
    return arguments


def test_the_list_says_what_whom_how_much_and_the_next_step():
    told = shown(tickets.render, Tickets((TICKET,), found=3, total=3, overdue=1))
    assert "3 tickets stand, 1 overdue" in told
    for word in ("P2", "发货开票记账", "@finance", "12,000 orders", "12,345.50 CNY", "100 JPY"):
        assert word in told
    assert "tickets show" in told
    assert "No ticket stands" in shown(tickets.render, Tickets(()))


def test_the_head_of_a_filtered_list_counts_what_is_listed_and_says_of_how_many():
    assert "1 ticket of 7 in all stands\n" in shown(tickets.render, Tickets((TICKET,), found=1, total=7))
    assert "No such ticket, of 7 in all." in shown(tickets.render, Tickets((), total=7))


def test_a_ticket_is_shown_with_its_history_orders_and_letters():
    story = TicketStory(
        TICKET,
        (TicketStep(AT, "acknowledged", "Li Lei", "[b]mine[/b]"),),
        (TicketOrder("C1", "1001", "CNY", 900), TicketOrder("C1", "R-77", paper=True)),
        (TicketLetter(3, AT, "1001", detail="There is no article A-1."),),
    )
    told = shown(tickets.render_story, story)
    for word in (
        "acknowledged by Li Lei: [b]mine[/b]",
        "orders: C1 1001 (9.00 CNY)\n",
        "other documents: C1 R-77\n",
        "letter 3",
        "docs/runbooks/DeadLetters.md",
    ):
        assert word in told
    assert "11,999 more" in told


def test_a_letter_is_shown_with_its_attempts_headers_and_its_original():
    letter = DeadLetterStory(
        number=3,
        ticket=7,
        id="id",
        at=AT,
        service="finance",
        version="1.2",
        flow="finance-bill-shipments",
        subject="inventory.shipped.v1",
        stream="INVENTORY",
        sequence=9,
        reason="unreadable",
        attempts=2,
        cause="abc",
        fingerprint="def",
        tries=(AT, AT),
        headers={"Content-Type": "x"},
        body='{"a":1}',
    )
    told = shown(tickets.render_letter, letter)
    for word in ("version 1.2", "INVENTORY sequence 9", "2: 2026", "Content-Type: x", '"a": 1'):
        assert word in told


def test_a_letter_whose_message_nobody_can_parse_is_shown_as_it_came():
    letter = DeadLetterStory(
        3, 7, "id", AT, "finance", "1", "f", "s", "INVENTORY", 9, "unreadable", 1, "abc", "def", body="[" * 100_000
    )
    assert "[[[[" in shown(tickets.render_letter, letter)


def test_without_an_action_the_tickets_are_listed():
    assert (parsed().action, parsed().all) == ("list", False)
    assert parsed("mute", "7", "--for", "8h", "--reason", "known").span == timedelta(hours=8)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "x"),
        ("show", "0"),
        ("resolve", "7"),
        ("mute", "7", "--for", "soon", "--reason", "x"),
        ("assign", "7"),
        ("priority", "7", "--to", "5", "--reason", "x"),
    ],
)
def test_a_mistake_at_the_keyboard_is_told_before_anything_is_asked(words, capsys):
    with pytest.raises(SystemExit):
        parsed(*words)
    assert "error" in capsys.readouterr().err


def test_a_change_is_asked_for_with_its_reason(monkeypatch, capsys):
    asked = []

    def post(folder, path, answer, body):
        asked.append((path, body))
        return TicketChanged(TICKET, repeated=True)

    monkeypatch.setattr(questions, "post", post)
    assert tickets.run(parsed("priority", "7", "--to", "1", "--reason", "month end")) == 0
    assert asked == [("/v1/tickets/7/prioritise", {"reason": "month end", "priority": 1})]
    assert "It was so already" in capsys.readouterr().out
