"""One release of order, inventory and finance takes the place of the other under load; gateway and control stay.

Both stand side by side for a while, so all four ways are gone: each release's orders are taken in by each release of
inventory; and each release of finance bills. Each release is preceded by its migration job, as in a cluster. Afterwards
the independent checker judges every document, and control the agreement.
"""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import nats.errors
from tieout.contracts.operation import Health
from tieout.devstack import processes
from tieout.devstack.chaos import seeded
from tieout.devstack.chaos.checker import Sent
from tieout.devstack.chaos.load import Load
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day import plan

NOW, NEXT = "0.2.0", "0.3.0"
FIELD = "campaign"
CHANGED = ("order", "inventory", "finance")
ORDERS = 160
PARTS = 8
PART_SECONDS = 1.5  # Of each part of the day, while something is exchanged.
PATIENCE_SECONDS = 60.0


def environment(stack: Stack, service: str, release: Path) -> dict[str, str]:
    """What a process of another release is told: the same as the running one."""
    owner = stack.endpoints().databases[service]
    told = {"TIEOUT_OWNER_URL": owner.owner_dsn, "TIEOUT_OWNER_PASSWORD_FILE": owner.owner_password_file}
    return {**stack.environment_of(service), **told, "PYTHONPATH": str(release)}


async def upgrade(stack: Stack, release: Path) -> list[set[str]]:
    """What the release's migration job does before its pods come; answers which files it applied, by service."""

    async def one(service: str) -> set[str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"tieout.{service}", "migrate", "--phase", "upgrade"),
            env=environment(stack, service, release),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()
        lines = [line for line in told.decode().splitlines() if "applied" in line]
        return {word for line in lines for word in re.findall(rf"(pre|post)_{FIELD}", line)}

    return await asyncio.gather(*(one(service) for service in CHANGED))


@contextlib.asynccontextmanager
async def beside(stack: Stack, release: Path) -> AsyncIterator[None]:
    """A replica of each changed service from the other release."""
    started = {
        service: processes.start(
            [sys.executable, "-m", f"tieout.{service}", "serve"],
            log=stack.logs / f"{service}-{release.name}.log",
            environment=environment(stack, service, release),
        )
        for service in CHANGED
    }
    try:
        await asyncio.gather(*(until_versions(stack, service, {release.name}) for service in CHANGED))
        yield
    finally:
        for process in started.values():
            processes.stop(process)


async def until_versions(stack: Stack, service: str, wanted: set[str], *, only: bool = False) -> None:
    """Replicas of these versions run, and `only` they."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    operator = await stack.operator()
    while True:
        versions: set[str] = set()
        with contextlib.suppress(nats.errors.Error):  # Who was asked leaves in this moment.
            answer = await operator.request(f"rpc.{service}.health", b"{}", timeout=5)
            health = msgspec.json.decode(answer.data, type=Health)
            versions = {one.version for one in health.replicas if one.ready}
        if versions == wanted if only else versions >= wanted:
            return
        assert time.monotonic() < deadline, f"{service}: {versions} run, not {wanted}"
        await asyncio.sleep(0.1)


async def column(stack: Stack, service: str, table: str, name: str) -> Mapping[int, str | None]:
    """What this column holds, by the position of the order."""
    connection = await asyncpg.connect(stack.postgres.url(f"tieout_{service}"))
    try:
        return {row[0]: row[1] for row in await connection.fetch(f"SELECT position, {name} FROM {table}")}
    finally:
        await connection.close()


async def ways(stack: Stack) -> set[tuple[str | None, str | None]]:
    """(what order said, what inventory kept) of the orders so far: who has handled what that whom has announced."""
    said = await column(stack, "order", "order_header", "campaign")
    kept = await column(stack, "inventory", "demand", "campaign")
    return {(said[position], kept[position]) for position in said.keys() & kept.keys()}


class Day:
    """A trading day in parts, each sent while something is exchanged."""

    def __init__(self, stack: Stack, keys: Mapping[str, str]) -> None:
        documents = plan(1, ORDERS, datetime.now(UTC)).documents
        size = len(documents) // PARTS + 1
        self._parts = [documents[at : at + size] for at in range(0, len(documents), size)]
        self._stack, self._keys = stack, keys
        self._loads: list[Load] = []

    @contextlib.asynccontextmanager
    async def under_load(self, *, all_that_is_left: bool = False) -> AsyncIterator[None]:
        """The next part is sent meanwhile, and has been acknowledged afterwards."""
        if all_that_is_left:
            self._parts = [[fed for part in self._parts for fed in part]]
        load = Load(self._stack, self._keys)
        self._loads.append(load)
        sending = asyncio.create_task(load.send(self._parts.pop(0), PART_SECONDS))
        while not load.sent and not sending.done():  # noqa: ASYNC110 - the first one has been taken in.
            await asyncio.sleep(0.02)
        yield
        await sending

    def sent(self) -> list[Sent]:
        assert not self._parts
        return [one for load in self._loads for one in load.sent]

    def surprises(self) -> list[str]:
        return [one for load in self._loads for one in load.surprises]


async def test_a_release_takes_the_place_of_the_other_under_load(tmp_path, furnished, release):
    folder = tmp_path / "stack"
    await asyncio.to_thread(subprocess.run, ["cp", "-a", furnished, folder], check=True)
    stack = Stack(folder, postgres_settings=seeded.POSTGRES)
    async with stack.running():
        day = Day(stack, json.loads((folder / "keys.json").read_text()))
        now, following = release(NOW), release(NEXT)
        async with day.under_load():
            assert await upgrade(stack, now) == [{"pre"}] * len(CHANGED)
        async with beside(stack, now):
            for left in reversed(range(PARTS - 3)):  # Who gets which message is chance: as long as it takes.
                async with day.under_load():
                    if gone := await all_ways_are_gone(stack, PART_SECONDS + 1 if left else PATIENCE_SECONDS):
                        # A release in a hurry: what the oldest would stumble over waits while one of them is there.
                        assert await upgrade(stack, following) == [set()] * len(CHANGED)
                if gone:
                    break
            assert gone, (
                "each release's orders were not taken in by each release of inventory, or one of finance billed none"
            )
            async with day.under_load():  # The older ones leave, without being killed.
                assert all(
                    await asyncio.gather(*(stack.stop_service(service, PATIENCE_SECONDS) for service in CHANGED))
                )
                await asyncio.gather(*(until_versions(stack, service, {NOW}, only=True) for service in CHANGED))
            # Would it not do, the older one could come back: what was added before it is in nobody's way.
            stack.start_service("order")
            await stack.wait_until_ready(["order"])
            assert await stack.stop_service("order", PATIENCE_SECONDS)
            await until_versions(stack, "order", {NOW}, only=True)
            async with day.under_load(
                all_that_is_left=True
            ):  # The next release removes what only the older ones needed.
                assert await upgrade(stack, following) == [{"post"}] * len(CHANGED)

            findings = await seeded.settle(stack, day.sent(), seeded.SETTLE_SECONDS_MAX)
            assert [str(one) for one in findings] == []
            assert day.surprises() == []
            assert await seeded.agreement(stack) == "agree"


async def all_ways_are_gone(stack: Stack, seconds: float) -> bool:
    """Waits so long for it."""
    wanted = {(None, None), (None, "none"), ("autumn", None), ("autumn", "autumn")}
    deadline = time.monotonic() + seconds
    while not (gone := await ways(stack) == wanted and await billed(stack) == {None, "none"}):
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(0.1)
    return gone


async def billed(stack: Stack) -> set[str | None]:
    """What finance kept of its receivables: which of its releases have billed."""
    return set((await column(stack, "finance", "receivable", "campaign")).values())
