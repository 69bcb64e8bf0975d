"""Postgres has a connection for everybody at the worst moment: scaled out, in an upgrade, every command under way."""

from collections.abc import Iterator, Sequence

import pytest
from platform_chart import render as render_platform
from policies import environment_of
from tieout.contracts.streams import CORE_SERVICES
from tieout.servicekit import Settings
from tools import ROOT, Document, containers, of_kind, render, the

VALUES = ROOT / "k8s" / "values"
MARKS = 2  # The second, small pool of each process (servicekit's servers.py), for what may be lost.
RESERVED = 10  # For superusers, the operator's own looks, and a person with psql.


def held(documents: Sequence[Document]) -> Iterator[tuple[str, int]]:
    """(what, connections at most)."""
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]
        for each in documents
        if "scaleTargetRef" in each.get("spec", {})
    }

    def one_process(owner: Document, pod: Document) -> int:
        told = environment_of(documents, owner, containers(pod)[-1])
        usual = Settings.__struct_defaults__[Settings.__struct_fields__.index("database_connections_max")]
        return int(told.get("TIEOUT_DATABASE_CONNECTIONS_MAX", usual)) + MARKS

    for deployment in of_kind(documents, "Deployment"):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        limits = scaled.get(name, {})
        most = limits.get("maxReplicaCount") or limits.get("maxReplicas") or spec["replicas"]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"]
        yield name, (most + surge) * one_process(deployment, spec["template"])
    for cron in of_kind(documents, "CronJob"):
        yield cron["metadata"]["name"], one_process(cron, cron["spec"]["jobTemplate"]["spec"]["template"])
    for job in of_kind(documents, "Job"):
        yield job["metadata"]["name"], 1  # A migration.


@pytest.mark.parametrize(
    ("services", "platform"),
    [
        (["minimal/tieout.yaml"], ["minimal/platform.yaml"]),
        (["production/tieout.yaml"], ["production/platform.yaml"]),
        (
            ["production/tieout.yaml", "multi-site/tieout.yaml"],
            ["production/platform.yaml", "multi-site/platform.yaml"],
        ),
    ],
    ids=["minimal", "production", "multi-site"],
)
def test_our_environments_have_connections_for_everybody(services: list[str], platform: list[str]) -> None:
    holders = dict(held(render("tieout", files=[VALUES / each for each in services])))
    fits(holders, platform)


def test_so_has_production_where_each_service_has_its_own_release() -> None:
    holders: dict[str, int] = {}
    for service in CORE_SERVICES:
        files = ["service.yaml", "gateway.yaml"] if service == "gateway" else ["service.yaml"]
        values = {"migrations": {"existingSecret": f"tieout-{service}-owner"}}
        documents = render(service, values, files=[VALUES / "production" / each for each in files], release=service)
        holders |= dict(held(documents))
    fits(holders, ["production/platform.yaml"])


def fits(holders: dict[str, int], platform: list[str]) -> None:
    parameters = the(render_platform(files=tuple(platform)), "Cluster")["spec"]["postgresql"]["parameters"]
    assert len(holders) == len(CORE_SERVICES) * 4, "a service, its two commands and its migration"
    wanted = sum(holders.values()) + RESERVED
    assert wanted <= int(parameters["max_connections"]), f"postgres.maxConnections must be {wanted} or more: {holders}"
