"""How soon it is known that something stands still: from the moment an order was taken in until control has the alarm.

One after the other on one stack: a service hangs, one is gone, and one waits for a lock. Floor: how long a flow has to
stand still until that is an alarm, and how long control waits for the answer of a service that does not give one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncpg
from msgspec import Struct
from rich.table import Table
from tieout.contracts.control import SHOW_STATUS, Status, StatusRequest
from tieout.contracts.watch import LIST_ALARMS, Alarm, Alarms, AlarmsRequest
from tieout.devstack.bench import load
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed

GOAL_SECONDS = 15.0
STALL_SECONDS = 6.0  # As control has it by default; told to it, so that the floor is the one of this run.
LOOK_SECONDS = 2.5
SILENCE_SECONDS = 1.5  # So long control waits for the vitals of a service.
SECONDS_MAX = 120.0  # Then it is no figure, but a fault.
POLL_SECONDS = 0.05


class Case(Struct, frozen=True):
    """Something that is made to stand still."""

    what: str
    flow: str
    cause: str
    stopped: Callable[[load.Bench], AbstractAsyncContextManager[None]]
    answer_seconds: float = 0.0  # How long control waits for an answer that does not come.


class Known(Struct, frozen=True):
    what: str
    flow: str
    cause: str
    told: str
    seconds: float
    floor_seconds: float


class WatchReport(Struct, frozen=True):
    stalls: tuple[Known, ...]
    goal_seconds: float
    look_seconds: float  # Between two looks of control: so much later it may see that something waits.


@contextlib.asynccontextmanager
async def _hangs(bench: load.Bench) -> AsyncIterator[None]:
    finance = bench.stack.running_processes()["finance"]
    finance.suspend()
    try:
        yield
    finally:
        finance.resume()


@contextlib.asynccontextmanager
async def _gone(bench: load.Bench) -> AsyncIterator[None]:
    await bench.stack.stop_service("inventory")
    yield
    bench.stack.start_service("inventory")
    await bench.stack.wait_until_ready(["inventory"])


@contextlib.asynccontextmanager
async def _locked(bench: load.Bench) -> AsyncIterator[None]:
    somebody = await asyncpg.connect(bench.stack.postgres.url("tieout_finance"))
    try:
        async with somebody.transaction():
            await somebody.execute("LOCK TABLE receivable IN EXCLUSIVE MODE")
            yield
    finally:
        await somebody.close()


CASES = (
    Case("a service hangs", "finance-note-orders", "hangs", _hangs, SILENCE_SECONDS),
    Case("a service is gone", "inventory-reserve-stock", "process_gone", _gone),
    Case("a service waits for a lock", "finance-bill-shipments", "blocked_by_lock", _locked),
)


async def measure(
    folder: Path, *, stall_seconds: float = STALL_SECONDS, look_seconds: float = LOOK_SECONDS
) -> WatchReport:
    told = {"TIEOUT_STALL_SECONDS": f"{stall_seconds:g}", "TIEOUT_LOOKOUT_SECONDS": f"{look_seconds:g}"}
    async with load.ready(folder, environment=told) as bench:
        bodies = load.orders(len(CASES))
        stalls = []
        for number, (case, body) in enumerate(zip(CASES, bodies, strict=True)):
            await _until_all_is_well(bench)
            async with case.stopped(bench):
                alarm, seconds = await _known(bench, case, f"watch-{number}", body)
            floor = stall_seconds + case.answer_seconds
            stalls.append(Known(case.what, case.flow, case.cause, alarm.told, round(seconds, 1), floor))
        await _until_all_is_well(bench)
    return WatchReport(tuple(stalls), GOAL_SECONDS, look_seconds)


async def _known(bench: load.Bench, case: Case, delivery: str, body: bytes) -> tuple[Alarm, float]:
    """Control's alarm, and how many seconds after the order's intake it was there."""
    answer = await bench.door.send(load.SHOP, "shopify-orders", body, bench.headers(delivery, body))
    if not answer.taken:
        raise CommandFailed(f"the order was refused: HTTP {answer.status} {answer.body[:300]!r}")
    began = time.monotonic()
    while True:
        found = await _alarms(bench)
        seconds = time.monotonic() - began
        for alarm in found.alarms:
            if (alarm.about, alarm.cause) == (case.flow, case.cause):
                return alarm, seconds
        if seconds > SECONDS_MAX:
            others = ", ".join(f"{alarm.about}: {alarm.cause}" for alarm in found.alarms) or "no alarm at all"
            raise CommandFailed(
                f"{case.what}, and control does not say {case.cause} of {case.flow} after {SECONDS_MAX:.0f} s; "
                f"it has {others}"
            )
        await asyncio.sleep(POLL_SECONDS)


async def _alarms(bench: load.Bench) -> Alarms:
    answer: Alarms = await call(bench.client, LIST_ALARMS, AlarmsRequest())
    return answer


async def _until_all_is_well(bench: load.Bench) -> None:
    """Nothing waits, and every alarm is over: the next one is of what is made to stand still next."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        status: Status = await call(bench.client, SHOW_STATUS, StatusRequest(minutes=1))
        waits = [flow.durable for flow in status.flows if flow.waiting or flow.unacked]
        waits += [alarm.about for alarm in (await _alarms(bench)).alarms]
        if not waits:
            return
        if time.monotonic() > deadline:
            raise CommandFailed(f"still not moving {SECONDS_MAX:.0f} s after it was let go: {', '.join(waits)}")
        await asyncio.sleep(0.2)


def table(report: WatchReport) -> Table:
    shown = Table(title="from an order's intake until control has the alarm", title_justify="left")
    shown.add_column("")
    shown.add_column("told as")
    shown.add_column("seconds", justify="right")
    shown.add_column("floor", justify="right")
    for one in report.stalls:
        shown.add_row(one.what, f"{one.flow}: {one.cause}", f"{one.seconds:.1f}", f"{one.floor_seconds:.1f}")
    shown.add_row(f"goal; control looks every {report.look_seconds:g} s", "", f"{report.goal_seconds:.1f}", "")
    return shown
