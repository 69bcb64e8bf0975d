"""charts/platform: what is ours in it is whole, says what the code says, and the values of remote charts are theirs."""

import os
from pathlib import Path
from typing import Any

import policies
import pytest
import yaml
from platform_chart import ENVIRONMENTS, alone, config_map, render
from tieout.contracts.streams import CORE_SERVICES
from tieout.devstack import databases
from tieout.devstack.kubernetes_secrets import for_the_hub
from tieout.devstack.secrets import Secrets
from tools import CHARTS, Document, helm, of_kind, the, validate
from tools import render as render_chart

PRODUCTION = ("production/platform.yaml",)
INSTALLATIONS = {
    "default": (),
    "minimal": ("minimal/platform.yaml",),
    "production": PRODUCTION,
    "hub of two regions": (*PRODUCTION, "multi-site/platform.yaml"),
    "standby": (*PRODUCTION, "multi-site/standby-platform.yaml"),
    "promoted": (*PRODUCTION, "multi-site/promoted-platform.yaml"),
}
STORE = {"externalSecrets": {"enabled": True, "storeName": "vault"}}
# Nobody publishes schemas of these kinds as a package; README.md tells against what they were checked by hand.
WITHOUT_SCHEMA = {"Database", "ObjectStore"}


def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHARTS / "platform" / "values.yaml").read_text())
    return loaded


@pytest.mark.parametrize(("secrets", "kubernetes"), [({}, "1.33"), (STORE, "1.37")], ids=["given secrets", "store"])
@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_every_installation_renders_what_kubernetes_takes(installation, secrets, kubernetes):
    documents = render(secrets, files=INSTALLATIONS[installation], kubernetes=kubernetes)
    for document in documents:
        if document["kind"] not in WITHOUT_SCHEMA:
            validate(document, kubernetes)
    policies.nothing_stands_twice(documents)
    policies.names_are_within_their_limits(documents)
    policies.labels_are_the_recommended_ones(documents)
    policies.pods_are_restricted(documents)
    policies.images_say_what_runs(documents)
    policies.resources_are_declared(documents)
    policies.references_are_there(documents, {"tieout-nats-operator"})


def test_what_kubernetes_does_not_know_yet_is_left_out_until_it_does():
    kinds = {document["kind"] for document in render(operators=())}
    assert "Cluster" not in kinds
    assert {"Cluster", "Database"} <= {
        document["kind"] for document in render({"postgres": {"enabled": True}}, operators=())
    }


def test_postgres_has_the_databases_and_roles_of_the_code_and_nobody_enters_another_services_one():
    documents = render(files=PRODUCTION)
    cluster = the(documents, "Cluster")["spec"]
    assert {each["spec"]["name"]: each["spec"]["owner"] for each in of_kind(documents, "Database")} == {
        databases.database_of(service): databases.role_of(service, "owner") for service in CORE_SERVICES
    }
    roles = {role["name"]: role for role in cluster["managed"]["roles"]}
    wanted = [databases.role_of(service, role) for service in CORE_SERVICES for role in databases.ROLES]
    assert sorted(roles) == sorted(wanted)
    assert all(role["login"] and not role.get("superuser") for role in roles.values())
    *lets_in, last = cluster["postgresql"]["pg_hba"]
    assert last == "host all all all reject"
    for service in CORE_SERVICES:
        users = ",".join(databases.role_of(service, role) for role in databases.ROLES)
        assert f"hostssl {databases.database_of(service)} {users} all scram-sha-256" in lets_in
    assert len(lets_in) == len(CORE_SERVICES)


def test_whoever_removes_the_release_keeps_the_books():
    documents = render(files=PRODUCTION)
    kept = the(documents, "Cluster")["metadata"]["annotations"]
    assert kept["helm.sh/resource-policy"] == "keep"
    assert {"Prune=false", "Delete=false"} == set(kept["argocd.argoproj.io/sync-options"].split(","))
    assert {each["spec"]["databaseReclaimPolicy"] for each in of_kind(documents, "Database")} == {"retain"}


def test_every_secret_that_is_named_is_made_by_the_command_and_by_the_store(tmp_path):
    made = {each["metadata"]["name"]: set(each["stringData"]) for each in for_the_hub(Secrets(tmp_path), ["store-1"])}
    documents = render({**STORE, "sites": ["store-1"], "standby": {"accepted": True}}, files=PRODUCTION)
    named = {role["passwordSecret"]["name"] for role in the(documents, "Cluster")["spec"]["managed"]["roles"]}
    stored = {
        each["spec"]["target"]["name"]: set(
            each["spec"]["target"].get("template", {}).get("data") or [e["secretKey"] for e in each["spec"]["data"]]
        )
        for each in of_kind(documents, "ExternalSecret")
    }
    assert named < set(stored)
    for name, keys in stored.items():
        assert made[name] == keys, name
    for service in CORE_SERVICES:  # Those of charts/<service>.
        assert {"database-password", "nats-password"} <= made[f"tieout-{service}"]
        assert made[f"tieout-{service}-owner"] == stored[f"tieout-{service}-owner"] == {"owner-password"}


def test_no_password_is_in_what_is_rendered():
    for installation in INSTALLATIONS.values():
        documents = render(files=installation)
        assert not of_kind(documents, "Secret")
        assert "password:" not in config_map(documents, "tieout-nats-accounts")["accounts.conf"]


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"sites": ["Store 1"]}, "sites"),
        ({"sites": ["finance"]}, "sites"),
        ({"sites": ["standby"]}, "sites"),
        ({"standby": {"mirrors": True, "promoted": True}}, "standby.promoted"),
        ({"externalSecrets": {"enabled": True}}, "externalSecrets.storeName"),
        ({"postgres": {"backup": {"enabled": True}}}, "postgres.backup.destination"),
        ({"postgres": {"backup": {"enabled": True, "destination": "s3://b/f"}}}, "plugin-barman-cloud.enabled"),
        ({"postgres": {"replica": {"enabled": True}}}, "postgres.replica.destination"),
        ({"nats": {"enabled": False}, "externalSecrets": {"enabled": True}}, "externalSecrets.storeName"),
        ({"postgres": {"instances": 0}}, "instances"),
        ({"postgres": {"parameters": {"jit": True}}}, "jit"),
        ({"natz": {}}, "natz"),
    ],
)
def test_wrong_values_are_refused_with_the_key_at_fault(wrong, key):
    with pytest.raises(AssertionError) as told:
        render(wrong)
    assert key in str(told.value)


def test_sites_are_the_same_for_the_hub_its_standby_and_the_gateway():
    files = [ENVIRONMENTS / "production" / "tieout.yaml", ENVIRONMENTS / "multi-site" / "tieout.yaml"]
    told = {
        each["data"]["TIEOUT_SITES"]
        for each in of_kind(render_chart("tieout", files=files), "ConfigMap")
        if "TIEOUT_SITES" in each["data"]
    }
    for file in ("platform", "standby-platform", "promoted-platform"):
        told.add(",".join(yaml.safe_load((ENVIRONMENTS / "multi-site" / f"{file}.yaml").read_text())["sites"]))
    assert told == {"store-1,store-2"}
    satellite = config_map(
        render_chart("satellite", files=[ENVIRONMENTS / "multi-site" / "satellite-store-1.yaml"]), "tieout-satellite"
    )
    assert "domain: store-1\n" in satellite["nats.conf"]


def test_the_chart_passes_lint():
    helm("lint", "--strict", alone())


# ------------------------------------------------------------------------------------------ remote charts

KINDS = {"receivers", "processors", "exporters", "connectors", "extensions"}


@pytest.mark.parametrize("where", ["collector", "jaeger"])
def test_every_part_of_a_telemetry_pipeline_is_described_and_every_described_part_is_used(where):
    found = values()
    config = (
        found["opentelemetry-collector"]["alternateConfig"] if where == "collector" else found["jaeger"]["userconfig"]
    )
    described = {kind: set(config.get(kind) or ()) for kind in KINDS}
    used: dict[str, set[str]] = {kind: set() for kind in KINDS}
    used["extensions"] = set(config["service"]["extensions"])
    for name, pipeline in config["service"]["pipelines"].items():
        assert name.partition("/")[0] in {"traces", "metrics", "logs"}
        for kind in ("receivers", "processors", "exporters"):
            for part in pipeline.get(kind, ()):
                used["connectors" if part in described["connectors"] else kind].add(part)
    assert used == described
    for connector in described["connectors"]:  # Ends one pipeline and begins another.
        pipelines = config["service"]["pipelines"].values()
        assert any(connector in each["exporters"] for each in pipelines)
        assert any(connector in each["receivers"] for each in pipelines)


def test_the_collector_keeps_what_somebody_will_look_for():
    config = values()["opentelemetry-collector"]["alternateConfig"]
    kept = {policy["name"]: policy for policy in config["processors"]["tail_sampling"]["policies"]}
    for policy in kept.values():
        assert policy["type"] in policy, f"{policy['name']} lacks the settings of its type"
    assert kept["failed"]["status_code"]["status_codes"] == ["ERROR"]
    assert kept["ticket"]["numeric_attribute"]["key"] == "ticket"
    assert kept["told-by-control"]["string_attribute"] == {"key": "tieout.journey", "values": ["late", "failed"]}
    # One collector decides on a trace; and what is counted is counted before anything is dropped.
    assert values()["opentelemetry-collector"]["replicaCount"] == 1
    measured = config["service"]["pipelines"]["traces/measure"]
    assert "tail_sampling" not in measured["processors"]


def test_remote_charts_are_pinned_exactly_and_each_can_be_switched_off():
    about = yaml.safe_load((CHARTS / "platform" / "Chart.yaml").read_text())
    for each in about["dependencies"]:
        assert all(part.isdigit() for part in each["version"].split(".")), each
        assert each["repository"].startswith("https://")
        assert each["condition"] == f"{each['name']}.enabled"
        assert isinstance(values()[each["name"]]["enabled"], bool)
    readme = (CHARTS / "platform" / "README.md").read_text()
    assert all(f"`{each['name']}` | {each['version']}" in readme for each in about["dependencies"])


# Below these keys of remote charts stands what the user likes.
FREE = {"merge", "patch", "env", "resources", "annotations", "securityContext", "podSecurityContext", "alternateConfig"}
FREE |= {"userconfig", "topologySpreadConstraints", "extraVolumes", "extraVolumeMounts", "containerSecurityContext"}


@pytest.mark.parametrize(
    "file", ["", *sorted(str(f.relative_to(ENVIRONMENTS)) for f in ENVIRONMENTS.glob("*/*platform.yaml"))]
)
def test_every_value_for_a_remote_chart_is_one_that_this_chart_knows(file):
    """Needs the charts themselves: TIEOUT_REMOTE_CHARTS names a folder with each one unpacked below its name."""
    folder = os.environ.get("TIEOUT_REMOTE_CHARTS")
    if not folder:
        pytest.skip("TIEOUT_REMOTE_CHARTS is not set: remote charts are not in the repository, and a network is needed")
    said = yaml.safe_load((ENVIRONMENTS / file).read_text()) if file else values()
    about = yaml.safe_load((CHARTS / "platform" / "Chart.yaml").read_text())
    for each in about["dependencies"]:
        chart = Path(folder) / each["name"]
        assert yaml.safe_load((chart / "Chart.yaml").read_text())["version"] == each["version"]
        known = yaml.safe_load((chart / "values.yaml").read_text())
        strangers = list(_strangers({**said.get(each["name"], {}), "enabled": None}, {**known, "enabled": None}))
        allowed = (
            {"ports.red"} if each["name"] == "opentelemetry-collector" else set()
        )  # Ports are a map of the user's.
        assert not set(strangers) - allowed, f"{each['name']} {each['version']} knows none of these"


def _strangers(said: dict[str, Any], known: dict[str, Any], path: str = "") -> Any:
    for key, value in said.items():
        if key in known and isinstance(value, dict) and isinstance(known[key], dict) and key not in FREE:
            yield from _strangers(value, known[key], f"{path}{key}.")
        elif key not in known and key not in FREE:
            yield f"{path}{key}"


def entrances(policy: Document) -> dict[int, list[dict[str, Any]]]:
    """Who may enter by each port."""
    found: dict[int, list[dict[str, Any]]] = {}
    for rule in policy["spec"]["ingress"]:
        for port in rule["ports"]:
            found.setdefault(port["port"], []).extend(rule["from"])
    return found


def test_postgres_the_collector_and_jaeger_are_reached_by_those_who_need_them_and_by_nobody_else():
    documents = render({"networkPolicy": {"jaegerNamespaces": [{"kubernetes.io/metadata.name": "ingress"}]}})
    for each in of_kind(documents, "NetworkPolicy"):
        validate(each, "1.37")
    policy = {each["metadata"]["name"]: each for each in of_kind(documents, "NetworkPolicy")}
    anybody_here: dict[str, Any] = {"podSelector": {}}
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    postgres, collector, jaeger = (
        entrances(policy[name]) for name in ("tieout-postgres", "tieout-otel-collector", "tieout-jaeger")
    )
    assert anybody_here in postgres[5432]
    assert anybody_here not in postgres[8000] + postgres[9187]
    assert postgres[9187] == [prometheus]
    assert {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "cloudnative-pg"}}} in postgres[8000]
    assert collector[4317] == collector[4318] == [anybody_here]
    assert collector[8888] == collector[8889] == [prometheus]
    the_collector = {"podSelector": policy["tieout-otel-collector"]["spec"]["podSelector"]}
    assert jaeger[4317] == [the_collector]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}} in jaeger[16686]
    out = policy["tieout-otel-collector"]["spec"]["egress"]
    to = [one for rule in out for one in rule["to"]]
    assert {"podSelector": policy["tieout-jaeger"]["spec"]["podSelector"]} in to
    assert anybody_here not in to


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        ({"networkPolicy": {"enabled": False}}, {"tieout-postgres", "tieout-otel-collector", "tieout-jaeger"}),
        ({"postgres": {"enabled": False}}, {"tieout-postgres"}),
        ({"opentelemetry-collector": {"enabled": False}}, {"tieout-otel-collector"}),
        ({"jaeger": {"enabled": False}}, {"tieout-jaeger"}),
    ],
)
def test_what_is_not_installed_has_no_policy(without, gone):
    def named(values: dict[str, Any]) -> set[str]:
        return {each["metadata"]["name"] for each in of_kind(render(values), "NetworkPolicy")}

    assert named({}) - named(without) == gone


def test_who_scrapes_nothing_and_sends_elsewhere_can_say_so():
    elsewhere = {"to": [{"ipBlock": {"cidr": "203.0.113.7/32"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    documents = render({"networkPolicy": {"monitorNamespaces": [], "collectorEgress": [elsewhere]}})
    policy = {each["metadata"]["name"]: each for each in of_kind(documents, "NetworkPolicy")}
    for each in policy.values():
        validate(each, "1.37")
    assert elsewhere in policy["tieout-otel-collector"]["spec"]["egress"]
    assert 8889 not in entrances(policy["tieout-otel-collector"])
    assert 9187 not in entrances(policy["tieout-postgres"])
