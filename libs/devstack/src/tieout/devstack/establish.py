"""Makes what must exist before the first document: companies, warehouses, articles, satellites. Repeating is safe."""

import asyncio
import contextlib
import time
from collections.abc import Iterable

import httpx
from tieout.contracts.control import SHOW_STATUS, Status, StatusRequest
from tieout.contracts.gateway import PUT_SATELLITE, PutSatellite, SatellitePut
from tieout.contracts.inventory import PUT_ARTICLES, PUT_WAREHOUSE, Article, PutArticles, PutWarehouse
from tieout.devstack import hints
from tieout.devstack.calling import call
from tieout.devstack.failures import CommandFailed

ARTICLES_AT_ONCE = 5_000
LEARN_SECONDS_MAX = 30.0
LEARNING = ("gateway-note-articles", "gateway-note-companies", "inventory-note-calendar")


async def list_articles(client: httpx.AsyncClient, company: str, articles: Iterable[Article]) -> None:
    rest = list(articles)
    while rest:
        some, rest = rest[:ARTICLES_AT_ONCE], rest[ARTICLES_AT_ONCE:]
        await call(client, PUT_ARTICLES, PutArticles(company=company, articles=tuple(some)))


async def describe_warehouses(client: httpx.AsyncClient, warehouses: Iterable[PutWarehouse]) -> None:
    for warehouse in warehouses:
        await call(client, PUT_WAREHOUSE, warehouse)


async def admit(client: httpx.AsyncClient, satellite: PutSatellite) -> str:
    """The satellite's secret, where this call made one: for a new satellite, and with `rotate` also for one that was
    there, whose old secret ends at once. "" else: the secret stays what it was, and nobody can show it."""
    answer: SatellitePut = await call(client, PUT_SATELLITE, satellite)
    return answer.secret


async def wait_until_learned(client: httpx.AsyncClient) -> None:
    """Companies, warehouses and articles are announced as events; who has not heard of them yet refuses what names
    them."""
    deadline = time.monotonic() + LEARN_SECONDS_MAX
    quiet = 0
    while quiet < 2:
        if time.monotonic() > deadline:
            raise CommandFailed(f"the services do not take up companies and articles. See: {hints.command('status')}")
        await asyncio.sleep(0.15)
        with contextlib.suppress(httpx.TransportError):
            status: Status = await call(client, SHOW_STATUS, StatusRequest(minutes=1))
            flows = [flow for flow in status.flows if flow.durable in LEARNING]
            behind = any(flow.waiting or flow.unacked or flow.missing for flow in flows)
            quiet = 0 if behind or len(flows) < len(LEARNING) else quiet + 1
