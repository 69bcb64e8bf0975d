"""The folder of a stack: one launcher at a time, what it notes for `status` and for a later one, the logs, the port."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from tieout.devstack import hints, processes
from tieout.devstack.failures import CommandFailed
from tieout.devstack.supervisor import STOP_SECONDS_MAX

_LAST_PORT = "gateway-port"  # Stays when the stack stops.
_LOG_BYTES_MAX = 16 * 1024 * 1024  # At a start; larger ones are put aside, and those put aside before forgotten.


class ProcessFacts(Struct, frozen=True):
    """One line of `run/processes.json`."""

    name: str
    pid: int  # 0: not running at this moment.
    restarts: int
    log: str


# A process as the launcher knows it: None before its start; its restarts; its log.
Known = tuple["subprocess.Popen[bytes] | None", int, Path]


class StackFolder:
    """`path` holds what stays; its folder `run` only what is true while a launcher lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self._run = path / "run"
        self._lock: int | None = None

    def take(self) -> None:
        """One launcher per folder; the lock dies with it."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.hold():
            raise CommandFailed(
                f"a stack runs in {self.path} already. "
                f"Stop it with: {hints.command('down', self.path)}, or choose another --dir"
            )
        self._run.mkdir(exist_ok=True)
        processes.note(self._run / "launcher", os.getpid())

    def hold(self) -> bool:
        """Whether this process has the folder for itself now. False where another has it, ready or not, or removes
        it."""
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.fstat(lock).st_ino == (self.path / "lock").stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def leave(self) -> None:
        if self._run.exists():
            shutil.rmtree(self._run, ignore_errors=True)
        self.let_go()

    def stop_left_over(self) -> bool:
        """Stop the processes that a killed launcher noted here. True if there were any."""
        found = False
        for pid_file in sorted(self._run.glob("*.pid")):
            how = signal.SIGINT if pid_file.stem == "postgres" else signal.SIGTERM
            found = processes.stop_left_over(pid_file, how, STOP_SECONDS_MAX) or found
        return found

    def note(self, known: Mapping[str, Known]) -> None:
        """For `status`, and for a later launcher that has to clear up after this one."""
        facts = []
        for name, (process, restarts, log) in known.items():
            if process is not None and process.poll() is None:
                processes.note(self._run / f"{name}.pid", process.pid)
            facts.append(ProcessFacts(name, process.pid if process else 0, restarts, str(log)))
        draft = self._run / ".processes.json"
        draft.write_bytes(msgspec.json.encode(facts))
        draft.rename(self._run / "processes.json")

    def rotate_logs(self) -> None:
        self.logs.mkdir(exist_ok=True)
        for log in self.logs.glob("*.log"):
            if log.stat().st_size > _LOG_BYTES_MAX:
                log.replace(log.with_suffix(".log.1"))

    def port_of_last_time(self) -> int:
        """So that a shop's webhooks find the same address after a restart; 0 where there was none."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.path / _LAST_PORT).read_text())
        return 0

    def remember_port(self, port: int) -> None:
        (self.path / _LAST_PORT).write_text(str(port))

    def forget_port(self) -> None:
        """Of a folder that is to be copied: two stacks with the same keys would take each other's requests."""
        (self.path / _LAST_PORT).unlink(missing_ok=True)
