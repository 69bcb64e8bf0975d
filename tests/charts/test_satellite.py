"""charts/satellite: what is rendered is whole and restricted, and what is booted sells on without the hub."""

import asyncio
import json
import subprocess

import nats.errors
import nats.js.errors
import pytest
from local_nats import LocalNats, api
from platform_chart import config_map
from policies import check
from test_nats_configs import a_hub
from tieout.devstack import permissions
from tieout.devstack.kubernetes_secrets import for_a_site
from tieout.devstack.patience import until, until_seen
from tieout.devstack.secrets import Secrets
from tools import OPERATORS, containers, of_kind, refused, render, the, validate

SITE = {
    "site": "store-1",
    "hub": {"url": "tls://hub.example.com:7422"},
    "secrets": {"existingSecret": "tieout-satellite"},
}
TOGGLES = {
    "default": {},
    "own authority": {"hub": {"url": "tls://hub.example.com:443", "caSecret": "ca"}},
    "tls for tills": {"tls": {"existingSecret": "tills"}},
    "external secret": {"secrets": {"existingSecret": "", "externalSecret": {"store": "vault", "key": "store-1"}}},
    "node port": {"service": {"type": "NodePort", "nodePort": 30422}},
    "no policy": {"networkPolicy": {"enabled": False}},
    "policy": {
        "networkPolicy": {"tills": [{"ipBlock": {"cidr": "192.168.0.0/16"}}], "monitoring": [{"podSelector": {}}]}
    },
    "budget": {"podDisruptionBudget": {"enabled": True}},
    "placed": {"nodeSelector": {"edge": "yes"}, "tolerations": [{"operator": "Exists"}]},
    "registry": {"image": {"repository": "registry.local/nats", "digest": "sha256:" + "a" * 64, "pullSecrets": ["r"]}},
}


@pytest.mark.parametrize("kubernetes", ["1.37", "1.30"])
@pytest.mark.parametrize("toggle", TOGGLES)
def test_every_toggle_renders_what_kubernetes_takes(toggle, kubernetes):
    documents = render("satellite", {**SITE, **TOGGLES[toggle]}, kubernetes=kubernetes, operators=OPERATORS)
    for document in documents:
        validate(document, kubernetes)
    check(documents, secrets={"tieout-satellite", "ca", "tills", "r"})


def test_services_policies_and_budgets_select_the_server_and_never_the_job():
    documents = render("satellite", {**SITE, "podDisruptionBudget": {"enabled": True}})
    server = the(documents, "StatefulSet")
    labels = server["spec"]["template"]["metadata"]["labels"]
    job = the(documents, "Job")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        server["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in of_kind(documents, "Service")),
        of_kind(documents, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
        the(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= job.items()
    ports = {port["name"] for port in containers(server["spec"]["template"])[-1]["ports"]}
    for service in of_kind(documents, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"site": "Store 1"}, "site"),
        ({"hub": {"url": "hub.example.com"}}, "url"),
        ({"hub": {"url": "tls://store-1:secret@hub.example.com:7422"}}, "url"),
        ({"secrets": {"existingSecret": ""}}, "secrets"),
        ({"secrets": {"existingSecret": "a", "externalSecret": {"store": "b", "key": "c"}}}, "secrets"),
        ({"secrets": {"existingSecret": "", "externalSecret": {"store": "b"}}}, "secrets.externalSecret.key"),
        ({"storage": {"size": "8 GB"}}, "size"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"replicas": 2}, "replicas"),
    ],
)
def test_wrong_values_are_refused_with_the_key_at_fault(wrong, key):
    assert key in refused("satellite", {**SITE, **wrong})


def test_the_till_may_do_what_the_code_says_and_the_stream_is_the_one_that_the_gateway_sources():
    documents = config_map(render("satellite", SITE), "tieout-satellite")
    allowed = permissions.of_till().as_config()
    assert f"publish: {{allow: {json.dumps(allowed['publish']['allow'])}}}" in documents["nats.conf"]
    assert f"subscribe: {{allow: {json.dumps(allowed['subscribe']['allow'])}}}" in documents["nats.conf"]
    stream = json.loads(documents["SAT.json"])
    assert (stream["name"], stream["subjects"]) == (permissions.SITE_STREAM, [permissions.SITE_SUBJECT])


def a_site(folder, hub, name="store-1", **wrong):
    """The server of the chart with what its pod prepares: the Secret's files, and what the script makes of them."""
    values = {**SITE, "site": name, "hub": {"url": f"nats://127.0.0.1:{hub.leaf_port}"}}
    documents = render("satellite", values)
    (secret,) = for_a_site(Secrets(folder.parent / "passwords"), name)
    assert secret["metadata"]["name"] == SITE["secrets"]["existingSecret"]
    words = {**secret["stringData"], "hub-password": hub.words[name], **wrong}
    site = LocalNats(folder, name=name)
    for key, word in words.items():
        site.write(f"secrets/{key}", word)
    site.words = {"till": words["till-password"], "operator": words["operator-password"]}
    prepares, _ = containers(the(documents, "StatefulSet")["spec"]["template"])
    (folder / "nats-users").mkdir()
    script = prepares["command"][-1].replace("/run/secrets/tieout", f"{folder}/secrets")
    subprocess.run(
        [*prepares["command"][:-1], script.replace("/etc/nats-users", f"{folder}/nats-users")],
        env={entry["name"]: entry["value"] for entry in prepares["env"]} | {"PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    rendered = config_map(documents, "tieout-satellite")
    site.configure(rendered["nats.conf"])
    site.stream = json.loads(rendered["SAT.json"])
    return site


INTAKE = {
    "name": "INTAKE_STORE_1",
    "storage": "file",
    "sources": [
        {
            "name": "SAT",
            "external": {"api": "$JS.store-1.API", "deliver": ""},
            "subject_transforms": [{"src": "sale.>", "dest": "intake.store-1.>"}],
        }
    ],
}


async def test_a_site_sells_while_the_hub_is_away_and_the_hub_fetches_it_all_once(tmp_path):
    hub = a_hub(tmp_path / "hub", sites=("store-1",))
    site = a_site(tmp_path / "store-1", hub)
    try:
        site.start()  # The hub does not run yet.
        operator = await site.connect("operator", site.words["operator"])
        await api(operator.jetstream(), "STREAM.CREATE.SAT", site.stream)
        till = await site.connect("till", site.words["till"])
        assert '"name": "SAT"' in site.monitor("jsz?streams=true")  # As the chart's own test looks for the stream.
        sell = till.jetstream()
        for number in range(10):
            await sell.publish("sale.order", b"%d" % number)

        hub.start()
        # Before there is a line, a question for the site's stream is repeated only after 40 s; the gateway therefore
        # asks anew when a site connects.
        await hub.wait_for_leaf_nodes()
        gateway = await hub.connect("gateway", hub.words["gateway"])
        js = gateway.jetstream()
        await api(js, "STREAM.CREATE.INTAKE_STORE_1", INTAKE)
        assert await _arrived(js, 10) == 10
        await sell.publish("sale.order", b"10")
        assert await _arrived(js, 11) == 11
        body = await js.get_msg("INTAKE_STORE_1", 11)
        assert (body.subject, body.data) == ("intake.store-1.order", b"10")

        await _refused(sell.publish("order.placed.v1", b"forged", timeout=0.5))
        await _refused(api(sell, "STREAM.DELETE.SAT"))
        assert (await operator.jetstream().stream_info("SAT")).state.messages == 11
        for client in (till, operator, gateway):
            await client.close()
    finally:
        site.stop()
        hub.stop()


async def test_a_site_with_a_wrong_password_sells_on_and_is_not_let_in(tmp_path):
    hub = a_hub(tmp_path / "hub", sites=("store-1",))
    hub.words = {**hub.words, "store-1": "guessed"}
    site = a_site(tmp_path / "store-1", hub)
    try:
        hub.start()
        site.start()
        operator = await site.connect("operator", site.words["operator"])
        await api(operator.jetstream(), "STREAM.CREATE.SAT", site.stream)
        till = await site.connect("till", site.words["till"])
        await till.jetstream().publish("sale.order", b"1")
        await until_seen(lambda: "authentication error" in hub.log)
        await till.close()
        await operator.close()
    finally:
        site.stop()
        hub.stop()


async def test_a_password_that_would_need_escaping_is_refused_by_its_name(tmp_path):
    hub = a_hub(tmp_path / "hub", sites=("store-1",))
    with pytest.raises(subprocess.CalledProcessError) as told:
        a_site(tmp_path / "store-1", hub, **{"till-password": 'a"b'})
    assert "till-password: use letters" in told.value.stderr


async def _arrived(js, at_least):
    async def count():
        return (await js.stream_info("INTAKE_STORE_1")).state.messages

    return await until(count, lambda found: found >= at_least)


async def _refused(question):
    with pytest.raises((nats.errors.Error, nats.js.errors.Error, TimeoutError)):
        await asyncio.wait_for(question, 2)
