"""Documents that name files, and locks that name packages, are checked like code."""

import re
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = re.compile(r"(?:libs|services|docs|tests|charts|k8s)/[\w./-]+\.(?:py|sql|md|yaml|toml|json)")


def test_the_journey_document_names_real_files() -> None:
    document = ROOT / "docs" / "order-journey.md"
    assert document.exists(), "docs/order-journey.md lists step, subject and file of an order's way; write it"
    named = sorted(set(PATHS.findall(document.read_text())))
    assert len(named) >= 8, "the document names hardly any file, so nobody can find the way by it"
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_journey_document_names_real_subjects() -> None:
    from tieout.contracts.streams import EVENTS

    document = ROOT / "docs" / "order-journey.md"
    assert document.exists()
    owners = {subject.partition(".")[0] for subject in EVENTS}
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+\.v\d+)`", document.read_text()))
    assert not {subject for subject in named if subject.partition(".")[0] in owners} - set(EVENTS)


def test_both_readmes_show_the_same_commands_and_lead_to_every_page() -> None:
    english, chinese = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
    links = re.compile(r"\]\(((?:docs|services|CONTRIBUTING)[^)]*)\)")
    commands = re.compile(r"^\./tieout [^#\n]*?(?=\s*(?:#|$))", re.MULTILINE)
    assert set(links.findall(english)) == set(links.findall(chinese))
    assert commands.findall(english) == commands.findall(chinese)
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").iterdir() if not page.name.startswith(".")}
    assert not pages - set(links.findall(english))
    assert english.count("\n## ") == chinese.count("\n## ")


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_recovery_is_shown_where_the_stack_is_stopped(name: str) -> None:
    shown = re.findall(r"^\./tieout (up|down|recover)\b", (ROOT / name).read_text(), re.MULTILINE)
    before = shown[: shown.index("recover")]
    assert before[-1] == "down", "a service that works is not recovered: the command refuses it"


def tracked() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()


def test_the_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index-url" not in lock
    blocks = re.split(r"\n(?=[a-z0-9])", lock[lock.index("\n", lock.rindex("# ", 0, 200)) + 1 :])
    for block in blocks:
        if re.match(r"[a-z0-9][\w.-]*==", block):
            assert "--hash=sha256:" in block, block.splitlines()[0]
    assert re.search(r"^uv==", lock, re.MULTILINE), "./tieout installs uv from the lock"


def test_the_start_script_stays_small_and_executable() -> None:
    script = ROOT / "tieout"
    assert script.read_text().startswith("#!/bin/sh\n")
    assert len(script.read_text().splitlines()) <= 25
    assert script.stat().st_mode & stat.S_IXUSR


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_no_secret_state_or_private_lock_is_committed() -> None:
    for name in tracked():
        assert not name.startswith((".tieout/", ".venv/")), name
        assert Path(name).name not in {"uv.lock", "endpoints.json"}, name


def test_every_package_says_that_it_is_typed_and_how_it_is_licensed() -> None:
    for declared in [*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]:
        package = declared.parent / "src" / "tieout" / declared.parent.name
        assert (package / "py.typed").exists(), f"{package.relative_to(ROOT)} has no py.typed"
        assert 'license = "Apache-2.0"' in declared.read_text(), declared
