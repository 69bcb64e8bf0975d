"""Run the project's tests on real servers. All arguments go to pytest: `tieout test services/finance -k voucher`."""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from tieout.devstack.failures import CommandFailed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "tieout test [pytest arguments]"


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    del arguments
    root = _root()
    # A shell that starts us in the background has us ignore interrupts, which all our children would do, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cores = os.cpu_count() or 1
    workers = min(cores + cores // 2, 8)  # A test waits for its servers a third of its time; another works meanwhile.
    chosen = any(word == "-n" or word.startswith(("-n", "--numprocesses")) for word in words)
    # In the order of testpaths: whole stacks first. By default the smallest files come last, and those are the longest.
    spread = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    parallel = [] if chosen or workers < 2 else spread
    return subprocess.run([sys.executable, "-m", "pytest", *parallel, *words], cwd=_where(root, words)).returncode


def _root() -> Path:
    """The project's folder: the nearest one above this file that has the workspace's pyproject.toml and tests."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "conftest.py").exists() and (folder / "pyproject.toml").exists():
            return folder
    raise CommandFailed("the tests are not here: this is an installed tieout, not a checkout of the project")


def _where(root: Path, words: list[str]) -> Path:
    """The project's folder, so that `tieout test` means everything; unless a path of the present folder was named."""
    here = Path.cwd()
    named = any((here / word.partition("::")[0]).exists() for word in words if not word.startswith("-"))
    return here if named and here.is_relative_to(root) else root
