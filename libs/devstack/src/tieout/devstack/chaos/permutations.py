"""Permutations of delivery: the real flows of order, inventory and finance on a real Postgres, in one process.

Each run plays some dozens of small worlds at once. Every message may come late, twice, in any order and in any batch;
any await of a transaction may fail, before or after it had its effect; acknowledgements are lost. At the end
everything is delivered, and the checker judges the books. The same seed plays the same run.
"""

import asyncio
import importlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct
from tieout.contracts.event import Event
from tieout.contracts.finance import PUT_COMPANY, PutCompany
from tieout.contracts.inventory import PUT_ARTICLES, PUT_WAREHOUSE, Article, PutArticles, PutWarehouse
from tieout.contracts.operation import Operation
from tieout.contracts.streams import stream_of
from tieout.devstack.chaos import books
from tieout.devstack.chaos.checker import Finding, judge
from tieout.devstack.chaos.worlds import KINDS, SKUS, WAREHOUSES, World
from tieout.devstack.testbed import ServiceDatabase, Testbed
from tieout.servicekit import BatchFlow, Database, Received, Service, Settings, rehearsal
from tieout.servicekit.errors import Cause, cause_of
from tieout.servicekit.received import Reader

SERVICES = ("order", "inventory", "finance")
WORLDS = 200  # In one run: their messages meet in the same batches.
BATCH_MAX = 200
ROUNDS_MAX = 2_000
# A partner may be missing for good, so these may wait for ever. Everything is tried again at the end all the same.
PATIENT = ("not_reserved_yet", "not_shipped_yet", "waits for", "waits_for", "waits until")


class Trouble:
    """Lets awaits on a connection fail. Each (kind of statement, before or after) is a place of its own."""

    def __init__(self) -> None:
        self.chance = random.Random(0)
        self.rate = 0.0
        self.struck: Counter[str] = Counter()

    def maybe(self, connection: "asyncpg.Connection[Any]", what: str) -> None:
        if self.rate and self.chance.random() < self.rate:
            self.struck[what] += 1
            if self.chance.random() < 0.3:
                connection.terminate()
            kind = self.chance.choice(
                (asyncpg.ConnectionDoesNotExistError, asyncpg.DiskFullError, asyncpg.DeadlockDetectedError, OSError)
            )
            raise kind(f"planned failure {what}")


TROUBLE = Trouble()


def _fragile(name: str) -> Any:
    plain = getattr(asyncpg.Connection, name)

    async def call(self: Any, *args: Any, **more: Any) -> Any:
        query = args[0] if args and isinstance(args[0], str) else ""
        word = query.lstrip().partition(" ")[0].rstrip(";").upper()
        if word == "ROLLBACK":
            return await plain(self, *args, **more)
        TROUBLE.maybe(self, f"before {name} {word if word in ('BEGIN', 'COMMIT') else ''}".rstrip())
        result = await plain(self, *args, **more)
        TROUBLE.maybe(self, f"after {name} {word if word in ('BEGIN', 'COMMIT') else ''}".rstrip())
        return result

    return call


class FragileConnection(asyncpg.Connection):
    fetch = _fragile("fetch")
    fetchrow = _fragile("fetchrow")
    fetchval = _fragile("fetchval")
    execute = _fragile("execute")
    executemany = _fragile("executemany")
    copy_records_to_table = _fragile("copy_records_to_table")


class Outcome(Struct):
    """Of one run: how many permutations it was, what was thrown at them, and what the checker found."""

    seed: int
    permutations: int
    commands: int
    deliveries: int
    repeated: int
    failures: dict[str, int]
    findings: list[str]
    seconds: float


class Stage:
    """Servers, and a furnished database of each service to copy for each run."""

    def __init__(self, worlds: int = WORLDS) -> None:
        self.companies = [f"W{number:03}" for number in range(worlds)]
        self.bed = Testbed()
        self.services: dict[str, Service] = {
            name: importlib.import_module(f"tieout.{name}.app").build(Settings()) for name in SERVICES
        }
        self.hearing: dict[str, list[tuple[str, BatchFlow]]] = defaultdict(list)
        self.readers: dict[str, Reader] = {}
        for name, service in self.services.items():
            for flow in service.flows:
                self.readers[flow.durable] = Reader(*flow.types)
                for subject in flow.hears.subjects:
                    self.hearing[subject].append((name, flow))

    async def open(self) -> None:
        await asyncio.to_thread(self.bed.postgres.start)
        made = {name: await self.bed.create_database(name) for name in SERVICES}
        databases = {name: await rehearsal.open_database(made[name].app_url, name) for name in SERVICES}
        for company in self.companies:
            opened = PutCompany(company=company, name=company, currency="EUR", zone="Europe/Berlin")
            await self._ask(databases["finance"], "finance", PUT_COMPANY, opened)
        play = Play(self, databases, random.Random(0))
        await play.collect()
        await play.finish()
        for company in self.companies:
            for code, (policy, fulfilment) in WAREHOUSES.items():
                told = PutWarehouse(company, code, stock_policy=policy, fulfilment=fulfilment)  # type: ignore[arg-type]
                await self._ask(databases["inventory"], "inventory", PUT_WAREHOUSE, told)
            articles = tuple(Article(sku, sku, "PCS", standard_cost_minor=100) for sku in SKUS)
            await self._ask(databases["inventory"], "inventory", PUT_ARTICLES, PutArticles(company, articles))
        for name, database in databases.items():
            await database.pool.close()
            self.bed.copy_from_now_on(made[name])

    async def _ask(self, database: Database, service: str, operation: Operation, request: Any) -> None:
        (answers,) = [one for one in self.services[service].operations if one.operation.name == operation.name]
        await answers(request, database)

    def close(self) -> None:
        self.bed.stop()

    async def play(self, seed: int) -> Outcome:
        """One run on fresh copies."""
        began = time.monotonic()
        chance = random.Random(seed)
        made = {name: await self.bed.create_database(name) for name in SERVICES}
        try:
            databases = {name: await _fragile_database(made[name], name) for name in SERVICES}
            play = Play(self, databases, chance)
            worlds = [World(company, chance) for company in self.companies]
            try:
                await play.start(worlds)
                TROUBLE.chance, TROUBLE.rate = chance, chance.choice((0.0, 0.002, 0.005, 0.015))
                TROUBLE.struck.clear()
                await play.deliver()
                TROUBLE.rate = 0.0
                await play.finish()
            finally:
                TROUBLE.rate = 0.0
                for database in databases.values():
                    database.pool.terminate()
            found = judge([], await play.books(made), patient=PATIENT)
        finally:
            for database_ in made.values():
                await self.bed.drop_database(database_)
        return Outcome(
            seed,
            len(worlds),
            sum(len(world.commands) for world in worlds),
            play.deliveries,
            play.repeated,
            dict(TROUBLE.struck),
            [str(one) for one in (*found, *play.findings)],
            round(time.monotonic() - began, 2),
        )


async def _fragile_database(made: ServiceDatabase, service: str) -> Database:
    pool = await asyncpg.create_pool(
        made.app_url,
        min_size=1,
        max_size=2,
        connection_class=FragileConnection,
        server_settings={"application_name": f"tieout-{service}", "jit": "off"},
        reset=_nothing,
    )
    return Database(pool, service=service)


async def _nothing(connection: Any) -> None:
    """As in the kit: what we set lives in a transaction."""


class Play:
    """Queues instead of a broker: one per flow, out of which anything may be taken next."""

    def __init__(self, stage: Stage, databases: dict[str, Database], chance: random.Random) -> None:
        self._stage = stage
        self._databases = databases
        self._chance = chance
        self._queues: dict[str, list[Received[Any]]] = defaultdict(list)
        self._flows: dict[str, tuple[str, BatchFlow]] = {
            flow.durable: (name, flow) for some in stage.hearing.values() for name, flow in some
        }
        self._seen: dict[str, int] = dict.fromkeys(databases, 0)
        self._commands: list[tuple[Any, ...]] = []
        self.deliveries = self.repeated = 0
        self.findings: list[Finding] = []

    async def start(self, worlds: list[World]) -> None:
        """The gateway's commands, in any order. What the furnished copies announced is past."""
        for name, database in self._databases.items():
            self._seen[name] = await database.pool.fetchval("SELECT coalesce(max(batch), 0) FROM outbox")
        commands: list[Any] = [command for world in worlds for command in world.commands]
        self._chance.shuffle(commands)
        for position, command in enumerate(commands, 1):
            kind = KINDS[type(command)]
            self._commands.append(
                (position, str(command.intake_id), kind, command.company, command.source, command.number, 0, 0)
            )
            self._put(command, position)

    def _put(self, command: Event, position: int) -> None:
        for _, flow in self._stage.hearing[command.SUBJECT]:
            self._queues[flow.durable].append(rehearsal.received(command, position=position, flow=flow.durable))

    async def deliver(self) -> None:
        """In any order, until every message was handled at least once; some come again even then."""
        chance = self._chance
        for _ in range(ROUNDS_MAX):
            waiting = sorted(durable for durable, queue in self._queues.items() if queue)
            if not waiting:
                break
            await self._step(chance.choice(waiting))
            await self.collect()
            if chance.random() < 0.15:
                await self._wake()

    async def finish(self) -> None:
        """Nothing fails any more: all that is left is delivered, and who waits for a partner is asked once more."""
        before = -1
        while True:
            await self.collect()
            for durable in sorted(durable for durable, queue in self._queues.items() if queue):
                while self._queues[durable]:
                    await self._step(durable, calmly=True)
            waiting = 0
            for database in self._databases.values():
                await database.pool.execute("UPDATE parked SET due_at = now()")
            await self._wake()
            await self.collect()
            for database in self._databases.values():
                waiting += await database.pool.fetchval("SELECT count(*) FROM parked")
            if not any(self._queues.values()) and waiting == before:
                return
            before = waiting

    async def _step(self, durable: str, *, calmly: bool = False) -> None:
        """One batch of one flow, of any messages of its queue."""
        chance, queue = self._chance, self._queues[durable]
        size = chance.randint(1, min(len(queue), BATCH_MAX))
        if chance.random() < 0.5:
            chance.shuffle(queue)
        batch, rest = queue[:size], queue[size:]
        self._queues[durable] = rest
        if not calmly and chance.random() < 0.2:
            batch.append(chance.choice(batch))  # Twice in one batch.
        service, flow = self._flows[durable]
        self.deliveries += len(batch)
        try:
            await flow(batch, self._databases[service])
        except Exception as error:
            if cause_of(error) not in (Cause.PASSING, Cause.AGAIN):
                raise
            if calmly:
                raise
            self._queues[durable] += batch
            return
        if not calmly and chance.random() < 0.15:  # The acknowledgement is lost.
            self.repeated += len(batch)
            self._queues[durable] += batch[: chance.randint(1, len(batch))]

    async def _wake(self) -> None:
        for name, database in self._databases.items():
            try:
                await rehearsal.run_parked(database, self._stage.services[name].flows)
            except Exception as error:
                if cause_of(error) not in (Cause.PASSING, Cause.AGAIN) or not TROUBLE.rate:
                    raise

    async def collect(self) -> None:
        """What was committed since the last look is published: to every flow that hears it, now and then twice."""
        rate, TROUBLE.rate = TROUBLE.rate, 0.0
        try:
            for name, database in self._databases.items():
                rows = await database.pool.fetch(
                    "SELECT batch, subjects, bodies FROM outbox WHERE stream = $1 AND batch > $2 ORDER BY batch",
                    stream_of(name),
                    self._seen[name],
                )
                for row in rows:
                    self._seen[name] = row["batch"]
                    for subject, body in zip(row["subjects"], row["bodies"], strict=True):
                        self._publish(subject, body)
        finally:
            TROUBLE.rate = rate

    def _publish(self, subject: str, body: bytes) -> None:
        for _, flow in self._stage.hearing.get(subject, ()):
            for _ in range(2 if TROUBLE.chance.random() < 0.05 else 1):
                self._queues[flow.durable].append(
                    self._stage.readers[flow.durable].read(
                        body, subject=subject, attempts=1, stream="", stream_sequence=0, durable=flow.durable
                    )
                )

    async def books(self, made: dict[str, ServiceDatabase]) -> books.Books:
        connections = {name: await asyncpg.connect(made[name].auditor_url) for name in made}
        try:
            found = await books.read(connections)
        finally:
            for connection in connections.values():
                connection.terminate()
        for answers in found.rows.values():
            answers["unsent"] = []  # Nobody publishes here.
        found.rows["gateway"] = {"command": self._commands}
        return found


def seeds(first: int, count: int, worlds: int = WORLDS) -> range:
    """The runs that make up so many permutations."""
    return range(first, first + -(-count // worlds))


async def play_all(
    wanted: Iterable[int], tell: Callable[[Outcome], None], minutes: float = 0.0, worlds: int = WORLDS
) -> list[Outcome]:
    """All these seeds, on servers of their own, or as many as fit into the time."""
    asyncio.get_running_loop().set_exception_handler(_calm)
    ends = time.monotonic() + minutes * 60
    stage = Stage(worlds)
    outcomes: list[Outcome] = []
    try:
        await stage.open()
        for seed in wanted:
            outcomes.append(await stage.play(seed))
            tell(outcomes[-1])
            if minutes and time.monotonic() > ends:
                break
    finally:
        stage.close()
    return outcomes


def _calm(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The driver tells of each transaction that a planned failure leaves open; everything else is told."""
    if "Resetting connection with an active transaction" not in context.get("message", ""):
        loop.default_exception_handler(context)


def read_outcomes(path: Path) -> Iterator[Outcome]:
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield msgspec.json.decode(line, type=Outcome)


def summary(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {
        "runs": len(outcomes),
        "good": sum(not one.findings for one in outcomes),
        "permutations": sum(one.permutations for one in outcomes),
        "commands": sum(one.commands for one in outcomes),
        "deliveries": sum(one.deliveries for one in outcomes),
        "repeated": sum(one.repeated for one in outcomes),
        "failures": sum(sum(one.failures.values()) for one in outcomes),
        "places": len({place for one in outcomes for place in one.failures}),
    }
