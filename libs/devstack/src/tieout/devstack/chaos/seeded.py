"""One seeded run: a furnished stack, a trading day, faults in the middle, and the verdict of the checker."""

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import psutil
from msgspec import Struct
from tieout.contracts.control import PROVE_AGREEMENT, Agreement, AgreementRequest
from tieout.contracts.gateway import PutSatellite
from tieout.devstack import demo, establish
from tieout.devstack.calling import call
from tieout.devstack.chaos import books, faults
from tieout.devstack.chaos.checker import Finding, Poison, Sent, judge
from tieout.devstack.chaos.disk import Disk, why_not
from tieout.devstack.chaos.line import Line
from tieout.devstack.chaos.load import POISON, Load, poisoned
from tieout.devstack.failures import CommandFailed
from tieout.devstack.processes import ServerFailed
from tieout.devstack.satellites import Door, key_headers
from tieout.devstack.stack_folder import StackFolder
from tieout.devstack.suite import Stack
from tieout.devstack.supervisor import service_of
from tieout.devstack.trading_day import plan
from tieout.devstack.trading_day.catalogue import OFFICE

ORDERS = 60
SECONDS = 6.0
SETTLE_SECONDS_MAX = 120.0  # On a machine that is slow; what is lost does not come later either.
MEMORY_BYTES_MAX = 500 << 20  # Of any one service.
AGREEMENT_SECONDS_MAX = 90.0
FAULTS_AT_ONCE = (2, 3, 4)
# Smaller than a stack for work, so that a copy of it is quick. Committed is still flushed, as in production.
POSTGRES = {"shared_buffers": "128MB", "min_wal_size": "32MB", "max_wal_size": "512MB"}


class Result(Struct):
    """One line of the results. `good` says that no rule was broken, whatever broke."""

    seed: int
    good: bool
    documents: int
    acknowledged: int
    refused: int
    faults: list[str]
    failpoints: int  # Strikes between commit and publish and the like.
    poison: int
    lost: int
    doubled: int
    findings: list[str]
    agreement: str
    memory_mb: dict[str, int]  # The most of each service.
    seconds: float
    settled_seconds: float
    replicas: int = 1


def environment(folder: Path) -> dict[str, str]:
    return {"TIEOUT_FAILPOINTS": str(folder), "TIEOUT_LOG_LEVEL": "info"}


async def furnish(folder: Path, orders: int) -> None:
    """A stack's folder with companies, articles, satellites and opening stock, to be copied for each run."""
    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    stack = Stack(draft, postgres_settings=POSTGRES)
    async with stack.running():
        keys = await furnish_running(stack, orders)
        (draft / "keys.json").write_text(json.dumps(keys))
    StackFolder(draft).forget_port()
    draft.rename(folder)


async def furnish_running(stack: Stack, orders: int) -> dict[str, str]:
    """Opening stock for so many orders; answers each satellite's secret."""
    async with stack.endpoints().async_client(timeout=60) as client:
        keys = await demo.furnish(client)
        keys[POISON] = await establish.admit(client, PutSatellite(POISON, "Poison", ("EU",)))
        door = Door(stack.endpoints().gateway)
        opening = plan(1, orders, datetime.now(UTC)).opening
        for fed in opening:
            await door.send(OFFICE, fed.channel, fed.body, key_headers(keys[OFFICE], f"opening-{fed.number}"))
        await door.close()
        await establish.wait_until_learned(client)
        await _until_opened(stack, len(opening))
    return keys


async def _until_opened(stack: Stack, receipts: int) -> None:
    deadline = time.monotonic() + 120
    connection = await asyncpg.connect(stack.postgres.url("tieout_finance"))
    try:
        while await connection.fetchval("SELECT count(*) FROM stock_document") < receipts:
            if time.monotonic() > deadline:
                raise CommandFailed("the opening stock was not booked")
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def run(
    furnished: Path,
    folder: Path,
    seed: int,
    *,
    orders: int = ORDERS,
    seconds: float = SECONDS,
    only: str = "",
    settle_seconds: float = SETTLE_SECONDS_MAX,
    replicas: int = 1,
) -> Result:
    """Everything in `folder`, which is removed where the run was good. `replicas`: processes of each service."""
    began = time.monotonic()
    chance = random.Random(seed)
    for left in folder.glob("disk-*"):
        Disk(left, left.with_suffix(".image"), 0).unmount()
    shutil.rmtree(folder, ignore_errors=True)
    await asyncio.to_thread(subprocess.run, ["cp", "-a", str(furnished), str(folder)], check=True)
    chosen = _choose(chance, only)
    disks = await asyncio.to_thread(_disks, folder) if {*chosen} & {*faults.ON_DISKS} and not why_not() else {}
    points = folder / "failpoints"
    faults.prepare(points)
    line = Line()
    await line.start()
    stack = Stack(
        folder,
        environment=environment(points),
        postgres_settings=POSTGRES,
        line=line.between,
        replicas=dict.fromkeys(faults.SERVICES, replicas),
    )
    harness = faults.Harness(stack, line, points, chance, disks=disks)
    try:
        async with stack.running():
            keys: Mapping[str, str] = json.loads((folder / "keys.json").read_text())
            load = Load(stack, keys)
            day = plan(seed, orders, datetime.now(UTC))
            watching = asyncio.create_task(_watch_memory(stack))
            striking = asyncio.create_task(_strike(harness, seconds, chosen))
            await load.send(day.documents, seconds, poisoned(chance, 4))
            struck = await striking
            await harness.heal()
            restored = [told for told in harness.recoveries if told["service"] == "gateway"]
            for told in restored:
                await load.send_again(told["send_again"])
            settling = time.monotonic()
            found = await settle(
                stack,
                load.sent,
                settle_seconds,
                poison=harness.poison,
                streams_lost=harness.streams_lost,
                sent_again=len(restored),
            )
            settled = time.monotonic() - settling
            verdict = await agreement(stack)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            memory = _PEAKS.pop(id(stack), {})
    finally:
        await line.stop()
        for disk in disks.values():
            await asyncio.to_thread(disk.unmount)
    high = [f"{name} {size >> 20} MB" for name, size in memory.items() if size > MEMORY_BYTES_MAX]
    findings = [str(one) for one in found] + load.surprises + [f"memory: {one}" for one in high]
    if verdict != "agree":
        findings.append(f"control says: {verdict}")
    result = Result(
        seed=seed,
        good=not findings,
        documents=len(day.documents) + 4,
        acknowledged=sum(one.acknowledged for one in load.sent),
        refused=load.refused,
        faults=struck,
        failpoints=harness.strikes(),
        poison=len(harness.poison) + 4,
        lost=sum(one.lost for one in found),
        doubled=sum(one.doubled for one in found),
        findings=findings,
        agreement=verdict,
        memory_mb={name: size >> 20 for name, size in memory.items()},
        seconds=round(time.monotonic() - began, 1),
        settled_seconds=round(settled, 1),
        replicas=replicas,
    )
    if result.good:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _choose(chance: random.Random, only: str) -> list[str]:
    names = sorted(faults.CATALOGUE)
    weights = [faults.CATALOGUE[name][0] for name in names]
    chosen = chance.choices(names, weights, k=chance.choice(FAULTS_AT_ONCE))
    if any(name.startswith("restore-") for name in chosen):
        # A database and its stream that lose the same seconds leave no record of them: docs/promises.md says so.
        chosen = ["kill-hub" if name in ("lose-tail", "lose-streams") else name for name in chosen]
    return [*only.split(",")] if only else chosen


def _disks(folder: Path) -> dict[str, Disk]:
    """What the servers keep, on small disks of their own."""
    found = {}
    for server, megabytes in faults.DISKS_MB.items():
        disk = found[server] = Disk(folder / f"disk-{server}", folder / f"disk-{server}.image", megabytes)
        disk.make()
        disk.take_over(folder / server)
    return found


async def _strike(harness: faults.Harness, seconds: float, chosen: list[str]) -> list[str]:
    """The faults of this seed, some of them at the same time."""
    chance = harness.chance

    async def one(name: str, at: float, lasting: float) -> str:
        await asyncio.sleep(at)
        try:
            return f"{at:.1f} s {name}: {await faults.CATALOGUE[name][1](harness, lasting)}"
        except (OSError, asyncpg.PostgresError, ServerFailed, CommandFailed, psutil.Error) as error:
            return f"{at:.1f} s {name}: could not strike, {error!r}"

    plan_ = [(name, chance.uniform(0.2, seconds), chance.uniform(0.3, 3.0)) for name in chosen]
    return sorted(await asyncio.gather(*(one(*fault) for fault in plan_)))


async def settle(
    stack: Stack,
    sent: list[Sent],
    seconds: float,
    *,
    poison: Iterable[Poison] = (),
    streams_lost: bool = False,
    sent_again: int = 0,
) -> list[Finding]:
    """What the checker finds once nothing changes for the better any more."""
    deadline = time.monotonic() + seconds
    found: list[Finding] = []
    while True:
        try:
            opening = await _opening(stack)
            state = await read(stack)
            found = judge([*opening, *sent], state, poison=poison, streams_lost=streams_lost, sent_again=sent_again)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            found = [Finding(f"the databases do not answer: {error!r}", 1, ())]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


async def _opening(stack: Stack) -> list[Sent]:
    """What was sent while the folder was furnished, before this run: the opening stock."""
    where = stack.endpoints().databases["gateway"]
    connection = await asyncpg.connect(where.auditor_dsn, password=_secret(where.auditor_password_file), timeout=60)
    try:
        rows = await connection.fetch(
            "SELECT r.id::text, r.satellite, r.body, c.number FROM raw_document r "
            "JOIN command c ON left(c.id::text, 35) = left(r.id::text, 35) "
            "WHERE c.kind = 'receipt' AND c.number LIKE 'OPEN-%'"
        )
    finally:
        await connection.close()
    return [Sent(r[1], r[3], r[2], (("receipt", "accepted"),), True, r[0]) for r in rows]


async def read(stack: Stack) -> books.Books:
    connections = {}
    try:
        for service, where in stack.endpoints().databases.items():
            connections[service] = await asyncpg.connect(
                where.auditor_dsn, password=_secret(where.auditor_password_file), timeout=60
            )
        return await books.read(connections)
    finally:
        for connection in connections.values():
            connection.terminate()


def _secret(path: str) -> str:
    return Path(path).read_text().strip()


async def agreement(stack: Stack) -> str:
    """What control says itself, which the checker does not ask."""
    deadline = time.monotonic() + AGREEMENT_SECONDS_MAX
    told = "no answer"
    async with stack.endpoints().async_client(timeout=60) as client:
        while time.monotonic() < deadline:
            try:
                proved: Agreement = await call(client, PROVE_AGREEMENT, AgreementRequest(wait_seconds=3))
            except (CommandFailed, httpx.TransportError) as failure:
                told = str(failure)
            else:
                told = proved.verdict if proved.verdict == "agree" else f"{proved.verdict}: {proved.sentence}"
                if proved.verdict == "agree":
                    return told
            await asyncio.sleep(0.5)
    return told


_PEAKS: dict[int, dict[str, int]] = {}


async def _watch_memory(stack: Stack) -> None:
    peaks = _PEAKS.setdefault(id(stack), {})
    while True:
        with contextlib.suppress(psutil.Error):  # Somebody has just been killed.
            for name, process in stack.running_processes().items():
                if service_of(name) in faults.SERVICES:
                    peaks[name] = max(peaks.get(name, 0), process.memory_info().rss)
        await asyncio.sleep(0.25)
