"""Three incidents, played: what docs/tracing.md tells people to search for is what the collector has.

One order in five is sampled here, so each incident is found for those that are and for those that are not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest_asyncio
from tieout.contracts.event import order_id
from tieout.devstack.collector import Receiver
from tieout.devstack.trading_day import shopify
from tieout.devstack.trading_day.catalogue import EU, WEB

SHARE = 0.2
OBJECTIVE_SECONDS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(trade_apart: Callable[..., Any]) -> AsyncIterator[Any]:
    receiver = Receiver()
    environment = {
        **receiver.environment,
        "OTEL_TRACES_SAMPLER_ARG": str(SHARE),
        "TIEOUT_OBJECTIVE_SECONDS": str(OBJECTIVE_SECONDS),
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
    with open(where.owner_password_file) as file:
        return await asyncpg.connect(where.owner_dsn, password=file.read().strip())


async def until(question: Callable[[], Any], seconds: float = 30) -> Any:
    for _ in range(int(seconds / 0.1)):
        if found := question():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen in time")


def below(trade: Any, span: SimpleNamespace) -> list[SimpleNamespace]:
    return [one for one in list(trade.receiver.spans) if (one.trace, one.parent) == (span.trace, span.id)]


def dump(trade, spans):
    for s in sorted(spans, key=lambda s: s.start):
        print(f"{s.service:10} {s.name:50} {(s.end - s.start) / 1e9:8.3f} {s.told}")


async def test_a_stalled_consumer(shop: Any) -> None:
    receiver = shop.receiver
    sampled, chain = sale_that_is(shop, sampled=True)
    other, hidden = sale_that_is(shop, sampled=False)
    blocker = await owner_of(shop, "finance")
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE voucher IN EXCLUSIVE MODE")
    await sell(shop, sampled, other)
    flow = ("tieout-control", "finance-bill-shipments")
    await asyncio.sleep(14)
    print(
        {
            k: v
            for k, v in receiver.metrics.items()
            if "stalled" in k[1] or "consumer" in k[1] or ("latency" not in k[1] and "bill" in k[2]) or "paus" in k[1]
        }
    )
    print(open(shop.stack.logs / "finance.log").read()[-1500:])
    # While it stands: the order's trace ends at the step before.
    assert not receiver.find("finance", "process inventory.shipped.v1", {"order.no": sampled.number})
    dump(shop, receiver.of(chain))
    await transaction.rollback()
    await blocker.close()
    await until(lambda: receiver.find("control", tags={"tieout.journey": "late", "order.no": other.number}))
    await asyncio.sleep(1)
    print("--- sampled")
    dump(shop, receiver.of(chain))
    print("--- hidden")
    dump(shop, receiver.of(hidden))
    print("--- tx")
    for tx in receiver.find("finance", "TRANSACTION tieout_finance", seconds_min=1):
        dump(shop, [tx])
        dump(shop, below(shop, tx))
    print({k: v for k, v in receiver.metrics.items() if "objective" in k[1]}, receiver.histograms)


async def test_dirty_data_after_a_change_of_an_api(shop: Any) -> None:
    receiver = shop.receiver
    good = shop.sale()
    bad = shop.sale()
    body = shopify.order(bad)
    print(str(body)[:1500])
    for line in body["line_items"]:
        line["price"] = line["price"].replace(".", ",")
    await sell(shop, good)
    await shop.shop("orders/create", body)
    await until(lambda: receiver.find("gateway", error=True))
    await asyncio.sleep(1)
    dump(shop, receiver.find("gateway", error=True))


async def test_a_slow_database(shop: Any) -> None:
    receiver = shop.receiver
    receiver.spans.clear()
    owner = await owner_of(shop, "inventory")
    await owner.execute(
        "CREATE FUNCTION note_for_audit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$;"
        "CREATE TRIGGER audit AFTER INSERT ON move FOR EACH STATEMENT EXECUTE FUNCTION note_for_audit()"
    )
    try:
        sampled, chain = sale_that_is(shop, sampled=True)
        other, hidden = sale_that_is(shop, sampled=False)
        await sell(shop, sampled)
        await shop.until(lambda: shop.vouchers(sampled), bool)
        await sell(shop, other)
        await shop.until(lambda: shop.vouchers(other), bool)
        await asyncio.sleep(6)
    finally:
        await owner.execute("DROP TRIGGER audit ON move; DROP FUNCTION note_for_audit()")
        await owner.close()
    for tx in receiver.find("", "", seconds_min=0.5):
        print("----")
        dump(shop, [tx])
        dump(shop, below(shop, tx))
