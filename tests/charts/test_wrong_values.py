"""Wrong values are refused, and the message names the key."""

from typing import Any

import pytest
from cases import MINIMAL, UMBRELLA, merged
from tieout.devstack.kubernetes_secrets import RESERVED
from tools import refused

SITE: dict[str, Any] = {
    "site": "store-1",
    "hub": {"url": "tls://hub.example.com:7422"},
    "secrets": {"existingSecret": "tieout-satellite"},
}

WRONG: list[tuple[dict[str, Any], str]] = [
    # What the schema says.
    ({"replica": 2}, "replica"),
    ({"replicas": "two"}, "replicas"),
    ({"replicas": -1}, "replicas"),
    ({"image": {"digest": "sha256:abc"}}, "image.digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "image.pullPolicy"),
    ({"database": {"port": 70000}}, "database.port"),
    ({"database": {"password": "x"}}, "password"),
    ({"database": {"tls": {"mode": "maybe"}}}, "database.tls.mode"),
    ({"nats": {"url": "http://nats:4222"}}, "nats.url"),
    ({"nats": {"monitoring": "http://nats:8222"}}, "nats.monitoring"),
    ({"settings": {"stream_replica": 3}}, "stream_replica"),
    ({"settings": {"stream_replicas": "three"}}, "settings.stream_replicas"),
    ({"settings": {"database_url": "postgresql://elsewhere"}}, "database_url"),
    ({"environment": {"TIEOUT_NATS_URL": "nats://elsewhere"}}, "environment"),
    ({"autoscaling": {"kind": "vpa"}}, "autoscaling.kind"),
    ({"autoscaling": {"minReplicas": 0}}, "autoscaling.minReplicas"),
    ({"cronJobs": {"retain": {"schedule": "every night"}}}, "cronJobs.retain.schedule"),
    ({"cronJobs": {"retain": {"schedule": "H H * * *"}}}, "cronJobs.retain.schedule"),
    ({"cronJobs": {"a-name-that-is-too-long": {"enabled": True, "schedule": "0 1 * * *"}}}, "cronJobs"),
    ({"cronJobs": {"stress": {"schedule": "0 1 * * *"}}}, "cronJobs.stress"),
    ({"shutdown": {"marginSeconds": 1}}, "shutdown.marginSeconds"),
    ({"probes": {"liveness": {"timeoutSeconds": 1}}}, "probes.liveness.timeoutSeconds"),
    ({"disruption": {"maxUnavailable": 0}}, "disruption.maxUnavailable"),
    ({"topologySpread": [{"topologyKey": "zone"}]}, "topologySpread.0"),
    ({"resources": {"limits": {"memory": "much"}}}, "resources.limits.memory"),
    ({"temporaryBytesMax": "big"}, "temporaryBytesMax"),
    ({"telemetry": {"sampledShare": 2}}, "telemetry.sampledShare"),
    ({"telemetry": {"endpoint": "collector:4317"}}, "telemetry.endpoint"),
    ({"monitoring": {"enabled": "perhaps"}}, "monitoring.enabled"),
    ({"nameOverride": "A_name"}, "nameOverride"),
    ({"global": {"tieout": {"database": {"hots": "x"}}}}, "hots"),
    # What a schema cannot say, or only in words that help nobody.
    ({"image": {"tag": "latest"}}, "image.tag is latest"),
    ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels sets app.kubernetes.io/name"),
    ({"http": {"enabled": True}}, "http belongs to the chart gateway"),
    ({"http": {"prot": 80}}, "http belongs to the chart gateway"),
    ({"ingress": {"enabled": True}}, "ingress belongs to the chart gateway"),
    ({"notify": {"channels": "x"}}, "notify belongs to the chart control"),
    ({"database": {"host": ""}}, "database.host"),
    ({"nats": {"url": ""}}, "nats.url"),
    ({"secrets": {"existingSecret": ""}}, "secrets.existingSecret"),
    ({"secrets": {"existingSecret": ""}}, "database-password, nats-password"),
    ({"secrets": {"externalSecret": {"store": "vault"}}}, "secrets.externalSecret.store"),
    ({"migrations": {"existingSecret": ""}}, "migrations.existingSecret"),
    ({"autoscaling": {"kind": "keda"}}, "nats.monitoring"),
    ({"autoscaling": {"kind": "hpa", "minReplicas": 9}}, "autoscaling.minReplicas"),
    ({"telemetry": {"metrics": "otlp"}}, "telemetry.endpoint"),
    ({"telemetry": {"metrics": "none"}, "monitoring": {"enabled": True}}, "monitoring.enabled"),
]


@pytest.mark.parametrize(("wrong", "key"), WRONG, ids=[f"{key} {index}" for index, (_, key) in enumerate(WRONG)])
def test_a_wrong_value_is_refused_by_its_key(wrong: dict[str, Any], key: str) -> None:
    told = refused("order", merged(MINIMAL, wrong))
    assert names(key, told), told


@pytest.mark.parametrize(
    ("chart", "wrong", "key"),
    [
        ("gateway", {"ingress": {"enabled": True}}, "ingress.host"),
        (
            "gateway",
            {"ingress": {"enabled": True, "host": "tieout.example"}},
            "ingress.enabled is true, but networkPolicy.httpFrom",
        ),
        ("gateway", {"http": {"port": 80}}, "http.port"),
        ("gateway", {"http": {"port": 8081}}, "http.port is 8081"),
        ("gateway", {"http": {"port": 9464}}, "http.port is 9464"),
        ("gateway", {"settings": {"sites": "STORE_1"}}, 'settings.sites names "STORE_1"'),
        ("gateway", {"settings": {"sites": "store-1, hub"}}, 'settings.sites names "hub"'),
        *(("satellite", {**SITE, "site": name}, f'site: "{name}"') for name in RESERVED),
        ("satellite", {**SITE, "image": {"tag": "latest"}}, "image.tag: latest"),
        ("satellite", {**SITE, "toolsImage": {"tag": "latest"}}, "toolsImage.tag: latest"),
        ("gateway", {"networkPolicy": {"httpFrom": [{"namespace": "ingress"}]}}, "networkPolicy.httpFrom"),
        ("control", {"notify": {"existingSecret": "given"}}, "notify.channels"),
        ("control", {"settings": {"notify_file": "/tmp/x"}}, "notify_file"),  # noqa: S108
    ],
)
def test_so_are_those_that_only_one_chart_has(chart: str, wrong: dict[str, Any], key: str) -> None:
    told = refused(chart, wrong if chart == "satellite" else merged(MINIMAL, wrong))
    assert names(key, told), told


@pytest.mark.parametrize("name", RESERVED)
def test_no_site_has_the_name_of_somebody_of_ours(name: str) -> None:
    assert "settings.sites" in refused("gateway", merged(MINIMAL, {"settings": {"sites": name}}))


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"invoicing": {"enabled": True}}, "invoicing"),
        ({"order": {"enabled": "yes"}}, "order.enabled"),
        ({"order": {"enabled": True, "replica": 2}}, "replica"),
        ({"global": {"tieout": {"image": {"tag": "latest"}}}}, "global.tieout.image.tag"),
        ({"global": {"tieout": {"nats": {"url": ""}}}}, "global.tieout.nats.url"),
    ],
)
def test_the_umbrella_refuses_too(wrong: dict[str, Any], key: str) -> None:
    assert names(key, refused("tieout", merged(UMBRELLA, wrong)))


def names(key: str, told: str) -> bool:
    """Helm's schema messages write a path as /image/tag, ours as image.tag."""
    return key in told or f"at '/{key.replace('.', '/')}" in told
