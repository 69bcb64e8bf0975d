"""A desk: the order service's flows on a real database, fed with real envelopes, without a broker in between.

What the broker adds (streams, acks, redelivery) is tested in test_service.py; here a redelivery is the same message
given twice.
"""

import itertools
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from tieout.contracts import event, inventory, order
from tieout.contracts.finance import OrdersSettled, SettledItem
from tieout.devstack.testbed import ServiceDatabase, Testbed, forget_facts
from tieout.order.app import build
from tieout.order.reads import show_order
from tieout.order.settings import Settings
from tieout.servicekit import BatchFlow, Database, Letter, Received, rehearsal

ONE = 1_000_000
AT = datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Shanghai, the last second of a month.
DAY = date(2026, 11, 30)


class Desk:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.service = build(Settings())
        self.flows: dict[str, BatchFlow] = {
            subject: flow for flow in self.service.flows for subject in flow.hears.subjects
        }
        self.positions = {producer: itertools.count(1) for producer in ("gateway", "inventory", "finance")}

    # ------------------------------------------------------------------------------------------ feeding

    def message(self, fact: event.Event) -> Received[Any]:
        """As the broker would hand it over. Give the result twice to play a redelivery."""
        position = next(self.positions[fact.PRODUCER])
        return rehearsal.received(fact, position=position, flow=self.flows[fact.SUBJECT].durable)

    async def give(self, *facts: event.Event | Received[Any]) -> None:
        """One batch per flow, in the order of first appearance; then whoever was woken, until all is quiet."""
        batches: dict[str, list[Received[Any]]] = {}
        for fact in facts:
            message = fact if isinstance(fact, Received) else self.message(fact)
            batches.setdefault(message.durable, []).append(message)
        for batch in batches.values():
            await self.flows[batch[0].subject](batch, self.database)
        await rehearsal.run_parked(self.database, self.service.flows)

    # ------------------------------------------------------------------------------------------- asking

    async def announced(self, kind: type[Any]) -> list[Any]:
        """Everything of this kind that stands in the outbox, in the order of its positions."""
        found = await rehearsal.announced(self.database, kind)
        return [one.data for one in sorted(found, key=lambda one: one.position)]

    async def rows(self, query: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.database.pool.fetch(query, *args)]

    async def violations(self, rule: str) -> list[tuple[Any, ...]]:
        """What breaks one rule of violations.sql."""
        return await self.rows(dict(self.service.violations or ())[rule])

    async def parked(self) -> list[tuple[str, str]]:
        return await self.rows("SELECT durable, key FROM parked ORDER BY 1, 2")

    async def letters(self) -> list[Letter]:
        return await rehearsal.buried(self.database)

    async def view(self, order_no: str = "1001", company: str = "", source: str = "") -> order.OrderView:
        return await show_order.function(order.ShowOrder(order_no, company, source), self.database)

    # ------------------------------------------------------------------------------------------ documents

    def line(self, line_no: int = 1, quantity: int = 3, net: int = 300, tax: int = 39, **more: Any) -> order.OrderLine:
        return order.OrderLine(line_no, more.pop("sku", f"SKU{line_no}"), quantity * ONE, net, tax, **more)

    def submit(self, *lines: order.OrderLine, **more: Any) -> order.SubmitOrder:
        return order.SubmitOrder(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "shop",
                "number": "1001",
                "version": "1",
                "fingerprint": "a" * 64,
                "customer": "K1",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": lines or (self.line(),),
                **more,
            }
        )

    def cancel(self, *lines: tuple[int, int], **more: Any) -> order.SubmitCancel:
        return order.SubmitCancel(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "shop",
                "number": "X1",
                "version": "1",
                "fingerprint": "b" * 64,
                "order_number": "1001",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": tuple(order.CancelLine(line_no, quantity * ONE) for line_no, quantity in lines),
                **more,
            }
        )

    def back(self, line_no: int = 1, quantity: int = 1, net: int = 100, tax: int = 13, **more: Any) -> order.CreditLine:
        given = {"sku": "SKU1", "order_line_no": 1, "restock": "yes", **more}
        return order.CreditLine(line_no, quantity_micro=quantity * ONE, net_minor=net, tax_minor=tax, **given)

    def credit(self, *lines: order.CreditLine, **more: Any) -> order.SubmitCredit:
        return order.SubmitCredit(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "shop",
                "number": "R1",
                "version": "1",
                "fingerprint": "c" * 64,
                "customer": "K1",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": lines or (self.back(),),
                "order_number": "1001",
                **more,
            }
        )

    # ------------------------------------------------------------------------- what the others announce

    def id(self, number: str = "1001", company: str = "C1", source: str = "shop") -> uuid.UUID:
        return event.order_id(company, source, number)

    def shipped(
        self, *parts: tuple[int, int, int], number: str = "1001", whole: int = 3, net: int = 300, **more: Any
    ) -> inventory.GoodsShipped:
        """Parts: line number, from, to. The amounts carried along are those of the line as placed."""
        lines = tuple(
            inventory.ShippedLine(
                line_no,
                f"SKU{line_no}",
                start * ONE,
                end * ONE,
                whole * ONE,
                net,
                from_reserved=more.get("held", False),
            )
            for line_no, start, end in parts
        )
        return inventory.GoodsShipped(
            shipment_id=uuid.uuid4(),
            order_id=self.id(number, more.get("company", "C1")),
            company=more.get("company", "C1"),
            source="shop",
            order_no=number,
            ordinal=1,
            customer="K1",
            currency="CNY",
            cost_currency="CNY",
            business_date=DAY,
            period="2026-11",
            lines=lines,
            control_passes=more.get("control_passes", "issue"),
        )

    def delivered(self, *parts: tuple[int, int, int], number: str = "1001", whole: int = 3) -> inventory.GoodsDelivered:
        """Parts: line number, from, to, counted in what was delivered."""
        lines = tuple(
            inventory.ShippedLine(line_no, f"SKU{line_no}", start * ONE, end * ONE, whole * ONE, 0)
            for line_no, start, end in parts
        )
        return inventory.GoodsDelivered(
            delivery_id=uuid.uuid4(),
            order_id=self.id(number),
            company="C1",
            source="shop",
            order_no=number,
            ordinal=1,
            customer="K1",
            currency="CNY",
            cost_currency="CNY",
            business_date=DAY,
            period="2026-11",
            lines=lines,
        )

    def recalled(self, cancel_id: uuid.UUID, *parts: tuple[int, int, int], number: str = "1001") -> Any:
        """The decision on a cancellation. Parts: line number, stopped on its way, too late."""
        lines = tuple(
            inventory.StoppedLine(line_no, issued_micro=way * ONE, too_late_micro=gone * ONE)
            for line_no, way, gone in parts
        )
        return inventory.CancelDecided(cancel_id, self.id(number), "C1", number, lines)

    def reserved(self, *parts: tuple[int, int, int], number: str = "1001") -> inventory.StockReserved:
        """Parts: line number, reserved, back-ordered."""
        lines = tuple(inventory.ReservedLine(line_no, held * ONE, later * ONE) for line_no, held, later in parts)
        return inventory.StockReserved(self.id(number), "C1", number, 1, lines)

    def refused(self, *parts: tuple[int, int], number: str = "1001") -> inventory.OrderRefused:
        lines = tuple(inventory.RefusedLine(line_no, quantity * ONE, True) for line_no, quantity in parts)
        return inventory.OrderRefused(self.id(number), "C1", number, lines)

    def decided(
        self, cancel_id: uuid.UUID, *parts: tuple[int, int, int, int], number: str = "1001"
    ) -> inventory.CancelDecided:
        """Parts: line number, stopped out of back-order, stopped out of reservations, too late."""
        lines = tuple(
            inventory.StoppedLine(line_no, later * ONE, held * ONE, gone * ONE) for line_no, later, held, gone in parts
        )
        return inventory.CancelDecided(cancel_id, self.id(number), "C1", number, lines)

    def paid(self, *amounts: tuple[str, int] | tuple[str, int, int], cause: Any = "payment") -> OrdersSettled:
        """Amounts: what was applied to the order of this number, and what is held for it besides."""
        items = tuple(SettledItem(self.id(number), number, *amount) for number, *amount in amounts)
        return OrdersSettled(uuid.uuid4(), "C1", "CNY", cause, "P1", items)


@pytest.fixture(scope="session")
async def shared_database(testbed: Testbed) -> AsyncIterator[ServiceDatabase]:
    made = await testbed.create_database("order")
    yield made
    await testbed.drop_database(made)


@pytest.fixture
async def order_database(shared_database: ServiceDatabase) -> AsyncIterator[ServiceDatabase]:
    """One database for all tests of a process, emptied after each: a tenth of the time of a new one."""
    yield shared_database
    connection = await asyncpg.connect(shared_database.owner_url)
    facts = [row["tab"] for row in await connection.fetch("SELECT tab FROM fact_tables")]
    traces = ("anchor", "credit_limit", "outbox", "parked", "digest", "digest_delta", "digest_branch")
    await forget_facts(connection, *facts, *traces)
    await connection.close()


@pytest.fixture
async def database(order_database: ServiceDatabase) -> AsyncIterator[Database]:
    """On the app role: what a flow may not do to facts, it cannot do here either."""
    database = await rehearsal.open_database(order_database.app_url, "order")
    yield database
    await database.pool.close()


@pytest.fixture
async def owner(order_database: ServiceDatabase) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody with psql and the owner's password."""
    connection = await asyncpg.connect(order_database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def desk(database: Database) -> Desk:
    return Desk(database)
