"""What the charts bring for Prometheus and Grafana is what stands in k8s/, and its names are those that are sent."""

import json
import re

import platform_chart
from cases import MINIMAL, merged
from tieout.contracts.streams import CORE_SERVICES
from tools import ROOT, VERSIONS, of_kind, read, render, the, validate


def test_control_brings_every_alert_as_it_stands_in_the_repository() -> None:
    documents = render("control", MINIMAL)
    rendered = [group for each in of_kind(documents, "PrometheusRule") for group in each["spec"]["groups"]]
    sources = sorted((ROOT / "k8s" / "alerts").glob("*.yaml"))
    assert rendered == [group for path in sources for group in read(path)["groups"]]
    assert len(of_kind(documents, "PrometheusRule")) == len(sources) > 2


def test_each_alert_links_to_its_runbook_where_it_is_said_where_they_stand() -> None:
    where = {"monitoring": {"runbooks": {"baseUrl": "https://git.example.com/runbooks/"}}}
    for each in of_kind(render("control", merged(MINIMAL, where)), "PrometheusRule"):
        validate(each, VERSIONS[0])
        for rule in [rule for group in each["spec"]["groups"] for rule in group["rules"]]:
            told = rule["annotations"]
            assert told["runbook_url"] == f"https://git.example.com/runbooks/{rule['alert']}.md"
            assert told["runbook"] == f"docs/runbooks/{rule['alert']}.md"


def test_servers_are_scraped_as_the_jobs_that_the_alerts_ask_for_and_reached_by_their_prometheus() -> None:
    documents = platform_chart.render({"monitoring": {"labels": {"release": "prometheus"}}})
    monitors = of_kind(documents, "PodMonitor")
    jobs = set()
    for each in monitors:
        assert each["metadata"]["labels"]["release"] == "prometheus"
        [endpoint] = each["spec"]["podMetricsEndpoints"]
        jobs |= {one["replacement"] for one in endpoint["relabelings"] if one["targetLabel"] == "job"}
    rules = (ROOT / "k8s" / "alerts" / "platform.yaml").read_text()
    assert jobs == set(re.findall(r'job="([\w-]+)"', rules)) == {"tieout-nats", "tieout-postgres"}
    [policy] = [each for each in of_kind(documents, "NetworkPolicy") if each["metadata"]["name"] == "tieout-nats"]
    [rule] = [
        each for each in policy["spec"]["ingress"] if {"port": "prom-metrics", "protocol": "TCP"} in each["ports"]
    ]
    assert {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}} in [
        each.get("namespaceSelector") for each in rule["from"]
    ]


def test_no_monitor_is_made_for_what_is_not_there() -> None:
    assert not of_kind(platform_chart.render({"monitoring": {"enabled": False}}), "PodMonitor")
    assert not of_kind(platform_chart.render(operators=("postgresql.cnpg.io/v1",)), "PodMonitor")
    [only] = of_kind(platform_chart.render({"nats": {"promExporter": {"enabled": False}}}), "PodMonitor")
    assert only["metadata"]["name"] == "tieout-postgres"


def test_the_jobs_that_the_alerts_mean_are_named_as_they_are_rendered() -> None:
    for release in ("tieout", "order"):
        documents = render("order", MINIMAL, release=release)
        names = {each["metadata"]["name"] for kind in ("CronJob", "Job") for each in of_kind(documents, kind)}
        assert {re.fullmatch(".+-(retain|scrub|migrate)", name) is not None for name in names} == {True}


def test_control_brings_every_dashboard_as_it_stands_in_the_repository() -> None:
    documents = render("control", MINIMAL)
    rendered: dict[str, str] = {}
    for each in of_kind(documents, "ConfigMap"):
        if each["metadata"]["labels"].get("grafana_dashboard") == "1":
            rendered |= each["data"]
    sources = {path.name: json.loads(path.read_text()) for path in (ROOT / "k8s" / "dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in rendered.items()} == sources
    assert all(len(text) < 900_000 for text in rendered.values()), "a ConfigMap holds one MiB at most"


def test_what_is_scraped_has_the_names_that_the_alerts_ask_for() -> None:
    for service in CORE_SERVICES:
        [endpoint] = the(render(service, MINIMAL), "ServiceMonitor")["spec"]["endpoints"]
        assert endpoint["honorLabels"] is True
        assert {"targetLabel": "job", "replacement": f"tieout-{service}"} in endpoint["relabelings"]
