"""Ctrl-C, at the moments when nobody thinks of it: while the command reads its code, and while a stack starts."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tieout.devstack import entry
from tieout.devstack.patience import PATIENCE_SECONDS

SOURCES = Path(entry.__file__).parent


@pytest.mark.parametrize(
    ("started", "first"),
    [
        ((sys.executable, "-SP", str(SOURCES / "start.py")), "sitecustomize.py"),  # As ./tieout does.
        ((sys.executable, "-SP", str(SOURCES / "start.py")), "msgspec.py"),
        ((sys.executable, "-m", "tieout.devstack"), "msgspec.py"),
        ((sys.executable, "-c", "from tieout.devstack.entry import main; main()"), "rich.py"),  # As .venv/bin/tieout.
    ],
)
def test_an_interrupt_while_the_command_reads_its_code_ends_it_quietly(started, first, tmp_path):
    (tmp_path / first).write_text("import signal\nprint('importing', flush=True)\nwhile True:\n    signal.pause()\n")
    command = subprocess.Popen(
        [*started, "status"],
        env={"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"importing\n"
    command.send_signal(signal.SIGINT)
    _, told = command.communicate(timeout=PATIENCE_SECONDS)
    assert (command.returncode, told) == (130, b"")


def wait_for(file, launcher):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file.exists() and launcher.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def noted(folder):
    """The servers that a launcher has noted so far."""
    for file in (folder / "run").glob("*.pid"):
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            yield psutil.Process(int(file.read_text().partition(" ")[0]))


def test_a_start_that_is_given_up_stops_in_order_what_it_has_started(tmp_path):
    """The launcher alone is told, as by an IDE; a terminal would tell its whole group."""
    folder = tmp_path / "stack"
    command = [sys.executable, "-m", "tieout.devstack", "up", "--no-jaeger", "--dir", str(folder)]

    def up(*more):
        return subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    for moment, how in (
        ("launcher", signal.SIGINT),  # Before the first server.
        ("launcher", signal.SIGTERM),
        ("postgres.pid", signal.SIGINT),
        ("control.pid", signal.SIGTERM),  # The last service has been started.
    ):
        launcher = up("--quiet")
        wait_for(folder / "run" / moment, launcher)
        started = list(noted(folder))
        launcher.send_signal(how)
        told, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
        # A fast machine, or a test that was not given a turn: it may have been ready by then.
        assert launcher.returncode == (0 if "ready " in told else 130), told
        assert "stopped" in told
        assert not (folder / "run").exists()  # The last thing that whoever stops in order removes.
        assert not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    launcher = up("--quiet")
    wait_for(folder / "endpoints.json", launcher)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(PATIENCE_SECONDS) == 0
    logs = {log.name: log.read_text() for log in (folder / "logs").glob("*.log")}
    assert "was killed" not in "".join(logs.values())
    assert "not properly shut down" not in logs["postgres.log"]


def test_a_start_in_the_background_that_is_given_up_leaves_nothing_there(tmp_path):
    folder = tmp_path / "stack"
    words = ["up", "--detach", "--no-jaeger", "--dir", str(folder)]
    launcher = subprocess.Popen([sys.executable, "-m", "tieout.devstack", *words], stderr=subprocess.PIPE, text=True)
    wait_for(folder / "run" / "launcher", launcher)
    launcher.send_signal(signal.SIGTERM)
    _, told = launcher.communicate(timeout=PATIENCE_SECONDS)
    assert launcher.returncode == 130, told
    assert "stopped before it was ready" in told
    assert not (folder / "run").exists()
