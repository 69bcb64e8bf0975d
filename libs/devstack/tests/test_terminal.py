import io

from rich.table import Table
from rich.text import Text
from tieout.devstack.terminal import Screen, visible


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
