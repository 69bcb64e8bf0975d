"""What people see of tokens, and which mistakes at the keyboard are told before anything is asked."""

import argparse
import io
from datetime import UTC, datetime

import pytest
from rich.console import Console
from tieout.contracts.access import TokenMade, TokenView
from tieout.devstack import questions, tokens
from tieout.devstack.failures import CommandFailed
from tieout.devstack.moments import moment

AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def parsed(*words):
    parser = argparse.ArgumentParser()
    tokens.add_arguments(parser)
    arguments = parser.parse_args(words)
    arguments.dir = None
    return arguments


def test_the_list_names_who_what_and_until_when():
    console = Console(file=io.StringIO(), width=200)
    tokens.render(
        (
            TokenView("li", "Li Lei", ("read", "write"), "valid", AT, "admin", expires_at=AT),
            TokenView("old", "robot", ("read",), "revoked", AT, "admin", revoked_at=AT, revoked_by="Li Lei"),
        ),
        console,
    )
    told = console.file.getvalue()
    for word in ("li  valid  Li Lei", "read, write", f"ends {moment(AT)}", "old  revoked  robot", "by Li Lei"):
        assert word in told


def test_without_an_action_tokens_are_listed():
    assert (parsed().action, parsed().all, parsed().json) == ("list", False, False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "li", "--actor", "Li", "--scopes", "all"), "--scopes"),
        (("create", "l i", "--actor", "Li"), "no name of a token"),
        (("create", "li", "--actor", "Li", "--days", "-1"), "--days"),
        (("create", "li", "--actor", "Li", "--days", "0"), "--days takes 1 to 3650"),
        (("rotate", "li", "--days", "0"), "--days takes 1 to 3650"),
        (("revoke", "../satellites"), "no name of a token"),
        (("rotate", "a/b"), "no name of a token"),
    ],
)
def test_mistakes_are_told_before_anything_is_asked(words, told):
    with pytest.raises(CommandFailed, match=told):
        tokens.run(parsed(*words))


def test_only_the_secret_goes_to_standard_output(monkeypatch, capsys):
    made = TokenMade(TokenView("li", "Li Lei", ("read",), "valid", AT, "admin"), "tieout_secret")
    monkeypatch.setattr(questions, "post", lambda *_: made)
    assert tokens.run(parsed("create", "li", "--actor", "Li Lei")) == 0
    out, err = capsys.readouterr()
    assert out == "tieout_secret\n"
    assert "Li Lei" in err
