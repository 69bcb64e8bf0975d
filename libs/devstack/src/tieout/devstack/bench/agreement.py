"""What the proof costs as the books grow: while they agree, with one difference, and with a hundred.

Orders are written straight into the tables of order, inventory and finance, set by set, with every trigger armed: what
the proof reads is what the services' own writes would have left. Then the real services answer the real questions.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct
from rich.table import Table
from tieout.contracts.control import PROVE_AGREEMENT, Agreement, AgreementRequest
from tieout.devstack.bench import load
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed
from tieout.servicekit import sql

statements = sql.load(__file__)

BASE = 1_024  # Below are the events that opened the stock.
CHUNK_ORDERS = 50_000
PROOFS = 15  # Of books that agree; the median is told.
BATCH_ORDERS = 200  # Of a flow's usual transaction, for what the triggers cost.
DIFFERENCES = 100
FOLDED_SECONDS_MAX = 120


class Cost(Struct, frozen=True):
    ms: float
    requests: int
    kilobytes: float


class AgreementReport(Struct, frozen=True):
    orders: int
    agree: Cost  # All measures of four services.
    one: Cost
    hundred: Cost
    of_three: Cost  # As many, in one of the three books that count what was shipped.
    named: int  # Orders named of the hundred edited ones.
    write_us_per_order: float  # Of Postgres, for the triggers of all books together.
    digest_megabytes: float


async def measure(folder: Path, sizes: Sequence[int], lines: int) -> list[AgreementReport]:
    # Without the background scrub: it would look for the reason why a million orders came by hand.
    quiet = {"TIEOUT_SCRUB_SECONDS": "0", "TIEOUT_PROOF_SECONDS": "0", "TIEOUT_WATCH_SECONDS": "0"}
    async with load.ready(folder, environment=quiet) as bench:
        there = 0
        reports = []
        for orders in sorted(sizes):
            await _fill(bench, there, orders, lines)
            there = orders
            await _folded(bench)
            reports.append(await _measure(bench, orders, lines))
    return reports


async def _measure(bench: load.Bench, orders: int, lines: int) -> AgreementReport:
    async def prove(limit: int = 1000) -> Agreement:
        answer: Agreement = await call(
            bench.client,
            PROVE_AGREEMENT,
            AgreementRequest(wait_seconds=5, violations=False, limit=limit, currencies=False),
        )
        return answer

    proofs = [await prove() for _ in range(PROOFS)]
    if proofs[-1].verdict != "agree":
        raise CommandFailed(f"the loaded books do not agree: {proofs[-1].sentence}")
    agree = Cost(
        round(statistics.median(proof.took_ms for proof in proofs), 1),
        proofs[-1].requests,
        round(proofs[-1].answer_bytes / 1000, 1),
    )
    demand = ("inventory", statements.edit)
    one, _ = await _differing(bench, *demand, [BASE + orders // 2 + 1], prove)
    step = max(1, orders // DIFFERENCES)
    edited = [BASE + 1 + step * n for n in range(min(DIFFERENCES, orders))]
    hundred, named = await _differing(bench, *demand, edited, prove)
    of_three, _ = await _differing(bench, "order", statements.edit_of_three, edited, prove)
    write_cost, size = await _write_cost(bench, orders, lines), await _digest_megabytes(bench)
    return AgreementReport(orders, agree, one, hundred, of_three, named, write_cost, size)


async def _differing(
    bench: load.Bench, service: str, edit: str, positions: list[int], prove: Callable[[], Awaitable[Agreement]]
) -> tuple[Cost, int]:
    """What finding these costs, once they were edited; they are put back afterwards."""
    connection = await _connect(bench, service)
    try:
        await connection.execute(edit, positions, 1)
        proof = await prove()
        await connection.execute(edit, positions, -1)
    finally:
        await connection.close()
    found = {difference.position for difference in proof.differences}
    if not set(positions) <= found:
        raise CommandFailed(f"{len(positions)} orders were edited, {len(found)} were named: {proof.sentence}")
    return Cost(round(proof.took_ms, 1), proof.requests, round(proof.answer_bytes / 1000, 1)), len(found)


async def _fill(bench: load.Bench, there: int, upto: int, lines: int) -> None:
    async def fill(service: str, scripts: Sequence[str]) -> None:
        connection = await _connect(bench, service)
        try:
            for first in range(BASE + there + 1, BASE + upto + 1, CHUNK_ORDERS):
                last = min(first + CHUNK_ORDERS - 1, BASE + upto)
                await connection.execute(
                    f"SET SESSION AUTHORIZATION {service}_app"
                )  # What is loaded is no edit by hand.
                for script in scripts:
                    await connection.execute(script, first, last, lines)
                await connection.execute("RESET SESSION AUTHORIZATION")
            if service in ("order", "inventory"):
                await connection.execute("SELECT setval('outbox_pos', $1)", BASE + upto)
            await connection.execute("ANALYZE")
        finally:
            await connection.close()

    await asyncio.gather(
        fill("order", (statements.order_headers, statements.order_lines, statements.order_shipped)),
        fill("inventory", (statements.inventory_orders, statements.inventory_demand, statements.inventory_moves)),
        fill("finance", (statements.finance_posted,)),
    )


async def _connect(bench: load.Bench, service: str) -> "asyncpg.Connection[asyncpg.Record]":
    """As the superuser."""
    return await asyncpg.connect(
        bench.stack.postgres.url(f"tieout_{service}"),
        server_settings={"synchronous_commit": "off", "jit": "off"},
    )


async def _folded(bench: load.Bench) -> None:
    """Until the services' own folders have merged what the triggers wrote."""
    for service in ("order", "inventory", "finance"):
        connection = await _connect(bench, service)
        try:
            async with asyncio.timeout(FOLDED_SECONDS_MAX):
                while await connection.fetchval("SELECT EXISTS (SELECT FROM digest_delta)"):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            await connection.execute("VACUUM digest_delta")
        finally:
            await connection.close()


async def _write_cost(bench: load.Bench, orders: int, lines: int) -> float:
    """Microseconds per order that Postgres spends in the digests' triggers, for batches as the flows write them."""
    total = 0.0
    tables = {
        "order": (statements.order_lines, statements.order_shipped),
        "inventory": (statements.inventory_demand, statements.inventory_moves),
        "finance": (statements.finance_posted,),
    }
    for service, scripts in tables.items():
        connection = await _connect(bench, service)
        try:
            for script in scripts:
                times = []
                for turn in range(9):
                    first = BASE + 2 * orders + turn * BATCH_ORDERS
                    transaction = connection.transaction()
                    await transaction.start()
                    plan = await connection.fetchval(
                        f"EXPLAIN (ANALYZE, FORMAT JSON) {script}", first, first + BATCH_ORDERS - 1, lines
                    )
                    await transaction.rollback()
                    triggers = msgspec.json.decode(plan)[0].get("Triggers", [])
                    times.append(sum(one["Time"] for one in triggers if one["Trigger Name"].startswith("digest")))
                total += min(times) * 1000 / BATCH_ORDERS  # Least disturbed by what else runs here.
        finally:
            await connection.close()
    return round(total, 2)


async def _digest_megabytes(bench: load.Bench) -> float:
    size = 0
    for service in ("order", "inventory", "finance"):
        connection = await _connect(bench, service)
        try:
            size += await connection.fetchval(
                "SELECT pg_total_relation_size('digest') + pg_total_relation_size('digest_branch')"
            )
        finally:
            await connection.close()
    return round(size / 1e6, 2)


def table(reports: Sequence[AgreementReport]) -> Table:
    shown = Table(title="what a proof of all measures costs", title_justify="left")
    shown.add_column("")
    for report in reports:
        shown.add_column(f"{report.orders:,} orders", justify="right")

    def cost(cost: Cost) -> str:
        return f"{cost.ms:,.1f} ms, {cost.requests} requests, {cost.kilobytes:,.1f} kB"

    for name, cells in (
        ("the books agree", [cost(report.agree) for report in reports]),
        ("1 order differs", [cost(report.one) for report in reports]),
        (f"{DIFFERENCES} orders differ", [cost(report.hundred) for report in reports]),
        (f"{DIFFERENCES} differ, of three books", [cost(report.of_three) for report in reports]),
        ("named of these", [str(report.named) for report in reports]),
        ("triggers, per order written", [f"{report.write_us_per_order:.2f} µs" for report in reports]),
        ("digests on disk", [f"{report.digest_megabytes:.2f} MB" for report in reports]),
    ):
        shown.add_row(name, *cells)
    return shown
