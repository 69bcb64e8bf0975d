"""A body -> its documents, without interpreting them. Pure; every cap is told by name."""

import zlib
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
_OTHERS = bytes(set(range(256)) - set(b'"[]{}'))


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

    What is no JSON is one document: it is kept, and the quarantine tells its sender why it cannot be read.
    """
    if shape == "ndjson":
        documents = [line for line in map(bytes.strip, body.split(b"\n")) if line]
    else:
        documents = _of_json(body.strip(), caps)
    if not documents:
        raise Exceeded(
            "empty", "The body holds no document. Send a JSON object, an array of them, or one per line.", 422
        )
    if len(documents) > caps.documents_max:
        raise Exceeded(
            "too_many_documents",
            f"{len(documents)} documents in one request; at most {caps.documents_max} are taken. Send them in parts.",
            413,
        )
    for index, document in enumerate(documents, 1):
        if len(document) > caps.document_bytes_max:
            raise Exceeded(
                "document_too_large",
                f"Document {index} has {len(document)} bytes; at most {caps.document_bytes_max} are taken.",
                413,
            )
        if depth_exceeds(document, caps.depth_max):
            raise Exceeded(
                "too_deep", f"Document {index} is nested deeper than {caps.depth_max} levels, which is the most.", 422
            )
    return documents


def _of_json(body: bytes, caps: Caps) -> list[bytes]:
    if not body.startswith(b"["):
        return [body] if body else []
    if depth_exceeds(body, caps.depth_max + 1):
        raise Exceeded("too_deep", f"The array is nested deeper than {caps.depth_max} levels, which is the most.", 422)
    try:
        return [bytes(raw) for raw in _raw_array(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [body]


def depth_exceeds(body: bytes, most: int) -> bool:
    """Whether brackets outside of strings are nested deeper than `most`. Linear, and nothing is parsed."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    structure = body
    if b"\\" in structure:
        structure = structure.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = structure.translate(None, _OTHERS)
    if b'"' in structure:
        structure = b"".join(structure.split(b'"')[::2])
    structure = structure.translate(_BRACKETS)
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

    def feed(self, piece: bytes) -> bytes:
        """Raises zlib.error where it is no gzip or goes on after its end, Exceeded where it grows above the cap."""
        found = self._zlib.decompress(piece, self._bytes_max - self._found + 1)
        self._found += len(found)
        if self._found > self._bytes_max:
            raise too_large(self._bytes_max)
        if self._zlib.unused_data:  # zlib would gather it, however much comes.
            raise zlib.error("something follows its end")
        return found

    @property
    def ended(self) -> bool:
        return self._zlib.eof


def too_large(bytes_max: int) -> Exceeded:
    return Exceeded(
        "too_large", f"The body is larger than {bytes_max} bytes, which is the most. Send it in parts.", 413
    )
