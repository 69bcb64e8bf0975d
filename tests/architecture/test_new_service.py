"""CONTRIBUTING.md's way to a new service, followed in a copy of the project: what is made there passes, and runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MADE = ("returns", "--hears", "order.returned.v1")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project beside itself: its packages come before the installed ones."""
    folder = tmp_path_factory.mktemp("project")
    left = shutil.ignore_patterns(
        "__pycache__", ".pytest_cache", ".git", ".venv*", ".tieout", ".mypy_cache", ".ruff_cache"
    )
    shutil.copytree(ROOT, folder, ignore=left, dirs_exist_ok=True, symlinks=True)
    done = run(folder, "-m", "tieout.devstack.new_service", *MADE)
    assert done.returncode == 0, done.stderr
    permissions = ("-m", "tieout.devstack.nats_auth", "--out", "charts/platform/files/permissions.json")
    for words in (("-m", "tieout.contracts.schemas"), ("charts/documents.py",), permissions):
        done = run(folder, *words)
        assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    paths = [str(path) for path in sorted([*folder.glob("libs/*/src"), *folder.glob("services/*/src")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)


def test_it_runs_hears_and_announces_on_real_servers_and_keeps_the_rules_of_the_house(copy: Path) -> None:
    named = [
        "libs/contracts/tests/test_contracts.py",
        "services/control/tests/test_domain_tickets.py",
        "tests/architecture/test_structure.py",
        "tests/architecture/test_teams.py",
    ]
    asked = ["-q", "-p", "no:cacheprovider", "-k", "returns or contract or schemas or heard or flow"]
    done = run(copy, "-m", "pytest", *asked, "services/returns", *named)
    assert done.returncode == 0, done.stdout[-3000:]


def test_it_is_in_the_form_that_every_change_must_have(copy: Path) -> None:
    written = ["services/returns", "libs/contracts"]
    for words in (("check",), ("format", "--check")):
        done = run(copy, "-m", "ruff", *words, "--no-cache", *written)
        assert done.returncode == 0, done.stdout


def test_its_chart_is_one_of_those_that_are_rendered_upgraded_and_installed(copy: Path) -> None:
    done = run(copy, "tests/charts/released.py")
    if "no helm here" in done.stderr:
        pytest.skip("charts are rendered by helm, and there is none here")
    assert done.returncode == 0, done.stderr
    asked = ["-q", "-p", "no:cacheprovider", "-k", "returns or tieout"]
    done = run(copy, "-m", "pytest", *asked, "tests/charts/test_upgrade.py", "tests/charts/test_matrix.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "returns: *production\n" in (copy / "k8s/values/production/tieout.yaml").read_text()


def test_a_name_that_is_taken_or_none_and_an_event_of_nobody_are_refused(copy: Path) -> None:
    for words, told in (
        (("order", "--hears", "order.placed.v1"), "there is a service order already"),
        (("Re-turns", "--hears", "order.placed.v1"), "no name for a service"),
        (("claims", "--hears", "claims.made.v1"), "nobody announces 'claims.made.v1'"),
    ):
        done = run(copy, "-m", "tieout.devstack.new_service", *words)
        assert done.returncode == 1
        assert told in done.stderr


def test_the_instructions_name_the_commands_that_this_test_follows() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert f"python -m tieout.devstack.new_service {' '.join(MADE)}" in page
    assert re.search(r"python -m tieout\.contracts\.schemas", page)
    assert "charts/documents.py" in page
    assert ".venv/bin/python tests/charts/released.py" in page
    assert "python -m tieout.devstack.nats_auth --out charts/platform/files/permissions.json" in page
