"""A store on a leaf node: its sales reach the gateway's database once, whatever breaks in between."""

import asyncio
from pathlib import Path

import asyncpg
import msgspec
import nats
from nats.js.api import DiscardPolicy, StreamConfig, StreamInfo, StreamState
from nats.js.errors import NotFoundError
from tieout.contracts.gateway import PUT_SATELLITE
from tieout.contracts.streams import site_stream
from tieout.devstack import permissions, sites
from tieout.devstack.patience import until
from tieout.devstack.postgres import UNSAFE_BUT_FAST
from tieout.devstack.suite import Stack
from tieout.gateway.flows.look_at_sites import CREATED, LOST, REMADE, noted_with

STREAM = site_stream("store-1")


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


async def test_what_the_hub_copies_again_from_a_store_is_kept_once_and_a_store_that_begins_anew_loses_nothing(tmp_path):
    """Nobody can read these, so they have no number that would tell them apart. The hub forgets how far it was."""
    stack = Stack(tmp_path / "stack", services=("gateway",), postgres_settings=UNSAFE_BUT_FAST)
    async with stack.running():
        endpoints = stack.endpoints()
        site = endpoints.sites["store-1"]
        till = await nats.connect(site.url, user=site.user, password=Path(site.password_file).read_text().strip())
        database = endpoints.databases["gateway"]
        books = await asyncpg.connect(
            database.auditor_dsn, password=Path(database.auditor_password_file).read_text().strip()
        )
        hub = (await stack.operator()).jetstream()

        async def sell(body: bytes, named: str = "") -> None:
            await till.jetstream().publish("sale.order", body, headers={"Nats-Msg-Id": named} if named else None)

        async def kept() -> list[str]:
            rows = await books.fetch("SELECT body FROM raw_document ORDER BY body, id")
            return [row["body"].decode() for row in rows]

        async def settled() -> int:
            """The last sequence that the hub gave, once everything up to it is taken in."""
            copied = (await hub.stream_info(STREAM)).state.last_seq
            floor = (await hub.consumer_info(STREAM, "gateway-take-in")).ack_floor
            return copied if floor is not None and floor.stream_seq >= copied else 0

        async def forget(first_sequence: int) -> None:
            """The hub's stream begins anew, so that it copies everything again, each to another place."""
            config = (await hub.stream_info(STREAM)).config
            await hub.delete_stream(STREAM)
            config.first_seq = first_sequence
            await hub.add_stream(config)

        await sell(b"broken", "m1")
        await sell(b"broken", "m2")
        await sell(b"nameless")
        await until(settled, lambda copied: copied == 3, passing=(NotFoundError,))
        assert await kept() == ["broken", "broken", "nameless"]

        await forget(101)
        await until(settled, lambda copied: copied == 103, passing=(NotFoundError,))
        assert await kept() == ["broken", "broken", "nameless", "nameless"]

        keeper = await sites.connect(
            stack.sites["store-1"], permissions.OPERATOR, stack.secrets.of("nats_store-1-operator")
        )
        await keeper.jetstream().delete_stream(permissions.SITE_STREAM)
        await keeper.close()
        await sites.prepare("store-1", stack.sites["store-1"], stack.secrets)
        await sell(b"broken", "m3")
        await forget(201)
        await until(kept, lambda found: found.count("broken") == 3)

        config = (await hub.stream_info(STREAM)).config
        config.discard, config.max_msgs, config.max_bytes = DiscardPolicy.OLD, 1, 10_000_000
        await hub.update_stream(config)

        async def limits() -> tuple[object, ...]:
            config = (await hub.stream_info(STREAM)).config
            return config.discard, config.max_msgs, config.max_bytes, len(config.sources or ())

        await until(limits, lambda found: found == (DiscardPolicy.NEW, -1, 10_000_000, 1))
        await books.close()
        await till.close()


def test_what_a_hand_wrote_over_what_is_noted_of_a_store_is_left_out():
    """It stands in a stream's metadata, where whoever manages the hub may write anything."""

    def read(**metadata: str) -> dict[str, str]:
        config = StreamConfig(name=STREAM, metadata={key.replace("_", "-"): text for key, text in metadata.items()})
        return noted_with(StreamInfo(config, StreamState(0, 0, 0, 0, 0)))

    assert read(site_created="2026-11-24T04:50:05.366850123Z", site_lost="6-7", _nats_level="5") == {
        CREATED: "2026-11-24T04:50:05.366850Z",
        LOST: "6-7",
    }
    assert read(site_created="yesterday", site_remade="2026-11-24T04:50:05", site_lost="6-" + "7" * 20) == {}
    assert read(site_remade="9999-12-31T23:00:00-14:00", site_seen="") == {}
    assert read(site_remade="2026-11-24T12:50:05+08:00") == {REMADE: "2026-11-24T04:50:05Z"}
