"""A disk of its own for a server: a small file system in a file, that can really be full, and whose power can be cut.

Only root may mount it. The cut is the kernel's own (`FS_IOC_SHUTDOWN` without a flush, as file systems are tested):
from that moment nothing reaches the disk any more, and what was never synced is gone.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from tieout.devstack.failures import CommandFailed

MB = 1 << 20
_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, of ext4 and xfs.
_WITHOUT_FLUSH = 2
_UNMOUNT_SECONDS_MAX = 60.0


@functools.cache
def why_not() -> str:
    """Why there can be no such disk here; "" where there can."""
    if os.geteuid() != 0:
        return "only root may mount a disk"
    if not all(map(shutil.which, ("mkfs.ext4", "mount", "umount"))):
        return "mkfs.ext4 or mount is missing"
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder) / "at", Path(folder) / "image", 16)
        try:
            disk.make()
        except CommandFailed as failure:
            return f"no disk can be mounted here: {failure}"
        disk.remove()
    return ""


class Disk:
    """Mounted at `at`, kept in `image`."""

    def __init__(self, at: Path, image: Path, megabytes: int) -> None:
        self.at = at
        self._image = image
        self._megabytes = megabytes

    def make(self) -> None:
        with self._image.open("wb") as image:
            image.truncate(self._megabytes * MB)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", self._image)
        self.at.mkdir(exist_ok=True)
        self.mount()

    def mount(self) -> None:
        """After a cut, the file system plays its journal here, and nothing else."""
        _run("mount", "-o", "loop", self._image, self.at)

    def unmount(self) -> None:
        deadline = time.monotonic() + _UNMOUNT_SECONDS_MAX
        while self.at.is_mount():
            try:
                _run("umount", self.at)
            except CommandFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # Whoever was killed has not quite ended.

    def remove(self) -> None:
        self.unmount()
        self._image.unlink(missing_ok=True)

    def take_over(self, folder: Path) -> None:
        """What stands in `folder` lies on this disk from now on."""
        _run("cp", "-a", folder, self.at)
        self.sync()  # It lay on a disk before; only what comes now may be lost by a cut.
        shutil.rmtree(folder)
        folder.symlink_to(self.at / folder.name)

    def sync(self) -> None:
        _run("sync", "-f", self.at)

    def fill(self) -> None:
        """To the last block: what is written here from now on fails with ENOSPC."""
        if not os.path.ismount(self.at):  # Between a power cut and its end this folder is a part of the host's disk.
            raise CommandFailed(f"{self.at} is not mounted.")
        with (self.at / "ballast").open("ab") as ballast, contextlib.suppress(OSError):
            free = os.statvfs(self.at)
            os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize)
        with (self.at / "ballast.rest").open("ab", buffering=0) as rest, contextlib.suppress(OSError):
            while True:
                rest.write(bytes(1024))

    def empty(self) -> None:
        for name in ("ballast", "ballast.rest"):
            (self.at / name).unlink(missing_ok=True)

    def cut(self) -> None:
        """The power is gone. Kill whoever has files here, unmount, and mount it again."""
        handle = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        finally:
            os.close(handle)


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{command[0]}: {done.stderr.strip() or done.returncode}")
