"""The hub of charts/platform boots, and every user may do there what the contracts say, and nothing else."""

import asyncio
import json
import re

import nats
import nats.errors
import nats.js.errors
import pytest
from local_nats import LocalNats, digest_of, rendered
from platform_chart import config_map
from platform_chart import render as platform
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import nats_auth, permissions
from tieout.devstack.kubernetes_secrets import for_the_hub
from tieout.devstack.patience import until, until_seen
from tieout.devstack.secrets import Secrets
from tools import CHARTS
from upstream import derive

SITES = ("store-1", "store-2")


def passwords_of(folder, sites=SITES):
    """As our command makes them: {user: word}, and the files of the Secret that the hub mounts."""
    secrets = {each["metadata"]["name"]: each["stringData"] for each in for_the_hub(Secrets(folder), sites)}
    files = secrets["tieout-nats-users"]
    return {name.removesuffix(".conf"): json.loads(text.split(": ", 1)[1]) for name, text in files.items()}, files


def a_hub(folder, name="tieout-nats-0", environment="default", values=None, sites=SITES, **options):
    """One server of the hub, with all that its pod mounts."""
    accounts = config_map(platform({"sites": list(sites), **(values or {})}), "tieout-nats-accounts")
    hub = LocalNats(folder, name=name)
    hub.words, files = passwords_of(folder.parent / "passwords", sites)
    hub.write("nats-accounts/accounts.conf", accounts["accounts.conf"])
    for file, text in files.items():
        hub.write(f"nats-users/{file}", text)
    if not options:
        hub.configure(rendered(environment))
    return hub


@pytest.fixture
def hub(tmp_path):
    server = a_hub(tmp_path / "hub")
    server.start()
    yield server
    server.stop()


def test_permissions_of_the_chart_are_those_of_the_contracts():
    written = json.loads((CHARTS / "platform" / "files" / "permissions.json").read_text())
    assert written == nats_auth.document(), (
        "run: python -m tieout.devstack.nats_auth --out charts/platform/files/permissions.json"
    )


@pytest.mark.parametrize("environment", sorted(derive.ENVIRONMENTS))
def test_what_is_booted_here_was_rendered_from_the_values_as_they_are(environment):
    assert digest_of(rendered(environment)) == derive.digest(environment), derive.__doc__


async def test_every_user_of_the_hub_connects_with_his_password_and_nobody_without(hub):
    for user in (*CORE_SERVICES, "operator", "system"):
        client = await hub.connect(user, hub.words[user])
        await client.close()
        await _not_let_in(hub, user, "guessed")
    await _not_let_in(hub, "store-1", hub.words["store-1"])  # A site comes by the listener for leaf nodes only.


async def _not_let_in(hub, user, password):
    where = f"nats://127.0.0.1:{hub.port}"
    with pytest.raises(nats.errors.Error):
        await nats.connect(where, user=user, password=password, allow_reconnect=False, error_cb=_quiet)


async def _quiet(_):
    """Refusals are what these tests look for."""


def test_permissions_on_the_hub_are_exactly_the_ones_of_the_code():
    text = config_map(platform({"sites": list(SITES), "standby": {"accepted": True}}), "tieout-nats-accounts")
    found = {
        user: (set(json.loads(publish)), set(json.loads(subscribe)))
        for user, publish, subscribe in re.findall(
            r"user: (\S+)\n(?:(?!user:).)*?permissions: \{publish: \{allow: (\[.*?\])\},"
            r" subscribe: \{allow: (\[.*?\])\}\}",
            text["accounts.conf"],
            re.DOTALL,
        )
    }
    wanted = {service: permissions.of_service(service, SITES) for service in CORE_SERVICES}
    wanted |= {site: permissions.of_site(site) for site in SITES}
    wanted["standby"] = permissions.of_standby(SITES)
    assert found == {user: (set(allowed.publish), set(allowed.subscribe)) for user, allowed in wanted.items()}


async def test_no_service_can_say_what_another_one_says(hub):
    heard = []
    operator = await hub.connect("operator", hub.words["operator"])

    async def note(message):
        heard.append(message.subject)

    await operator.subscribe("*.*.v1", cb=note)
    await operator.flush()
    order, finance = [await hub.connect(user, hub.words[user]) for user in ("order", "finance")]
    for client, subject in ((order, "order.placed.v1"), (finance, "order.placed.v1"), (order, "finance.settled.v1"),
                            (finance, "finance.settled.v1")):  # fmt: skip
        await client.publish(subject, b"{}")
        await client.flush()
    await operator.flush()
    await until_seen(lambda: len(heard) >= 2)
    await asyncio.sleep(0.05)  # Would there be more, the broker has sent it by now.
    assert heard == ["order.placed.v1", "finance.settled.v1"]
    for client in (operator, order, finance):
        await client.close()


async def test_a_missing_password_is_named_and_the_hub_does_not_start(tmp_path):
    hub = a_hub(tmp_path / "hub")
    (hub.folder / "nats-users" / "store-2.conf").unlink()
    with pytest.raises(Exception, match=r"store-2\.conf"):
        hub.start()


async def test_a_new_site_is_let_in_by_a_reload_while_the_others_stay_connected(tmp_path):
    hub = a_hub(tmp_path / "hub", sites=("store-1",))
    hub.start()
    try:
        stays = await hub.connect("order", hub.words["order"])
        more = config_map(platform({"sites": list(SITES)}), "tieout-nats-accounts")["accounts.conf"]
        _, files = passwords_of(tmp_path / "passwords", SITES)
        hub.write("nats-users/store-2.conf", files["store-2.conf"])
        hub.write("nats-accounts/accounts.conf", more)
        hub.reload()
        await until_seen(lambda: "Reloaded server configuration" in hub.log)
        await until_seen(hub.healthy)
        await stays.flush(timeout=60)
        assert stays.stats["reconnects"] == 0
        await stays.close()
    finally:
        hub.stop()


async def test_three_servers_go_on_when_one_is_killed(tmp_path):
    hubs = [a_hub(tmp_path / f"hub-{n}", name=f"tieout-nats-{n}", later=True) for n in range(3)]
    ports = tuple(hub.cluster_port for hub in hubs)
    for hub in hubs:
        hub.configure(rendered("production"), routes=ports)
        hub.start()
    try:
        await until_seen(lambda: all(hub.healthy("?js-server-only=true") for hub in hubs))
        order = await hubs[0].connect("order", hubs[0].words["order"])
        js = order.jetstream(timeout=5)
        await _until_added(js, name="ORDER", subjects=["order.placed.v1"], num_replicas=3, storage="file")
        for number in range(20):
            await _publish(js, b"%d" % number)
        hubs[1].stop(kill=True)
        for number in range(20, 40):
            await _publish(js, b"%d" % number)
        info = await order.jetstream(timeout=60).stream_info("ORDER")
        assert info.state.messages == 40
        assert info.config.num_replicas == 3
        await order.close()
    finally:
        for hub in hubs:
            hub.stop(kill=True)


async def _until_added(js, **config):
    """The cluster elects its leader in the first second or two."""
    await until(lambda: js.add_stream(**config), passing=(nats.errors.Error, nats.js.errors.Error))


async def _publish(js, body):
    """As the outbox does, again until it is acknowledged; by its id none is kept twice."""

    async def publish():
        return await js.publish("order.placed.v1", body, timeout=1, headers={"Nats-Msg-Id": body.decode()})

    await until(publish, passing=(nats.errors.Error, nats.js.errors.Error))  # Until a leader is elected.
