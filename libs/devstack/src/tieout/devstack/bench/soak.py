"""A steady load for long: memory, latency and dead rows must not grow, and the books must agree at the end.

Orders are offered on a schedule that does not wait for anybody (open loop), in small signed bulks, as a marketplace
does. Samples are taken all along; what counts is the last quarter of the run beside the second: the first is warm-up.
"""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import msgspec
import psutil
from msgspec import Struct
from rich.console import Group
from rich.table import Table
from tieout.contracts.control import PROVE_AGREEMENT, AgreementRequest
from tieout.devstack.bench import load
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed

BULKS_PER_SECOND = 5
SAMPLES = 60
SAMPLE_SECONDS_MIN = 5.0
UNDER_WAY_MAX = 200  # Bulks. Above it the gateway does not keep up, and the run ends.
MEMORY_GROWTH_MAX = 0.15
MEMORY_BYTES_MIN = 24 << 20  # Growth below it is noise of the allocator.
LATENCY_GROWTH_MAX = 1.5
LATENCY_MS_MIN = 50.0
DEAD_ROWS_MIN = 100_000
SETTLE_SECONDS_MAX = 900.0  # Half an hour's books are a million orders, and each balance is proved anew at the end.

_DEAD = "SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0"
_POSTED = """
SELECT document_no, pg_xact_commit_timestamp(xmin) FROM voucher
WHERE template = 'T01' AND document_no = ANY($1::text[])
"""


class Sample(Struct, frozen=True):
    second: float
    memory_bytes: dict[str, int]
    latency_p50_ms: float  # Offered to posted, of the orders of this interval that are posted.
    latency_p95_ms: float
    unposted: int  # Of the orders that were looked for.
    dead_rows: int  # Of all tables of all databases.
    worst_table: str
    databases_bytes: int
    streams_bytes: int


class Course(Struct, frozen=True):
    """One figure over the run: its median in the second quarter, in the last, and whether that is flat."""

    name: str
    early: float
    late: float
    unit: str
    flat: bool


class SoakReport(Struct, frozen=True):
    minutes: float
    rate: int
    orders: int
    late_ms_max: float  # How far the sender itself was behind its schedule.
    courses: tuple[Course, ...]
    samples: tuple[Sample, ...]
    verdict: str  # Of the agreement at the end.
    bytes_per_order: int

    @property
    def flat(self) -> bool:
        return self.verdict == "agree" and all(course.flat for course in self.courses)


async def measure(folder: Path, minutes: float, rate: int) -> SoakReport:
    async with load.ready(folder, postgres_settings={"track_commit_timestamp": "on"}) as bench:
        empty = await bench.databases_bytes()
        run = _Run(bench, rate)
        seconds = minutes * 60
        every = max(SAMPLE_SECONDS_MIN, seconds / SAMPLES)
        sending = asyncio.create_task(run.send(seconds))
        samples = []
        try:
            while not sending.done():
                await asyncio.wait({sending}, timeout=every)
                samples.append(await run.sample())
            await sending
        finally:
            sending.cancel()
        verdict = await _until_settled(bench)
        grown = await bench.databases_bytes() - empty
    return SoakReport(
        minutes=minutes,
        rate=rate,
        orders=run.offered_count,
        late_ms_max=round(run.late * 1000, 1),
        courses=courses(samples),
        samples=tuple(samples),
        verdict=verdict,
        bytes_per_order=round(grown / max(run.offered_count, 1)),
    )


class _Run:
    def __init__(self, bench: load.Bench, rate: int) -> None:
        self._bench = bench
        self._rate = rate
        self._begun = time.monotonic()
        self._offered: dict[str, float] = {}  # Since the last sample.
        self.offered_count = 0
        self.late = 0.0
        self._failure: BaseException | None = None

    async def send(self, seconds: float) -> None:
        size = max(1, self._rate // BULKS_PER_SECOND)
        bodies = load.orders(10**9)
        under_way: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        for ordinal in itertools.count():
            due = begun + ordinal * size / self._rate
            if due > begun + seconds:
                break
            chunk = list(itertools.islice(bodies, size))
            if (ahead := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            self.late = max(self.late, time.monotonic() - due)
            if len(under_way) > UNDER_WAY_MAX:
                raise CommandFailed(f"the gateway does not keep up with {self._rate} orders/s on this machine")
            task = asyncio.create_task(self._offer(ordinal, chunk))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(self._settle)
            if self._failure is not None:
                raise self._failure
        if under_way:
            await asyncio.wait(under_way)
        if self._failure is not None:
            raise self._failure

    def _settle(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure

    async def _offer(self, ordinal: int, chunk: list[bytes]) -> None:
        now = time.time()
        self._offered[msgspec.json.decode(chunk[0])["name"].lstrip("#")] = now  # One of a bulk stands for all.
        self.offered_count += len(chunk)
        body = b"\n".join(chunk)
        headers = {**self._bench.headers(f"soak-{ordinal}", body), "Content-Type": "application/x-ndjson"}
        answer = await self._bench.door.send(load.SHOP, "shopify-orders", body, headers)
        if not answer.taken:
            raise CommandFailed(f"the gateway refused a bulk: HTTP {answer.status} {answer.body[:300]!r}")

    async def sample(self) -> Sample:
        offered, self._offered = self._offered, {}
        recent = time.time() - 2.0  # What was offered just now may be on its way; it is looked for next time.
        self._offered |= {number: at for number, at in offered.items() if at > recent}
        settled = {number: at for number, at in offered.items() if at <= recent}
        waited = await self._waited(settled)
        cuts = statistics.quantiles(waited, n=20) if len(waited) > 1 else [0.0] * 19
        dead, worst = await self._dead()
        return Sample(
            second=round(time.monotonic() - self._begun, 1),
            memory_bytes={name: _memory(process) for name, process in self._bench.stack.running_processes().items()},
            latency_p50_ms=round(cuts[9], 1),
            latency_p95_ms=round(cuts[18], 1),
            unposted=len(settled) - len(waited),
            dead_rows=dead,
            worst_table=worst,
            databases_bytes=await self._bench.databases_bytes(),
            streams_bytes=await self._bench.streams_bytes(),
        )

    async def _waited(self, offered: dict[str, float]) -> list[float]:
        connection = await asyncpg.connect(self._bench.stack.postgres.url("tieout_finance"))
        try:
            rows = await connection.fetch(_POSTED, list(offered))
        finally:
            await connection.close()
        return [(row[1].astimezone(UTC).timestamp() - offered[row[0]]) * 1000 for row in rows]

    async def _dead(self) -> tuple[int, str]:
        total, worst = 0, (0, "")
        for service in self._bench.stack.services_wanted:
            connection = await asyncpg.connect(self._bench.stack.postgres.url(f"tieout_{service}"))
            try:
                for name, dead, live in await connection.fetch(_DEAD):
                    total += dead
                    worst = max(worst, (dead, f"{service}.{name}: {dead:,} dead, {live:,} living"))
            finally:
                await connection.close()
        return total, worst[1]


async def _until_settled(bench: load.Bench) -> str:
    """The verdict once every balance was checked after the last order; what was measured is not lost where nobody
    answers."""
    began = datetime.now(UTC).isoformat()
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        try:
            answer = await call(bench.client, PROVE_AGREEMENT, AgreementRequest(wait_seconds=5))
        except (CommandFailed, httpx.TransportError) as error:
            told = str(error) or repr(error)
        else:
            told = str(answer.verdict)
            if told == "differ" or (told == "agree" and answer.rules_at > began):
                return told
            told = f"{told}: {answer.sentence}" if told == "open" else "agree, but not all balances are checked again"
        if time.monotonic() > deadline:
            return told
        await asyncio.sleep(5.0)


def courses(samples: Sequence[Sample]) -> tuple[Course, ...]:
    """The judgement; needs at least eight samples to say anything."""
    if len(samples) < 8:
        raise CommandFailed("the run was too short to judge: give it more --minutes")
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    for name in samples[-1].memory_bytes:
        before = statistics.median(one.memory_bytes.get(name, 0) for one in early)
        after = statistics.median(one.memory_bytes.get(name, 0) for one in late)
        # Postgres' shared memory fills until it is all in use; that is its setting, and no leak.
        flat = name == "postgres" or after - before <= max(before * MEMORY_GROWTH_MAX, MEMORY_BYTES_MIN)
        found.append(Course(f"memory of {name}", round(before / 2**20), round(after / 2**20), "MB", flat))
    for name in ("latency_p50_ms", "latency_p95_ms"):
        before = statistics.median(getattr(one, name) for one in early)
        after = statistics.median(getattr(one, name) for one in late)
        flat = after <= max(before * LATENCY_GROWTH_MAX, LATENCY_MS_MIN)
        found.append(Course(name.removesuffix("_ms").replace("_", " "), round(before), round(after), "ms", flat))
    before, after = (max(one.dead_rows for one in some) for some in (early, late))
    found.append(Course("dead rows", before, after, "rows", after <= max(2 * before, DEAD_ROWS_MIN)))
    before, after = (max(one.unposted for one in some) for some in (early, late))
    found.append(Course("orders not posted after 2 s, per sample", before, after, "", after <= max(2 * before, 2)))
    return tuple(found)


def _memory(process: psutil.Process) -> int:
    """Its own and its children's; pages that they share are counted once (Linux)."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for part in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                full = part.memory_full_info()
                total += getattr(full, "pss", full.rss)
    return total


def table(report: SoakReport) -> Group:
    title = f"{report.orders:,} orders in {report.minutes:g} minutes at {report.rate}/s"
    shown = Table(title=title, title_justify="left")
    for heading in ("", "second quarter", "last quarter", ""):
        shown.add_column(heading, justify="right" if "quarter" in heading else "left")
    for course in report.courses:
        verdict = "[green]flat[/]" if course.flat else "[bold red]grows[/]"
        shown.add_row(course.name, f"{course.early:,.0f} {course.unit}", f"{course.late:,.0f} {course.unit}", verdict)
    told = (
        f"worst table at the end: {report.samples[-1].worst_table or 'none'}\n"
        f"per order {report.bytes_per_order:,} bytes in Postgres; the sender was up to {report.late_ms_max:g} ms late\n"
        f"the books: {report.verdict}"
    )
    return Group(shown, told)
