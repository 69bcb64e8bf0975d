"""Placed to voucher at a steady rate, in open loop: a slow answer does not slow the sender down.

From the moment a document is offered to the gateway until its voucher's transaction commits, both by this machine's
clock. Floor: what one commit and one awaited publish cost on the same servers at the same time, times the four hops.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import nats
from msgspec import Struct
from nats.js.api import StorageType, StreamConfig
from rich.table import Table
from tieout.devstack.bench import load
from tieout.devstack.failures import CommandFailed

HOPS = 4  # gateway, order, inventory, finance: each commits and publishes.
WARM_SECONDS = 3
SETTLE_SECONDS_MAX = 60


class LatencyReport(Struct, frozen=True):
    rate: int
    orders: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    floor_ms: float
    late_ms_max: float  # How far behind its schedule the sender itself was: above some 10 ms the run is not open loop.


async def measure(folder: Path, rate: int, seconds: int) -> LatencyReport:
    async with load.ready(folder, postgres_settings={"track_commit_timestamp": "on"}) as bench:
        count = rate * (seconds + WARM_SECONDS)
        bodies = list(load.orders(count))
        numbers = [msgspec.json.decode(body)["name"].lstrip("#") for body in bodies]
        offered: dict[str, float] = {}
        late = 0.0
        tasks: set[asyncio.Task[None]] = set()

        async def send(number: str, body: bytes) -> None:
            answer = await bench.door.send(load.SHOP, "shopify-orders", body, bench.headers(f"l-{number}", body))
            if not answer.taken:
                raise CommandFailed(f"order {number} was refused: HTTP {answer.status} {answer.body[:300]!r}")

        begun = time.monotonic()
        for ordinal, (number, body) in enumerate(zip(numbers, bodies, strict=True)):
            due = begun + ordinal / rate
            if (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            late = max(late, time.monotonic() - due)
            offered[number] = time.time()
            task = asyncio.create_task(send(number, body))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        posted = await _posted(bench.stack.postgres.url("tieout_finance"), numbers)
        floor_ms = await _floor(*bench.servers())
    waited = sorted((posted[number] - offered[number]) * 1000 for number in numbers[rate * WARM_SECONDS :])
    cuts = statistics.quantiles(waited, n=100)
    return LatencyReport(
        rate=rate,
        orders=len(waited),
        p50_ms=round(cuts[49], 1),
        p95_ms=round(cuts[94], 1),
        p99_ms=round(cuts[98], 1),
        max_ms=round(waited[-1], 1),
        floor_ms=round(floor_ms, 1),
        late_ms_max=round(late * 1000, 1),
    )


async def _posted(url: str, numbers: list[str]) -> dict[str, float]:
    """When each order's voucher was committed, as Postgres noted it."""
    connection = await asyncpg.connect(url)
    try:
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            rows = await connection.fetch(
                "SELECT document_no, pg_xact_commit_timestamp(xmin) FROM voucher WHERE template = 'T01'"
            )
            if len(rows) >= len(numbers):
                return {row[0]: row[1].astimezone(UTC).timestamp() for row in rows}
            if time.monotonic() > deadline:
                raise CommandFailed(f"{len(rows)} of {len(numbers)} orders were posted in time")
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _floor(postgres: str, hub: str) -> float:
    """Milliseconds of one commit and one awaited publish, times the hops; the median of 200."""
    connection = await asyncpg.connect(postgres, database="tieout_finance")
    client = await nats.connect(hub)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="FLOOR", subjects=["floor.one"], storage=StorageType.FILE))
    taken = []
    try:
        for _ in range(200):
            started = time.perf_counter()
            # Writes something, so the commit waits for the disk; an id alone would not.
            await connection.execute("SELECT pg_logical_emit_message(true, 'bench', 'x')")
            await js.publish("floor.one", datetime.now(UTC).isoformat().encode())
            taken.append(time.perf_counter() - started)
    finally:
        await js.delete_stream("FLOOR")
        await connection.close()
        await client.close()
    return statistics.median(taken) * 1000 * HOPS


def table(report: LatencyReport) -> Table:
    shown = Table(title=f"offered to posted, {report.rate} orders/s in open loop", title_justify="left")
    shown.add_column("")
    shown.add_column("ms", justify="right")
    for name, value in (
        ("p50", report.p50_ms),
        ("p95", report.p95_ms),
        ("p99", report.p99_ms),
        ("slowest", report.max_ms),
        ("floor: four commits and publishes", report.floor_ms),
        ("the sender's own worst delay", report.late_ms_max),
    ):
        shown.add_row(name, f"{value:,.1f}")
    return shown
