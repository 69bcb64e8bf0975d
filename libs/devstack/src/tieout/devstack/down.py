"""Stop the stack of this folder: services finish what they have begun, then the servers stop. Its state stays."""

import argparse
import contextlib
import signal
from pathlib import Path

import psutil
from tieout.devstack import processes
from tieout.devstack.stack_folder import StackFolder

_PATIENCE_SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.dir
    stopped = _stop_launcher(folder / "run" / "launcher")
    left = StackFolder(folder).stop_left_over()  # Of a launcher that was killed.
    (folder / "endpoints.json").unlink(missing_ok=True)
    print(f"stopped the stack of {folder}" if stopped or left else f"no stack runs in {folder}")
    return 0


def _stop_launcher(note: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
        noted = note.read_text()
        pid = int(noted.partition(" ")[0])
        if processes.identity(pid) == noted:
            launcher = psutil.Process(pid)
            launcher.send_signal(signal.SIGTERM)
            try:
                launcher.wait(_PATIENCE_SECONDS)
            except psutil.TimeoutExpired:
                launcher.kill()
                launcher.wait(_PATIENCE_SECONDS)
            return True
    return False
