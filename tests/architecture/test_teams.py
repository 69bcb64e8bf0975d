"""A team owns its service, chart and promises; what it ships under a number is told under that number."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tieout.contracts.catalogue import CONTRACTS
from tieout.contracts.event import Event

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/pyproject.toml"))
SECTIONS = ("Owns", "Hears", "Says", "Rules", "When it hurts")


def owners_of(path: str) -> set[str]:
    """As the code host reads CODEOWNERS: the last pattern that fits."""
    found: set[str] = set()
    for line in (ROOT / "CODEOWNERS").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, *owners = line.split()
        fits = pattern == "*" or (f"/{path}".startswith(pattern) and (pattern.endswith("/") or f"/{path}" == pattern))
        found = {owner.removeprefix("@tieout/") for owner in owners} if fits else found
    return found


def package_version(service: str) -> str:
    declared = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text())
    return str(declared["project"]["version"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_team_owns_its_service_and_its_chart(service: str) -> None:
    assert owners_of(f"services/{service}/src/tieout/{service}/app.py") == {service}
    assert service in owners_of(f"charts/{service}/values.yaml")


def promising(contract: ModuleType) -> Iterator[str]:
    """The services that a contract's operations and events belong to."""
    yield from (operation.owner for operation in getattr(contract, "OPERATIONS", ()))
    for thing in vars(contract).values():
        if isinstance(thing, type) and issubclass(thing, Event) and hasattr(thing, "SUBJECT"):
            yield thing.SUBJECT.partition(".")[0]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_a_contract_belongs_to_those_who_promise_it_and_to_the_architects(contract: ModuleType) -> None:
    path = str(Path(str(contract.__file__)).relative_to(ROOT))
    assert owners_of(path) == {*promising(contract), "architecture"}, path


def test_code_owners_name_what_exists() -> None:
    later = {"/Dockerfile"}  # Where no image is built yet.
    lines = [line.split()[0] for line in (ROOT / "CODEOWNERS").read_text().splitlines() if line.startswith("/")]
    assert not [name for name in lines if not (ROOT / name[1:]).exists() and name not in later]


@pytest.mark.parametrize("service", SERVICES)
def test_a_readme_answers_the_same_questions_in_the_same_order(service: str) -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "services" / service / "README.md").read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == list(SECTIONS)


@pytest.mark.parametrize("service", SERVICES)
def test_a_version_is_told_in_the_services_changelog_first_of_all(service: str) -> None:
    page = (ROOT / "services" / service / "CHANGELOG.md").read_text()
    newest = re.search(r"^## (\S+)", page, re.MULTILINE)
    assert newest is not None
    assert newest[1] == package_version(service), "a new version begins with its heading, and says what is new"


@pytest.mark.parametrize("service", SERVICES)
def test_a_chart_runs_the_version_of_its_package(service: str) -> None:
    chart: dict[str, Any] = yaml.safe_load((ROOT / "charts" / service / "Chart.yaml").read_text())
    assert str(chart["appVersion"]) == package_version(service)
    umbrella: dict[str, Any] = yaml.safe_load((ROOT / "charts" / "tieout" / "Chart.yaml").read_text())
    (wanted,) = [one["version"] for one in umbrella["dependencies"] if one["name"] == service]
    assert fits(str(chart["version"]), wanted), (
        f"charts/tieout asks for {service} {wanted}, which is {chart['version']}"
    )


def fits(version: str, wanted: str) -> bool:
    """~1.2.3 is 1.2.x from 1.2.3 on."""
    have, floor = ([int(part) for part in text.split(".")] for text in (version, wanted.removeprefix("~")))
    return have[:2] == floor[:2] and have >= floor
