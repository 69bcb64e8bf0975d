"""What the charts bring for Prometheus and Grafana is what stands in k8s/, and its names are those that are sent."""

import json

from cases import MINIMAL
from tieout.contracts.streams import CORE_SERVICES
from tools import ROOT, of_kind, read, render, the


def test_control_brings_every_alert_as_it_stands_in_the_repository() -> None:
    documents = render("control", MINIMAL)
    rendered = [group for each in of_kind(documents, "PrometheusRule") for group in each["spec"]["groups"]]
    sources = sorted((ROOT / "k8s" / "alerts").glob("*.yaml"))
    assert rendered == [group for path in sources for group in read(path)["groups"]]
    assert len(of_kind(documents, "PrometheusRule")) == len(sources) > 2


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
