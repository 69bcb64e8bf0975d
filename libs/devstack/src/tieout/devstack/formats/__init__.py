"""Formats: how files of the outside world become documents that the gateway's channel `tieout` understands.

A format is a plug-in, found by name in the entry-point group `tieout.formats`: a function `read(files, opening)` that
gives a `Run`. It is pure but for reading the files. A document that the books must not take is sent all the same, as it
stands: refusing it, with the reason, is the gateway's work, and a plug-in that dropped it would break the conservation
law of the report.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from msgspec import Struct

MICRO = 1_000_000
GROUP = "tieout.formats"


class FormatError(Exception):
    """A file cannot be read as this format. The text names the file, the line and what to do."""


class Article(Struct, frozen=True):
    sku: str
    name: str
    cost_minor: int = 0  # Standard cost of one piece, in minor units: what found goods without any history are worth.


class Setup(Struct, frozen=True):
    """What must exist before the first document: made through the gateway's API, repeating it is harmless."""

    company: str
    company_name: str
    currency: str
    zone: str
    satellite: str
    articles: tuple[Article, ...] = ()
    warehouse: str = "MAIN"


class Document(Struct, frozen=True):
    """One line of NDJSON for the gateway, with the names under which the caller finds it again."""

    kind: str  # order, cancel, credit, payment, refund, receipt, adjustment, confirmation, write_off.
    number: str
    body: bytes


class Measured(Struct, frozen=True):
    """What the files themselves say of one business month, counted before anything was interpreted."""

    documents: int = 0
    lines: int = 0
    quantity_micro: int = 0  # Signed as in the source: credits and losses are negative.
    amount_minor: int = 0  # Signed, each line rounded half up.
    rounding_micro: int = 0  # Exact amount minus rounded amount, in millionths of a minor unit.


class Run(Struct, frozen=True):
    """Everything that one command feeds. `opening` goes first and is waited for, else sales would find no stock."""

    setup: Setup | None  # None: the files name companies and articles that the caller has set up already.
    opening: tuple[Document, ...]
    documents: Iterable[Document]
    input: dict[str, Measured]  # By business month, 2010-12; read it after `documents` is exhausted.


Read = Callable[[Sequence[Path], str], Run]


def names() -> list[str]:
    return sorted(entry.name for entry in entry_points(group=GROUP))


def find(name: str) -> Read:
    """The reader of this name, or a FormatError that lists those that exist."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            read: Read = entry.load()
            return read
    raise FormatError(f"There is no format {name!r}. Choose one of: {', '.join(names()) or 'none is installed'}.")


def lines_of(file: Path) -> Iterator[str]:
    """Text lines of a file, unpacked where its name ends in .gz; a FormatError where it cannot be read. A mark of the
    byte order at its beginning, as some editors write it, is no part of the first line."""
    import gzip

    try:
        with (
            gzip.open(file, "rt", encoding="utf-8-sig", newline="")
            if file.suffix == ".gz"
            else file.open(encoding="utf-8-sig", newline="") as stream
        ):
            yield from stream
    except FileNotFoundError:
        raise FormatError(f"{file} does not exist. Name an existing file.") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise FormatError(f"{file} cannot be read as UTF-8 text ({error}). Check that the file is whole.") from None
