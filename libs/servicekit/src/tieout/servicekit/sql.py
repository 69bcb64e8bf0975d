"""Named statements in .sql files beside the Python file that uses them.

    -- name: lock_free_stock
    -- Sorted, so batches that share SKUs queue for the locks instead of deadlocking.
    SELECT …;

`statements = sql.load(__file__)` gives `statements.lock_free_stock`, plain text without its comments.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tieout.servicekit.errors import Misconfigured

NAMES: dict[str, str] = {}  # Of every statement that was loaded, by its text: what a trace calls it.
_NAME = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


def exact(row: Iterable[Any]) -> list[Any]:
    """A row of a report. Each value of the books has 64 bits, a sum of them need not: it is read as numeric, without a
    cast that would fail, and told as an integer of any size."""
    return [int(value) if type(value) is Decimal else value for value in row]


class Statements:
    """The statements of one file: attributes for flows, an iteration over (name, text) for the kit."""

    def __init__(self, path: Path, found: dict[str, str]) -> None:
        self._path = path
        self._found = found

    def __getattr__(self, name: str) -> str:
        try:
            return self._found[name]
        except KeyError:
            raise AttributeError(f"{self._path} has no statement {name!r}; it has {', '.join(self._found)}") from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._found.items())

    def __len__(self) -> int:
        return len(self._found)


def load(python_file: str) -> Statements:
    """The .sql file of the same name."""
    return _parse(Path(python_file).with_suffix(".sql"))


def load_file(python_file: str, name: str) -> Statements:
    """A .sql file of another name in the same folder."""
    return _parse(Path(python_file).with_name(name))


def folder(python_file: str, name: str) -> Path:
    """A folder beside the Python file: migrations."""
    return Path(python_file).with_name(name)


def _parse(path: Path) -> Statements:
    parts = _NAME.split(path.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        text = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith("--")).strip()
        if name in found:
            raise Misconfigured(f"{path}: statement {name!r} stands there twice. Rename one.")
        if not text:
            raise Misconfigured(f"{path}: statement {name!r} is empty.")
        found[name] = text.removesuffix(";")
        NAMES[found[name]] = name
    if not found:
        raise Misconfigured(f"{path}: no '-- name: x' line found.")
    return Statements(path, found)
