"""An upgrade from any version that was released finds the selectors it left behind: Kubernetes refuses others."""

import pytest
from released import CHARTS, recorded, selectors
from tools import chart_yaml, of_kind, render, the


@pytest.mark.parametrize("chart", CHARTS)
def test_no_released_version_s_selectors_were_changed(chart: str) -> None:
    now = selectors(chart)
    for version, then in recorded()[chart].items():
        changed = {name for name in then if name in now and now[name] != then[name]}
        assert not changed, f"an upgrade from {chart} {version} would be refused or cut off: {changed}"
        gone = set(then) - set(now)
        assert not gone, f"an upgrade from {chart} {version} would remove {gone}"


@pytest.mark.parametrize("chart", CHARTS)
def test_the_present_version_is_recorded(chart: str) -> None:
    version = chart_yaml(chart)["version"]
    assert version in recorded()[chart], (
        f"run .venv/bin/python tests/charts/released.py: {chart} {version} is not recorded"
    )


def test_selectors_know_nothing_of_versions_and_values() -> None:
    from cases import MINIMAL, PRODUCTION, merged

    plain = the(render("order", MINIMAL), "Deployment")
    other = the(render("order", merged(PRODUCTION, {"image": {"tag": "9.9.9"}}), upgrade=True), "Deployment")
    assert plain["spec"]["selector"] == other["spec"]["selector"]
    assert plain["spec"]["template"]["metadata"]["labels"] != other["spec"]["template"]["metadata"]["labels"]


def test_an_upgrade_runs_the_same_hook_as_an_install() -> None:
    from cases import MINIMAL

    [install], [upgrade] = (of_kind(render("order", MINIMAL, upgrade=each), "Job") for each in (False, True))
    assert install == upgrade
