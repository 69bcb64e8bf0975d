"""Charts as helm itself handles them: linted, built with their dependencies, packaged; and what people read of them."""

import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import MINIMAL, UMBRELLA
from tieout.contracts.streams import CORE_SERVICES
from tools import CHARTS, ROOT, chart_names, chart_yaml, has_remote_dependencies, helm, read, unfolded

APPLICATIONS = (*CORE_SERVICES, "tieout")
LOCAL = [name for name in chart_names() if not has_remote_dependencies(name)]


@pytest.mark.parametrize("chart", APPLICATIONS)
def test_helm_s_strict_lint_finds_nothing(chart: str, tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps(UMBRELLA if chart == "tieout" else MINIMAL))
    told = helm("lint", "--strict", "--values", values, unfolded(chart)).stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in told
    assert "[WARNING]" not in told
    assert "[ERROR]" not in told


def test_the_library_lints_too_and_installs_nothing() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", unfolded("service")).stdout
    assert helm("template", "x", unfolded("service"), check=False).returncode != 0


def test_helm_builds_and_packages_the_umbrella_from_a_fresh_clone(tmp_path: Path) -> None:
    """As people do it, from what git holds: each service first, since the umbrella takes them as they lie there."""
    clone = tmp_path / "clone"
    for path in subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "charts", "k8s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")[:-1]:
        if (ROOT / path).exists() or (ROOT / path).is_symlink():
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, clone / path, follow_symlinks=False)
    for chart in APPLICATIONS:
        helm("dependency", "build", clone / "charts" / chart)
    helm("package", clone / "charts/tieout", "--destination", tmp_path)
    [package] = tmp_path.glob("tieout-*.tgz")
    values = tmp_path / "values.json"
    values.write_text(json.dumps(UMBRELLA))
    arguments = ("--namespace", "tieout", "--values", values, "--api-versions", "monitoring.coreos.com/v1")
    packaged = helm("template", "tieout", package, *arguments).stdout
    assert packaged == helm("template", "tieout", unfolded("tieout"), *arguments).stdout
    assert "alert: BooksDiffer" in packaged  # Links were followed into the package.


def test_what_is_written_from_elsewhere_is_up_to_date() -> None:
    written = runpy.run_path(str(CHARTS / "documents.py"))["written"]
    stale = [str(path.relative_to(ROOT)) for path, text in written() if path.read_text() != text]
    assert not stale, f"run .venv/bin/python charts/documents.py: {stale} would change"


@pytest.mark.parametrize("chart", ["service", *APPLICATIONS])
def test_every_key_has_a_description_and_no_other_key_is_taken(chart: str) -> None:
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    for path, part in keys(schema, ""):
        if path in {"exports", "exports.defaults"}:
            continue
        assert part.get("description"), f"{path} has no description"
        shape = part.get("type") == "object" and "const" not in part
        free = ("affinity", "service", "exports", "global", "settings", *CORE_SERVICES)
        if shape and path.rpartition(".")[2] not in free:
            assert "additionalProperties" in part, f"{path} takes anything"


def keys(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, part in schema.get("properties", {}).items():
        own = f"{path}.{key}".lstrip(".")
        yield own, part
        yield from keys(part, own)
        for named in part.get("patternProperties", {}).values():
            yield from keys(named, f"{own}.<name>")


@pytest.mark.parametrize("service", CORE_SERVICES)
def test_every_default_stands_in_the_schema_and_the_other_way_round(service: str) -> None:
    module = runpy.run_path(str(CHARTS / "documents.py"))
    schema = json.loads((CHARTS / service / "values.schema.json").read_text())
    known = set(schema["properties"]) - {"global", "enabled", "service"}
    assert set(module["defaults"](service)) == known


@pytest.mark.parametrize("chart", LOCAL)
def test_a_chart_says_what_it_is_and_which_clusters_it_fits(chart: str) -> None:
    about = chart_yaml(chart)
    assert about["name"] == chart
    assert about["description"]
    assert re.fullmatch(r">=1\.3\d\.0-0", about["kubeVersion"])
    assert (CHARTS / chart / "README.md").exists()
    if about["type"] == "application":
        assert (CHARTS / chart / "templates" / "NOTES.txt").exists()
    for dependency in about.get("dependencies", ()):
        version = chart_yaml(dependency["name"])["version"]
        assert dependency["version"] == f"~{version.rpartition('.')[0]}.0", (
            f"{chart} needs {dependency['name']} {version}"
        )


@pytest.mark.parametrize("service", CORE_SERVICES)
def test_a_chart_installs_the_version_that_the_service_s_package_has(service: str) -> None:
    declared = (ROOT / "services" / service / "pyproject.toml").read_text()
    assert f'version = "{chart_yaml(service)["appVersion"]}"' in declared


def test_the_notes_say_how_to_go_on() -> None:
    """`helm template` leaves notes out, so a dry run says them."""
    told = helm(
        *("install", "order", unfolded("order"), "--namespace", "tieout", "--dry-run=client"),
        *("--set", "database.host=x,nats.url=nats://x,secrets.existingSecret=x,migrations.enabled=false"),
    ).stdout
    assert "rollout status deployment/order" in told
    assert "migrate --phase upgrade" in told
    assert "No traces are sent" in told


def test_the_umbrella_s_notes_warn_of_a_gateway_that_nobody_reaches_or_administers() -> None:
    def told(*values: str) -> str:
        arguments = ("install", "tieout", unfolded("tieout"), "--namespace", "tieout", "--dry-run=client")
        return helm(
            *arguments, "--set", "global.tieout.database.host=x,global.tieout.nats.url=nats://x", *values
        ).stdout

    closed = told()
    assert "Nobody reaches the gateway" in closed
    assert "Nobody may administer the gateway" in closed
    opened = told("--values", str(ROOT / "k8s" / "values" / "production" / "tieout.yaml"))
    assert "the gateway" not in opened
    assert "There is no Ingress" in told("--values", str(ROOT / "k8s" / "values" / "minimal" / "tieout.yaml"))


def test_only_the_library_has_templates_of_resources() -> None:
    for service in CORE_SERVICES:
        assert (CHARTS / service / "templates" / "all.yaml").read_text() == '{{ include "tieout.service" . }}\n'
        lines = (CHARTS / service / "values.yaml").read_text().splitlines()
        assert len(lines) < 60, f"charts/{service}/values.yaml grows: what is common belongs into the library"
    assert read(CHARTS / "service" / "Chart.yaml")["type"] == "library"
