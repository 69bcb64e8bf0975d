"""Disks that are full, and whose power is cut: what was acknowledged is there, and everything goes on by itself."""

import pytest
from tieout.devstack import doctor
from tieout.devstack.chaos import seeded
from tieout.devstack.chaos.disk import Disk, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "possible here")


def test_a_cut_of_the_power_forgets_what_was_not_synced_and_nothing_else(tmp_path):
    disk = Disk(tmp_path / "at", tmp_path / "image", 16)
    disk.make()
    try:
        with (disk.at / "synced").open("w") as synced:
            synced.write("here")
            synced.flush()
            disk.sync()
        (disk.at / "written").write_text("gone")
        disk.cut()
        disk.unmount()
        disk.mount()
        assert sorted(path.name for path in disk.at.iterdir()) == ["lost+found", "synced"]
        assert (disk.at / "synced").read_text() == "here"
    finally:
        disk.remove()


def test_the_doctor_names_a_full_disk_of_any_server(tmp_path):
    disk = Disk(tmp_path / "disk", tmp_path / "image", 16)
    disk.make()
    try:
        (tmp_path / "postgres").mkdir()
        disk.take_over(tmp_path / "postgres")
        disk.fill()
        found = next(check for check in doctor.examine(tmp_path) if check.name == "disk")
        assert (found.state, found.runbook) == ("wrong", "DiskFull")
        assert "0 MB are free" in found.found
        assert "postgres" in found.found
    finally:
        disk.remove()


async def test_full_disks_and_a_cut_of_the_power_lose_and_double_nothing(tmp_path, furnished):
    faults = "full-disk,full-disk-of-hub,cut-power"
    result = await seeded.run(furnished, tmp_path / "run", 1, orders=20, seconds=4, only=faults)
    assert result.findings == []
    assert (result.lost, result.doubled) == (0, 0)
    assert not [told for told in result.faults if "not possible" in told or "could not" in told]
