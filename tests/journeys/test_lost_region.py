"""The hub is lost with all it held. Its standby had mirrored most of it; the outboxes know the rest."""

import asyncio
import json
import shutil

import httpx
import nats
from tieout.contracts.streams import CORE_SERVICES, DEAD_STREAM, site_stream, stream_of
from tieout.devstack import permissions
from tieout.devstack.nats import Nats
from tieout.devstack.trading_day import shopify

OURS = [*(stream_of(service) for service in CORE_SERVICES), DEAD_STREAM]
LOST = "the broker had lost messages"  # What the audit of an outbox logs, with how many it published again.


async def sell(trade, count):
    sales = [trade.sale(pieces=1) for _ in range(count)]
    await asyncio.gather(*(trade.shop("orders/create", shopify.order(sale)) for sale in sales))
    return sales


async def vouchers_of(trade, sales):
    return [len(found) for found in await asyncio.gather(*(trade.vouchers(sale) for sale in sales))]


def a_standby(folder, stack):
    """A leaf node of the hub with a store of its own, let in as the chart's accounts let it in."""
    word = stack.secrets.of("nats_standby")
    allowed = permissions.of_standby(stack.sites).as_config()
    user = {"user": permissions.STANDBY, "password": word, "permissions": allowed}
    stack.hub._accounts["TIEOUT"]["users"].append({**user, "allowed_connection_types": ["LEAFNODE"]})
    stack.restart_hub()
    standby = Nats("hub-standby", folder / "standby", log=folder / "standby.log")
    standby._accounts = {
        "TIEOUT": {"jetstream": "enabled", "users": [{"user": "operator", "password": word}]},
        "SYS": {},
    }
    standby._remote = {
        "urls": [f"nats://standby:{word}@127.0.0.1:{stack.hub.leaf_port}"],
        "account": "TIEOUT",
    }
    standby.start()
    return standby, word


async def leaf_nodes(stack):
    """How many are connected to the hub."""
    async with httpx.AsyncClient(base_url=stack.endpoints().hub.monitor, trust_env=False) as hub:
        return (await hub.get("/leafz")).json()["leafnodes"]


async def ask(js, call, content):
    answer = await js._api_request(f"$JS.API.STREAM.{call}.{content['name']}", json.dumps(content).encode(), timeout=60)
    return answer["state"]["messages"]


def mirror_of(config):
    kept = {key: config[key] for key in ("name", "storage", "retention", "discard", "max_age", "num_replicas")}
    source = {"name": config["name"], "external": {"api": "$JS.hub.API", "deliver": ""}}
    return {**kept, "allow_direct": True, "mirror": source}


async def test_a_hub_rebuilt_from_its_mirrors_loses_nothing_not_even_what_was_not_mirrored_yet(trade, tmp_path):
    stack = trade.stack
    mirrored_streams = [*OURS, *(site_stream(site) for site in stack.sites)]
    standby, word = a_standby(tmp_path, stack)
    try:
        first = await sell(trade, 20)
        await trade.until(lambda: vouchers_of(trade, first), lambda counts: counts == [1] * len(first))
        operator = await stack.operator()
        at_standby = await nats.connect(standby.url, user="operator", password=word)
        js = at_standby.jetstream()
        configs = {}
        for stream in mirrored_streams:
            info = await operator.jetstream()._api_request(f"$JS.API.STREAM.INFO.{stream}")
            configs[stream] = info["config"]
            await ask(js, "CREATE", mirror_of(info["config"]))

        async def mirrored():
            there = [(await js.stream_info(stream)).state.last_seq for stream in mirrored_streams]
            here = [(await operator.jetstream().stream_info(stream)).state.last_seq for stream in mirrored_streams]
            return [ours - theirs for ours, theirs in zip(here, there, strict=True)]

        await trade.quiet()
        await trade.until(mirrored, lambda behind: not any(behind))
        connected = await leaf_nodes(stack)
        standby.set_link(up=False)  # What comes now is in no mirror.
        await trade.until(lambda: leaf_nodes(stack), lambda found: found < connected)
        second = await sell(trade, 20)
        await trade.until(lambda: vouchers_of(trade, second), lambda counts: counts == [1] * len(second))
        assert sum(await mirrored()) > 0

        stack.hub.process.kill()
        stack.hub.process.wait()
        stack.hub.stop()  # Nobody starts it again before we do.
        for stream in mirrored_streams:
            promoted = {key: value for key, value in mirror_of(configs[stream]).items() if key != "mirror"}
            await ask(js, "UPDATE", {**promoted, "subjects": configs[stream].get("subjects", [])})
        await at_standby.close()
        standby.stop()
        shutil.rmtree(stack.hub.folder / "jetstream")
        shutil.move(standby.folder / "jetstream", stack.hub.folder / "jetstream")
        stack.restart_hub()  # At the old address, as the name that services and sites know would lead there.

        third = await sell(trade, 20)
        sales = [*first, *second, *third]
        await trade.until(lambda: vouchers_of(trade, sales), lambda counts: counts == [1] * len(sales))
        await trade.quiet()
        agreement = await trade.agreement()
        assert agreement.verdict == "agree", agreement.sentence
        assert all(LOST in (stack.logs / f"{service}.log").read_text() for service in ("order", "inventory", "finance"))
    finally:
        standby.stop()
