"""A counter: inventory's flows on a real database, fed with real envelopes, without a broker in between.

What the broker adds (streams, acks, redelivery) is tested in test_service.py; here a redelivery is the same message
given twice. After each test everything that is kept must be the sum of its facts.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from tieout.contracts import event, inventory, order
from tieout.contracts.finance import CompanyOpened
from tieout.contracts.streams import EVENTS
from tieout.devstack.testbed import ServiceDatabase
from tieout.inventory.app import build
from tieout.inventory.settings import Settings
from tieout.servicekit import BatchFlow, Database, Letter, Received
from tieout.servicekit.database import open_pool
from tieout.servicekit.findings import Findings
from tieout.servicekit.received import Outgoing, Reader, encode

ONE = 1_000_000
AT = datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Shanghai, the last second of a month.
DAY = date(2026, 11, 30)


class Counter:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.service = build(Settings())
        self.flows: dict[str, BatchFlow] = {
            subject: flow for flow in self.service.flows for subject in flow.hears.subjects
        }
        self.operations = {answer.operation.name: answer for answer in self.service.operations}
        self.readers = {flow.durable: Reader(*flow.types) for flow in self.flows.values()}
        self.positions: dict[str, int] = {}

    # ------------------------------------------------------------------------------------------ feeding

    def message(self, fact: event.Event) -> Received[Any]:
        """As the broker would hand it over. Give the result twice to play a redelivery."""
        producer = type(fact).PRODUCER
        position = self.positions[producer] = self.positions.get(producer, 0) + 1
        subject = type(fact).SUBJECT
        chain = getattr(fact, "order_id", uuid.UUID(int=0))
        body = encode(
            Outgoing(
                "1.0",
                str(uuid.uuid4()),
                f"/{producer}",
                subject,
                "2026-11-30T16:00:00Z",
                str(position),
                str(chain),
                "application/json",
                fact,
            )
        )
        return self._read(body, subject, 1, position)

    def _read(self, body: bytes, subject: str, attempts: int, sequence: int) -> Received[Any]:
        durable = self.flows[subject].durable
        return self.readers[durable].read(
            body, subject=subject, attempts=attempts, stream="TEST", stream_sequence=sequence, durable=durable
        )

    async def give(self, *facts: event.Event | Received[Any]) -> None:
        """One batch per flow, in the order of first appearance; then whoever was woken, until all is quiet."""
        messages = [fact if isinstance(fact, Received) else self.message(fact) for fact in facts]
        batches: dict[str, list[Received[Any]]] = {}
        for message in messages:
            batches.setdefault(message.durable, []).append(message)
        for batch in batches.values():
            await self.flows[batch[0].subject].function(batch, self.database)
        await self._wake()

    async def _wake(self) -> None:
        while rows := await self.database.pool.fetch("SELECT * FROM parked WHERE due_at <= now() ORDER BY position"):
            for durable in sorted({row["durable"] for row in rows}):
                mine = [
                    self._read(row["body"], row["subject"], row["attempts"], row["stream_sequence"])
                    for row in rows
                    if row["durable"] == durable
                ]
                taking = self.database.taking(durable, [message.business_id for message in mine])
                await self.flows[mine[0].subject].function(mine, taking)

    # ------------------------------------------------------------------------------------------- asking

    async def announced(self, *kinds: type[Any]) -> list[Any]:
        """Everything of these kinds that stands in the outbox, in the order of its positions."""
        wanted = {kind.SUBJECT for kind in kinds}
        rows = await self.database.pool.fetch("SELECT subjects, bodies FROM outbox ORDER BY batch")
        found = []
        for row in rows:
            for subject, body in zip(row["subjects"], row["bodies"], strict=True):
                if subject in wanted:
                    envelope = msgspec.json.decode(body, type=event.Envelope)
                    found.append((envelope.position, msgspec.json.decode(envelope.data, type=EVENTS[subject])))
        return [data for _, data in sorted(found, key=lambda one: one[0])]

    async def rows(self, query: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.database.pool.fetch(query, *args)]

    async def stock(self, sku: str = "A", warehouse: str = "MAIN", company: str = "C1") -> tuple[int, int, int, int]:
        """On hand, reserved, back-ordered (whole pieces), value."""
        found = await self.rows(
            "SELECT on_hand_micro / 1000000, reserved_micro / 1000000, back_ordered_micro / 1000000, value_minor "
            "FROM stock WHERE company = $1 AND warehouse = $2 AND sku = $3",
            company,
            warehouse,
            sku,
        )
        return found[0] if found else (0, 0, 0, 0)

    async def parked(self) -> list[tuple[str, str]]:
        return await self.rows("SELECT durable, reason FROM parked ORDER BY 1, 2")

    async def letters(self) -> list[Any]:
        rows = await self.database.pool.fetch("SELECT bodies FROM outbox WHERE stream = 'DEAD' ORDER BY batch")
        return [msgspec.json.decode(body, type=Letter) for row in rows for body in row["bodies"]]

    async def ask(self, request: Any) -> Any:
        name = next(o.name for o in inventory.OPERATIONS if o.request is type(request))
        return await self.operations[name].function(request, self.database)

    async def violations(self) -> list[Any]:
        """Of inventory's own rules and of the kit's: what is kept, and is not the sum of its facts."""
        return list((await Findings(self.service.violations).scrub(self.database)).violations)

    # ---------------------------------------------------------------------------------------- documents

    async def open(self, company: str = "C1", currency: str = "CNY", **warehouses: str) -> None:
        """A company with warehouses, each as "policy fulfilment method": MAIN="back_order auto"."""
        await self.give(CompanyOpened(company, f"Company {company}", currency, "Asia/Shanghai"))
        for warehouse, rule in warehouses.items():
            words = rule.split()
            method = words[2] if len(words) > 2 else "moving_average"
            await self.ask(inventory.PutWarehouse(company, warehouse, words[0], words[1], method))  # type: ignore[arg-type]

    def receipt(self, *lines: tuple[str, int, int], **more: Any) -> inventory.SubmitReceipt:
        """Lines as (SKU, pieces, value)."""
        told = tuple(
            inventory.ReceiptLine(n, sku, pieces * ONE, value) for n, (sku, pieces, value) in enumerate(lines, 1)
        )
        number = more.get("number") or str(uuid.uuid4())
        return inventory.SubmitReceipt(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "erp",
                "number": number,
                "version": "1",
                "fingerprint": "a" * 64,
                "warehouse": "MAIN",
                "kind": "purchase",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": told,
                **more,
            }
        )

    def count(self, *lines: tuple[str, int], **more: Any) -> inventory.SubmitAdjustment:
        """Lines as (SKU, pieces), negative where they are missing."""
        told = tuple(inventory.AdjustmentLine(n, sku, pieces * ONE) for n, (sku, pieces) in enumerate(lines, 1))
        return inventory.SubmitAdjustment(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "count",
                "number": str(uuid.uuid4()),
                "version": "1",
                "fingerprint": "a" * 64,
                "warehouse": "MAIN",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": told,
                **more,
            }
        )

    def line(self, line_no: int, sku: str, pieces: int, net: int = 0, **more: Any) -> order.PlacedLine:
        return order.PlacedLine(line_no, sku, pieces * ONE, net, **more)

    def placed(self, number: str, *lines: order.PlacedLine | tuple[str, int], **more: Any) -> order.OrderPlaced:
        """Lines as PlacedLine, or (SKU, pieces) of warehouse MAIN."""
        told = tuple(
            entry if isinstance(entry, order.PlacedLine) else self.line(n, *entry) for n, entry in enumerate(lines, 1)
        )
        company = more.get("company", "C1")
        return order.OrderPlaced(
            **{
                "order_id": event.order_id(company, "shop", number),
                "company": "C1",
                "source": "shop",
                "order_no": number,
                "customer": "K1",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "net_minor": sum(entry.net_minor for entry in told),
                "tax_minor": sum(entry.tax_minor for entry in told),
                "lines": told,
                **more,
            }
        )

    def cancel(self, number: str, *lines: tuple[int, int], **more: Any) -> order.CancelRequested:
        """Lines as (line, pieces); none: everything."""
        return order.CancelRequested(
            **{
                "cancel_id": uuid.uuid4(),
                "order_id": event.order_id("C1", "shop", number),
                "company": "C1",
                "order_no": number,
                "business_date": DAY,
                "lines": tuple(order.CancelLine(line_no, pieces * ONE) for line_no, pieces in lines),
                **more,
            }
        )

    def confirmation(self, order_no: str, *lines: tuple[int, int], **more: Any) -> inventory.SubmitConfirmation:
        """Lines as (line, pieces); none: all that is reserved."""
        return inventory.SubmitConfirmation(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "wms",
                "number": str(uuid.uuid4()),
                "version": "1",
                "fingerprint": "a" * 64,
                "warehouse": "MAIN",
                "order_source": "shop",
                "order_number": order_no,
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": tuple(order.CancelLine(line_no, pieces * ONE) for line_no, pieces in lines),
                **more,
            }
        )

    def delivery(self, order_no: str, *lines: tuple[int, int], **more: Any) -> inventory.SubmitDelivery:
        """Lines as (line, pieces); none: all that is on its way."""
        return inventory.SubmitDelivery(
            **{
                "intake_id": uuid.uuid4(),
                "company": "C1",
                "source": "carrier",
                "number": str(uuid.uuid4()),
                "version": "1",
                "fingerprint": "a" * 64,
                "order_source": "shop",
                "order_number": order_no,
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": tuple(order.CancelLine(line_no, pieces * ONE) for line_no, pieces in lines),
                **more,
            }
        )

    def credit(self, number: str, *lines: tuple[Any, ...], **more: Any) -> order.OrderReturned:
        """Lines as (SKU, pieces) unlinked, or (SKU, pieces, order number, its line). `scrap`: nobody can use it."""
        scrap, warehouse = more.pop("scrap", False), more.pop("warehouse", "MAIN")
        told = tuple(
            order.ReturnedLine(
                n,
                sku,
                pieces * ONE,
                0,
                order_id=event.order_id("C1", "shop", sale[0]) if sale else None,
                order_line_no=sale[1] if sale else 0,
                warehouse=warehouse,
                restock=True,
                scrap=scrap,
            )
            for n, (sku, pieces, *sale) in enumerate(lines, 1)
        )
        return order.OrderReturned(
            **{
                "credit_id": event.document_id("credit", "C1", "shop", number),
                "company": "C1",
                "source": "shop",
                "credit_no": number,
                "customer": "K1",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": told,
                **more,
            }
        )


@pytest.fixture
async def counter(service_database: Callable[..., Awaitable[ServiceDatabase]]) -> AsyncIterator[Counter]:
    made = await service_database("inventory")
    pool = await open_pool(made.app_url, None, "inventory", size=8)
    counter = Counter(Database(pool, service="inventory"))
    try:
        yield counter
        assert await counter.violations() == []
    finally:
        await pool.close()
