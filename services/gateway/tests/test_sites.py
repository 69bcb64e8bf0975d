"""A store on a leaf node: its sales reach the gateway's database once, whatever breaks in between."""

import asyncio
from pathlib import Path

import asyncpg
import msgspec
import nats
from tieout.contracts.gateway import PUT_SATELLITE
from tieout.devstack.patience import until
from tieout.devstack.postgres import UNSAFE_BUT_FAST
from tieout.devstack.suite import Stack


async def test_a_store_sells_on_while_the_hub_is_away_and_everything_arrives_once(tmp_path):
    stack = Stack(tmp_path / "stack", services=("gateway",), postgres_settings=UNSAFE_BUT_FAST)
    async with stack.running():
        endpoints = stack.endpoints()
        site = endpoints.sites["store-1"]
        till = await nats.connect(site.url, user=site.user, password=Path(site.password_file).read_text().strip())
        database = endpoints.databases["gateway"]
        password = Path(database.auditor_password_file).read_text().strip()
        books = await asyncpg.connect(database.auditor_dsn, password=password)
        async with endpoints.async_client() as client:
            path = PUT_SATELLITE.path.replace("{satellite}", "store-1")
            await client.put(path, json={"authentication": "leaf"})

        async def sell(first: int, count: int = 20) -> None:
            stream = till.jetstream()
            for number in range(first, first + count):
                body = msgspec.json.encode({"kind": "order", "number": str(number)})
                await stream.publish("sale.order", body, headers={"Nats-Msg-Id": str(number)})

        async def kept(count: int) -> None:
            query = "SELECT count(*) FROM raw_document"
            await until(lambda: books.fetchval(query), lambda found: found >= count)

        async def sourced() -> int:
            """How often the gateway has made the hub ask the store: left to itself a hub forgets to for 40 seconds."""
            return (stack.logs / "gateway.log").read_text().count("site is sourced")

        await sell(0)
        await kept(20)
        stack.cut("store-1")
        await asyncio.sleep(0.2)
        await sell(20)
        stack.mend("store-1")
        await kept(40)

        before = await sourced()
        stack.restart_hub(kill=True)
        await sell(40)
        await kept(60)
        await until(sourced, lambda found: found > before)

        stack.kill_service("gateway")
        await sell(60)
        await kept(80)
        await asyncio.sleep(0.5)
        rows = await books.fetch("SELECT topic, body, satellite, channel FROM raw_document ORDER BY id")
        numbers = [int(msgspec.json.decode(row["body"])["number"]) for row in rows]
        assert sorted(numbers) == list(range(80))
        assert {(row["topic"], row["satellite"], row["channel"]) for row in rows} == {("order", "store-1", "tieout")}
        await books.close()
        await till.close()
