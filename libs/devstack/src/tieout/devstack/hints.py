"""Commands that people are told to run next: as they stand, for the stack that is spoken of, from where they are."""

import os
import re
import shlex
from contextvars import ContextVar
from pathlib import Path

from tieout.devstack import remote

DEFAULT_FOLDER = ".tieout"

_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)  # Of the stack that this run speaks about.
_HINT = re.compile(r"\./tieout ([a-z]+\b(?: [a-z]+\b)*(?: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?)")
_ROOT = Path(__file__).resolve().parents[5]  # Of the checkout, where there is one.


def about(folder: Path) -> None:
    """From here on every hint is about the stack in this folder."""
    _FOLDER.set(folder)


def command(words: str, folder: Path | None = None) -> str:
    """`status` -> `./tieout status`, with --dir (or --url) unless it is what the command takes by itself."""
    gateway = remote.chosen()
    name, _, rest = words.partition(" ")
    if gateway is not None and name not in gateway.commands:  # It needs the machine where that runs.
        return f"the log of {rest}" if name == "logs" and rest else f"{program()} {words}"
    return f"{program()} {words}{option(folder)}"


def option(folder: Path | None = None) -> str:
    if (gateway := remote.chosen()) is not None:
        return _remotely(gateway)
    folder = folder or _FOLDER.get()
    if folder is None or folder == Path(DEFAULT_FOLDER).resolve():
        return ""
    return f" --dir {shlex.quote(str(folder))}"


def _remotely(gateway: remote.Remote) -> str:
    """Only what the next command would not find in the environment."""
    words = ""
    if os.environ.get(remote.URL, "").rstrip("/") != gateway.url:
        words += f" --url {shlex.quote(gateway.url)}"
    if os.environ.get(remote.TOKEN_FILE) != gateway.token_file:
        words += f" --token-file {shlex.quote(gateway.token_file)}"
    return words


def status() -> str:
    """Where to look when nobody answers."""
    return f"See: {command('status')}" if remote.chosen() is None else f"Is the address right? {remote.HOW}"


def program() -> str:
    """`./tieout` only where that is what a shell would find."""
    script = _ROOT / "tieout"
    if not script.is_file():
        return "tieout"
    return "./tieout" if script.parent == Path.cwd() else shlex.quote(str(script))


def fitted(told: str) -> str:
    """What a service told, whose hints know neither folder nor checkout."""
    if " --dir " in told or " --url " in told:  # One of ours, which knows it already.
        return told
    return _HINT.sub(lambda found: command(found[1]), told)
