import os
import subprocess
import sys

import pytest
from tieout.devstack import quick_folder, test


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Folders are made here, whatever memory this machine has."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(quick_folder, "in_memory", lambda: tmp_path)
    return tmp_path


def test_folders_of_killed_processes_are_removed_and_those_of_the_living_stay(here):
    own = quick_folder.make()
    making = "from pathlib import Path; from tieout.devstack import quick_folder as q; "
    making += f"q.in_memory = lambda: Path({str(here)!r}); print(q.make())"
    done = subprocess.run([sys.executable, "-c", making], capture_output=True, text=True, check=True)
    assert set(map(str, here.iterdir())) == {str(own), done.stdout.strip()}
    another = quick_folder.make()
    assert {*here.iterdir()} == {own, another}


def test_a_run_of_the_tests_has_its_temporary_files_there_and_leaves_none(here):
    with test.temporary_files() as environment:
        (folder,) = here.iterdir()
        assert environment == {**os.environ, "TMPDIR": str(folder)}
        (folder / "a stack").mkdir()
    assert not list(here.iterdir())


def test_who_says_where_temporary_files_belong_is_heard(here, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    with test.temporary_files() as environment:
        assert environment == {**os.environ}
    assert not list(here.iterdir())


def test_where_room_is_short_or_no_such_memory_is_disks_are_used(tmp_path, monkeypatch):
    monkeypatch.setattr(quick_folder, "_MEMORY", tmp_path)
    monkeypatch.setattr(quick_folder, "_ENOUGH_BYTES", 0)
    assert quick_folder.in_memory() == tmp_path
    monkeypatch.setattr(quick_folder, "_ENOUGH_BYTES", 1 << 60)
    assert quick_folder.in_memory() is None
    monkeypatch.setattr(quick_folder, "_MEMORY", tmp_path / "nowhere")
    assert quick_folder.in_memory() is None
