"""Failpoints strike under the harness only, and as often as it says."""

from datetime import UTC, datetime

import msgspec
import pytest
from tieout.servicekit import failpoints
from tieout.servicekit.errors import Misconfigured
from tieout.servicekit.failpoints import MARKER, PLAN, Failpoints, Fault, Plan


@pytest.fixture
def harness(tmp_path, monkeypatch):
    """Arms failpoints with these faults, and disarms them afterwards."""
    monkeypatch.setattr(failpoints, "ARMED", None)
    (tmp_path / MARKER).touch()

    def arm(*faults, clock=0.0):
        (tmp_path / PLAN).write_bytes(msgspec.json.encode(Plan(faults, clock)))
        failpoints.arm(str(tmp_path), "inventory")
        assert failpoints.ARMED is not None
        return failpoints.ARMED

    return arm


def test_nothing_is_armed_without_the_setting(monkeypatch):
    monkeypatch.setattr(failpoints, "ARMED", None)
    failpoints.arm("", "inventory")
    assert failpoints.ARMED is None


def test_a_folder_without_the_mark_of_the_harness_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(failpoints, "ARMED", None)
    with pytest.raises(Misconfigured, match="TIEOUT_FAILPOINTS"):
        failpoints.arm(str(tmp_path), "inventory")
    assert failpoints.ARMED is None


async def test_a_fault_strikes_as_often_as_it_says_in_all_processes_together(harness, tmp_path):
    armed = harness(Fault("b", "commit", "bug", times=2))
    other = Failpoints(tmp_path, "inventory")
    for one in (armed, other):
        with pytest.raises(RuntimeError, match="bug"):
            await one.reach("commit")
    await armed.reach("commit")
    await other.reach("commit")


async def test_a_fault_strikes_only_its_service_place_and_flow(harness):
    armed = harness(
        Fault("a", "commit", "bug", service="order"),
        Fault("b", "handled", "bug", flow="inventory-take-back"),
    )
    await armed.reach("commit")
    await armed.reach("handled", "inventory-reserve-stock")
    with pytest.raises(RuntimeError):
        await armed.reach("handled", "inventory-take-back")


async def test_an_answer_lost_after_the_commit_leaves_its_event_to_the_relay(database, harness):
    harness(Fault("lost", "committed", "lose_connection"))
    with pytest.raises(Exception, match="failpoint"):
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO demand VALUES (1, 1, gen_random_uuid(), '1001', 5, 700)")
    assert await database.pool.fetchval("SELECT count(*) FROM demand") == 1
    async with database.transaction():
        pass  # The room that it took was given back.


async def test_a_full_disk_before_the_commit_leaves_nothing(database, harness):
    harness(Fault("full", "commit", "disk_full"))
    with pytest.raises(Exception, match="no space left"):
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO demand VALUES (1, 1, gen_random_uuid(), '1001', 5, 700)")
    assert await database.pool.fetchval("SELECT count(*) FROM demand") == 0


def test_the_clock_is_bent_by_as_much_as_the_plan_says(harness):
    at = datetime(2026, 1, 5, tzinfo=UTC)
    assert (harness(clock=-300.0).now(at) - at).total_seconds() == -300
