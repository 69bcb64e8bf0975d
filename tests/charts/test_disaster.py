"""Two regions: the standby mirrors the hub's streams over one leaf node, and becomes the hub when that is lost."""

import asyncio
import json

import nats.js.errors
import pytest
from local_nats import LocalNats, api, rendered
from platform_chart import config_map
from platform_chart import render as platform
from test_nats_configs import passwords_of
from tieout.contracts.streams import CORE_SERVICES, DEAD_STREAM
from tieout.devstack.kubernetes_secrets import for_the_hub
from tieout.devstack.patience import until
from tieout.devstack.secrets import Secrets
from tieout.servicekit.streams import ensure_stream, own_stream

SITES = ("store-1",)
ONE = {"sites": list(SITES), "standby": {"replicas": 1}}  # Of three servers one runs here.
HUB = ("production/platform.yaml", "multi-site/platform.yaml")
STANDBY = ("production/platform.yaml", "multi-site/standby-platform.yaml")
PROMOTED = ("production/platform.yaml", "multi-site/promoted-platform.yaml")


def region(folder, name, environment, files, words, remote=""):
    server = LocalNats(folder, name=name)
    server.words = words
    equip(server, environment, files, remote)
    return server


def equip(server, environment, files, remote=""):
    """What the pod mounts, of a release with these values."""
    documents = platform(ONE, files=files)
    server.write("nats-accounts/accounts.conf", config_map(documents, "tieout-nats-accounts")["accounts.conf"])
    for user, word in server.words.items():
        server.write(f"nats-users/{user}.conf", f"password: {json.dumps(word)}\n")
    if remote:
        server.write("nats-users/remote.conf", remote)
    server.configure(rendered(environment))
    server.streams = {}
    if environment != "production":
        found = config_map(documents, "tieout-streams")
        server.streams = {name.removesuffix(".json"): json.loads(text) for name, text in found.items()}


async def apply_streams(server):
    """What the job does with the `nats` command: add what is not there, edit what is."""
    client = await server.connect("operator", server.words["operator"])
    js = client.jetstream()
    for name, config in server.streams.items():
        try:
            await js.stream_info(name)
        except nats.js.errors.NotFoundError:
            await api(js, f"STREAM.CREATE.{name}", config)
        else:
            await api(js, f"STREAM.UPDATE.{name}", config)
    await client.close()


async def messages_of(server, stream, at_least):
    client = await server.connect("operator", server.words["operator"])
    try:
        info = await until(
            lambda: client.jetstream(timeout=60).stream_info(stream), lambda found: found.state.messages >= at_least
        )
        return info.state.messages
    finally:
        await client.close()


@pytest.fixture
async def regions(tmp_path):
    words, _ = passwords_of(tmp_path / "passwords", SITES)
    hub = region(tmp_path / "hub", "tieout-nats-0", "production", HUB, words)
    # From the same folder of words, as for the hub.
    secret = for_the_hub(Secrets(tmp_path / "passwords"), SITES, f"nats://127.0.0.1:{hub.leaf_port}")[0]
    remote = secret["stringData"]["remote.conf"]
    standby = region(tmp_path / "standby", "standby-tieout-nats-0", "standby", STANDBY, words, remote)
    hub.start()
    standby.start()
    await hub.wait_for_leaf_nodes()
    yield hub, standby
    standby.stop(kill=True)
    hub.stop(kill=True)


async def sell(js, numbers):
    for number in numbers:
        await js.publish("order.placed.v1", b"%d" % number)


async def test_a_mirror_goes_on_and_takes_over_with_every_message_and_the_same_numbers(regions):
    hub, standby = regions
    order = await hub.connect("order", hub.words["order"])
    config = own_stream("order", replicas=1, max_age_days=14)
    js = order.jetstream()
    await ensure_stream(js, config)
    for service in CORE_SERVICES:
        if service != "order":
            client = await hub.connect(service, hub.words[service])
            await ensure_stream(client.jetstream(), own_stream(service, replicas=1, max_age_days=14))
            await client.close()
    await sell(js, range(20))
    await apply_streams(standby)
    assert set(standby.streams) == {*(s.upper() for s in CORE_SERVICES), DEAD_STREAM, "INTAKE_STORE_1"}
    assert await messages_of(standby, "ORDER", 20) == 20
    await sell(js, range(20, 30))
    assert await messages_of(standby, "ORDER", 30) == 30
    await order.close()
    hub.stop(kill=True)  # And never comes back: fenced off.

    standby.stop()
    equip(standby, "promoted", PROMOTED)
    standby.start()
    await apply_streams(standby)
    order = await standby.connect("order", standby.words["order"])
    js = order.jetstream()
    info = await ensure_stream(js, own_stream("order", replicas=1, max_age_days=14), first_sequence=31)
    assert (info.state.messages, info.state.last_seq, info.config.mirror) == (30, 30, None)
    assert sorted(info.config.subjects) == sorted(own_stream("order", replicas=1, max_age_days=14).subjects)
    assert (await js.publish("order.placed.v1", b"30")).seq == 31
    assert [(await js.get_msg("ORDER", n, direct=True)).data for n in (1, 30, 31)] == [b"0", b"29", b"30"]
    await order.close()


async def test_nothing_of_the_standby_reaches_the_hub_but_its_questions(regions):
    hub, standby = regions
    heard = []
    at_hub = await hub.connect("operator", hub.words["operator"])
    at_standby = await standby.connect("operator", standby.words["operator"])

    async def note(message):
        heard.append(message.subject)

    await at_hub.subscribe("order.>", cb=note)
    await at_standby.subscribe("finance.>", cb=note)
    for client in (at_hub, at_standby):
        await client.flush()
    await asyncio.sleep(0.2)
    await at_standby.publish("order.placed.v1", b"{}")
    await at_hub.publish("finance.settled.v1", b"{}")
    for client in (at_hub, at_standby):
        await client.flush()
    await asyncio.sleep(0.2)
    assert heard == []
    for client in (at_hub, at_standby):
        await client.close()
