import io
import os
import subprocess
import sys

import httpx
import nats.errors
import pytest
from rich.table import Table
from rich.text import Text
from tieout.devstack.cli import main
from tieout.devstack.terminal import Screen, visible
from tieout.devstack.wording import counted, why_silent


def test_what_would_steer_the_terminal_is_shown_as_a_sign():
    assert visible("\x1b]0;mine\x07 a\u202eb \x9b31m\rc\n对账") == "␛]0;mine␇ a\ufffdb \ufffd31m␍c\n对账"


def test_a_screen_obeys_its_own_styles_only():
    out = io.StringIO()
    screen = Screen(file=out, force_terminal=True, width=60)
    table = Table("number")
    table.add_row(Text("1001\x1b[31m"))
    screen.print(table)
    screen.print(Text("1002\x1b[32m", style="bold"))
    shown = out.getvalue()
    assert "\x1b[1m" in shown
    assert "\x1b[31m" not in shown
    assert "\x1b[32m" not in shown
    assert "1001␛[31" in shown


def test_a_command_that_people_are_told_to_run_is_never_broken_in_the_middle():
    console = Screen(file=io.StringIO(), width=40)
    command = "./tieout quarantine show 01a2081c-337b-76b9-9ec1-0739a6000000 --dir '/tmp/a stack'"
    console.print(f"Look at one with: {command}", style="dim")
    console.print(Text(f"Next: {command}"))
    console.print("many words " * 8)
    told = console.file.getvalue()
    assert told.count(command) == 2
    assert max(map(len, told.splitlines()[2:])) <= 40


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "no answer in time"),
        (nats.errors.TimeoutError(), "no answer in time"),
        (httpx.ReadTimeout(""), "no answer in time"),
        (httpx.ConnectError("[Errno 111] Connection refused"), "connection refused"),
        (httpx.ReadError(""), "the connection ended"),
        (nats.errors.NoServersError(), "no servers available for connection"),
    ],
)
def test_who_does_not_answer_is_told_in_words_and_not_by_the_name_of_an_error(error, told):
    assert why_silent(error) == told


def test_a_server_that_is_suspended_is_told_in_a_sentence_with_the_next_step(monkeypatch, tmp_path, capsys):
    def hang(arguments):
        raise TimeoutError

    monkeypatch.setattr("tieout.devstack.status.run", hang)
    assert main(["status", "--dir", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "does not answer (no answer in time). What is wrong: " in told
    assert "tieout doctor" in told


def test_one_of_a_thing_is_one_and_not_ones():
    assert [counted(n, "order") for n in (0, 1, 1000)] == ["0 orders", "1 order", "1,000 orders"]
    assert counted(2, "process", "processes") == "2 processes"


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_a_terminal_that_lacks_a_sign_still_gets_the_answer(encoding):
    program = "from tieout.devstack import cli, entry; cli.main = lambda: print('\\u2713 agree'); entry.main()"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"? agree\n"), done.stderr.decode()
