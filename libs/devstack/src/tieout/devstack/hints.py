"""Commands that people are told to run next: as they stand, for the stack that is spoken of, from where they are."""

import re
import shlex
from contextvars import ContextVar
from pathlib import Path

DEFAULT_FOLDER = ".tieout"

_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)  # Of the stack that this run speaks about.
_HINT = re.compile(r"\./tieout ([a-z]+\b(?: [a-z]+\b)*(?: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?)")
_ROOT = Path(__file__).resolve().parents[5]  # Of the checkout, where there is one.


def about(folder: Path) -> None:
    """From here on every hint is about the stack in this folder."""
    _FOLDER.set(folder)


def command(words: str, folder: Path | None = None) -> str:
    """`status` -> `./tieout status`, with --dir unless it is the folder that the command takes by itself."""
    return f"{program()} {words}{option(folder)}"


def option(folder: Path | None = None) -> str:
    folder = folder or _FOLDER.get()
    if folder is None or folder == Path(DEFAULT_FOLDER).resolve():
        return ""
    return f" --dir {shlex.quote(str(folder))}"


def program() -> str:
    """`./tieout` only where that is what a shell would find."""
    script = _ROOT / "tieout"
    if not script.is_file():
        return "tieout"
    return "./tieout" if script.parent == Path.cwd() else shlex.quote(str(script))


def fitted(told: str) -> str:
    """What a service told, whose hints know neither folder nor checkout."""
    if " --dir " in told:  # One of ours, which knows it already.
        return told
    return _HINT.sub(lambda found: command(found[1]), told)
