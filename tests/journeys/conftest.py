"""One whole stack for all journeys of a test process: every service a process of its own, on real servers.

`trade` is furnished with the two companies of the trading day and opening stock for a few hundred orders. Tests share
it, so each sells under numbers of its own.
"""

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import pytest
from tieout.contracts.control import (
    PROVE_AGREEMENT,
    SHOW_JOURNEY,
    SHOW_STATUS,
    Agreement,
    AgreementRequest,
    Journey,
    JourneyRequest,
    Status,
    StatusRequest,
)
from tieout.contracts.finance import VOUCHERS, ListVouchers, VoucherView
from tieout.contracts.gateway import PROGRESS, ProgressRequest, ProgressView
from tieout.contracts.order import SHOW_ORDER, OrderView, ShowOrder
from tieout.devstack import patience
from tieout.devstack.calling import call
from tieout.devstack.chaos import seeded
from tieout.devstack.failures import CommandFailed
from tieout.devstack.patience import PATIENCE_SECONDS
from tieout.devstack.satellites import Answer, Door, key_headers, shopify_headers
from tieout.devstack.suite import Stack
from tieout.devstack.trading_day.catalogue import AMPLE, EU, MICRO, OFFICE, WEB, WEB_WAREHOUSE, Article, Company
from tieout.devstack.trading_day.sales import Sale, sold_line

Found = TypeVar("Found")


class Trade:
    """What a test does with the running stack: sell, send documents, wait for what must become of them."""

    def __init__(self, stack: Stack, client: httpx.AsyncClient, keys: dict[str, str]) -> None:
        self.stack = stack
        self.client = client
        self.keys = keys
        self.door = Door(stack.endpoints().gateway, timeout_seconds=PATIENCE_SECONDS)
        self._serials = itertools.count(1)

    def sale(
        self,
        *articles: Article,
        pieces: int = 2,
        warehouse: str = WEB_WAREHOUSE,
        company: Company = EU,
        customer: int = 7,
    ) -> Sale:
        serial = next(self._serials) + 500_000
        number = str(serial) if company is EU else f"S{serial}"
        lines = tuple(
            sold_line(company, line_no, article, pieces * MICRO, warehouse)
            for line_no, article in enumerate(articles or AMPLE[:2], 1)
        )
        return Sale(company, number, serial, customer, datetime.now(UTC) - timedelta(minutes=5), lines)

    async def shop(
        self, topic: str, body: dict[str, Any] | bytes, *, delivery: str = "", genuine: bool = True
    ) -> Answer:
        """A webhook of the web shop, as Shopify sends it."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        delivery = delivery or f"test-{next(self._serials)}"
        headers = shopify_headers(self.keys[WEB], topic, delivery, content, genuine=genuine)
        return await self.door.send(WEB, "shopify-orders", content, headers)

    async def office(self, *bodies: dict[str, Any]) -> Answer:
        """Canonical documents of the warehouse system or the bank."""
        content = b"\n".join(msgspec.json.encode(body) for body in bodies)
        headers = key_headers(self.keys[OFFICE], f"test-{next(self._serials)}", "application/x-ndjson")
        return await self.door.send(OFFICE, "tieout", content, headers)

    async def order(self, sale: Sale) -> OrderView:
        request = ShowOrder(sale.number, company=sale.company.code)
        answer: OrderView = await call(self.client, SHOW_ORDER, request)
        return answer

    async def vouchers(self, sale: Sale) -> list[VoucherView]:
        request = ListVouchers(company=sale.company.code, order_no=sale.number)
        return list((await call(self.client, VOUCHERS, request)).vouchers)

    async def journey(self, sale: Sale) -> Journey:
        request = JourneyRequest(sale.number, company=sale.company.code)
        (journey,) = (await call(self.client, SHOW_JOURNEY, request)).journeys
        return journey  # type: ignore[no-any-return]

    async def until(
        self, question: Callable[[], Awaitable[Found]], true: Callable[[Found], bool], seconds: float = PATIENCE_SECONDS
    ) -> Found:
        """The first answer for which `true` holds; the last one in the failure if none comes in time. A refusal is one
        that does not: nobody knows the order yet."""
        return await patience.until(question, true, seconds=seconds, passing=(CommandFailed, httpx.TransportError))

    async def agreement(self, *, seconds: float = PATIENCE_SECONDS) -> Agreement:
        """The verdict, once nothing is under way any more."""

        async def prove() -> Agreement:
            answer: Agreement = await call(self.client, PROVE_AGREEMENT, AgreementRequest(wait_seconds=2))
            return answer

        return await self.until(prove, lambda found: found.verdict != "open" and not found.unanswered, seconds)

    async def quiet(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Nothing is on its way any more, also none of what other tests set going, and none that no book would show.

        An agreement is less: it compares what was booked, and a flow may be behind whose events are in no measure.
        """
        await self.until(self.under_way, lambda found: not found, seconds)

    async def under_way(self) -> list[str]:
        """Documents that are not mapped, events that are not published or confirmed, and who waits for a partner."""
        progress: ProgressView = await call(self.client, PROGRESS, ProgressRequest())
        status: Status = await call(self.client, SHOW_STATUS, StatusRequest(minutes=1))
        left = [f"{one.source}: {one.pending} documents" for one in progress.satellites if one.pending]
        left += [f"{one.service} is away" for one in status.services if not one.up or not one.instances]
        left += [
            f"{health.service}: {health.parked} parked, {health.outbox_waiting} in the outbox"
            for service in status.services
            for health in service.instances
            if health.parked or health.outbox_waiting
        ]
        async with httpx.AsyncClient(base_url=self.stack.endpoints().hub.monitor, trust_env=False) as hub:
            told = (await hub.get("/jsz", params={"consumers": "true", "streams": "true", "accounts": "true"})).json()
        for account in told["account_details"]:
            for stream in account["stream_detail"]:
                for consumer in stream.get("consumer_detail") or ():
                    behind = consumer["num_pending"] + consumer["num_ack_pending"]
                    if behind:
                        left.append(f"{consumer['name']}: {behind} messages")
        return left


@asynccontextmanager
async def trading(furnished: Path, **options: Any) -> AsyncIterator[Trade]:
    """A stack of its own, for tests that need it to be told otherwise; `options` are those of Stack."""
    parent = Path(tempfile.mkdtemp(prefix="tieout-journeys-"))
    try:
        folder = parent / "stack"
        await asyncio.to_thread(subprocess.run, ["cp", "-a", furnished, folder], check=True)
        stack = Stack(folder, postgres_settings=seeded.POSTGRES, **options)
        async with stack.running(), stack.endpoints().async_client(timeout=PATIENCE_SECONDS) as client:
            trade = Trade(stack, client, json.loads((folder / "keys.json").read_text()))
            yield trade
            await trade.door.close()
    finally:
        shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture(scope="package")
async def trade(furnished: Path) -> AsyncIterator[Trade]:
    async with trading(furnished) as trade:
        yield trade


@pytest.fixture(scope="session")
def trade_apart(furnished: Path) -> Callable[..., AbstractAsyncContextManager[Trade]]:
    return partial(trading, furnished)
