"""`tieout demo` as a newcomer runs it, smaller."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = (sys.executable, "-m", "tieout.devstack", "demo", "--orders", "40", "--seed", "11")


def test_a_small_day_ends_in_agreement_with_every_document_accounted_for(tmp_path):
    ended = subprocess.run([*COMMAND, "--json", "--dir", str(tmp_path)], capture_output=True, timeout=240)
    assert ended.returncode == 0, ended.stderr.decode()[-3000:]
    report = json.loads(ended.stdout)
    assert report["agreement"]["verdict"] == "agree"
    assert report["accounted"]
    assert report["leaf"]["sold_while_cut"] > 0
    assert {line["outcome"] for line in report["lines"]} >= {"accepted", "duplicate", "conflict", "quarantined"}
    assert not (tmp_path / "demo").exists()  # Nothing is left of a good day.


def test_an_interrupted_demo_leaves_no_process(tmp_path):
    running = subprocess.Popen([*COMMAND, "--dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while b"ready" not in (line := running.stdout.readline()):
        assert time.monotonic() < deadline, line
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130
    assert not [name for name in os.listdir("/proc") if name.isdigit() and str(tmp_path) in _command_of(name)]


def _command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


@pytest.mark.parametrize("orders", ["0", "-3", "many"])
def test_a_day_of_no_orders_is_told(orders):
    command = [sys.executable, "-m", "tieout.devstack", "demo", "--orders", orders]
    ended = subprocess.run(command, capture_output=True)
    assert ended.returncode == 2
    assert b"number of orders" in ended.stderr
