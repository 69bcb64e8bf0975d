"""Show what the services and servers of the stack have logged: all of them, or those that are named."""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tieout.devstack import hints
from tieout.devstack.failures import CommandFailed

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_POLL_SECONDS = 0.3
_QUIET_POLLS, _QUIET_SECONDS = 10, 1.0  # Who waits for a line of an idle stack can wait a second.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="*", help="a service, or postgres, hub, store-1, migrations (default: all)")
    parser.add_argument("-n", "--lines", type=_many, default=100, metavar="N", help="the last N of each (default 100)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as new lines come; end with Ctrl-C")


def _many(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines: give one from 0 on")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.dir / "logs"
    known = sorted(path.stem for path in folder.glob("*.log")) if folder.exists() else []
    if not known:
        raise CommandFailed(
            f"{arguments.dir} has no logs. Start a stack with: {hints.command('up')}, or name its folder: --dir"
        )
    unknown = [name for name in arguments.service if name not in known]
    if unknown:
        raise CommandFailed(f"nothing called {', '.join(unknown)} logs here. There is: {', '.join(known)}")
    names = arguments.service or known
    for name in names:
        with (folder / f"{name}.log").open(errors="replace") as log:
            lines = log.readlines()[-arguments.lines :] if arguments.lines > 0 else []
        for line in lines:
            sys.stdout.write(line if len(names) == 1 else f"{name.ljust(_width(names))} | {line}")
    sys.stdout.flush()
    if arguments.follow:
        follower = Follower(folder, names=names, colour=sys.stdout.isatty(), prefix=len(names) > 1)
        while True:
            follower.show_new()
            time.sleep(_POLL_SECONDS)
    return 0


class Follower:
    """Copies new lines of log files to the terminal, each with the name of its service before it.

    The services write their files themselves, so nothing is lost when nobody follows.
    """

    def __init__(
        self, folder: Path, *, names: Iterable[str] | None = None, colour: bool = False, prefix: bool = True
    ) -> None:
        self._folder = folder
        self._names = None if names is None else tuple(names)
        self._colour = colour
        self._prefix = prefix
        self._seen: dict[str, int] = {path.stem: path.stat().st_size for path in folder.glob("*.log")}

    async def run(self) -> None:
        quiet = 0
        while True:
            quiet = 0 if self.show_new() else quiet + 1
            await asyncio.sleep(_POLL_SECONDS if quiet < _QUIET_POLLS else _QUIET_SECONDS)

    def show_new(self) -> bool:
        """Whether there was anything."""
        found = False
        paths = sorted(self._folder.glob("*.log"))
        width = _width(self._names or [path.stem for path in paths])
        for number, path in enumerate(paths):
            name = path.stem
            if name == "up" or (self._names is not None and name not in self._names):
                continue
            whole = self._new_lines(path)
            found = found or bool(whole)
            lead = f"{name.ljust(width)} | " if self._prefix else ""
            if self._colour and lead:
                lead = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{lead}\x1b[0m"
            for line in whole.decode(errors="replace").splitlines():
                sys.stdout.write(f"{lead}{line}\n")
        sys.stdout.flush()
        return found

    def _new_lines(self, path: Path) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            size, start = path.stat().st_size, self._seen.get(path.stem, 0)
            if size == start:
                return b""
            with path.open("rb") as log:
                log.seek(0 if size < start else start)  # A shorter file is a new one.
                new = log.read()
                whole = new[: new.rfind(b"\n") + 1]  # A line that is still being written comes next time.
                self._seen[path.stem] = log.tell() - len(new) + len(whole)
                return whole
        return b""


def _width(names: Iterable[str]) -> int:
    return max((len(name) for name in names), default=0)
