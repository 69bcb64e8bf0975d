"""Passwords and tokens of one stack: made at first use, each in its own file that only its owner can read."""

import os
import secrets
import string
from pathlib import Path

_LETTERS = string.ascii_letters
_ALPHABET = string.ascii_letters + string.digits


class Secrets:
    """`of("order_app")` is always the same word within one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, name: str) -> str:
        return self.file(name).read_text()

    def file(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Written beside and linked: whoever reads it at the same moment sees all of it or nothing, and the
            # first of two writers wins.
            draft = self.folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(_word())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path

    def kept(self, name: str) -> str:
        """A word that somebody else made, as `keep` wrote it; "" where there is none."""
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return ""

    def keep(self, name: str, word: str) -> None:
        """In the place of what was kept under this name before."""
        draft = self.folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(word)
        draft.rename(self.folder / name)


def _word() -> str:
    """A letter first: the parser of the NATS configuration takes digits only for a number."""
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(31))
