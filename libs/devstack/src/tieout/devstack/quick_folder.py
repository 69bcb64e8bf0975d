"""Folders in memory for what dies with its tests: servers that write there wait for no disk.

On a disk, copying the folder of a stack (4,000 files) takes up to three seconds of a core, in memory 0.2 s, and each
commit waits for the disk. What is tested stays the same: a killed process loses nothing that it wrote, wherever that
is, and where the power is cut, disks of their own are cut off (`chaos/disk.py`).
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import psutil
from tieout.devstack import processes

_PREFIX = "tieout-test-"
_OWNER = "owner"  # Pid and start time of the process that made the folder.
_MEMORY = Path("/dev/shm")  # noqa: S108 - below it a folder of our own is made.
_ENOUGH_BYTES = 4 * 1024**3


def make() -> Path:
    """A folder of this process, in memory where there is enough of it, else among the temporary files.

    Folders of processes that were killed would fill the memory: they are removed.
    """
    parent = in_memory()
    _remove_abandoned(parent or Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    processes.note(folder / _OWNER, os.getpid())
    folder.chmod(0o711)  # Where we are root, Postgres passes it as another user.
    return folder


def in_memory() -> Path | None:
    """Where folders lie in memory; None where there is little of it, or nothing there may be executed."""
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK) or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    free = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    return _MEMORY if free > _ENOUGH_BYTES else None


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            noted = (folder / _OWNER).read_text()
            if processes.identity(int(noted.partition(" ")[0])) != noted:
                shutil.rmtree(folder, ignore_errors=True)
