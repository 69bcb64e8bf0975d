"""The incident: N orders were taken, placed and shipped, and the ledger never got them, because its consumers confirmed
without booking. Then a replay: the clock runs from its start until the agreement of all touched orders is proved.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from rich.console import Group
from rich.table import Table
from tieout.contracts.control import PROVE_AGREEMENT, AgreementRequest
from tieout.contracts.replay import (
    FREEZE_REPLAY,
    REHEARSE_REPLAY,
    RUN_REPLAY,
    SHOW_REPLAY,
    FreezeReplay,
    RehearseReplay,
    ReplayView,
    RunReplay,
    Selection,
    ShowReplay,
)
from tieout.contracts.streams import FLOW
from tieout.devstack.bench import load
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed

SECONDS_MAX = 300
MISSED_SECONDS_MAX = 20
LOST = ("finance-note-orders", "finance-bill-shipments", "finance-release-deposits")
WHY = "the benchmark took them from the ledger"


class ReplayReport(Struct, frozen=True):
    orders: int
    items: int  # Events times the flows that hear them.
    seconds_frozen: float
    seconds_rehearsed: float
    seconds: float  # Of the run, with the agreement proved at its end.
    seconds_again: float  # The same replay once more: everything is there already.
    orders_per_second: float
    cpu_us_per_order: dict[str, float]
    sentence: str


async def measure(folder: Path, orders: int) -> ReplayReport:
    async with load.ready(folder) as bench:
        stack = bench.stack
        await stack.stop_service("finance")
        await load.send_in_bulk(bench, load.orders(orders))
        await _until_shipped(bench, orders)
        await _forget(bench)
        stack.start_service("finance")
        await load.wait_until_quiet(bench.client)
        await _until_missed(bench)
        started = time.monotonic()
        selection = Selection(satellite=load.SHOP, step="finance")
        view: ReplayView = await call(bench.client, FREEZE_REPLAY, FreezeReplay(selection, WHY))
        frozen = time.monotonic() - started
        rehearsed = await _rehearse(bench, view.replay)
        before = bench.cpu_seconds()
        seconds, ended = await _run(bench, view.replay)
        after = bench.cpu_seconds()
        again: ReplayView = await call(bench.client, FREEZE_REPLAY, FreezeReplay(selection, WHY))
        await _rehearse(bench, again.replay)
        seconds_again, there = await _run(bench, again.replay)
        if {one.outcome for one in there.outcomes} != {"already_there"}:
            raise CommandFailed(f"a second replay changed something: {there.sentence}")
    return ReplayReport(
        orders=orders,
        items=view.items,
        seconds_frozen=round(frozen, 2),
        seconds_rehearsed=round(rehearsed, 2),
        seconds=round(seconds, 2),
        seconds_again=round(seconds_again, 2),
        orders_per_second=round(orders / seconds),
        cpu_us_per_order={name: round((after[name] - before[name]) / orders * 1e6) for name in after if name in before},
        sentence=ended.sentence,
    )


async def _until_shipped(bench: load.Bench, orders: int) -> None:
    """Everything but the ledger is through; each of these orders ships once, whole."""
    watch = await asyncpg.connect(bench.stack.postgres.url("tieout_order"))
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while await watch.fetchval("SELECT count(DISTINCT position) FROM shipped_line") < orders:
            if time.monotonic() > deadline:
                raise CommandFailed(f"not all {orders} orders were shipped within {SECONDS_MAX} s")
            await asyncio.sleep(0.1)
    finally:
        await watch.close()


async def _forget(bench: load.Bench) -> None:
    """The ledger's consumers begin behind all that was announced, as if they had confirmed it."""
    js = (await bench.stack.operator()).jetstream()
    for durable in LOST:
        hears = FLOW[durable]
        found = (await js.consumer_info(hears.stream, durable)).config
        await js.delete_consumer(hears.stream, durable)
        config: dict[str, Any] = {
            "name": durable,
            "durable_name": durable,
            "ack_policy": AckPolicy.EXPLICIT,
            "deliver_policy": DeliverPolicy.NEW,
            "ack_wait": found.ack_wait,
            "max_ack_pending": found.max_ack_pending,
            "max_deliver": -1,
            "filter_subject": found.filter_subject,
            "filter_subjects": found.filter_subjects,
        }
        await js.add_consumer(hears.stream, ConsumerConfig(**config))


async def _until_missed(bench: load.Bench) -> None:
    """The proof says that the ledger lacks them."""
    deadline = time.monotonic() + MISSED_SECONDS_MAX
    while True:
        answer = await call(bench.client, PROVE_AGREEMENT, AgreementRequest(violations=False, limit=1))
        if answer.verdict == "differ":
            return
        if time.monotonic() > deadline:
            raise CommandFailed(f"the ledger should lack the orders, and yet: {answer.sentence}")
        await asyncio.sleep(0.5)


async def _rehearse(bench: load.Bench, replay: int) -> float:
    started = time.monotonic()
    await call(bench.client, REHEARSE_REPLAY, RehearseReplay(replay))
    await _until(bench, replay, "rehearsed")
    return time.monotonic() - started


async def _run(bench: load.Bench, replay: int) -> tuple[float, ReplayView]:
    started = time.monotonic()
    await call(bench.client, RUN_REPLAY, RunReplay(replay, WHY))
    view = await _until(bench, replay, "succeeded", "unproved")
    if view.state != "succeeded":
        raise CommandFailed(f"the replay did not succeed: {view.sentence}")
    return time.monotonic() - started, view


async def _until(bench: load.Bench, replay: int, *states: str) -> ReplayView:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        view: ReplayView = await call(bench.client, SHOW_REPLAY, ShowReplay(replay))
        if view.state in states:
            return view
        if time.monotonic() > deadline:
            raise CommandFailed(f"replay {replay} is {view.state} after {SECONDS_MAX} s: {view.sentence}")
        await asyncio.sleep(0.1)


def table(report: ReplayReport) -> Group:
    times = Table(title=f"{report.orders:,} orders that the ledger had never got", title_justify="left")
    times.add_column("")
    times.add_column("seconds", justify="right")
    times.add_row(f"chosen and frozen: {report.items:,} items", f"{report.seconds_frozen:.2f}")
    times.add_row("dry run, with the effect on stock and vouchers", f"{report.seconds_rehearsed:.2f}")
    times.add_row("run, until their agreement is proved", f"{report.seconds:.2f}")
    times.add_row("the same again: everything is there", f"{report.seconds_again:.2f}")
    cost = Table(title="CPU per order of the run", title_justify="left")
    cost.add_column("process")
    cost.add_column("µs", justify="right")
    for name, used in sorted(report.cpu_us_per_order.items(), key=lambda item: -item[1]):
        cost.add_row(name, f"{used:,.0f}")
    return Group(times, cost, f"{report.orders_per_second:,.0f} orders/s. {report.sentence}")
