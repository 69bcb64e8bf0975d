"""Watch a trading day flow from two satellites to posted vouchers, on real servers, and see the proof.

Starts a stack of its own (in <dir>/demo), feeds a made-up day (a web shop that speaks Shopify's dialect over signed
HTTP, a store on a leaf node that is cut off from the hub for a while, a warehouse system and a bank), and ends with a
report. Exit code 0 only if the books agree and every document is accounted for. What an earlier demo has kept there
is deleted with --fresh only.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from tieout.contracts.control import (
    PROVE_AGREEMENT,
    SHOW_JOURNEY,
    SHOW_STATUS,
    Agreement,
    AgreementRequest,
    JourneyRequest,
    Journeys,
    Status,
    StatusRequest,
)
from tieout.contracts.finance import PUT_COMPANY, PutCompany
from tieout.contracts.gateway import PutSatellite
from tieout.contracts.inventory import Article, PutWarehouse
from tieout.devstack import demo_report, demo_sides, establish, hints, outcomes, up
from tieout.devstack.calling import call
from tieout.devstack.demo_feeding import Feeding
from tieout.devstack.demo_live import LiveView
from tieout.devstack.demo_report import DemoReport, Leaf, Timing
from tieout.devstack.failures import CommandFailed
from tieout.devstack.outcomes import Books, Key
from tieout.devstack.suite import Stack
from tieout.devstack.terminal import Screen
from tieout.devstack.trading_day import Fed, catalogue, plan
from tieout.devstack.wording import counted, why_silent

ORDERS, SEED = 3000, 20261123
FEED_SECONDS = 22.0  # A whole day; small days go faster.
DOCUMENTS_PER_SECOND_MIN = 60.0
SETTLE_SECONDS_MAX = 45.0
PARTNER_SECONDS_MAX = 20.0  # Who waits for a partner looks again after some seconds.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=_count, default=ORDERS, metavar="N", help=f"orders of the day ({ORDERS})")
    parser.add_argument("--seed", type=_seed, default=SEED, metavar="S", help=f"another seed, another day ({SEED})")
    parser.add_argument("--json", action="store_true", help="the report as one JSON document")
    parser.add_argument(
        "--keep", action="store_true", help="keep the stack running afterwards, until Ctrl-C, and the day after that"
    )
    parser.add_argument("--fresh", action="store_true", help="delete the day that an earlier demo has kept here")


def run(arguments: argparse.Namespace) -> int:
    try:
        return asyncio.run(_run(arguments))
    except asyncio.CancelledError:  # SIGTERM; everything is stopped by now.
        return 143
    except httpx.TransportError as error:
        log = arguments.dir / "demo"
        raise CommandFailed(f"the gateway does not answer ({why_silent(error)}). See its log in {log}") from None


async def _run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.dir / "demo"
    console = Screen(stderr=arguments.json)
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    if arguments.dir.name == folder.name and up.is_running(arguments.dir):
        above = hints.command("demo --fresh", arguments.dir.parent)
        raise CommandFailed(
            f"{arguments.dir} is the folder of a demo that runs, and another would lie within it. Stop that one; then: "
            f"{above}"
        )
    make_room(folder, fresh=arguments.fresh)
    began = time.monotonic()
    console.print(f"Starting Postgres, NATS, a leaf site and the services in {folder} ...", style="dim")
    stack = Stack(folder)
    good = False
    try:
        async with stack.running():
            ready = time.monotonic() - began
            console.print(f"ready {stack.endpoints().gateway} in {ready:.1f} s", style="green", highlight=False)
            report = await play(stack, arguments.seed, arguments.orders, console, began)
            good = report.good
            if arguments.json:
                sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
                sys.stdout.flush()
            else:
                demo_report.render(report, console)
            if arguments.keep:
                await _keep(console, folder)
    finally:
        if good and not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        elif not good:
            console.print(f"Everything is kept for a closer look: {folder} (logs in {folder}/logs)", style="yellow")
            again = hints.command("demo --fresh", arguments.dir)
            console.print(f"To start over without it: {again}", highlight=False, soft_wrap=True)
        else:
            again = hints.command("up", folder)
            console.print(f"Stopped. The day is kept in {folder}; go on with it: {again}", highlight=False)
    return 0 if good else 1


def make_room(folder: Path, *, fresh: bool) -> None:
    """Raises CommandFailed where an earlier day is kept: whoever kept it was told how to go on with it."""
    if (folder / "lock").exists() and not fresh and not up.is_running(folder):
        raise CommandFailed(
            f"an earlier demo is kept in {folder}. Go on with it: {hints.command('up', folder)}; "
            f"delete it and start over: {hints.command('demo --fresh', folder.parent)}; or choose another --dir"
        )
    up.forget(folder, "demo --fresh" if fresh else "demo")


async def play(stack: Stack, seed: int, orders: int, console: Console, began: float) -> DemoReport:
    """The whole day on a stack that is ready and empty."""
    ready = time.monotonic() - began
    day = plan(seed, orders, datetime.now(UTC))
    async with stack.endpoints().async_client(timeout=60) as client:
        keys = await furnish(client)
        feeding = Feeding(stack, stack.endpoints().gateway, keys)
        await feeding.open()
        documents = len(day.opening) + len(day.documents)
        view = LiveView(console, client, feeding, documents)
        showing = asyncio.create_task(view.run())
        try:
            view.title = "Opening stock comes in"
            await feeding.send(day.opening, 0.2)
            await _settled(client, _planned(day.opening), seconds=20)
            view.title = f"A trading day: {counted(orders, 'order')}, {counted(documents, 'document')}"
            fed = time.monotonic()
            seconds = min(FEED_SECONDS, len(day.documents) / DOCUMENTS_PER_SECOND_MIN)
            await feeding.send(day.documents, seconds, cut=True)
            last = time.monotonic()
            view.title = "The last documents settle"
            planned = _planned((*day.opening, *day.documents))
            told = await _settled(client, planned, seconds=SETTLE_SECONDS_MAX)
            status = await _nothing_waits(client, PARTNER_SECONDS_MAX)
            agreement = await _agreed(client, SETTLE_SECONDS_MAX)
            settled = time.monotonic()
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing
            await feeding.close()
        journeys: Journeys = await call(client, SHOW_JOURNEY, JourneyRequest(order_no=day.example))
        sides = await demo_sides.read(client)
        promised = await demo_sides.promised(client)
    turned_away = _turned_away(day.documents)
    lines = demo_report.compare(planned + turned_away, told + _keys(feeding.rejected))
    return DemoReport(
        seed=seed,
        orders=orders,
        documents=documents,
        accounted=all(line.planned == line.told for line in lines),
        lines=lines,
        sides=sides,
        goods=demo_report.goods_of(agreement, *promised),
        agreement=agreement,
        timing=Timing(ready, last - fed, settled - last, time.monotonic() - began),
        documents_per_second=len(day.documents) / (last - fed),
        orders_placed=sum(line.told for line in lines if line.kind == "order" and line.outcome == "accepted"),
        latencies=status.latencies,
        leaf=Leaf(feeding.seconds_cut, feeding.sold_while_cut, feeding.seconds_to_catch_up),
        surprises=tuple(feeding.surprises),
        parked=_parked(status),
        dead_letters=status.dead_letters,
        journeys=journeys,
    )


async def furnish(client: httpx.AsyncClient) -> dict[str, str]:
    """Companies, warehouses, articles and satellites of the trading day; the secret of each satellite."""
    articles = [
        Article(
            article.sku,
            article.name,
            article.uom,
            standard_cost_minor=article.cost_minor,
        )
        for article in catalogue.ARTICLES
    ]
    for company in catalogue.COMPANIES:
        opened = PutCompany(company=company.code, name=company.name, currency=company.currency, zone=company.zone)
        await call(client, PUT_COMPANY, opened)
    await establish.describe_warehouses(
        client,
        [
            PutWarehouse(place.company, place.code, stock_policy=place.stock, fulfilment=place.fulfilment)
            for place in catalogue.PLACES
        ],
    )
    for company in catalogue.COMPANIES:
        await establish.list_articles(client, company.code, articles)
    satellites = (
        PutSatellite(
            catalogue.WEB,
            "Web shop",
            ("EU",),
            zone=catalogue.EU.zone,
            authentication="shopify",
            default_warehouse=catalogue.WEB_WAREHOUSE,
        ),
        PutSatellite(
            catalogue.STORE,
            "Store no. 1",
            ("CN",),
            zone=catalogue.CN.zone,
            authentication="leaf",
            default_warehouse=catalogue.STORE_SHELF,
        ),
        PutSatellite(catalogue.OFFICE, "Warehouse system and bank", ("EU", "CN")),
    )
    keys = {satellite.satellite: await establish.admit(client, satellite) for satellite in satellites}
    await establish.wait_until_learned(client)
    return keys


def _planned(documents: Iterable[Fed]) -> Counter[Key]:
    """What the books must show; documents that are turned away at the door are not in them."""
    counted: Counter[Key] = Counter()
    for fed in documents:
        for expected in fed.expected:
            if expected.outcome != "rejected":
                counted[outcomes.key(fed.satellite, expected.kind, expected.outcome)] += 1
    return counted


def _turned_away(documents: Iterable[Fed]) -> Counter[Key]:
    """Documents with a wrong signature: they must not get past the door, so no book may know them."""
    return _keys(Counter(fed.satellite for fed in documents if not fed.signed))


def _keys(rejected: Counter[str]) -> Counter[Key]:
    return Counter({(satellite, outcomes.DOCUMENT, "rejected"): count for satellite, count in rejected.items()})


async def _settled(client: httpx.AsyncClient, planned: Counter[Key], seconds: float) -> Counter[Key]:
    """The books' own count, as soon as it equals the plan; or what it is when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        books: Books = await outcomes.read(client)
        told = books.documents()
        if (told == planned and not books.under_way) or time.monotonic() > deadline:
            return told
        await asyncio.sleep(0.3)


async def _nothing_waits(client: httpx.AsyncClient, seconds: float) -> Status:
    """Until no message waits for its partner any more: all partners of the day have been sent."""
    deadline = time.monotonic() + seconds
    while True:
        status: Status = await call(client, SHOW_STATUS, StatusRequest(minutes=60))
        if not _parked(status) or time.monotonic() > deadline:
            return status
        await asyncio.sleep(0.3)


def _parked(status: Status) -> int:
    return sum(health.parked for service in status.services for health in service.instances)


async def _agreed(client: httpx.AsyncClient, seconds: float) -> Agreement:
    deadline = time.monotonic() + seconds
    while True:
        agreement: Agreement = await call(client, PROVE_AGREEMENT, AgreementRequest(wait_seconds=3))
        if agreement.verdict != "open" or time.monotonic() > deadline:
            return agreement
        await asyncio.sleep(0.3)


async def _keep(console: Console, folder: Path) -> None:
    console.print("The stack keeps running. In another terminal, for example:", style="bold")
    for command in ("journey 1001", "agreement", "status"):
        console.print(f"  {hints.command(command, folder)}", highlight=False)
    console.print("Ctrl-C stops it.", style="dim")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for received in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(received, stopped.set)
    await stopped.wait()


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, like {SEED}") from None


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of orders: give one from 1 to 1000000")
    return int(text)
