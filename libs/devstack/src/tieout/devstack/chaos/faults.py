"""What breaks, and how: each fault is a function of a running stack. They heal by themselves or by `Harness.heal`."""

import asyncio
import contextlib
import hashlib
import itertools
import random
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import asyncpg
import msgspec
import nats.errors
import nats.js.errors
import psutil
from msgspec import Struct
from tieout.contracts.streams import CORE_SERVICES, FLOWS, FOLLOWED, stream_of
from tieout.devstack.chaos import backups, poison
from tieout.devstack.chaos.checker import Poison
from tieout.devstack.chaos.disk import Disk, why_not
from tieout.devstack.chaos.line import Line, State
from tieout.devstack.failures import CommandFailed
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day.catalogue import STORE
from tieout.servicekit.failpoints import MARKER, PLAN, Fault, Place, Plan
from tieout.servicekit.packs import packed, plan, unpacked

RECOVERY_KILLS = 2  # At each of two places.
SERVICES = CORE_SERVICES
# (subject, table that its consumer must lock): whoever holds that lock stops the flow.
_LOCKABLE = {"order": "anchor", "inventory": "stock", "finance": "open_item", "gateway": "pending", "control": "notice"}
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, nats.errors.Error, nats.js.errors.Error)


class Harness(Struct):
    """What faults work on, and what they note for the checker."""

    stack: Stack
    line: Line
    folder: Path  # Of failpoints.
    chance: random.Random
    poison: list[Poison] = []
    streams_lost: bool = False
    struck: list[str] = []
    numbers: Any = None
    plan: Plan = Plan()
    frozen: list[psutil.Process] = []
    snapshot: Path | None = None
    disks: dict[str, Disk] = {}  # By server; only where a fault of this run needs them.
    recoveries: list[dict[str, Any]] = []  # What each recovery of a restored database told.

    def set_plan(self, plan: Plan) -> None:
        self.plan = plan
        draft = self.folder / f".{PLAN}"
        draft.write_bytes(msgspec.json.encode(plan))
        draft.rename(self.folder / PLAN)

    def add(self, fault: Fault) -> None:
        self.set_plan(msgspec.structs.replace(self.plan, faults=(*self.plan.faults, fault)))

    def name(self, what: str) -> str:
        if self.numbers is None:
            self.numbers = itertools.count(1)
        return f"{what}-{next(self.numbers)}"

    def strikes(self) -> int:
        """How often a failpoint has struck."""
        return sum(1 for path in self.folder.iterdir() if path.suffix[1:].isdigit())

    async def heal(self) -> None:
        self.line.set("open")
        for disk in self.disks.values():
            disk.empty()
        self.set_plan(Plan())
        for process in self.frozen:
            with contextlib.suppress(psutil.Error):
                process.resume()
        self.frozen.clear()
        with contextlib.suppress(*_AWAY):
            await _superuser(self, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


def prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


Strike = Callable[[Harness, float], Awaitable[str]]  # For so many seconds; answers what it did, for people.


async def _superuser(harness: Harness, *statements: str) -> None:
    connection = await asyncpg.connect(
        harness.stack.postgres.url(), timeout=60, server_settings={"default_transaction_read_only": "off"}
    )
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _freeze(harness: Harness, name: str, seconds: float) -> None:
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error, KeyError):
        process = harness.stack.running_processes()[name]
        family = [process, *process.children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.suspend()
    harness.frozen += family
    await asyncio.sleep(seconds)
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.resume()


def _kill(harness: Harness, name: str) -> None:
    """kill -9; whoever supervises starts it again."""
    with contextlib.suppress(psutil.Error, KeyError):
        harness.stack.running_processes()[name].send_signal(signal.SIGKILL)


def _some(harness: Harness, service: str) -> str:
    """One of the service's processes."""
    count = harness.stack.replicas.get(service, 1)
    number = harness.chance.randint(1, count) if count > 1 else 1
    return service if number == 1 else f"{service}-{number}"


async def kill_service(harness: Harness, seconds: float) -> str:
    name = _some(harness, harness.chance.choice(SERVICES))
    _kill(harness, name)
    return f"kill -9 {name}"


async def kill_twice(harness: Harness, seconds: float) -> str:
    one, other = (_some(harness, name) for name in harness.chance.sample(SERVICES, 2))
    _kill(harness, one)
    _kill(harness, other)
    await asyncio.sleep(seconds / 2)
    _kill(harness, one)
    return f"kill -9 {one}, {other}, {one}"


async def freeze_service(harness: Harness, seconds: float) -> str:
    name = _some(harness, harness.chance.choice(SERVICES))
    await _freeze(harness, name, seconds + 4)  # Longer than the broker waits for acknowledgements, at times.
    return f"SIGSTOP {name} {seconds + 4:.1f} s"


async def kill_postgres(harness: Harness, seconds: float) -> str:
    _kill(harness, "postgres")
    return "kill -9 postgres"


async def freeze_postgres(harness: Harness, seconds: float) -> str:
    await _freeze(harness, "postgres", seconds)
    return f"SIGSTOP postgres {seconds:.1f} s"


async def kill_hub(harness: Harness, seconds: float) -> str:
    _kill(harness, "hub")
    return "kill -9 hub"


async def freeze_hub(harness: Harness, seconds: float) -> str:
    await _freeze(harness, "hub", seconds + 2)
    return f"SIGSTOP hub {seconds + 2:.1f} s"


async def kill_leaf(harness: Harness, seconds: float) -> str:
    _kill(harness, STORE)
    return "kill -9 leaf"


async def freeze_leaf(harness: Harness, seconds: float) -> str:
    await _freeze(harness, STORE, seconds)
    return f"SIGSTOP leaf {seconds:.1f} s"


def _line(state: State) -> Strike:
    async def strike(harness: Harness, seconds: float) -> str:
        harness.line.set(state)
        await asyncio.sleep(seconds)
        harness.line.set("open")
        return f"line of the leaf {state} {seconds:.1f} s"

    return strike


async def lose_tail(harness: Harness, seconds: float) -> str:
    """The hub comes back with what it had some seconds ago."""
    hub = harness.stack.hub
    kept = harness.folder / harness.name("hub")
    if hub.process is None or hub.process.poll() is not None:
        return "hub was away already"
    hub.process.send_signal(signal.SIGSTOP)
    _copy(hub.folder / "jetstream", kept)
    hub.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(seconds)
    if hub.process is None:
        return "hub was away already"
    hub.process.kill()
    hub.process.wait()
    shutil.rmtree(hub.folder / "jetstream")
    kept.rename(hub.folder / "jetstream")
    harness.streams_lost = True
    return f"hub lost the last {seconds:.1f} s of its streams"


async def lose_streams(harness: Harness, seconds: float) -> str:
    hub = harness.stack.hub
    if hub.process is None:
        return "hub was away already"
    hub.process.kill()
    hub.process.wait()
    shutil.rmtree(hub.folder / "jetstream", ignore_errors=True)
    harness.streams_lost = True
    return "hub lost all its streams"


def _copy(source: Path, target: Path) -> None:
    """As it is, with owners and times."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


async def repeat_messages(harness: Harness, seconds: float) -> str:
    """Late and repeated: messages of any stream once more, in any order, until the time is over."""
    js = (await harness.stack.operator()).jetstream(timeout=30)
    repeated = 0
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        with contextlib.suppress(*_AWAY):
            stream = stream_of(harness.chance.choice(FOLLOWED))
            state = (await js.stream_info(stream)).state
            if state.last_seq:
                found = await js.get_msg(stream, harness.chance.randint(max(1, state.first_seq), state.last_seq))
                if found.subject and found.data:
                    await js.publish(found.subject, found.data)
                    repeated += 1
        await asyncio.sleep(0.02)
    return f"{repeated} messages repeated"


async def poison_messages(harness: Harness, seconds: float) -> str:
    """Between the good ones, and in packs of good ones."""
    js = (await harness.stack.operator()).jetstream(timeout=30)
    planted = 0
    for _ in range(6):
        flow = harness.chance.choice([one for one in FLOWS if one.service != "control"])
        subject = harness.chance.choice(flow.subjects)
        serial = harness.chance.randrange(10**9)
        kind, body = poison.message(harness.chance, subject, serial)
        with contextlib.suppress(*_AWAY):
            good = await _some_message(harness, js, flow.stream, subject)
            if good and body.startswith(b"{") and len(body) < 100_000:
                kind += " in a good pack"
                events = [*good[:3], body, *good[3:]]
                body = packed([subject] * len(events), events, plan([(subject, one) for one in events]))[0][1]
            await js.publish(subject, body)
            spoilt = [one for one in unpacked(body) if one not in good]
            hearing = tuple(one.durable for one in FLOWS if subject in one.subjects)
            harness.poison.append(
                Poison(tuple(hashlib.sha256(one).hexdigest() for one in spoilt), hearing, f"{subject} {kind}")
            )
            planted += 1
        await asyncio.sleep(seconds / 6)
    return f"{planted} poisoned messages"


async def _some_message(harness: Harness, js: Any, stream: str, subject: str) -> list[bytes]:
    """The events of the newest message of this subject; [] where there is none."""
    with contextlib.suppress(*_AWAY):
        found = await js.get_last_msg(stream, subject)
        events = unpacked(found.data or b"")
        if all(one.startswith(b'{"specversion":"1.0","id":"') and b'"id":"poison-' not in one for one in events):
            return events[:20]
    return []


def _restore(service: str) -> Strike:
    async def strike(harness: Harness, seconds: float) -> str:
        told = await backups.back_and_forward(harness.stack, service, seconds)
        harness.recoveries.append(told)
        return (
            f"{service} restored to a backup {seconds:.1f} s old and brought forward: {told['events']} events "
            f"forgotten, {told['again']} again as they were, {told['differing']} otherwise, {told['missing']} not, "
            f"{told['new']} came as new"
        )

    return strike


def _restore_interrupted(service: str) -> Strike:
    """As above; and the recovery is killed again and again between two of its commits, or right after one."""

    async def strike(harness: Harness, seconds: float) -> str:
        folder = harness.stack.folder / f"recovery-failpoints-{service}"
        prepare(folder)
        kills = (
            Fault("recovery-committed", "committed", "kill", times=RECOVERY_KILLS, after=2),
            Fault("recovery-commit", "commit", "kill", times=RECOVERY_KILLS, after=3),
        )
        (folder / PLAN).write_bytes(msgspec.json.encode(Plan(kills)))
        settings = {"TIEOUT_FAILPOINTS": str(folder)}
        told = await backups.back_and_forward(harness.stack, service, seconds, settings=settings)
        harness.recoveries.append(told)
        killed = len([*folder.glob("recovery-*.*")])
        return f"{service} restored and brought forward, killed {killed} times meanwhile: {told['missing']} not,"

    return strike


async def exhaust_connections(harness: Harness, seconds: float) -> str:
    held: list[Any] = []
    service = harness.chance.choice(SERVICES)
    where = harness.stack.endpoints().databases[service]
    password = Path(where.auditor_password_file).read_text().strip()
    try:
        with contextlib.suppress(*_AWAY):
            while len(held) < 200:
                held.append(await asyncpg.connect(where.auditor_dsn, password=password, timeout=3))
        await asyncio.sleep(seconds)
    finally:
        for connection in held:
            connection.terminate()
    return f"{len(held)} connections taken away {seconds:.1f} s"


async def read_only(harness: Harness, seconds: float) -> str:
    with contextlib.suppress(*_AWAY):
        await _superuser(harness, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    await asyncio.sleep(seconds)
    while True:  # Another fault may have taken the server away meanwhile; the setting outlives that. A run has an end.
        try:
            await _superuser(harness, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
            return f"databases read-only {seconds:.1f} s"
        except _AWAY:
            await asyncio.sleep(0.5)


def _full(server: str) -> Strike:
    async def strike(harness: Harness, seconds: float) -> str:
        disk = harness.disks.get(server)
        if disk is None:
            return f"not possible here: {why_not()}"
        while True:
            try:
                disk.fill()
                break
            except (CommandFailed, OSError):  # Its power is cut at this moment.
                await asyncio.sleep(0.1)
        await asyncio.sleep(seconds + 3)
        while True:
            try:
                disk.empty()
                break
            except (CommandFailed, OSError):  # As above; whoever mounts it again empties it, too.
                await asyncio.sleep(0.1)
        return f"disk of {server} really full {seconds + 3:.1f} s"

    return strike


async def cut_power(harness: Harness, seconds: float) -> str:
    """Of everything at once. What was not synced is gone; what was acknowledged must not be."""
    if not harness.disks:
        return f"not possible here: {why_not()}"
    began = asyncio.get_running_loop().time()

    def cut() -> None:
        for disk in harness.disks.values():
            disk.cut()

    def mount() -> None:
        for disk in harness.disks.values():
            disk.unmount()
            disk.mount()
            disk.empty()  # Else Postgres rightly does not start: it waits until somebody makes room.

    await harness.stack.interrupt(cut, mount)
    return f"power cut for {asyncio.get_running_loop().time() - began:.1f} s"


async def hold_lock(harness: Harness, seconds: float) -> str:
    service = harness.chance.choice(sorted(_LOCKABLE))
    with contextlib.suppress(*_AWAY):
        connection = await asyncpg.connect(harness.stack.postgres.url(f"tieout_{service}"), timeout=5)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {_LOCKABLE[service]} IN ACCESS EXCLUSIVE MODE", timeout=5)
                await asyncio.sleep(seconds)
        finally:
            connection.terminate()
    return f"somebody locks {service}'s {_LOCKABLE[service]} {seconds:.1f} s"


async def end_sessions(harness: Harness, seconds: float) -> str:
    """An administrator ends all sessions of a service, again and again."""
    service = harness.chance.choice(SERVICES)
    for _ in range(4):
        with contextlib.suppress(*_AWAY):
            await _superuser(
                harness,
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608 - a service's name.
                f"WHERE datname = 'tieout_{service}' AND pid <> pg_backend_pid()",
            )
        await asyncio.sleep(seconds / 4)
    return f"sessions of {service} ended four times"


async def step_clock(harness: Harness, seconds: float) -> str:
    step = harness.chance.choice((-300.0, -45.0, 45.0, 300.0))
    harness.set_plan(msgspec.structs.replace(harness.plan, clock_seconds=step))
    await asyncio.sleep(seconds)
    harness.set_plan(msgspec.structs.replace(harness.plan, clock_seconds=0.0))
    return f"clocks {step:+.0f} s for {seconds:.1f} s"


_Action = Literal["kill", "lose_connection", "disk_full", "bug", "slow"]


def _failpoint(action: _Action, *places: Place, times: int = 1) -> Strike:
    async def strike(harness: Harness, seconds: float) -> str:
        place = harness.chance.choice(places)
        service = harness.chance.choice(SERVICES)
        after = harness.chance.randint(0, 8)
        name = harness.name(action)
        harness.add(Fault(name, place, action, service=service, times=times, after=after, seconds=0.4))
        await asyncio.sleep(seconds)
        return f"{action} at {place} of {service}, up to {times} times"

    return strike


# Name -> (how often it is chosen, what it does).
CATALOGUE: dict[str, tuple[int, Strike]] = {
    "kill-service": (4, kill_service),
    "kill-twice": (2, kill_twice),
    "freeze-service": (2, freeze_service),
    "kill-postgres": (2, kill_postgres),
    "freeze-postgres": (1, freeze_postgres),
    "kill-hub": (2, kill_hub),
    "freeze-hub": (1, freeze_hub),
    "kill-leaf": (1, kill_leaf),
    "freeze-leaf": (1, freeze_leaf),
    "cut-leaf": (1, _line("cut")),
    "slow-leaf": (1, _line("slow")),
    "half-open-leaf": (1, _line("half_open")),
    "lose-tail": (2, lose_tail),
    "lose-streams": (1, lose_streams),
    "repeat-messages": (2, repeat_messages),
    "poison-messages": (2, poison_messages),
    "exhaust-connections": (1, exhaust_connections),
    "read-only": (1, read_only),
    "restore-order": (1, _restore("order")),
    "restore-interrupted": (0, _restore_interrupted("inventory")),  # By name only.
    "restore-inventory": (1, _restore("inventory")),
    "restore-finance": (1, _restore("finance")),
    "restore-control": (0, _restore("control")),  # By name only.
    "restore-control-interrupted": (0, _restore_interrupted("control")),  # By name only.
    "restore-gateway": (0, _restore("gateway")),  # By name only.
    "restore-gateway-interrupted": (0, _restore_interrupted("gateway")),  # By name only.
    "full-disk": (1, _full("postgres")),
    "full-disk-of-hub": (1, _full("hub")),
    "cut-power": (2, cut_power),
    "hold-lock": (1, hold_lock),
    "end-sessions": (2, end_sessions),
    "step-clock": (1, step_clock),
    "die-between": (5, _failpoint("kill", "commit", "committed", "published", "handled", times=2)),
    "lose-answer": (3, _failpoint("lose_connection", "begin", "commit", "committed", "handled", times=6)),
    "disk-full": (2, _failpoint("disk_full", "begin", "commit", times=12)),
    "bug": (2, _failpoint("bug", "begin", "handled", times=5)),
    "bug-in-all": (1, _failpoint("bug", "handled", times=60)),
    "slow-consumer": (2, _failpoint("slow", "begin", "commit", "handled", times=12)),
}

# What needs disks of its own, and how many MB for whom.
ON_DISKS = ("full-disk", "full-disk-of-hub", "cut-power")
DISKS_MB = {"postgres": 256, "hub": 64, STORE: 64}
