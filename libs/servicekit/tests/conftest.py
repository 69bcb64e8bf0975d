"""A toy service on real servers: `inventory` with one fact table, hearing orders that the tests place.

The kit is tested as a service uses it; the toy's flow is defined here or in the test.
"""

import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import pytest
import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tieout.contracts.event import Envelope
from tieout.contracts.inventory import OrderRefused, RefusedLine
from tieout.contracts.order import OrderPlaced, PlacedLine
from tieout.devstack.patience import until
from tieout.devstack.testbed import ServiceDatabase
from tieout.servicekit import BatchFlow, Database, Received, Service, Settings, batch_flow, migrate, sql
from tieout.servicekit.packs import unpacked
from tieout.servicekit.received import Outgoing, encode
from tieout.servicekit.rehearsal import open_database
from tieout.servicekit.rpc import Answers
from tieout.servicekit.streams import own_stream

TOY = Path(__file__).with_name("toy")
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])
STATEMENTS = sql.load_file(__file__, "toy.sql")
COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity", "amount")

StartService = Callable[..., Awaitable[Service]]
Play = Callable[..., Awaitable[None]]
_positions = itertools.count(1)


def placed(order_no: str = "1001", *, quantity: int = 5, amount: int = 700) -> OrderPlaced:
    """One line of goods; the order's id follows from its number."""
    return OrderPlaced(
        order_id=uuid.uuid5(uuid.NAMESPACE_OID, order_no),
        company="C1",
        source="web",
        order_no=order_no,
        customer="someone",
        currency="EUR",
        occurred_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        zone="Europe/Berlin",
        business_date=date(2026, 11, 23),
        net_minor=amount,
        tax_minor=0,
        lines=(PlacedLine(1, "A", quantity, amount),),
    )


def envelope(event: OrderPlaced, position: int, *, event_id: str = "") -> bytes:
    """As the order service would publish it."""
    return encode(
        Outgoing(
            "1.0",
            event_id or str(uuid.uuid4()),
            "/order",
            event.SUBJECT,
            datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            str(position),
            str(event.order_id),
            "application/json",
            event,
            event.order_no,
            event.company,
        )
    )


def refused(order: OrderPlaced) -> OrderRefused:
    lines = tuple(RefusedLine(line.line_no, line.quantity_micro, True) for line in order.lines)
    return OrderRefused(order.order_id, order.company, order.order_no, lines)


async def note_demand(batch: Sequence[Received[OrderPlaced]], database: Database) -> None:
    """The toy's whole business: each order once, a row and an announcement."""
    async with database.transaction() as tx:
        ids = sorted({one.data.order_id for one in batch})
        await tx.execute(STATEMENTS.anchor_orders, ids)
        known = {row["order_id"] for row in await tx.fetch(STATEMENTS.known_orders, ids)}
        fresh = {one.data.order_id: one for one in batch if one.data.order_id not in known}
        records = [
            (one.position, line.line_no, one.data.order_id, one.data.order_no, line.quantity_micro, line.net_minor)
            for one in fresh.values()
            for line in one.data.lines
        ]
        await tx.copy("demand", columns=COLUMNS, records=records)
        for one, position in zip(fresh.values(), await tx.positions(len(fresh)), strict=True):
            tx.announce(
                refused(one.data),
                position=position,
                key=(one.data.order_id,),
                chain=one.data.order_id,
                order_no=one.data.order_no,
                company=one.data.company,
                cause=one,
            )


async def fill(database: Database, positions: Sequence[int], *, size: int = 50) -> None:
    """Rows of `positions`, `size` per transaction; what a row holds follows from its position."""
    for first in range(0, len(positions), size):
        async with database.transaction() as tx:
            records = [
                (
                    p,
                    line,
                    placed(str(p)).order_id,
                    str(p),
                    p % 7 + line,
                    p % 11 - 5,
                    "service" if p % 5 == 0 else "goods",
                )
                for p in positions[first : first + size]
                for line in (1, 2)
            ]
            await tx.copy("demand", columns=(*COLUMNS, "kind"), records=records)


@pytest.fixture
def flow() -> BatchFlow:
    return batch_flow("inventory-reserve-stock", OrderPlaced, size=100)(note_demand)


@pytest.fixture
async def toy_database(service_database: Callable[..., Awaitable[ServiceDatabase]]) -> ServiceDatabase:
    """Kit schema and toy tables, nothing in them."""
    made = await service_database("inventory", migrate=False)
    connection = await asyncpg.connect(made.owner_url)
    await migrate(connection, "inventory", TOY)
    await connection.close()
    return made


@pytest.fixture
async def database(toy_database: ServiceDatabase) -> AsyncIterator[Database]:
    """On the app role, without a broker: transactions write outbox rows and publish nothing."""
    database = await open_database(toy_database.app_url, "inventory")
    yield database
    await database.pool.close()


@pytest.fixture
async def owner(toy_database: ServiceDatabase) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody with psql and the owner's password."""
    connection = await asyncpg.connect(toy_database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def start_service(toy_database: ServiceDatabase, operator: Client) -> AsyncIterator[StartService]:
    """`await start_service(flows=[flow])`: running in this process on the toy's database and the hub."""
    running: list[Service] = []

    async def start(
        flows: Sequence[BatchFlow] = (), operations: Sequence[Answers[Any, Any]] = (), **more: Any
    ) -> Service:
        settings = Settings.from_environment({**toy_database.environment, **more.pop("environment", {})})
        more.setdefault("migrations", TOY)
        service = Service("inventory", settings, flows=flows, operations=operations, **more)
        running.append(service)
        await service.start()
        return service

    yield start
    for service in running:
        if service.ready:
            await service.stop()
        else:  # It refused to start, where its process would end now, or the test has stopped it already.
            service.lifetime.ending.set()
            await service.servers.close_broker()
            await service.servers.close_database()


@pytest.fixture
async def play(operator: Client) -> Play:
    """`await play(placed("1001"), …)`: the order service says so, on its own stream. Bytes go as they are."""
    await operator.jetstream().add_stream(own_stream("order", replicas=1, max_age_days=1))

    async def publish(*events: OrderPlaced | bytes) -> None:
        for event in events:
            body = event if isinstance(event, bytes) else envelope(event, next(_positions))
            await operator.jetstream().publish("order.placed.v1", body)

    return publish


async def told(operator: Client) -> list[str]:
    """Order numbers of the toy's announcements in its stream, once each, in the order of the stream."""
    js = operator.jetstream()
    try:
        state = (await js.stream_info("INVENTORY")).state
    except NotFoundError:
        return []
    found: dict[str, None] = {}
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            message = await js.get_msg("INVENTORY", sequence)
        except NotFoundError:
            continue
        if message.subject == OrderRefused.SUBJECT:
            for body in unpacked(message.data or b""):
                found[msgspec.json.decode(body, type=Envelope).orderno] = None
    return list(found)


@pytest.fixture
def toy() -> SimpleNamespace:
    """What test modules need of this file: placed, refused, envelope, until, told, note_demand, fill, folder."""
    return SimpleNamespace(
        placed=placed,
        refused=refused,
        envelope=envelope,
        until=until,
        told=told,
        note_demand=note_demand,
        fill=fill,
        folder=TOY,
    )
