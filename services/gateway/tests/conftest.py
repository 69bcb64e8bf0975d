"""The whole gateway on real Postgres and NATS, spoken to over its HTTP as satellites and people do."""

import base64
import contextlib
import hashlib
import hmac
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tieout.contracts.event import Envelope, Event
from tieout.contracts.finance import CompanyOpened
from tieout.contracts.inventory import ArticlesListed
from tieout.contracts.streams import EVENTS
from tieout.devstack.patience import PATIENCE_SECONDS, until
from tieout.devstack.processes import free_port
from tieout.devstack.testbed import ServiceDatabase, Testbed, stream_config
from tieout.gateway.app import build
from tieout.gateway.settings import Settings
from tieout.servicekit import Service, rehearsal

TOKEN = "the-token-of-whoever-runs-the-stack"
SECRET = "a-secret-that-the-shop-knows-too"
ONE = 1_000_000
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Else each client reads all certificates of the machine.


class House:
    """A running gateway, a few companies and articles that it knows, and somebody at its door."""

    def __init__(self, service: Service, client: httpx.AsyncClient) -> None:
        self.service = service
        self.client = client
        self.admin = {"Authorization": f"Bearer {TOKEN}"}
        self.keys: dict[str, str] = {}
        self._serial = itertools.count(1)

    @property
    def pool(self) -> Any:
        return self.service.database.pool

    async def hear(self, *facts: Event) -> None:
        """What other services announce, without waiting for a broker."""
        for fact in facts:
            flow = next(f for f in self.service.flows if fact.SUBJECT in f.hears.subjects)
            await flow([rehearsal.received(fact)], self.service.database)

    async def welcome(self, satellite: str, **more: Any) -> str:
        """Make a satellite; answers its secret."""
        body = {"companies": ["C1"], "zone": "Asia/Shanghai", **more}
        answer = await self.client.put(f"/v1/satellites/{satellite}", json=body, headers=self.admin)
        assert answer.status_code == 200, answer.text
        self.keys[satellite] = answer.json().get("secret", "") or body.get("secret", "")
        return self.keys[satellite]

    async def send(
        self, content: Any, satellite: str = "till", channel: str = "tieout", **headers: str
    ) -> httpx.Response:
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        told = {"Content-Type": "application/json", "X-Api-Key": self.keys.get(satellite, "")}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"/v1/intake/{satellite}/{channel}", content=body, headers=told)

    async def webhook(self, topic: str, content: Any, **headers: str) -> httpx.Response:
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        return await self.send(
            body, "shop", "shopify-orders", **{"X_Shopify_Topic": topic, "X_Shopify_Hmac_Sha256": signature, **headers}
        )

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query, headers=self.admin)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(path, json=body, headers=self.admin)

    async def document(self, answer: httpx.Response) -> Any:
        """What became of the (first) document of a delivery, once something has."""
        assert answer.status_code == 202, answer.text
        return await self.settled(answer.json()["intake_id"])

    async def settled(self, intake_id: str) -> Any:
        path = f"/v1/documents/{intake_id}"
        return await until(lambda: self.get(path), lambda found: found["state"] != "pending")

    async def refusals(self, answer: httpx.Response) -> list[tuple[str, str]]:
        """(reason, field) of each document of a delivery, in their order; ("", "") of those that were not refused."""
        assert answer.status_code == 202, answer.text
        await self.settled(answer.json()["accepted"][0]["last_id"])
        await self.quiet()
        rows = await self.pool.fetch(
            "SELECT reason, field FROM raw_document LEFT JOIN refusal USING (id) ORDER BY raw_document.id"
        )
        return [(row["reason"] or "", row["field"] or "") for row in rows]

    async def quiet(self) -> None:
        """Nothing is pending any more."""
        await until(lambda: self.pool.fetchval("SELECT count(*) = 0 FROM pending"))

    async def commands(self, kind: type[Event] | None = None) -> list[Any]:
        """Everything that was handed over, in the order of positions."""
        rows = await self.pool.fetch("SELECT subjects, bodies FROM outbox WHERE stream = 'GATEWAY' ORDER BY batch")
        found = []
        for row in rows:
            for subject, body in zip(row["subjects"], row["bodies"], strict=True):
                if subject in EVENTS and (kind is None or EVENTS[subject] is kind):
                    envelope = msgspec.json.decode(body, type=Envelope)
                    found.append((envelope.position, msgspec.json.decode(envelope.data, type=EVENTS[subject])))
        return [data for _, data in sorted(found, key=lambda one: one[0])]

    def shopify_order(self, number: int = 1001, **more: Any) -> dict[str, Any]:
        return shopify_order(number, **more)

    def order(self, **more: Any) -> dict[str, Any]:
        """A canonical order of two pieces at 12.50 and 1.63 tax."""
        return {
            "kind": "order",
            "company": "C1",
            "number": f"N{next(self._serial)}",
            "occurred_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "customer": "17",
            "currency": "CNY",
            "lines": [{"line_no": 1, "sku": "A", "quantity_micro": 2 * ONE, "net_minor": 1250, "tax_minor": 163}],
            **more,
        }


def shopify_order(number: int = 1001, **more: Any) -> dict[str, Any]:
    """Two articles, carriage, a discount and tax, as the webhook has them."""
    return {
        "id": 5_400_000_000_000 + number,
        "name": f"#{number}",
        "created_at": "2026-10-31T23:59:59+08:00",
        "currency": "CNY",
        "taxes_included": False,
        "total_price": "118.52",
        "customer": {"id": 77},
        "line_items": [
            {
                "id": number * 10 + 1,
                "sku": "A",
                "quantity": 3,
                "price": "19.99",
                "discount_allocations": [{"amount": "5.97"}],
                "tax_lines": [{"price": "7.02"}],
                "fulfillment_service": "manual",
            },
            {
                "id": number * 10 + 2,
                "sku": "B",
                "quantity": 1,
                "price": "40.00",
                "discount_allocations": [],
                "tax_lines": [{"price": "5.20"}],
                "fulfillment_service": "EAST",
            },
        ],
        "shipping_lines": [{"price": "10.90", "tax_lines": [{"price": "1.40"}]}],
        **more,
    }


@pytest.fixture
async def start(
    service_database: Callable[..., Awaitable[ServiceDatabase]], tmp_path: Path, operator: Any, testbed: Testbed
) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """`await start(body_bytes_max=1000)`: a gateway with these settings."""
    running: list[House] = []

    async def start(**settings: Any) -> House:
        for producer in ("inventory", "finance"):
            await operator.jetstream().add_stream(stream_config(producer))
        database = await service_database("gateway")
        (tmp_path / "token").write_text(TOKEN)
        port = free_port()
        told = Settings.from_environment(database.environment)
        chosen = {"http_port": port, "admin_token_file": str(tmp_path / "token"), **settings}
        service = build(msgspec.structs.replace(told, **chosen))
        await service.start()
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS, verify=_NO_TLS)
        house = House(service, client)
        running.append(house)

        async def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get("/readyz")).status_code == 200
            return False

        await until(ready)
        await house.hear(
            CompanyOpened("C1", "Company one", "CNY", "Asia/Shanghai"),
            CompanyOpened("C2", "Company two", "EUR", "Europe/Berlin"),
            ArticlesListed("C1", "l1", ("A", "B", "C")),
            ArticlesListed("C2", "l2", ("A",)),
            ArticlesListed("C1", "warehouse-EAST", (), ("EAST",)),
        )
        return house

    yield start
    for house in running:
        await house.client.aclose()
        await house.service.stop()


@pytest.fixture
async def house(start: Callable[..., Awaitable[House]]) -> House:
    house = await start()
    await house.welcome("till")
    await house.welcome("shop", authentication="shopify", secret=SECRET)
    return house
