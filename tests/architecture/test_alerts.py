"""Alerts, runbooks and metrics say the same names: a rule about a metric that nobody sends would never fire."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tieout.servicekit import metrics

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = [
    rule
    for path in sorted((ROOT / "k8s" / "alerts").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
UNITS = {"s": "_seconds", "ms": "_milliseconds", "By": "_bytes", "1": "_ratio"}


def prometheus(name: str, unit: str, *, counter: bool = False) -> str:
    """As Prometheus names what comes over OTLP: dots, units, and the suffix of counters. {things} are no unit."""
    return name.replace(".", "_") + UNITS.get(unit, "") + ("_total" if counter else "")


def sent() -> dict[str, str]:
    """Name at Prometheus -> name of the instrument."""
    found = {prometheus(name, unit, counter=True): name for _, name, unit, _ in metrics.COUNTERS}
    found |= {prometheus(name, unit): name for _, name, unit, _ in metrics.GAUGES}
    found |= {prometheus(name, unit): name for name, _, unit, _ in metrics.READINGS}
    return found | {prometheus(name, unit): name for name, unit, _ in metrics.OWN}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_are_sent_and_has_a_runbook_of_its_name(rule: dict[str, Any]) -> None:
    name, told = rule["alert"], rule["annotations"]
    asked = set(re.findall(r"\btieout_\w+", rule["expr"]))
    assert asked
    assert asked <= set(sent()), asked - set(sent())
    assert told["runbook"] == f"docs/runbooks/{name}.md"
    assert (RUNBOOKS / f"{name}.md").read_text().startswith(f"# {name}\n")
    assert told["summary"]
    assert re.search(r"[\u4e00-\u9fff]", told["summary_zh"])
    assert rule["labels"]["severity"] in {"page", "warn"}
    labels = set(re.findall(r"\$labels\.(\w+)", told["summary"] + told["summary_zh"]))
    kept = set(re.findall(r"by \((\w+)\)", rule["expr"])) or {"job", "instance"}
    assert labels <= kept, f"{labels - kept} is aggregated away"


def test_labels_that_rules_keep_are_attributes_of_their_metric() -> None:
    attributes = {prometheus(name, unit): attribute for name, attribute, unit, _ in metrics.READINGS}
    for rule in RULES:
        for label, metric in re.findall(r"by \((\w+)\) \((?:increase\()?(tieout_\w+)", rule["expr"]):
            if label != "job":  # What OTLP's service.name becomes.
                assert attributes.get(metric, "flow") == label, rule["alert"]


async def test_prometheus_fetches_what_is_sent_by_the_same_names() -> None:
    """The mapping above is what a collector does to OTLP; the kit's own page must not differ from it."""
    flow = {key: 1.0 for key, *_ in (*metrics.COUNTERS, *metrics.GAUGES)}
    told = metrics.Metrics(
        "order",
        "1.0",
        lambda: {"order-note-shipments": flow},
        lambda: (0.0, 0),
        lambda: {name: lambda: {"x": 1.0} for name, *_ in metrics.READINGS},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
    )
    page = (await told.page()).body.decode()
    told.close()
    samples = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    assert samples == {*sent(), "target_info"}


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) > 10


def test_every_runbook_is_the_page_of_an_alert_or_of_a_check() -> None:
    control = ROOT / "services/control/src/tieout/control"
    code = "".join(
        (control / name).read_text() for name in ("domain/checks.py", "checkup.py", "alarms.py", "tickets.py")
    )
    code += (ROOT / "libs/devstack/src/tieout/devstack/doctor.py").read_text()
    named = {rule["alert"] for rule in RULES} | set(re.findall(r'"((?:[A-Z][a-z]+){1,3})"', code))
    for source in (ROOT / "libs").glob("*/src/**/*.py"):  # Or of a refusal.
        named |= set(re.findall(r"docs/runbooks/(\w+)\.md", source.read_text()))
    assert not {page.stem for page in RUNBOOKS.glob("*.md")} - named


def test_every_metric_is_told_in_the_documents() -> None:
    page = (ROOT / "docs" / "tracing.md").read_text()
    missing = {name for name in sent().values() if name not in page and f"`.{name.split('.')[-1]}`" not in page}
    assert not missing


def test_control_tells_every_reading_that_is_declared() -> None:
    control = ROOT / "services/control/src/tieout/control"
    code = "".join(path.read_text() for path in control.glob("*.py"))
    assert set(re.findall(r'"(tieout\.[\w.]+)"', code)) - {"tieout.control"} == {name for name, *_ in metrics.READINGS}
