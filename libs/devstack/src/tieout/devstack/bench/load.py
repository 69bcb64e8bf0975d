"""What the benchmarks run on: a fresh stack with one company, a thousand articles, and a shop that sends orders."""

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import msgspec
import psutil
from msgspec import Struct
from tieout.contracts.control import SHOW_STATUS, Status, StatusRequest
from tieout.contracts.finance import PUT_COMPANY, PutCompany
from tieout.contracts.gateway import PROGRESS, Progress, ProgressRequest, ProgressView, PutSatellite
from tieout.contracts.inventory import Article as ListedArticle
from tieout.contracts.inventory import PutWarehouse
from tieout.devstack import establish, hints
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed
from tieout.devstack.satellites import Door, key_headers, shopify_headers
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import MICRO, Article, Company
from tieout.devstack.trading_day.sales import Sale, sold_line

SHOP = "bench-shop"
OFFICE = "bench-office"
WAREHOUSE = "MAIN"
COMPANY = Company("BENCH", "Bench GmbH", "EUR", "Europe/Berlin", 19, SHOP)
ARTICLES = tuple(Article(f"BENCH-{n:03}", f"Article {n}", 100 + n * 7, 40 + n * 2) for n in range(1000))
QUIET_SECONDS_MAX = 60.0
PIECES_ON_HAND = 10_000_000
LINES_PER_RECEIPT = 500
DAY = datetime.now(UTC).replace(hour=8, minute=0, second=0, microsecond=0) - timedelta(days=1)


class Bench(Struct):
    """A running stack that is ready to take orders."""

    stack: Stack
    client: httpx.AsyncClient
    door: Door
    secret: str

    async def progress(self, satellite: str = SHOP) -> Progress:
        answer: ProgressView = await call(self.client, PROGRESS, ProgressRequest(source=satellite))
        return answer.satellites[0]

    def headers(self, delivery: str, body: bytes) -> dict[str, str]:
        return shopify_headers(self.secret, "orders/create", delivery, body)

    def cpu_seconds(self) -> dict[str, float]:
        """Used so far by each process; of Postgres with its children, those that have ended too."""
        return {name: _cpu(process) for name, process in self.stack.running_processes().items()}

    async def databases_bytes(self) -> int:
        return await self._sum("SELECT pg_database_size($1)")

    async def _sum(self, query: str) -> int:
        connection = await asyncpg.connect(self.stack.postgres.url())
        try:
            names = [f"tieout_{service}" for service in self.stack.services_wanted]
            return sum([await connection.fetchval(query, name) for name in names])
        finally:
            await connection.close()

    async def streams_bytes(self) -> int:
        return int((await (await self.stack.operator()).jetstream().account_info()).storage)

    def servers(self) -> tuple[str, str]:
        """DSN of Postgres and address of the hub, both as who may do everything; with passwords."""
        password = self.stack.secrets.of("nats_operator")
        return self.stack.postgres.url(), self.stack.hub.url.replace("nats://", f"nats://operator:{password}@")


@contextlib.asynccontextmanager
async def ready(
    folder: Path, postgres_settings: Mapping[str, str] = {}, environment: Mapping[str, str] = {}
) -> AsyncIterator[Bench]:
    """Everything from scratch in `folder`, which must not hold a stack that somebody wants to keep."""
    if (folder / "endpoints.json").exists():
        raise CommandFailed(f"a stack runs in {folder}. Stop it with: {hints.command('down', folder)}")
    shutil.rmtree(folder, ignore_errors=True)
    stack = Stack(folder, postgres_settings=postgres_settings, environment=environment)
    async with stack.running():
        where = stack.endpoints()
        door = Door(where.gateway)
        try:
            async with where.async_client(timeout=60) as client:
                yield Bench(stack, client, door, await _establish(client, door))
        finally:
            await door.close()
    shutil.rmtree(folder, ignore_errors=True)


async def _establish(client: httpx.AsyncClient, door: Door) -> str:
    await call(
        client,
        PUT_COMPANY,
        PutCompany(company=COMPANY.code, name=COMPANY.name, currency=COMPANY.currency, zone=COMPANY.zone),
    )
    await establish.describe_warehouses(client, [PutWarehouse(company=COMPANY.code, warehouse=WAREHOUSE)])
    listed = [ListedArticle(sku=article.sku, name=article.name, uom="PCS") for article in ARTICLES]
    await establish.list_articles(client, COMPANY.code, listed)
    await establish.wait_until_learned(client)
    secret = await establish.admit(
        client, PutSatellite(SHOP, companies=(COMPANY.code,), zone=COMPANY.zone, authentication="shopify")
    )
    key = await establish.admit(client, PutSatellite(OFFICE, companies=(COMPANY.code,), zone=COMPANY.zone))
    for start in range(0, len(ARTICLES), LINES_PER_RECEIPT):
        some = ARTICLES[start : start + LINES_PER_RECEIPT]
        body = msgspec.json.encode(_opening(f"OPENING-{start}", some))
        answer = await door.send(OFFICE, "tieout", body, key_headers(key, f"opening-{start}"))
        if not answer.taken:
            raise CommandFailed(f"the opening stock was refused: {answer.body[:300]!r}")
    await wait_until_quiet(client)
    return secret


async def wait_until_quiet(client: httpx.AsyncClient) -> None:
    """Nothing waits in the gateway, and no flow has anything to do, twice in a row."""
    deadline = time.monotonic() + QUIET_SECONDS_MAX
    quiet = 0
    while quiet < 2:
        if time.monotonic() > deadline:
            raise CommandFailed(f"the stack is not quiet after {QUIET_SECONDS_MAX} s")
        await asyncio.sleep(0.2)
        intake: ProgressView = await call(client, PROGRESS, ProgressRequest())
        status: Status = await call(client, SHOW_STATUS, StatusRequest(minutes=1))
        busy = any(one.pending for one in intake.satellites) or any(f.waiting or f.unacked for f in status.flows)
        quiet = 0 if busy else quiet + 1


def _opening(number: str, articles: tuple[Article, ...]) -> dict[str, object]:
    return {
        "kind": "receipt",
        "company": COMPANY.code,
        "number": number,
        "version": "1",
        "occurred_at": f"{DAY:%Y-%m-%dT%H:%M:%SZ}",
        "zone": COMPANY.zone,
        "business_date": f"{DAY:%Y-%m-%d}",
        "warehouse": WAREHOUSE,
        "receipt_kind": "opening",
        "currency": COMPANY.currency,
        "lines": [
            {
                "line_no": line_no,
                "sku": article.sku,
                "quantity_micro": PIECES_ON_HAND * MICRO,
                "value_minor": PIECES_ON_HAND * article.cost_minor,
            }
            for line_no, article in enumerate(articles, 1)
        ],
    }


def orders(count: int, *, first: int = 1, seed: int = 1) -> Iterator[bytes]:
    """Orders of three lines as the shop's webhook sends them, about 3 kB each."""
    chance = random.Random(seed)
    for serial in range(first, first + count):
        chosen = chance.sample(ARTICLES, 3)
        lines = tuple(
            sold_line(COMPANY, line_no, article, chance.randint(1, 4) * MICRO, WAREHOUSE)
            for line_no, article in enumerate(chosen, 1)
        )
        at = DAY + timedelta(seconds=serial % 30_000)
        sale = Sale(COMPANY, str(100_000 + serial), serial, chance.randint(1, 5000), at, lines)
        yield msgspec.json.encode(shopify.order(sale))


async def send_in_bulk(bench: Bench, bodies: Iterator[bytes], *, per_request: int = 1000) -> int:
    """NDJSON, signed as a whole. Returns how many documents were taken."""
    sent = 0
    run = time.time_ns()
    while chunk := [body for _, body in zip(range(per_request), bodies, strict=False)]:
        body = b"\n".join(chunk)
        headers = {**bench.headers(f"bulk-{run}-{sent}", body), "Content-Type": "application/x-ndjson"}
        answer = await bench.door.send(SHOP, "shopify-orders", body, headers)
        if not answer.taken:
            raise CommandFailed(f"the gateway refused the backlog: HTTP {answer.status} {answer.body[:300]!r}")
        sent += len(chunk)
    return sent


def _cpu(process: psutil.Process) -> float:
    total = 0.0
    with contextlib.suppress(psutil.Error):
        own = process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = child.cpu_times()
                total += times.user + times.system
    return total
