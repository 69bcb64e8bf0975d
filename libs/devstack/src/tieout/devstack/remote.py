"""An installation that is spoken to by its gateway's URL and a token alone: in a cluster, or on another machine.

Commands that need nothing but HTTP, questions and operations alike, take `--url` and `--token-file` (or TIEOUT_URL,
TIEOUT_TOKEN_FILE) instead of `--dir`.
"""

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from tieout.devstack.failures import CommandFailed

URL, TOKEN_FILE = "TIEOUT_URL", "TIEOUT_TOKEN_FILE"
HOW = "In a cluster its port is forwarded with: kubectl port-forward service/gateway 8080:80"


class Remote(Struct, frozen=True):
    url: str
    token_file: str
    commands: frozenset[str]  # Which can speak to it; others need a stack's folder.


_CHOSEN: ContextVar[Remote | None] = ContextVar("remote", default=None)


def chosen() -> Remote | None:
    """What this run speaks to; None where it is the stack of a folder."""
    return _CHOSEN.get()


@contextmanager
def speaking_to(remote: Remote | None) -> Iterator[None]:
    before = _CHOSEN.set(remote)
    try:
        yield
    finally:
        _CHOSEN.reset(before)


def add_arguments(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    told = f"address of a gateway, instead of a stack's folder (or {URL})"
    parser.add_argument("--url", default=default, metavar="URL", help=told)
    told = f"file with the token to call it with (or {TOKEN_FILE})"
    parser.add_argument("--token-file", default=default, metavar="F", help=told)


def of(arguments: argparse.Namespace, commands: frozenset[str]) -> Remote | None:
    """As the command line says, or else the environment; a folder that is named wins over the environment.

    Raises ValueError on wrong usage, and CommandFailed if the file holds no token.
    """
    if arguments.dir is not None:
        if arguments.url or arguments.token_file:
            raise ValueError("--dir speaks to the stack of a folder, --url to a gateway: give one of them")
        return None
    url = arguments.url or os.environ.get(URL, "")
    if not url:
        if arguments.token_file:
            raise ValueError(f"--token-file needs --url (or {URL})")
        return None
    token_file = arguments.token_file or os.environ.get(TOKEN_FILE, "")
    if not token_file:
        raise ValueError(f"--url needs --token-file (or {TOKEN_FILE}): a file with a token of yours, and nothing else")
    remote = Remote(_address(url), str(Path(token_file).expanduser()), commands)
    _check(remote.token_file)
    return remote


def _address(url: str) -> str:
    """Without what could not be told to others: hints and errors repeat it."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        parts, sound = urlsplit(""), False
    if parts.username is not None:
        raise ValueError("the URL holds a name or a password: give the token in a file")
    if not sound or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address of a gateway: give one as https://tieout.example or http://HOST:PORT")
    return url.rstrip("/")


def _check(token_file: str) -> None:
    """Here, since later whoever cannot read it would tell that the gateway is away."""
    how = "Give --token-file a file with the secret that `tieout token create` told"
    try:
        token = Path(token_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CommandFailed(f"{token_file}: {error.strerror}. {how}") from None
    except UnicodeDecodeError:
        token = ""
    if not re.fullmatch(r"[!-~]+", token):
        raise CommandFailed(f"{token_file} holds no token: one line without blanks. {how}")
