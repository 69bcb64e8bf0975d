"""The format `tieout-ndjson`: one canonical document per line, as the gateway's channel `tieout` takes it.

A first line `{"kind": "setup", "company": …, "articles": […]}` (see `Setup`) makes the file complete in itself; without
it the company and its articles must exist. Lines are sent as they are, broken ones too: the gateway refuses them with
the reason. The measures that the report needs are read from each line as far as it can be understood.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tieout.devstack.formats import Document, FormatError, Measured, Run, Setup, lines_of

WITHOUT_GOODS_LINES = frozenset({"cancel", "payment", "refund", "receipt", "confirmation"})  # Not in the census.
UNKNOWN_MONTH = "unknown"


class _Line(msgspec.Struct):
    quantity_micro: int = 0
    net_minor: int = 0
    tax_minor: int = 0
    rounding_micro: int = 0


class _Known(msgspec.Struct):
    kind: str = ""
    number: str = ""
    business_date: str = ""
    lines: list[_Line] = []


_known = msgspec.json.Decoder(_Known)
_setup = msgspec.json.Decoder(Setup)


def read(files: Sequence[Path], opening: str) -> Run:
    """`opening`: "auto" feeds the receipts of the files before everything else, "none" leaves them in their place."""
    setup: Setup | None = None
    first: list[Document] = []
    documents: list[Document] = []
    months: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for file in files:
        for line_no, text in enumerate(lines_of(file), 1):
            body = text.strip().encode()
            if not body:
                continue
            known = _understood(body)
            if known.kind == "setup":
                setup = _read_setup(body, file, line_no)
                continue
            _count(months[known.business_date[:7] or UNKNOWN_MONTH], known)
            goes_first = known.kind == "receipt" and opening == "auto"
            (first if goes_first else documents).append(Document(known.kind or "unknown", known.number, body))
    measured = {month: Measured(*values) for month, values in sorted(months.items())}
    return Run(setup=setup, opening=tuple(first), documents=documents, input=measured)


def _understood(body: bytes) -> _Known:
    try:
        return _known.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:  # Something in it has the wrong type; its kind and number may still be right.
        raw = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Known()
    if not isinstance(raw, dict):
        return _Known()
    texts = {name: raw[name] for name in ("kind", "number", "business_date") if isinstance(raw.get(name), str)}
    return _Known(**texts)


def _read_setup(body: bytes, file: Path, line_no: int) -> Setup:
    try:
        return _setup.decode(body)
    except msgspec.ValidationError as error:
        raise FormatError(f"{file}, line {line_no}: the setup cannot be used: {error}.") from None


def _count(month: list[int], known: _Known) -> None:
    if known.kind in WITHOUT_GOODS_LINES:
        return
    sign = -1 if known.kind == "credit" else 1
    month[0] += 1
    month[1] += len(known.lines)
    for line in known.lines:
        month[2] += sign * line.quantity_micro
        month[3] += sign * (line.net_minor + line.tax_minor)
        month[4] += sign * line.rounding_micro
