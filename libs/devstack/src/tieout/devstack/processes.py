"""Child processes that never outlive their launcher, and free ports for them."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PORT_MIN, _PORTS_ENOUGH = 10_000, 5_000
_chance = random.SystemRandom()  # Whoever seeds the other one must not get the ports of his neighbour.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerFailed(Exception):
    """A server process did not come up, or ended by itself. The message holds the end of its log."""


def free_port() -> int:
    """A port that was free a moment ago. Whoever uses it must be ready to be told that it is taken.

    Not one of those that the kernel gives to outgoing connections, where there are others: it would give it away before
    the server has it, or while the server starts again, even to the server's own client.
    """
    given = _first_port_of_the_kernel()
    for _ in range(100):
        port = _chance.randrange(_PORT_MIN, given) if given > _PORT_MIN + _PORTS_ENOUGH else 0
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise ServerFailed("no port is free")


def _first_port_of_the_kernel() -> int:
    """0 where it does not say."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # One just left is free, as servers see it.
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def ends_with_launcher(stop_signal: int) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends `stop_signal` when the launcher's thread dies, even by kill -9.

    Linux only; elsewhere the next start finds what was left by its pid file.
    """
    launcher = os.getpid()

    def arrange() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
            if os.getppid() != launcher:  # It died between fork and here.
                os.kill(os.getpid(), signal.SIGKILL)

    return arrange


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    stop_signal: int = signal.SIGTERM,
    user: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    asks: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C reaches the launcher only, which stops all in order.

    `asks`: it will be told something on its standard input.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE if asks else subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=cwd or "/",
            env=None if environment is None else dict(environment),
            start_new_session=True,
            preexec_fn=ends_with_launcher(stop_signal),
            user=user,
            group=None if user is None else _group_of(user),
            extra_groups=None if user is None else (),
        )


def stop(process: subprocess.Popen[bytes], stop_signal: int = signal.SIGTERM, patience_seconds: float = 10.0) -> bool:
    """Ask, wait, and only then kill. False where it had to be killed."""
    if process.poll() is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(stop_signal)
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, log: Path, name: str, seconds: float
) -> None:
    """Poll `ready`; a process that ends meanwhile is told with the end of its log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise ServerFailed(f"{name} ended with code {process.returncode} while starting.\n{end_of(log)}")
        if time.monotonic() > deadline:
            stop(process, signal.SIGKILL)
            raise ServerFailed(f"{name} was not ready after {seconds:.0f} s.\n{end_of(log)}")
        time.sleep(0.01)


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def end_of(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def identity(pid: int) -> str:
    """Pid and start time: a pid alone may belong to somebody else by now. Empty where nobody has it."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{pid} {process.create_time():.2f}"
    except psutil.Error:
        return ""


def stop_left_over(pid_file: Path, stop_signal: int = signal.SIGTERM, patience_seconds: float = 10.0) -> bool:
    """Stop the process that an earlier launcher noted here, if it is still that very process. True if there was one."""
    try:
        noted = pid_file.read_text().strip()
    except OSError:
        return False
    found = False
    if noted and (pid := noted.partition(" ")[0]).isdigit() and identity(int(pid)) == noted:
        found = True
        left = psutil.Process(int(pid))
        with contextlib.suppress(psutil.Error):
            left.send_signal(stop_signal)
        try:
            left.wait(patience_seconds)
        except psutil.TimeoutExpired:
            left.kill()
            left.wait(patience_seconds)
    pid_file.unlink(missing_ok=True)
    return found


def note(pid_file: Path, pid: int) -> None:
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.write_text(identity(pid))


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def complain(text: str) -> None:
    """For whoever watches the launcher. On a full disk nobody can be told, and the launcher goes on."""
    with contextlib.suppress(OSError):
        print(f"tieout: {text}", file=sys.stderr, flush=True)
