"""What people see of the quarantine, and which mistakes at the keyboard are told before anything is asked."""

import argparse
import io
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest
from rich.console import Console
from tieout.contracts.gateway import (
    CommandView,
    Decided,
    Dismissed,
    DocumentView,
    Quarantined,
    QuarantineGroup,
    QuarantinePage,
    Refusal,
)
from tieout.devstack import quarantine
from tieout.devstack.failures import CommandFailed

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ID = UUID("01a0a0a0-0000-7000-8000-000000000010")


def shown(render, *arguments):
    console = Console(file=io.StringIO(), width=200)
    render(*arguments, console)
    return console.file.getvalue()


def test_the_list_names_reason_field_and_the_next_step():
    entry = Quarantined(1, ID, "till", "tieout", "", AT, AT, "unknown_sku", "lines[0].sku", "no article 'Z'", "order")
    told = shown(quarantine.render, [entry], 1)
    for word in ("1 wait", "till", "unknown_sku", "lines[0].sku", "no article 'Z'", str(ID), "quarantine show"):
        assert word in told
    assert "Nothing is in quarantine" in shown(quarantine.render, [], 0)


def test_a_choice_that_finds_nothing_does_not_call_the_quarantine_empty():
    console = Console(file=io.StringIO())
    quarantine.render([], 0, console, chosen=True)
    assert "Nothing of that choice" in console.file.getvalue()


def test_without_an_action_the_quarantine_is_listed():
    assert (parsed().action, parsed().all, parsed().json) == ("list", False, False)
    assert parsed("list", "--json", "--all").json


def test_a_document_is_shown_with_its_bytes_its_refusals_and_what_became_of_it():
    refusal = Refusal(AT, "bad_currency", "currency", "[b]no markup[/b]", LATER, "corrected", "staff", "typo", ID)
    command = CommandView("order", "7", "C1", str(ID), 3, AT.date(), 1, 1_000_000, 5)
    view = DocumentView(
        ID, "corrected", "till", "tieout", "", AT, 12, '{"kind":"order"}', commands=(command,), refusals=(refusal,)
    )
    told = shown(quarantine.render_document, view)
    words = (
        "bad_currency currency: [b]no markup[/b]",
        f"2026-11-23 09:30:00 corrected by {ID} (staff) typo",
        "became order 7 of C1",
        '"kind": "order"',
    )
    for word in words:
        assert word in told


def test_a_document_goes_into_a_file_byte_for_byte():
    raw = "number;sku\n" + "x" * 300 + "\tend"
    view = DocumentView(ID, "quarantined", "till", "csv", "", AT, len(raw), raw)
    console = Console(file=io.StringIO(), width=80)
    quarantine.render_document(view, console)
    assert console.file.getvalue().endswith(f"\n{raw}\n")


def test_after_a_correction_is_told_what_became_of_it(monkeypatch, tmp_path, capsys):
    fixed = tmp_path / "fixed.json"
    fixed.write_text("{}")
    monkeypatch.setattr(quarantine.questions, "post", lambda *_: Decided(ID))
    refusal = Refusal(AT, "bad_currency", "currency", "'NIX' is no currency")
    command = CommandView("order", "7", "C1", str(ID), 3, AT.date(), 1, 1_000_000, 5)
    refused = DocumentView(ID, "quarantined", "till", "tieout", "", AT, 2, "", refusals=(refusal,))
    mapped = DocumentView(ID, "mapped", "till", "tieout", "", AT, 2, "", commands=(command,))
    pending = DocumentView(ID, "pending", "till", "tieout", "", AT, 2, "")
    for views, code, sentence in (
        ([pending, refused], 1, "The correction was quarantined too: bad_currency currency: 'NIX' is no currency."),
        ([pending, mapped], 0, "It became order 7 of C1."),
    ):
        answers = iter(views)
        monkeypatch.setattr(quarantine.questions, "get", lambda *_, answers=answers: next(answers))
        assert quarantine.run(parsed("correct", str(ID), "--file", str(fixed))) == code
        assert sentence in capsys.readouterr().out


def parsed(*words):
    parser = argparse.ArgumentParser()
    quarantine.add_arguments(parser)
    arguments = parser.parse_args(words)
    arguments.dir = None
    return arguments


def test_mistakes_are_told_before_anything_is_asked():
    with pytest.raises(CommandFailed, match="is no intake id"):
        quarantine.run(parsed("show", "../etc"))
    with pytest.raises(CommandFailed, match="cannot be read"):
        quarantine.run(parsed("correct", str(ID), "--file", "/no/such/file"))
    for action in (("resubmit",), ("dismiss", "--note", "tests")):
        with pytest.raises(CommandFailed, match="choose with --satellite, --reason or --field"):
            quarantine.run(parsed(*action))
        with pytest.raises(CommandFailed, match="not both"):
            quarantine.run(parsed(*action, str(ID), "--reason", "unknown_sku"))
    with pytest.raises(SystemExit):
        parsed("dismiss", str(ID))


GROUPS = (
    QuarantineGroup("till", "unknown_sku", "lines[].sku", 1200, AT),
    QuarantineGroup("shop", "bad_currency", "currency", 3, AT),
)


def test_a_long_list_begins_with_how_many_wait_for_what():
    entry = Quarantined(1, ID, "till", "tieout", "", AT, AT, "unknown_sku", "lines[0].sku", "no article 'Z'", "order")
    console = Console(file=io.StringIO(), width=80)
    quarantine.render([entry], 1203, console, groups=GROUPS)
    lines = console.file.getvalue().splitlines()
    assert lines[:4] == [
        "1,203 wait for a decision",
        "  1,200  till  unknown_sku lines[].sku",
        "      3  shop  bad_currency currency",
        "",
    ]
    console = Console(file=io.StringIO(), width=80)
    quarantine.render([entry], 3, console, groups=GROUPS[1:])
    assert "shop" not in console.file.getvalue()  # Three are looked at one by one.


class Answering:
    """A gateway with 1,203 documents of a choice, of which somebody else decides three meanwhile."""

    def __init__(self, monkeypatch, waiting=1203):
        self.asked, self.left = [], [1000, 200, 0]
        page = QuarantinePage((), waiting, 0, 77, GROUPS)
        monkeypatch.setattr(quarantine.questions, "get", lambda *_: page)
        monkeypatch.setattr(quarantine.questions, "post", self.post)

    def post(self, _folder, path, _answer, body):
        self.asked.append((path, body))
        return Dismissed(self.left.pop(0))


def test_all_of_a_choice_are_dismissed_after_their_number_was_shown(monkeypatch, capsys):
    gateway = Answering(monkeypatch)
    choice = ("--satellite", "till", "--reason", "unknown_sku", "--field", "lines[].sku", "--note", "tests of the till")
    assert quarantine.run(parsed("dismiss", *choice, "--yes")) == 0
    told = capsys.readouterr().out
    assert told.startswith("1,203 documents would stay out of the books:\n  1,200  till  unknown_sku lines[].sku")
    assert "1,200 documents stay out of the books. The others were decided by somebody else" in told
    path, body = gateway.asked[0]
    assert (path, len(gateway.asked)) == ("/v1/quarantine/dismiss", 3)
    assert (body["field"], body["upto"]) == ("lines[].sku", 77)  # Nothing that came after the preview.


def test_nobody_dismisses_a_choice_by_accident(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    gateway = Answering(monkeypatch)
    with pytest.raises(CommandFailed, match="give --yes"):
        quarantine.run(parsed("dismiss", "--reason", "unknown_sku", "--note", "tests"))
    assert "1,203 documents would stay" in capsys.readouterr().out
    Answering(monkeypatch, waiting=0)
    assert quarantine.run(parsed("dismiss", "--reason", "unknown_sku", "--note", "tests")) == 0
    assert gateway.asked == []
