"""A body -> its documents, without interpreting them. Pure; every cap is told by name."""

import re
import zlib
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import Literal

import msgspec
from msgspec import Struct

Shape = Literal["json", "ndjson"]

SHAPES: dict[str, Shape] = {
    "application/json": "json",
    "text/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
}

_raw_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b'"[]{}'))
_NOT_STRUCTURE = _OTHERS.replace(b",", b"")
# Bytes looked at in one go: millions of quotes or brackets would be millions of objects at once, and one long search is
# one call that nobody else in this process gets a word in.
STRETCH = 64 << 10
DEPTH_LOOKED_AT = 100_000  # Brackets.
ARRAY_DEPTH_MAX = 256  # An array is parsed to be split, so its own depth has a bound as well.
INFLATED = 1 << 20  # Bytes unpacked in one go.
_INNERMOST = re.compile(rb"\([^()]*\)")


class Caps(Struct, frozen=True):
    document_bytes_max: int
    documents_max: int
    depth_max: int


class Exceeded(Exception):
    """A cap; the text says which, what it is, and what was found."""

    def __init__(self, code: str, detail: str, status: int) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status


def split(body: bytes, shape: Shape, caps: Caps) -> list[bytes]:
    """The documents of a body in their order; empty lines of NDJSON are none. Raises Exceeded.

    What is no JSON is one document: it is kept, and the quarantine tells its sender why it cannot be read. One among
    many that is too large or nested too deeply is kept as well, and mapping refuses it alone; what is nested so deeply
    that an array cannot be taken apart safely is refused whole.
    """
    documents = _lines(body, caps) if shape == "ndjson" else _of_json(_stripped(body), caps)
    if not documents:
        raise Exceeded(
            "empty", "The body holds no document. Send a JSON object, an array of them, or one per line.", 422
        )
    if len(documents) > caps.documents_max:
        raise _too_many(caps.documents_max)
    if shape == "json" and len(documents) == 1:
        if len(documents[0]) > caps.document_bytes_max:
            raise _too_long(len(documents[0]), caps.document_bytes_max)
        if depth_exceeds(documents[0], caps.depth_max):
            raise _too_deep("The document", caps.depth_max)
    return documents


def _of_json(body: bytes, caps: Caps) -> list[bytes]:
    if not body.startswith(b"["):
        return [body] if body else []
    if depth_exceeds(body, max(caps.depth_max + 1, ARRAY_DEPTH_MAX)):
        raise _too_deep("The array", ARRAY_DEPTH_MAX)
    if body.count(b",") >= caps.documents_max and _entries(body) > caps.documents_max:
        raise _too_many(caps.documents_max)
    try:
        return [bytes(raw) for raw in _raw_array(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [body]


def _lines(body: bytes, caps: Caps) -> list[bytes]:
    """One by one: a few packed kilobytes can hold millions, and all of them at once a gigabyte. Empty ones count too,
    or a body of nothing but newlines would be looked at to its end."""
    documents: list[bytes] = []
    start = empty = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line = body[start:end] if end - start <= caps.document_bytes_max else _stripped(body[start:end])
        if line := line.strip():
            documents.append(line)
            if len(documents) > caps.documents_max:
                break
        else:
            empty += 1
            if empty > caps.documents_max:
                detail = f"More than {caps.documents_max} of its lines are empty; send one document on each line."
                raise Exceeded("empty_lines", detail, 422)
        start = end + 1
    return documents


def _stripped(body: bytes) -> bytes:
    """`strip`, in stretches."""
    start, end = 0, len(body)
    while body[start : start + STRETCH].isspace():
        start += STRETCH
    while end > start and body[max(start, end - STRETCH) : end].isspace():
        end -= STRETCH
    return body[start : max(start, end)].strip()


def _too_long(found: int, most: int) -> Exceeded:
    detail = f"The document has {found} bytes; at most {most} are taken."
    return Exceeded("document_too_large", detail, 413)


def _entries(body: bytes) -> int:
    """How many entries an array has, without making them."""
    structure = _outside_strings(body, _NOT_STRUCTURE)[1:].translate(_BRACKETS)
    while True:
        stretches = (structure[start : start + STRETCH] for start in range(0, len(structure), STRETCH))
        flatter = b"".join(_INNERMOST.sub(b"", stretch) for stretch in stretches)
        if len(flatter) == len(structure):
            flatter = _INNERMOST.sub(b"", structure)  # What lies across the cuts.
            if len(flatter) == len(structure):
                return structure.count(b",") + 1
        structure = flatter


def _outside_strings(body: bytes, left_out: bytes) -> bytes:
    structure = body
    if b"\\" in structure:
        structure = structure.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = structure.translate(None, left_out)
    if b'"' not in structure:
        return structure
    outside, inside = [], 0
    for start in range(0, len(structure), STRETCH):
        pieces = structure[start : start + STRETCH].split(b'"')
        outside.append(b"".join(pieces[inside::2]))
        inside ^= len(pieces) % 2 == 0
    return b"".join(outside)


def depth_exceeds(body: bytes, most: int) -> bool:
    """Whether brackets outside of strings are nested deeper than `most`. Linear, and nothing is parsed."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    structure = _outside_strings(body, _OTHERS).translate(_BRACKETS)
    for _ in range(most):
        flatter = structure.replace(b"()", b"")
        if len(flatter) == len(structure):
            break
        structure = flatter
    return b"(" in structure and (b"()" in structure or structure.count(b"(") > most)


class Inflater:
    """gzip, piece by piece, so that a bomb is noticed before it has grown."""

    def __init__(self, bytes_max: int) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self._bytes_max = bytes_max
        self._found = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What is in this piece, at most INFLATED bytes at a time.

        Raises zlib.error where it is no gzip or goes on after its end, Exceeded where it grows above the cap.
        """
        while True:
            found = self._zlib.decompress(piece, INFLATED)
            self._found += len(found)
            if self._found > self._bytes_max:
                raise too_large(self._bytes_max)
            if self._zlib.unused_data:  # zlib would gather it, however much comes.
                raise zlib.error("something follows its end")
            yield found
            piece = self._zlib.unconsumed_tail
            if len(found) < INFLATED and not piece:
                return

    @property
    def ended(self) -> bool:
        return self._zlib.eof


def depth_of(body: bytes) -> int:
    """How deep brackets outside of strings are nested, as far as DEPTH_LOOKED_AT of them tell."""
    steps = _outside_strings(body, _OTHERS).translate(_STEPS)[:DEPTH_LOOKED_AT]
    return max(accumulate(array("b", steps)), default=0)


def _too_deep(what: str, most: int) -> Exceeded:
    return Exceeded("too_deep", f"{what} is nested deeper than {most} levels, which is the most.", 422)


def _too_many(most: int) -> Exceeded:
    detail = f"There are more than {most} documents in one request; at most {most} are taken. Send them in parts."
    return Exceeded("too_many_documents", detail, 413)


def too_large(bytes_max: int) -> Exceeded:
    return Exceeded(
        "too_large", f"The body is larger than {bytes_max} bytes, which is the most. Send it in parts.", 413
    )
