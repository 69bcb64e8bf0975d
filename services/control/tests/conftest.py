"""Control beside two toy services on real servers: an inventory that ships, a finance that bills what it hears.

The toys have nothing of their namesakes but the books of measure 4; control and the kit are the real ones.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import asyncpg
import pytest
from msgspec import Struct
from msgspec.structs import replace
from tieout.contracts.agreement import MEASURES, WAITS_FOR_APPROVAL, Book, Mark, Violations
from tieout.contracts.event import document_id, event_id, order_id
from tieout.contracts.inventory import GoodsDelivered, GoodsShipped, ShippedLine
from tieout.contracts.operation import Nothing
from tieout.contracts.order import OrderPlaced
from tieout.control.app import build
from tieout.control.colleagues import Colleagues
from tieout.control.domain.agreement import NEVER
from tieout.control.proof import Prover
from tieout.control.settings import Settings
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.devstack.testbed import ServiceDatabase, Testbed, forget_facts
from tieout.servicekit import BatchFlow, Database, Received, Service, Unprocessable, batch_flow, migrate
from tieout.servicekit import Settings as ToySettings
from tieout.servicekit.rehearsal import open_database

HERE = Path(__file__).parent
PIECE = 1_000_000
_SHIPPED = next(measure for measure in MEASURES if measure.name == "shipped")
SHIPPED = replace(_SHIPPED, books=tuple(book for book in _SHIPPED.books if book.service != "order"))
assert SHIPPED.books == (
    Book("inventory", "shipped_line"),
    Book("finance", "billed_quantity", ("finance-bill-shipments",)),
)


class Trio(Struct):
    """Two toys and control, running; `gate` holds finance back while it is clear."""

    inventory: Service
    finance: Service
    control: Service
    prover: Prover
    gate: asyncio.Event
    owners: dict[str, str]
    partners: set[str]  # Orders whose early shipments may be billed by now.
    beside: tuple[Service, ...] = ()

    async def ship(self, *numbers: str, lines: int = 1, hold: float = 0.0, fail: bool = False) -> list[int]:
        """One shipment per order number, all in one transaction; its positions.

        `hold` keeps the transaction open so many seconds; `fail` rolls it back and raises LookupError.
        """
        async with self.inventory.database.transaction() as tx:
            positions = await tx.positions(len(numbers))
            rows = []
            for position, number in zip(positions, numbers, strict=True):
                event = shipment(number, lines)
                tx.announce(
                    event,
                    position=position,
                    key=(event.order_id, 1),
                    chain=event.order_id,
                    order_no=number,
                    company="C1",
                )
                rows += [(position, line.line_no, event.order_id, number, line.to_micro) for line in event.lines]
            await tx.copy("shipped_line", columns=_COLUMNS, records=rows)
            await asyncio.sleep(hold)
            if fail:
                raise LookupError
        return positions

    async def announce_only(self, number: str, ordinal: int) -> int:
        """A shipment that inventory announces and does not book, as a bug of it would; its position."""
        async with self.inventory.database.transaction() as tx:
            (position,) = await tx.positions(1)
            event = replace(shipment(number), ordinal=ordinal)
            tx.announce(
                event,
                position=position,
                key=(event.order_id, ordinal),
                chain=event.order_id,
                order_no=number,
                company="C1",
            )
        return position

    async def wake(self) -> None:
        """The partners of all early shipments have come: finance bills what it had parked."""
        async with self.finance.database.transaction() as tx:
            keys = [row["key"] for row in await tx.fetch("SELECT key FROM parked")]
            self.partners.update(keys)
            tx.wake(keys)

    async def arrived(self, *durables: str) -> None:
        """Until these consumers have confirmed all that was published."""
        colleagues = self.colleagues()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for one in self.beside:
                await self._closed(one.name)
            while any(floor.sequence < NEVER for floor in (await colleagues.floors(durables)).values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Until finance has handled what was shipped, and control has heard of it."""
        colleagues = self.colleagues()
        durables = ("finance-bill-shipments", "control-follow-inventory", "control-collect-dead")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._closed("inventory")
            while any(floor.sequence < NEVER for floor in (await colleagues.floors(durables)).values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def published(self) -> None:
        """Until all that was shipped stands in the stream and below the mark: a proof in a hurry finds it there."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._closed("inventory")

    async def _closed(self, producer: str) -> None:
        colleagues = self.colleagues()
        mark = await colleagues.ask(producer, "mark", Nothing(), Mark)
        while mark.position < mark.last_position:
            mark = await colleagues.ask(producer, "mark", Nothing(), Mark)

    def colleagues(self) -> Colleagues:
        """Who are given the time that a busy machine takes."""
        return Colleagues(lambda: self.control.nats, PATIENCE_SECONDS)

    async def by_hand(self, service: str, statement: str, *arguments: object) -> None:
        """Somebody with psql and the owner's password."""
        connection = await asyncpg.connect(self.owners[service])
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()


_COLUMNS = ("position", "line_no", "order_id", "order_no", "quantity_micro")


def shipment(number: str, lines: int = 1) -> GoodsShipped:
    return GoodsShipped(
        shipment_id=document_id("shipment", "C1", "shop", number),
        order_id=order_id("C1", "shop", number),
        company="C1",
        source="shop",
        order_no=number,
        ordinal=1,
        customer="K1",
        currency="CNY",
        cost_currency="CNY",
        business_date=date(2026, 11, 23),
        period="2026-11",
        lines=tuple(ShippedLine(n, "A", 0, n * PIECE, n * PIECE, 100) for n in range(1, lines + 1)),
    )


def toy_billing(gate: asyncio.Event, partners: set[str]) -> BatchFlow:
    @batch_flow("finance-bill-shipments", GoodsShipped, GoodsDelivered, size=50)
    async def bill(batch: list[Received[GoodsShipped]], database: Database) -> None:
        await gate.wait()
        for received in batch:
            if received.data.order_no.startswith("poison") and "antidote" not in partners:
                raise Unprocessable("toy_poison", "order_no", "This toy cannot bill poison.")
            if received.data.order_no.startswith("bug") and "mended" not in partners:
                raise AttributeError("no such attribute")
        async with database.transaction() as tx:
            rows = []
            held = {row[0] for row in await tx.fetch("SELECT position FROM billed_line")}
            for received in batch:
                event = received.data
                if received.position in held:
                    continue
                if event.order_no.startswith("early") and str(event.order_id) not in partners:
                    reason = WAITS_FOR_APPROVAL if "approval" in event.order_no else "waits for its order"
                    tx.park(received, key=str(event.order_id), reason=reason)
                    continue
                rows += [
                    (received.position, line.line_no, event.order_id, event.order_no, line.to_micro)
                    for line in event.lines
                ]
            await tx.copy("billed_line", columns=_COLUMNS, records=rows)

    return bill


@batch_flow("inventory-reserve-stock", OrderPlaced, size=50)
async def ships_at_once(batch: list[Received[OrderPlaced]], database: Database) -> None:
    """A toy that books a shipment for each order, and finds the one that it has announced already by its identity."""
    async with database.transaction() as tx:
        for received in batch:
            number = received.data.order_no
            event = shipment(number)
            if await tx.fetchval("SELECT true FROM shipped_line WHERE order_no = $1", number):
                continue
            identity = event_id(GoodsShipped.SUBJECT, event.order_id, 1)
            position = await tx.fetchval(
                "SELECT pos[array_position(ids, $1::uuid)] FROM outbox WHERE $1::uuid = ANY (ids)", identity
            )
            if position is None:
                (position,) = await tx.positions(1)
                tx.announce(event, position=position, key=(event.order_id, 1), chain=event.order_id, order_no=number,
                            company="C1", cause=received)  # fmt: skip
            rows = [(position, line.line_no, event.order_id, number, line.to_micro) for line in event.lines]
            await tx.copy("shipped_line", columns=_COLUMNS, records=rows)


@asynccontextmanager
async def started(
    testbed: Testbed, flows_of_inventory: tuple[BatchFlow, ...] = (), *, beside: tuple[str, ...] = ()
) -> AsyncIterator[Trio]:
    """`beside`: names of further toys, which only announce; they start first."""
    gate = asyncio.Event()
    gate.set()
    partners: set[str] = set()
    made: list[ServiceDatabase] = []

    async def database_of(name: str, *, migrated: bool) -> ServiceDatabase:
        made.append(await testbed.create_database(name, migrate=migrated))
        return made[-1]

    async def toy(name: str, flows: tuple[BatchFlow, ...]) -> Service:
        database = await database_of(name, migrated=False)
        folder = HERE / ("toy_inventory" if name in beside else f"toy_{name}")
        connection = await asyncpg.connect(database.owner_url)
        await migrate(connection, name, folder)
        await connection.close()
        settings = ToySettings.from_environment({**database.environment, "TIEOUT_SCRUB_SECONDS": "0"})
        return Service(name, settings, migrations=folder, flows=flows)

    others = [await toy(name, ()) for name in beside]
    inventory = await toy("inventory", flows_of_inventory)
    finance = await toy("finance", (toy_billing(gate, partners),))
    database = await database_of("control", migrated=True)
    control = build(
        Settings.from_environment(
            {
                **database.environment,
                "TIEOUT_WATCH_SECONDS": "0",
                "TIEOUT_PROOF_SECONDS": "0",
                "TIEOUT_DESK_SECONDS": "0.2",
                "TIEOUT_LOOKOUT_SECONDS": "0",
            }
        )
    )
    services = (*others, inventory, finance, control)
    for service in services:
        await service.start()
    prover = Prover(Colleagues(lambda: control.nats, PATIENCE_SECONDS), measures=(SHIPPED,))
    owners = {service.name: database.owner_url for service, database in zip(services, made, strict=True)}
    try:
        yield Trio(inventory, finance, control, prover, gate, owners, partners, tuple(others))
    finally:
        gate.set()
        await asyncio.gather(*(service.stop() for service in services))
        for database in made:
            await testbed.drop_database(database)
        operator = await testbed.connect()
        await testbed.clear_streams(operator)
        await operator.close()


@pytest.fixture
async def database(testbed: Testbed) -> AsyncIterator[Database]:
    """Control's own, fresh, with nobody beside it."""
    made = await testbed.create_database("control")
    database = await open_database(made.app_url, "control")
    yield database
    await database.pool.close()
    await testbed.drop_database(made)


@pytest.fixture(scope="module")
async def _trio(testbed: Testbed) -> AsyncIterator[Trio]:
    async with started(testbed) as trio:
        yield trio


@pytest.fixture
async def quartet(testbed: Testbed) -> AsyncIterator[Trio]:
    """With an order service that announces orders, and an inventory that hears them."""
    async with started(testbed, (ships_at_once,), beside=("order",)) as quartet:
        yield quartet


@pytest.fixture
async def trio(_trio: Trio) -> AsyncIterator[Trio]:
    """The same three services for a whole file, with empty books for each test."""
    yield _trio
    _trio.gate.set()
    _trio.partners.clear()
    await _trio.settled()
    for service, table in (("inventory", "shipped_line"), ("finance", "billed_line")):
        await _trio.by_hand(service, _ARM.format(table=table))
        connection = await asyncpg.connect(_trio.owners[service])
        await forget_facts(connection, table, *_DIGESTS)
        await connection.close()
    for service in (_trio.inventory, _trio.finance, _trio.control):
        service.findings.found = Violations((), ())
    connection = await asyncpg.connect(_trio.owners["control"])
    await forget_facts(connection, *_HEARD)
    await connection.close()


_HEARD = (
    *("replay_item", "replay_effect", "replay", "ticket_order", "notification", "ticket", "notice", "heard"),
    *("membership", "latency", "tally", "dead_letter", "disagreement", "watermark", "alarm", "outbox"),
)
_DIGESTS = ("correction", "settled_tamper", "parked", "digest", "digest_delta", "digest_branch")
_ARM = "; ".join(
    f"ALTER TABLE {{table}} ENABLE ALWAYS TRIGGER {kind}_{event}"
    for kind in ("digest", "tamper")
    for event in ("insert", "update", "delete", "truncate")
)
