"""The backlog case: N orders of three lines lie in the gateway as raw Shopify documents, and nothing consumes them.
Then mapping starts, and the clock runs until every voucher is posted and the books agree.

Before it the servers carry the same number of orders once, as servers do that have run for a while: a new cluster
writes its first WAL segments twice (zeros, then records) and touches every page of its memory for the first time.
Beside it, on the same servers in the same run, the two floors of floor.py.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
from msgspec import Struct
from rich.console import Group
from rich.table import Table
from tieout.contracts.control import PROVE_AGREEMENT, AgreementRequest
from tieout.contracts.gateway import HOLD_SATELLITE, HoldSatellite
from tieout.devstack.bench import floor, load
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed

SECONDS_MAX = 600
FLOOR_SHARE = 6  # The idiomatic floor is slow: a sixth of the orders gives its rate as well.
FLOOR_ORDERS_FEW = {"batched": 5_000, "idiomatic": 800}  # Fewer are over before the servers run evenly.


class ChainReport(Struct, frozen=True):
    orders: int
    seconds_posted: float  # Until the last voucher.
    seconds: float  # Until the proof that the books agree.
    seconds_proved: float  # Of the whole proof afterwards: each book's own balances, the sums of each currency.
    orders_per_second: float
    cpu_us_per_order: dict[str, float]
    postgres_bytes_per_order: float
    jetstream_bytes_per_order: float
    floors: dict[str, floor.Floor]
    ratios: dict[str, float]  # Orders per second, ours to the floor's.


async def measure(folder: Path, orders: int, *, floors: bool = True) -> ChainReport:
    async with load.ready(folder) as bench:
        watch = await asyncpg.connect(bench.stack.postgres.url("tieout_finance"))
        await _lay_backlog(bench, load.orders(orders))
        await _work_off(bench, watch, orders)
        await watch.execute("CHECKPOINT")  # Its segments are used again.
        await load.wait_until_quiet(bench.client)
        await _lay_backlog(bench, load.orders(orders, first=orders + 1))
        disk, stream = await bench.databases_bytes(), await bench.streams_bytes()
        before = bench.cpu_seconds()
        started = time.monotonic()
        await _work_off(bench, watch, orders)
        posted = time.monotonic() - started
        await _until_agreed(bench, started)
        seconds = time.monotonic() - started
        after = bench.cpu_seconds()
        began = time.monotonic()
        await _until_agreed(bench, began, whole=True)
        proved = time.monotonic() - began
        await watch.close()
        grown = await bench.databases_bytes() - disk, await bench.streams_bytes() - stream
        found: dict[str, floor.Floor] = {}
        if floors:
            for name in bench.stack.services_wanted:  # The floors have the machine for themselves.
                await bench.stack.stop_service(name)
            postgres, hub = bench.servers()
            found["batched"] = await floor.measure("batched", orders, postgres, hub)
            found["idiomatic"] = await floor.measure("idiomatic", max(orders // FLOOR_SHARE, 100), postgres, hub)
    rate = orders / seconds
    return ChainReport(
        orders=orders,
        seconds_posted=round(posted, 2),
        seconds=round(seconds, 2),
        seconds_proved=round(proved, 2),
        orders_per_second=round(rate),
        cpu_us_per_order={name: round((after[name] - before[name]) / orders * 1e6) for name in after if name in before},
        postgres_bytes_per_order=round(grown[0] / orders),
        jetstream_bytes_per_order=round(grown[1] / orders),
        floors=found,
        ratios={way: round(rate / one.orders_per_second, 2) for way, one in found.items()},
    )


async def _lay_backlog(bench: load.Bench, bodies: Iterator[bytes]) -> None:
    """The documents wait in the gateway; nobody maps them until `_work_off`."""
    await call(bench.client, HOLD_SATELLITE, HoldSatellite(load.SHOP, held=True))
    sent = await load.send_in_bulk(bench, bodies)
    pending = (await bench.progress()).pending
    if pending != sent:
        raise CommandFailed(f"{pending} of {sent} documents wait in the gateway; expected all of them")
    await asyncio.sleep(2)  # Quiet.


async def _work_off(bench: load.Bench, watch: asyncpg.Connection, orders: int) -> None:
    """Returns when every order has its voucher: each ships once, whole, and nothing else is posted meanwhile."""
    # The counters are a handful of rows; counting vouchers twenty times a second would be a load of its own.
    numbers = "SELECT coalesce(sum(last_number), 0)::bigint FROM voucher_counter"
    started, before = time.monotonic(), await watch.fetchval(numbers)
    await call(bench.client, HOLD_SATELLITE, HoldSatellite(load.SHOP, held=False))
    while (posted := await watch.fetchval(numbers) - before) < orders:
        if time.monotonic() - started > SECONDS_MAX:
            raise CommandFailed(
                f"{posted} of {orders} orders were posted within {SECONDS_MAX} s. See the logs in D/bench"
            )
        await asyncio.sleep(0.05)


async def _until_agreed(bench: load.Bench, started: float, *, whole: bool = False) -> None:
    """`whole`: each book also recomputes its own balances and adds up each currency, which reads every row."""
    while True:
        answer = await call(bench.client, PROVE_AGREEMENT, AgreementRequest(violations=whole, currencies=whole))
        if answer.verdict == "agree":
            return
        if answer.verdict == "differ" or time.monotonic() - started > SECONDS_MAX:
            raise CommandFailed(f"the books do not agree after the run: {answer.verdict}")
        await asyncio.sleep(0.05)


def table(report: ChainReport) -> Group:
    rates = Table(title=f"{report.orders} orders of three lines, durable settings", title_justify="left")
    for heading in ("", "orders/s", "ours is"):
        rates.add_column(heading, justify="left" if not heading else "right")
    rates.add_row("the whole chain, until the books agree", f"{report.orders_per_second:,.0f}", "")
    names = {"batched": "floor: bare batched chain", "idiomatic": "floor: one message, one transaction"}
    for way, one in report.floors.items():
        rates.add_row(names[way], f"{one.orders_per_second:,.0f}", f"{report.ratios[way]:.2f} x")
    cost = Table(title="CPU per order", title_justify="left")
    cost.add_column("process")
    cost.add_column("µs", justify="right")
    for name, used in sorted(report.cpu_us_per_order.items(), key=lambda item: -item[1]):
        cost.add_row(name, f"{used:,.0f}")
    cost.add_row("all", f"{sum(report.cpu_us_per_order.values()):,.0f}")
    told = (
        f"last voucher after {report.seconds_posted} s, books agree after {report.seconds} s; "
        f"own balances and currencies proved in {report.seconds_proved} s more\n"
        f"per order {report.postgres_bytes_per_order:,.0f} bytes in Postgres, "
        f"{report.jetstream_bytes_per_order:,.0f} in JetStream"
    )
    return Group(rates, cost, told, *_remarks(report))


def _remarks(report: ChainReport) -> list[str]:
    """A floor of few messages measures the beginning of a run: connections, first pages, the clock itself."""
    return [
        f"The {way} floor was measured with {one.orders:,} messages only: its rate and the ratio mean nothing. "
        "Give more --orders; the default is enough."
        for way, one in report.floors.items()
        if one.orders < FLOOR_ORDERS_FEW[way]
    ]
