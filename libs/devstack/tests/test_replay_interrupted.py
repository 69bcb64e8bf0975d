"""Who stops looking at a replay is told that it goes on, and how to end it."""

import argparse
from pathlib import Path

from tieout.devstack import replay


def test_an_interrupt_ends_the_look_and_not_the_replay(monkeypatch, capsys):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(replay.questions, "post", lambda *_: None)
    monkeypatch.setattr(replay, "_followed", pressed)
    asked = argparse.Namespace(dir=Path(), action="run", id=7, why="mended", rate=0, json=False)
    assert replay.run(asked) == 130
    told = capsys.readouterr().err
    assert "replay 7 goes on in control" in told
    assert "replay cancel 7 --why REASON" in told
