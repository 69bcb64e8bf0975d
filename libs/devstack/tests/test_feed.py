"""What `tieout feed` tells while it works, and what it tells who interrupts it."""

import argparse
import io
from pathlib import Path

from rich.console import Console
from tieout.devstack import feed
from tieout.devstack.feed_progress import LINE_SECONDS, Sent, Steps


def test_into_a_pipe_progress_is_a_line_now_and_then_and_one_at_the_end():
    console, now = Console(file=io.StringIO(), width=80), [0.0]
    with Steps(console, lambda: now[0]) as steps:
        for done in (500, 1000, 1500, 2000, 2000):
            steps.tell("documents sent", done, 2000)
            now[0] += LINE_SECONDS * 0.6
    assert console.file.getvalue().splitlines() == ["documents sent: 1,500 of 2,000", "documents sent: 2,000 of 2,000"]


def test_on_a_terminal_progress_is_a_bar():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with Steps(console) as steps:
        steps.tell("documents sent", 500, 2000)
        steps.tell("lines accounted for", 7, 9)
    shown = console.file.getvalue()
    assert "documents sent" in shown
    assert "500/2000" in shown


def test_an_interrupted_feed_tells_what_was_sent_what_was_not_and_how_to_go_on():
    assert "before any document was sent" in Sent(total=10).interrupted()
    partly = Sent(total=4000, taken=1500, on_the_way=500).interrupted()
    for words in ("1,500 of 4,000 documents were sent", "2,000 were not sent", "500 were on their way", "same command"):
        assert words in partly
    assert "All 4,000 documents were sent" in Sent(total=4000, taken=4000).interrupted()


def test_an_interrupt_is_the_exit_code_of_a_shell_and_a_sentence(monkeypatch, capsys):
    def pressed(_arguments, sent):
        sent.total, sent.taken = 7, 3
        raise KeyboardInterrupt

    monkeypatch.setattr(feed, "_run", pressed)
    assert feed.run(argparse.Namespace(dir=Path())) == 130
    assert "tieout feed: interrupted. 3 of 7 documents were sent" in capsys.readouterr().err
