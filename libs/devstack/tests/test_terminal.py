import io

from rich.table import Table
from rich.text import Text
from tieout.devstack.terminal import Screen, visible
from tieout.devstack.wording import counted


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


def test_one_of_a_thing_is_one_and_not_ones():
    assert [counted(n, "order") for n in (0, 1, 1000)] == ["0 orders", "1 order", "1,000 orders"]
    assert counted(2, "process", "processes") == "2 processes"
