"""A ledger desk: finance's flows on a real database, fed with real envelopes, without a broker in between.

What the broker adds (streams, acks, redelivery) is tested in test_service.py; here a redelivery is the same message
given twice.
"""

import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import msgspec
import pytest
from tieout.contracts import event, finance, inventory, order
from tieout.contracts.operation import Operation
from tieout.devstack.testbed import ServiceDatabase
from tieout.finance.app import build
from tieout.finance.flows import close_period
from tieout.finance.settings import Settings
from tieout.servicekit import ACTOR, BatchFlow, Database, Letter, Received, rehearsal, sql

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
        self.answers = {answer.operation.name: answer.function for answer in self.service.operations}
        self.positions = {producer: itertools.count(1) for producer in ("gateway", "order", "inventory")}

    # ------------------------------------------------------------------------------------------ feeding

    def message(self, fact: event.Event, **more: Any) -> Received[Any]:
        """As the broker would hand it over. Give the result twice to play a redelivery."""
        position = next(self.positions[fact.PRODUCER])
        flow = self.flows[fact.SUBJECT]
        chain = getattr(fact, "order_id", None) or getattr(fact, "credit_id", None)
        chain = chain or getattr(fact, "receipt_id", None) or uuid.uuid4()
        found = rehearsal.received(fact, position=position, flow=flow.durable, **{"chain": chain, **more})
        narrow = next(kind for kind in flow.types if fact.SUBJECT == kind.SUBJECT)
        found.data = msgspec.json.decode(found.envelope.data, type=narrow)
        return found

    async def give(self, *facts: event.Event | Received[Any]) -> None:
        """One batch per flow, in the order of first appearance; then whoever was woken, until all is quiet."""
        batches: dict[str, list[Received[Any]]] = {}
        for fact in facts:
            message = fact if isinstance(fact, Received) else self.message(fact)
            batches.setdefault(message.durable, []).append(message)
        for batch in batches.values():
            await self.flows[batch[0].subject](batch, self.database)
        await rehearsal.run_parked(self.database, self.service.flows)

    async def ask(self, operation: Operation, **request: Any) -> Any:
        return await self.answers[operation.name](operation.request(**request), self.database)

    async def ask_as(self, who: str, operation: Operation, **request: Any) -> Any:
        """As the gateway would, for somebody with a token of his own."""
        token = ACTOR.set(who)
        try:
            return await self.ask(operation, **request)
        finally:
            ACTOR.reset(token)

    async def open(self, company: str = "C1", currency: str = "CNY", **more: Any) -> finance.CompanyView:
        asked = {
            "company": company,
            "name": f"Company {company}",
            "currency": currency,
            "zone": "Asia/Shanghai",
            **more,
        }
        return await self.ask(finance.PUT_COMPANY, **asked)

    # ------------------------------------------------------------------------------------------- asking

    async def announced(self, kind: type[Any]) -> list[Any]:
        """Everything of this kind that stands in the outbox, in the order of its positions."""
        found = await rehearsal.announced(self.database, kind)
        return [one.data for one in sorted(found, key=lambda one: one.position)]

    async def rows(self, query: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.database.pool.fetch(query, *args)]

    async def parked(self) -> list[tuple[str, str]]:
        return await self.rows("SELECT durable, key FROM parked ORDER BY 1, 2")

    async def letters(self) -> list[Letter]:
        return await rehearsal.buried(self.database)

    async def violations(self) -> list[tuple[Any, ...]]:
        """Broken rules of the books; there must never be one."""
        found: list[tuple[Any, ...]] = []
        for name, statement in sql.load_file(str(self.service.migrations), "violations.sql"):
            found += [(name, *row) for row in await self.rows(statement)]
        return found

    async def balances(self, company: str = "C1", currency: str = "CNY") -> dict[str, int]:
        """Debits minus credits per account in the document's currency; accounts at zero are left out."""
        found = await self.rows(
            "SELECT l.account, sum(CASE l.side WHEN 'D' THEN l.amount_minor ELSE -l.amount_minor END)::bigint"
            " FROM voucher v JOIN voucher_line l USING (position) WHERE v.company = $1 AND l.currency = $2 GROUP BY 1",
            company,
            currency,
        )
        return {account: amount for account, amount in found if amount}

    async def vouchers(self, **wanted: Any) -> list[tuple[str, list[tuple[str, str, int]]]]:
        """Template and lines (side, account, amount), oldest first."""
        page = await self.ask(finance.VOUCHERS, **wanted)
        return [
            (voucher.template, [(line.side[0].upper(), line.account, line.amount_minor) for line in voucher.lines])
            for voucher in reversed(page.vouchers)
        ]

    # ------------------------------------------------------------------------------- what the others say

    def id(self, number: str = "1001", company: str = "C1") -> uuid.UUID:
        return event.order_id(company, "shop", number)

    def placed(self, number: str = "1001", net: int = 300, tax: int = 39, **more: Any) -> order.OrderPlaced:
        company = more.get("company", "C1")
        return order.OrderPlaced(
            **{
                "order_id": self.id(number, company),
                "company": company,
                "source": "shop",
                "order_no": number,
                "customer": "K1",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "net_minor": net,
                "tax_minor": tax,
                "lines": (order.PlacedLine(1, "A", 3 * ONE, net, tax),),
                **more,
            }
        )

    def part(
        self,
        start: int = 0,
        end: int = 3,
        *,
        line_no: int = 1,
        whole: int = 3,
        net: int = 300,
        tax: int = 39,
        **more: Any,
    ) -> inventory.ShippedLine:
        given = {"cost_minor": 100 * (end - start), **more}
        return inventory.ShippedLine(line_no, "A", start * ONE, end * ONE, whole * ONE, net, tax, **given)

    def shipped(self, *lines: inventory.ShippedLine, number: str = "1001", **more: Any) -> inventory.GoodsShipped:
        company = more.get("company", "C1")
        return inventory.GoodsShipped(
            **{
                "shipment_id": uuid.uuid4(),
                "order_id": self.id(number, company),
                "company": company,
                "source": "shop",
                "order_no": number,
                "ordinal": 1,
                "customer": "K1",
                "currency": "CNY",
                "cost_currency": "CNY",
                "business_date": DAY,
                "period": "2026-11",
                "lines": lines or (self.part(),),
                **more,
            }
        )

    def delivered(self, *lines: inventory.ShippedLine, number: str = "1001", **more: Any) -> inventory.GoodsDelivered:
        company = more.get("company", "C1")
        return inventory.GoodsDelivered(
            **{
                "delivery_id": uuid.uuid4(),
                "order_id": self.id(number, company),
                "company": company,
                "source": "shop",
                "order_no": number,
                "ordinal": 1,
                "customer": "K1",
                "currency": "CNY",
                "cost_currency": "CNY",
                "business_date": DAY,
                "period": "2026-11",
                "lines": lines or (self.part(),),
                **more,
            }
        )

    def recalled(self, quantity: int, value: int, number: str = "1001", **more: Any) -> inventory.GoodsRecalled:
        return inventory.GoodsRecalled(
            **{
                "cancel_id": uuid.uuid4(),
                "order_id": self.id(number),
                "company": "C1",
                "source": "shop",
                "order_no": number,
                "customer": "K1",
                "cost_currency": "CNY",
                "business_date": DAY,
                "period": "2026-11",
                "lines": (inventory.RecalledLine(1, "A", quantity * ONE, value),),
                **more,
            }
        )

    def credited(self, *amounts: tuple[int, int], number: str | None = "1001", **more: Any) -> order.OrderReturned:
        """Amounts: net and tax of each line. Without a number: unlinked."""
        company = more.get("company", "C1")
        restock = more.pop("restock", True)
        account = more.pop("account", "goods")
        quantity = more.pop("quantity", ONE)
        lines = tuple(
            order.ReturnedLine(
                line_no,
                "A",
                quantity,
                net,
                tax,
                order_id=self.id(number, company) if number else None,
                order_line_no=1 if number else 0,
                restock=restock,
                account=account,
            )
            for line_no, (net, tax) in enumerate(amounts or ((100, 13),), 1)
        )
        return order.OrderReturned(
            **{
                "credit_id": uuid.uuid4(),
                "company": company,
                "source": "shop",
                "credit_no": "R1",
                "customer": "K1",
                "currency": "CNY",
                "occurred_at": AT,
                "zone": "Asia/Shanghai",
                "business_date": DAY,
                "lines": lines,
                **more,
            }
        )

    def refused(self, quantity: int, number: str = "1001", company: str = "C1") -> inventory.OrderRefused:
        line = inventory.RefusedLine(1, quantity * ONE, True)
        return inventory.OrderRefused(self.id(number, company), company, number, (line,))

    def stopped(self, quantity: int, number: str = "1001", company: str = "C1") -> inventory.CancelDecided:
        line = inventory.StoppedLine(1, reserved_micro=quantity * ONE)
        return inventory.CancelDecided(uuid.uuid4(), self.id(number, company), company, number, (line,))

    def returned(self, value: int = 100, **more: Any) -> inventory.GoodsReturned:
        return inventory.GoodsReturned(
            **{
                "credit_id": uuid.uuid4(),
                "company": "C1",
                "credit_no": "R1",
                "customer": "K1",
                "cost_currency": "CNY",
                "business_date": DAY,
                "period": "2026-11",
                "lines": (inventory.ReturnedLine(1, "A", ONE, value),),
                **more,
            }
        )

    def moved(self, kind: str, *lines: tuple[int, int], **more: Any) -> Any:
        """Lines: quantity, value. Kind: opening, purchase, adjusted, revalued."""
        given = {
            "company": "C1",
            "warehouse": "MAIN",
            "cost_currency": "CNY",
            "business_date": DAY,
            "period": "2026-11",
            "lines": tuple(inventory.MovedLine(n, "A", q * ONE, v) for n, (q, v) in enumerate(lines, 1)),
            **more,
        }
        if kind == "adjusted":
            return inventory.StockAdjusted(adjustment_id=uuid.uuid4(), number="D1", source="wms", **given)
        if kind == "revalued":
            return inventory.StockRevalued(**{"revaluation_id": uuid.uuid4(), "cause_no": "D1", **given})
        return inventory.GoodsReceived(receipt_id=uuid.uuid4(), number="D1", source="wms", kind=kind, **given)  # type: ignore[arg-type]

    def _money(self, number: str, more: dict[str, Any]) -> dict[str, Any]:
        return {
            "intake_id": uuid.uuid4(),
            "company": "C1",
            "source": "psp",
            "number": number,
            "version": "1",
            "fingerprint": "a" * 64,
            "customer": "K1",
            "currency": "CNY",
            "occurred_at": AT,
            "zone": "Asia/Shanghai",
            "business_date": DAY,
            **more,
        }

    def pay(
        self, amount: int, *orders: str | tuple[Any, ...], number: str = "P1", **more: Any
    ) -> finance.SubmitPayment:
        """Orders: numbers, or numbers with the amount that is meant for them, and the discount that was taken."""
        allocations = tuple(
            finance.Allocation("shop", one) if isinstance(one, str) else finance.Allocation("shop", *one)
            for one in orders
        )
        return finance.SubmitPayment(received_minor=amount, allocations=allocations, **self._money(number, more))

    def refund(self, amount: int, order_number: str = "", *, number: str = "F1", **more: Any) -> finance.SubmitRefund:
        given = {"order_source": "shop", "order_number": order_number, **self._money(number, more)}
        return finance.SubmitRefund(paid_minor=amount, **given)


@pytest.fixture
async def finance_database(service_database: Callable[..., Awaitable[ServiceDatabase]]) -> ServiceDatabase:
    return await service_database("finance")


@pytest.fixture
async def database(finance_database: ServiceDatabase) -> AsyncIterator[Database]:
    """On the app role: what a flow may not do to facts, it cannot do here either."""
    database = await rehearsal.open_database(finance_database.app_url, "finance")
    yield database
    await database.pool.close()


@pytest.fixture
async def owner(finance_database: ServiceDatabase) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody with psql and the owner's password."""
    connection = await asyncpg.connect(finance_database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def desk(database: Database, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Company C1 is open. Its calendar stands years after the months of these tests, whenever they run."""
    monkeypatch.setattr(close_period, "today", lambda zone: date(2031, 1, 1))
    desk = Desk(database)
    await desk.open()
    return desk
