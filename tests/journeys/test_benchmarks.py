"""The benchmarks run on small figures: what they measure is no test, but that they still can is one."""

import contextlib
import signal
import subprocess
import sys
import time

import psutil
from tieout.devstack.bench import agreement, chain, watch


async def test_the_chain_carries_a_small_backlog_and_the_books_agree(tmp_path) -> None:
    report = await chain.measure(tmp_path / "bench", 60, floors=False)
    assert report.orders == 60
    assert report.seconds >= report.seconds_posted > 0
    assert {"gateway", "order", "inventory", "finance", "postgres", "hub"} <= report.cpu_us_per_order.keys()


async def test_the_proof_of_loaded_books_agrees_and_names_what_was_edited(tmp_path) -> None:
    (report,) = await agreement.measure(tmp_path / "bench", [1000], 3)
    assert (report.orders, report.named) == (1000, 100)
    assert report.agree.requests < report.one.requests == report.hundred.requests <= 12
    assert report.of_three.requests <= 10  # The third book has the total of another one, and is not asked again.


async def test_what_stands_still_is_told_with_its_cause_beside_goal_and_floor(tmp_path) -> None:
    report = await watch.measure(tmp_path / "bench", stall_seconds=1, look_seconds=0.5)
    assert [(one.flow, one.cause) for one in report.stalls] == [
        ("finance-note-orders", "hangs"),
        ("inventory-reserve-stock", "process_gone"),
        ("finance-bill-shipments", "blocked_by_lock"),
    ]
    assert all(one.told and one.seconds >= one.floor_seconds >= 1 for one in report.stalls), report.stalls
    assert watch.table(report).row_count == len(report.stalls) + 1
    assert not (tmp_path / "bench").exists()


def test_one_that_is_interrupted_while_a_service_is_suspended_leaves_no_process(tmp_path) -> None:
    command = [sys.executable, "-m", "tieout.devstack", "bench", "watch", "--dir", str(tmp_path)]
    running = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while psutil.STATUS_STOPPED not in states_of(children_of(running)):
            assert running.poll() is None, running.stdout.read()
            assert time.monotonic() < deadline, "no service was suspended"
            time.sleep(0.05)
        left = children_of(running)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)
        assert running.returncode == 130
        assert [one for one in left if one.is_running()] == []
    finally:
        with contextlib.suppress(psutil.Error):
            running.kill()


def children_of(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:  # One of them has just ended.
        return []


def states_of(family: list[psutil.Process]) -> set[str]:
    found = set()
    for one in family:
        with contextlib.suppress(psutil.Error):
            found.add(one.status())
    return found
