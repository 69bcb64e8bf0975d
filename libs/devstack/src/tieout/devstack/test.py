"""Run the project's tests on real servers. All arguments go to pytest: `tieout test services/finance -k voucher`."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tieout.devstack import quick_folder
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
    command = [sys.executable, "-m", "pytest", *parallel, *words]
    with temporary_files() as environment:
        return subprocess.run(command, cwd=_where(root, words), env=environment).returncode


@contextlib.contextmanager
def temporary_files() -> Iterator[dict[str, str]]:
    """Stacks of tests lie in memory where there is enough of it, unless somebody said where temporary files belong."""
    if {"TMPDIR", "TEMP", "TMP"} & os.environ.keys() or quick_folder.in_memory() is None:
        yield {**os.environ}
        return
    folder = quick_folder.make()
    try:
        yield {**os.environ, "TMPDIR": str(folder)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
