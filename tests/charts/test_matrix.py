"""Everything that can be switched is rendered, checked against the schemas of two Kubernetes versions, and judged."""

import importlib
import re
from typing import Any

import policies
import pytest
from cases import GIVEN, LONGEST_RELEASE, MINIMAL, PRODUCTION, UMBRELLA, UMBRELLA_GIVEN, all_cases, merged
from tieout.contracts.streams import CORE_SERVICES, FLOWS
from tieout.servicekit.batches import DRAIN_SECONDS_MAX
from tieout.servicekit.probes import DATABASE_SECONDS_MAX
from tools import ROOT, VERSIONS, containers, of_kind, pod_templates, render, the, title, validate

CASES = list(all_cases())


@pytest.mark.parametrize(("chart", "case", "values"), CASES, ids=[f"{chart}: {case}" for chart, case, _ in CASES])
def test_what_is_rendered_fits_the_schemas_and_keeps_every_promise(
    chart: str, case: str, values: dict[str, Any]
) -> None:
    documents = render(chart, values)
    assert documents
    policies.check(documents, GIVEN | UMBRELLA_GIVEN)
    assert bool(of_kind(documents, "NetworkPolicy")) == (case != "no network policy")
    for version in VERSIONS:
        for document in documents:
            validate(document, version)


@pytest.mark.parametrize("chart", [*CORE_SERVICES, "tieout"])
def test_the_oldest_kubernetes_gets_the_same_and_an_older_one_is_refused(chart: str) -> None:
    values = UMBRELLA if chart == "tieout" else PRODUCTION
    assert render(chart, values, kubernetes=VERSIONS[-1]) == render(chart, values)
    if chart == "order":
        with pytest.raises(AssertionError, match=r">=1\.30"):
            render(chart, values, kubernetes="1.29")


Environment = tuple[str, list[str], dict[str, Any]]  # A chart, the values files of k8s/values, and values beside them.
WITH_A_GATEWAY: list[Environment] = [
    ("tieout", ["minimal/tieout.yaml"], {}),
    ("tieout", ["production/tieout.yaml"], {}),
    ("gateway", ["production/service.yaml", "production/gateway.yaml"], {"migrations": MINIMAL["migrations"]}),
]
OUR_OWN: list[Environment] = [
    *WITH_A_GATEWAY,
    *((each, ["production/service.yaml"], {"migrations": MINIMAL["migrations"]}) for each in CORE_SERVICES),
]


def rendered(environment: Environment) -> list[dict[str, Any]]:
    chart, files, values = environment
    return render(chart, values, files=[ROOT / "k8s" / "values" / file for file in files])


@pytest.mark.parametrize("environment", OUR_OWN, ids=str)
def test_the_values_of_our_environments_render_and_keep_every_promise(environment: Environment) -> None:
    documents = rendered(environment)
    for document in documents:
        validate(document, VERSIONS[0])
    policies.check(documents, GIVEN | UMBRELLA_GIVEN)


@pytest.mark.parametrize("environment", WITH_A_GATEWAY, ids=str)
def test_in_our_environments_somebody_reaches_the_gateway_and_somebody_administers_it(
    environment: Environment,
) -> None:
    documents = rendered(environment)
    gateway = {"app.kubernetes.io/name": "gateway"}
    settings = [each["data"] for each in of_kind(documents, "ConfigMap")]
    assert any("TIEOUT_ADMIN_TOKEN_FILE" in each for each in settings)
    rules = [
        rule
        for each in of_kind(documents, "NetworkPolicy")
        if gateway.items() <= each["spec"]["podSelector"]["matchLabels"].items()
        for rule in each["spec"].get("ingress", ())
    ]
    assert any(port["port"] == "http" for rule in rules for port in rule["ports"])
    assert bool(of_kind(documents, "Ingress")) == ("production" in environment[1][0])


@pytest.mark.parametrize("chart", [*CORE_SERVICES, "tieout"])
def test_the_longest_release_name_stays_within_all_limits(chart: str) -> None:
    values = UMBRELLA if chart == "tieout" else MINIMAL
    documents = render(chart, values, release=LONGEST_RELEASE, namespace="n" * 63)
    policies.check(documents, GIVEN | UMBRELLA_GIVEN)
    assert len({title(document) for document in documents}) == len(documents)


def test_where_no_operator_is_nothing_of_theirs_is_rendered() -> None:
    documents = render("control", MINIMAL, operators=())
    assert not [title(each) for each in documents if "." in each["apiVersion"] and "k8s.io" not in each["apiVersion"]]
    forced = render("control", merged(MINIMAL, {"monitoring": {"enabled": True}}), operators=())
    assert of_kind(forced, "ServiceMonitor")
    assert of_kind(forced, "PrometheusRule")


@pytest.mark.parametrize("service", CORE_SERVICES)
def test_every_variable_is_a_setting_that_the_service_really_has(service: str) -> None:
    kind = importlib.import_module(f"tieout.{service}.settings").Settings
    for values in (MINIMAL, PRODUCTION):
        documents = render(service, values)
        for owner, pod in pod_templates(documents):
            for container in containers(pod):
                environment = policies.environment_of(documents, owner, container)
                ours = {name for name in environment if name.startswith("TIEOUT_")}
                unknown = ours - {f"TIEOUT_{field.upper()}" for field in kind.__struct_fields__}
                assert not unknown, f"{title(owner)}: {unknown}"
                kind.from_environment(environment)  # And every value is of its type.


def test_settings_reach_the_process_exactly() -> None:
    environment = the(render("order", PRODUCTION), "ConfigMap")["data"]
    settings = importlib.import_module("tieout.order.settings").Settings.from_environment(environment)
    assert settings.stream_bytes_max == 500_000_000_000
    assert settings.stream_replicas == 3
    assert settings.database_url == (
        "postgresql://order_app@postgres.data.svc:5432/tieout_order"
        "?sslmode=verify-full&sslrootcert=/etc/tieout/database-ca/ca.crt"
    )


@pytest.mark.parametrize("service", CORE_SERVICES)
def test_keda_looks_at_the_consumers_that_the_code_has(service: str) -> None:
    scaled = the(render(service, PRODUCTION), "ScaledObject")
    looked_at = {
        (trigger["metadata"]["stream"], trigger["metadata"]["consumer"])
        for trigger in scaled["spec"]["triggers"]
        if trigger["type"] == "nats-jetstream"
    }
    assert looked_at == {(flow.stream, flow.durable) for flow in FLOWS if flow.service == service}
    assert all(isinstance(value, str) for each in scaled["spec"]["triggers"] for value in each["metadata"].values())


def test_a_change_of_settings_or_secrets_starts_new_pods_and_nothing_else_does() -> None:
    def annotations(values: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = the(render("order", merged(MINIMAL, values)), "Deployment")["spec"]["template"][
            "metadata"
        ]["annotations"]
        return found

    before = annotations({})
    assert annotations({"replicas": 4, "cronJobs": {"scrub": {"schedule": "1 1 * * *"}}}) == before
    assert annotations({"settings": {"log_level": "debug"}})["checksum/config"] != before["checksum/config"]
    assert annotations({"secrets": {"existingSecret": "given-ca"}})["checksum/secrets"] != before["checksum/secrets"]


def test_migrations_run_before_and_commands_never_twice_at_once() -> None:
    documents = render("finance", MINIMAL)
    hook = the(documents, "Job")
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    command = hook["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command == ["python", "-m", "tieout.finance", "migrate", "--phase", "upgrade"]
    jobs = {each["metadata"]["name"]: each["spec"] for each in of_kind(documents, "CronJob")}
    assert set(jobs) == {"tieout-finance-retain", "tieout-finance-scrub"}
    for job in jobs.values():
        assert job["concurrencyPolicy"] == "Forbid"
        assert job["timeZone"] == "Etc/UTC"
        assert job["startingDeadlineSeconds"] > 100  # Below ten seconds it might never run; above all, it is there.
        assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0


def test_services_do_not_all_begin_their_commands_in_the_same_minute() -> None:
    commands = of_kind(render("tieout", UMBRELLA), "CronJob")
    schedules = {each["metadata"]["name"]: each["spec"]["schedule"] for each in commands}
    assert all(re.fullmatch(r"[1-5]?[0-9] [24] \* \* \*", each) for each in schedules.values()), schedules
    assert len(set(schedules.values())) > len(CORE_SERVICES), schedules
    given = merged(MINIMAL, {"cronJobs": {"scrub": {"schedule": "7 1 * * SUN"}}})
    assert "7 1 * * SUN" in {each["spec"]["schedule"] for each in of_kind(render("order", given), "CronJob")}


def test_only_the_gateway_lets_anybody_in_who_is_not_of_the_house() -> None:
    for service in CORE_SERVICES:
        ports = [port["name"] for port in the(render(service, MINIMAL), "Service")["spec"]["ports"]]
        assert ("http" in ports) == (service == "gateway")
    documents = render("gateway", MINIMAL)
    policy = next(each for each in of_kind(documents, "NetworkPolicy") if each["metadata"]["name"] == "tieout-gateway")
    assert "http" not in [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]]


def test_an_umbrella_s_globals_reach_every_service_and_a_service_s_own_word_counts_more() -> None:
    values = merged(
        UMBRELLA,
        {
            "global": {"tieout": {"image": {"registry": "registry.example/t", "tag": "0.9.1"}}},
            "finance": {"enabled": True, "image": {"tag": "0.9.2"}, "database": {"host": "ledger.data.svc"}},
        },
    )
    documents = render("tieout", values)
    images = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]["image"]
        for each in of_kind(documents, "Deployment")
    }
    assert images["tieout-order"] == "registry.example/t/order:0.9.1"
    assert images["tieout-finance"] == "registry.example/t/finance:0.9.2"
    urls = {
        each["metadata"]["name"]: each["data"].get("TIEOUT_DATABASE_URL", "")
        for each in of_kind(documents, "ConfigMap")
    }
    assert "@postgres.data.svc:" in urls["tieout-order"]
    assert "@ledger.data.svc:" in urls["tieout-finance"]


def test_probes_wait_longer_than_the_look_at_the_database_and_a_stop_longer_than_its_batch() -> None:
    documents = render("order", MINIMAL)
    pod = the(documents, "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["timeoutSeconds"] > DATABASE_SECONDS_MAX
    stop = float(the(documents, "ConfigMap")["data"]["TIEOUT_STOP_SECONDS_MAX"])
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert DRAIN_SECONDS_MAX < stop < sleep + stop < pod["terminationGracePeriodSeconds"]
    # Who does not answer is first taken out of the endpoints, and only much later started anew.
    ready, live = container["readinessProbe"], container["livenessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < live["periodSeconds"] * live["failureThreshold"]
