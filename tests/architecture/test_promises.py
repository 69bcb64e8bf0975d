"""A promise names a test that exists, and whatever sends people to a runbook sends them to one that exists."""

import re
from pathlib import Path
from typing import get_args

from tieout.contracts.control import Cause

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"


def test_every_promise_names_a_test_that_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / "promises.md").read_text())
    assert len(named) > 20
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path} has no {name}"


def test_every_row_of_a_promise_has_a_test() -> None:
    told = (ROOT / "docs" / "promises.md").read_text().partition("## What is not promised")[0]
    rows = [line for line in told.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "|---"))]
    assert not [row for row in rows if "::test_" not in row]


def test_every_cause_of_a_difference_is_planted_in_a_test() -> None:
    told = (
        (ROOT / "docs" / "promises.md").read_text().partition("## Every difference has its cause")[2].partition("##")[0]
    )
    planted = set(re.findall(r"`([a-z_]+)`", told))
    assert planted == set(get_args(Cause))


def test_every_runbook_that_is_named_exists() -> None:
    code = (ROOT / "services/control/src/tieout/control/domain/checks.py").read_text()
    code += (ROOT / "services/control/src/tieout/control/checkup.py").read_text()
    code += (ROOT / "services/control/src/tieout/control/alarms.py").read_text()
    code += (ROOT / "libs/devstack/src/tieout/devstack/doctor.py").read_text()
    named = set(re.findall(r'"((?:[A-Z][a-z]+){1,3})"', code)) | {"DeadLetters"}
    assert {"ConsumerStalled", "SatelliteSilent", "DiskFull"} <= named
    assert not {name for name in named if not (RUNBOOKS / f"{name}.md").exists()}


def test_runbooks_and_documents_link_to_what_is_there() -> None:
    for page in [*RUNBOOKS.glob("*.md"), ROOT / "docs" / "promises.md", ROOT / "docs" / "incident.md"]:
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
