"""Alerts, runbooks, panels and metrics say the same names, and each alert fires when it should, and only then.

Rules are evaluated by Prometheus' own promtool, where there is one.
"""

import json
import re
import shutil
import subprocess
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
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "k8s" / "dashboards").glob("*.json"))}
PANELS = [panel for board in DASHBOARDS.values() for panel in board["panels"] if panel["type"] != "row"]
EXAMPLES = sorted((ROOT / "tests" / "alerts").glob("*.yaml"))
# What others tell: kube-state-metrics, the kubelet, NATS' exporter as its chart starts it (-prefix=nats -jsz=all),
# CloudNativePG and its backup plugin. The names are from their documents and published output; nothing here runs them.
FOREIGN = {
    "up",
    "kube_job_failed",
    "kube_job_created",
    "kube_cronjob_created",
    "kube_cronjob_status_last_successful_time",
    "kube_statefulset_replicas",
    "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "nats_server_jetstream_disabled",
    "nats_server_total_message_bytes",
    "nats_server_max_storage",
    "cnpg_collector_up",
    "cnpg_collector_sync_replicas",
    "cnpg_collector_pg_wal_archive_status",
    "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp",
}
UNITS = {"s": "_seconds", "ms": "_milliseconds", "By": "_bytes", "1": "_ratio"}


def prometheus(name: str, unit: str, *, counter: bool = False) -> str:
    """As Prometheus names what comes over OTLP: dots, units, and the suffix of counters. {things} are no unit."""
    return name.replace(".", "_") + UNITS.get(unit, "") + ("_total" if counter else "")


def sent() -> dict[str, str]:
    """Name at Prometheus -> name of the instrument."""
    found = {prometheus(name, unit, counter=True): name for _, name, unit, _ in metrics.COUNTERS}
    found |= {prometheus(name, unit): name for _, name, unit, _ in metrics.GAUGES}
    found |= {prometheus(name, unit): name for name, _, unit, _ in metrics.READINGS}
    found |= {prometheus(name, unit, counter=True): name for name, _, unit, _ in metrics.GROWING}
    for name, unit, _, _ in metrics.SPREADS:
        found |= {f"{prometheus(name, unit)}_{part}": name for part in ("bucket", "count", "sum")}
    return found | {prometheus(name, unit): name for name, unit, _ in metrics.OWN}


def asked_by(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:tieout|kube|kubelet|nats|cnpg|barman)_\w+|\bup(?=\{)", expression))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_are_sent_and_has_a_runbook_of_its_name(rule: dict[str, Any]) -> None:
    name, told = rule["alert"], rule["annotations"]
    asked = asked_by(rule["expr"])
    assert asked
    assert asked <= set(sent()) | FOREIGN, asked - set(sent())
    assert told["runbook"] == f"docs/runbooks/{name}.md"
    assert (RUNBOOKS / f"{name}.md").read_text().startswith(f"# {name}\n")
    assert told["summary"]
    assert re.search(r"[\u4e00-\u9fff]", told["summary_zh"])
    assert rule["labels"]["severity"] in {"page", "warn"}
    labels = set(re.findall(r"\$labels\.(\w+)", told["summary"] + told["summary_zh"]))
    kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([\w, ]+)\)", rule["expr"])))) or {"job", "instance"}
    assert labels <= kept, f"{labels - kept} is aggregated away"


def test_labels_that_rules_keep_are_attributes_of_their_metric() -> None:
    attributes = {prometheus(name, unit): attribute for name, attribute, unit, _ in metrics.READINGS}
    attributes |= {prometheus(name, unit, counter=True): attribute for name, attribute, unit, _ in metrics.GROWING}
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
        lambda: {name: lambda: {"x": 1.0} for name, *_ in (*metrics.READINGS, *metrics.GROWING)},
        {"OTEL_METRICS_EXPORTER": "prometheus"},
    )
    for name, *_ in metrics.SPREADS:
        told.record(name, 1.0)
    page = (await told.page()).body.decode()
    told.close()
    families = list(text_string_to_metric_families(page))
    fetched = {sample.name for family in families for sample in family.samples} | {family.name for family in families}
    assert not set(sent()) - fetched


@pytest.mark.parametrize("examples", EXAMPLES, ids=lambda path: path.stem)
def test_rules_fire_and_keep_still_as_their_examples_say(examples: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on the PATH: it is in Debian's package prometheus, and .ci/run fetches it as root")
    told = subprocess.run(
        [promtool, "test", "rules", examples.name], cwd=examples.parent, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_alert_has_an_example_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    asked: dict[str, set[bool]] = {}
    for path in EXAMPLES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for example in case["alert_rule_test"]:
                asked.setdefault(example["alertname"], set()).add(bool(example["exp_alerts"]))
    assert asked == {rule["alert"]: {True, False} for rule in RULES}


def test_every_alert_has_a_panel_of_its_name_that_shows_what_it_asks_for() -> None:
    panels = {panel["title"]: panel for panel in PANELS}
    for rule in RULES:
        shown = " ".join(target["expr"] for target in panels[rule["alert"]]["targets"])
        assert asked_by(shown) & asked_by(rule["expr"]), rule["alert"]
        assert f"docs/runbooks/{rule['alert']}.md" in panels[rule["alert"]]["description"]


@pytest.mark.parametrize("board", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_dashboard_shows_metrics_that_are_sent_from_a_source_that_is_chosen(board: dict[str, Any]) -> None:
    (source,) = board["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": f"${{{source['name']}}}"}
        for target in panel["targets"]:
            asked = asked_by(target["expr"])
            assert asked
            assert asked <= set(sent()) | FOREIGN, asked - set(sent())


def test_dashboards_and_panels_have_names_of_their_own() -> None:
    uids = [board["uid"] for board in DASHBOARDS.values()]
    titles = [panel["title"] for panel in PANELS]
    assert len(uids) == len(set(uids)) >= 3
    assert len(titles) == len(set(titles))
    assert len({board["title"] for board in DASHBOARDS.values()}) == len(uids)


def test_expressions_of_panels_are_ones_that_prometheus_reads(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on the PATH: it is in Debian's package prometheus, and .ci/run fetches it as root")
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"]}
        for number, target in enumerate(target for panel in PANELS for target in panel["targets"])
    ]
    page = tmp_path / "panels.yaml"
    page.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    told = subprocess.run([promtool, "check", "rules", str(page)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_foreign_metric_that_is_known_here_is_asked_for() -> None:
    assert set().union(*(asked_by(rule["expr"]) for rule in RULES)) - set(sent()) == FOREIGN


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names)) > 10


def test_every_runbook_is_the_page_of_an_alert_or_of_a_check() -> None:
    control = ROOT / "services/control/src/tieout/control"
    code = "".join(
        (control / name).read_text()
        for name in ("domain/checks.py", "domain/sites.py", "checkup.py", "alarms.py", "tickets.py")
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


def test_control_and_gateway_tell_every_reading_that_is_declared() -> None:
    services = ROOT / "services"
    watching = [
        *services.glob("control/src/tieout/control/*.py"),
        services / "gateway/src/tieout/gateway/flows/map_documents.py",
    ]
    code = "".join(path.read_text() for path in watching)
    spans = {
        "tieout.control",
        "tieout.field",
        "tieout.attempts",
        "tieout.reconstructed",
        "tieout.journey",
        "tieout.intake_id",
    }
    assert set(re.findall(r'"(tieout\.[\w.]+)"', code)) - spans == {
        name for name, *_ in (*metrics.READINGS, *metrics.GROWING, *metrics.SPREADS)
    }
