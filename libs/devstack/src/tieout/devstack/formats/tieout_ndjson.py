"""The format `tieout-ndjson`: one canonical document per line, as the gateway's channel `tieout` takes it.

A first line `{"kind": "setup", "company": …, "articles": […]}` (see `Setup`) makes the file complete in itself; without
it the company and its articles must exist. Lines are sent as they are, broken ones too: the gateway refuses them with
the reason. A file whose first line is no JSON object is of another kind, and would be refused line by line: nothing of
it is sent. The measures that the report needs are read from each line as far as it can be understood.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tieout.contracts.gateway import DOCUMENT_BYTES_MAX
from tieout.devstack.formats import Document, FormatError, Measured, Run, Setup, lines_of, names

# Not in the census.
WITHOUT_GOODS_LINES = frozenset({"cancel", "payment", "refund", "receipt", "confirmation", "delivery"})
MONTH = re.compile(r"\d{4}-\d{2}")


_setup = msgspec.json.Decoder(Setup)


def read(files: Sequence[Path], opening: str) -> Run:
    """`opening`: "auto" feeds the receipts of the files before everything else, "none" leaves them in their place."""
    arrival = f"{datetime.now(UTC):%Y-%m}"  # The month of what tells no date, as the gateway counts it.
    setup: Setup | None = None
    first: list[Document] = []
    documents: list[Document] = []
    months: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for file in files:
        begun = False
        for line_no, text in enumerate(lines_of(file), 1):
            body = text.strip().encode()
            if not body:
                continue
            known = _understood(body)
            if not begun and not known:
                raise FormatError(_other_kind(file, line_no, text.strip()))
            begun = True
            kind = _text(known, "kind")
            if kind == "setup":
                setup = _read_setup(body, file, line_no)
                continue
            if len(body) > DOCUMENT_BYTES_MAX:  # The gateway refuses it unread, and so cannot tell what is in it.
                known = {}
            day = _text(known, "business_date") or _text(known, "occurred_at")
            _count(months[day[:7] if MONTH.match(day) else arrival], known)
            goes_first = kind == "receipt" and opening == "auto"
            (first if goes_first else documents).append(Document(kind or "unknown", _text(known, "number"), body))
    measured = {month: Measured(*values) for month, values in sorted(months.items())}
    return Run(setup=setup, opening=tuple(first), documents=documents, input=measured)


def _other_kind(file: Path, line_no: int, line: str) -> str:
    """A spreadsheet, a list that is one large JSON document, or one document over several lines."""
    hint = ""
    if line.startswith("["):
        hint = " Write each element of the list on a line of its own, without the brackets and commas around them."
    elif line.startswith("{"):
        hint = " A document that goes over several lines must stand on one."
    elif "," in line or ";" in line or "\t" in line:
        hint = f" It looks like a table; of tables are read: {', '.join(set(names()) - {'tieout-ndjson'})}."
    shown = line if len(line) <= 60 else f"{line[:60]}…"
    return (
        f"{file}, line {line_no}: {shown!r} is no JSON object, and tieout-ndjson has one on each line "
        f"(docs/documents.md). Nothing was sent.{hint}"
    )


def _understood(body: bytes) -> dict[str, Any]:
    """The document as far as it is one; nothing where it is none."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: dict[str, Any], name: str) -> str:
    found = document.get(name)
    return found if isinstance(found, str) else ""


def _integer(line: object, name: str) -> int:
    found = line.get(name) if isinstance(line, dict) else None
    return found if type(found) is int else 0


def _read_setup(body: bytes, file: Path, line_no: int) -> Setup:
    try:
        return _setup.decode(body)
    except msgspec.ValidationError as error:
        raise FormatError(f"{file}, line {line_no}: the setup cannot be used: {error}.") from None


def _count(month: list[int], document: dict[str, Any]) -> None:
    """Credits are written in positive numbers and count as negative; what the sender found faulty counts as written."""
    kind = _text(document, "kind")
    if kind in WITHOUT_GOODS_LINES:
        return
    sign = -1 if kind == "credit" and "fault" not in document else 1
    lines = document.get("lines")
    month[0] += 1
    for line in lines if isinstance(lines, list) else ():
        if kind != "credit" or _integer(line, "part") <= 1:  # Parts of one line count once.
            month[1] += 1
        month[2] += sign * _integer(line, "quantity_micro")
        month[3] += sign * (_integer(line, "net_minor") + _integer(line, "tax_minor"))
        month[4] += sign * _integer(line, "rounding_micro")
