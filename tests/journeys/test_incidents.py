"""Three incidents, played: what docs/tracing.md tells people to search for is what the collector has.

One order in five is sampled here, so each incident is found for those that are and for those that are not.
"""

import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import pytest_asyncio
from tieout.contracts.event import order_id
from tieout.devstack.collector import Receiver
from tieout.devstack.patience import until_seen
from tieout.devstack.satellites import Till
from tieout.devstack.trading_day import canonical, shopify
from tieout.devstack.trading_day.catalogue import CN, EU, STORE, STORE_SHELF, WEB

SHARE = 0.2
OBJECTIVE_SECONDS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(trade_apart: Callable[..., Any]) -> AsyncIterator[Any]:
    receiver = Receiver()
    environment = {
        **receiver.environment,
        "OTEL_TRACES_SAMPLER_ARG": str(SHARE),
        "TIEOUT_OBJECTIVE_SECONDS": str(OBJECTIVE_SECONDS),
        "TIEOUT_WATCH_SECONDS": "1",
        "TIEOUT_LOOKOUT_SECONDS": "0.5",
        "TIEOUT_STALL_SECONDS": "1",
    }
    async with trade_apart(environment=environment) as trade:
        trade.receiver = receiver
        yield trade
    receiver.close()


def sale_that_is(trade: Any, *, sampled: bool) -> tuple[Any, Any]:
    """A sale and its chain."""
    while True:
        sale = trade.sale()
        chain = order_id(EU.code, WEB, sale.number)
        if (int(chain.hex[:12], 16) < SHARE * 2**48) is sampled:
            return sale, chain


async def sell(trade: Any, *sales: Any) -> None:
    for sale in sales:
        assert (await trade.shop("orders/create", shopify.order(sale))).status == 202


async def owner_of(trade: Any, service: str) -> "asyncpg.Connection[asyncpg.Record]":
    where = trade.stack.endpoints().databases[service]
    return await asyncpg.connect(where.owner_dsn, password=Path(where.owner_password_file).read_text().strip())


def below(trade: Any, span: SimpleNamespace) -> list[SimpleNamespace]:
    return [one for one in list(trade.receiver.spans) if (one.trace, one.parent) == (span.trace, span.id)]


def longest_below(trade: Any, span: SimpleNamespace) -> SimpleNamespace:
    return max(below(trade, span), key=lambda one: one.end - one.start)


async def test_a_stalled_consumer_is_followed_from_the_alert_to_the_statement_that_waits(shop: Any) -> None:
    receiver, flow = shop.receiver, "finance-bill-shipments"
    sampled, chain = sale_that_is(shop, sampled=True)
    other, hidden = sale_that_is(shop, sampled=False)
    somebody = await owner_of(shop, "finance")
    transaction = somebody.transaction()
    await transaction.start()
    await somebody.execute("LOCK TABLE receivable IN EXCLUSIVE MODE")
    await sell(shop, sampled, other)
    # The alert: ConsumerStalled.
    await until_seen(lambda: receiver.metric("tieout.consumer.stalled").get(("tieout-control", flow), 0) > 3)

    # While it stands, the order's trace ends one step before.
    def told() -> set[tuple[str, str]]:
        return {(span.service, span.name) for span in receiver.of(chain)}

    await until_seen(lambda: ("inventory", "publish inventory.shipped.v1") in told())
    assert ("finance", "process inventory.shipped.v1") not in told()
    await transaction.rollback()
    await somebody.close()

    # Afterwards: service tieout-control, tags tieout.journey=late.
    search = {"tieout.journey": "late", "order.no": other.number}
    await until_seen(lambda: len(receiver.find("control", tags=search)) == 4)
    late = receiver.find("control", tags=search)
    assert {span.trace for span in late} == {hidden.hex}
    slowest = max(late, key=lambda span: span.end - span.start)
    assert (slowest.name, slowest.told["service.peer.name"]) == ("finance.receivable_opened.v1", "tieout-finance")
    assert not receiver.find("control", tags={"order.no": sampled.number})  # It has the services' own spans.

    # An order that was sampled leads on: its span, by its link the batch, below it transaction and statement.
    named = {"order.no": sampled.number}
    (step,) = await until_seen(lambda: receiver.find("finance", "process inventory.shipped.v1", named, seconds_min=2))
    (batch,) = await until_seen(lambda: [one for one in list(receiver.spans) if (one.trace, one.id) == step.links[0]])
    assert batch.name == f"process {flow}"
    (inside,) = await until_seen(lambda: below(shop, batch))
    assert inside.name == "TRANSACTION tieout_finance"
    assert longest_below(shop, inside).name == "COPY receivable"

    journeys = await until_seen(lambda: receiver.metrics.get(("tieout-control", "tieout.objective.journeys", "")))
    assert journeys >= 2
    edges, counts = await until_seen(lambda: receiver.histograms.get(("tieout-control", "tieout.journey.duration")))
    assert sum(counts[edges.index(OBJECTIVE_SECONDS) + 1 :]) >= 2


async def test_dirty_data_after_a_change_of_an_api_names_the_field(shop: Any) -> None:
    receiver = shop.receiver
    sale = shop.sale()
    body = shopify.order(sale)
    for line in body["line_items"]:
        line["price"] = line["price"].replace(".", ",")
    assert (await shop.shop("orders/create", body)).status == 202
    # The alert: Quarantine. The search: service tieout-gateway, tags error=true.
    refused = ("tieout-gateway", "tieout.documents.refused", "")
    await until_seen(lambda: receiver.metrics.get(refused))
    (span,) = await until_seen(lambda: receiver.find("gateway", tags={"order.no": sale.number}, error=True))
    assert span.name == "refuse document of shopify-orders"
    assert span.trace == order_id(EU.code, WEB, sale.number).hex
    assert (span.told["error.type"], span.told["tieout.field"]) == ("bad_amount", "line_items[0].price")
    assert span.told["satellite"] == WEB


async def test_a_slow_database_shows_the_table_that_is_slow(shop: Any) -> None:
    receiver, began = shop.receiver, time.time_ns()
    owner = await owner_of(shop, "inventory")
    await owner.execute(
        "CREATE FUNCTION note_for_audit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$;"
        "CREATE TRIGGER audit AFTER INSERT ON move FOR EACH STATEMENT EXECUTE FUNCTION note_for_audit()"
    )
    try:
        sampled, _ = sale_that_is(shop, sampled=True)
        other, _ = sale_that_is(shop, sampled=False)
        for sale in (sampled, other):  # One after the other: each is a batch of its own.
            await sell(shop, sale)
            await shop.until(lambda sale=sale: shop.vouchers(sale), bool)
    finally:
        await owner.execute("DROP TRIGGER audit ON move; DROP FUNCTION note_for_audit()")
        await owner.close()
    # The search: operation TRANSACTION tieout_inventory, min duration 1s. It finds both, sampled or not.
    name = "TRANSACTION tieout_inventory"

    # Among them may be others, where the machine itself is slow.
    def slow() -> list[SimpleNamespace]:
        found = receiver.find("inventory", name, {"db.system.name": "postgresql"}, seconds_min=1)
        return [one for one in found if one.start >= began]

    def reserving() -> list[SimpleNamespace]:
        batches = {one.id for one in list(receiver.spans) if one.name == "process inventory-reserve-stock"}
        return [one for one in slow() if one.parent in batches and below(shop, one)]

    await until_seen(lambda: len(slow()) >= 2 and reserving())
    assert {longest_below(shop, one).name for one in reserving()} == {"COPY move"}
    step = {"order.no": sampled.number}
    await until_seen(lambda: len(receiver.find("inventory", "process order.placed.v1", step, seconds_min=1)) == 1)


async def test_an_order_of_a_leaf_node_is_one_trace_too(shop: Any) -> None:
    """Sold while the line to the hub was cut."""
    receiver = shop.receiver
    while True:
        sale = shop.sale(company=CN, warehouse=STORE_SHELF)
        chain = order_id(CN.code, STORE, sale.number)
        if int(chain.hex[:12], 16) < SHARE * 2**48:
            break
    till = Till(shop.stack.endpoints().sites[STORE])
    await till.open()
    shop.stack.cut(STORE)
    await till.sell("order", f"order-{sale.number}", msgspec.json.encode(canonical.order(sale)), lambda: None)
    await till.flush()
    await till.close()
    shop.stack.mend(STORE)
    await shop.until(lambda: shop.vouchers(sale), bool)
    await until_seen(
        lambda: receiver.find("finance", "publish finance.receivable_opened.v1", {"order.no": sale.number})
    )
    everybody = {"gateway", "order", "inventory", "finance"}  # Each sends its spans in its own time.
    await until_seen(lambda: {span.service for span in receiver.of(chain)} >= everybody)
    spans = receiver.of(chain)
    assert {span.told["satellite"] for span in spans if span.service != "control"} == {STORE}
    assert spans[0].name == "take in order.submit.v1"


def test_the_page_names_what_is_looked_for_here() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text()
    section = page.partition("## Three incidents")[2].partition("## Metrics")[0]
    here = Path(__file__).read_text() + Path(__file__).with_name("test_traces.py").read_text()
    here = here.replace("{flow}", "finance-bill-shipments")
    operations = re.findall(r"`((?:process|publish|TRANSACTION|COPY|refuse|open ticket|give up) [^`]+)`", section)
    assert len(operations) > 8
    assert not {name for name in operations if f'"{name}"' not in here}
    tags = {tag for told in re.findall(r"`([^`]+=[^`]+)`", section) for tag in re.findall(r"([\w.]+)=", told)}
    assert {"order.no", "tieout.journey", "error", "ticket"} <= tags
    assert not {tag for tag in tags if f'"{tag}"' not in here and f"{tag}=True" not in here}
