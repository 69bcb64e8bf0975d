"""Events of one transaction and one subject travel together, in one message of the stream: a pack.

A batch of 500 orders is then five messages instead of 500 for the broker, the client and the acknowledgements. One
event alone is CloudEvents' structured mode, several are its JSON batch format: an array of what each would have been.
A pack is only how they travel: bisecting, attempts, parking and dead letters are per event.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

EVENTS_MAX = 100  # In one pack: what comes again when a consumer dies before it acknowledges.
BYTES_MAX = 256 << 10  # The broker takes 1 MiB; small ones keep a consumer's share of memory even.

_BEGIN = b'{"specversion":'  # Of every event that we encode; inside a string its quotes would be escaped.
_split = msgspec.json.Decoder(list[Raw]).decode

Message = tuple[str, bytes]  # Subject and body.


def plan(messages: Sequence[Message]) -> list[int]:
    """For each event the message (1, 2 …) that it travels in. Only events share one: what else there is goes alone."""
    numbers: list[int] = []
    open_packs: dict[str, tuple[int, int, int]] = {}  # By subject: its message, events and bytes in it.
    last = 0
    for subject, body in messages:
        size = len(body)
        found = open_packs.get(subject)
        if found is None or found[1] == EVENTS_MAX or found[2] + size > BYTES_MAX:
            last += 1
            found = (last, 0, 0)
        number, events, total = found
        numbers.append(number)
        if body.startswith(_BEGIN):
            open_packs[subject] = (number, events + 1, total + size + 1)
    return numbers


def packed(subjects: Sequence[str], bodies: Sequence[bytes], numbers: Sequence[int]) -> list[Message]:
    """The messages as they are published: the same rows give the same bytes, so an audit can compare them."""
    together: dict[int, tuple[str, list[bytes]]] = {}
    for subject, body, number in zip(subjects, bodies, numbers, strict=True):
        together.setdefault(number, (subject, []))[1].append(body)
    return [
        (subject, some[0] if len(some) == 1 else b"[" + b",\n".join(some) + b"]")
        for subject, some in map(together.__getitem__, sorted(together))
    ]


def events_in(body: bytes) -> int:
    """How many events a message carries, without parsing it; 1 for what is no pack."""
    return max(1, body.count(_BEGIN)) if body.startswith(b"[") else 1


def unpacked(body: bytes) -> list[bytes]:
    """Each event's own bytes. What is no array of JSON is given back whole, for the reader to say what is wrong."""
    if body[:1] != b"[" or body.lstrip(b"[ \t\r\n")[:1] != b"{":
        return [body]
    try:
        found = _split(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [body]
    return [bytes(raw) for raw in found] or [body]


def content_type(body: bytes) -> str:
    """CloudEvents' media type of a message; "" for notices and dead letters."""
    if body.startswith(_BEGIN):
        return "application/cloudevents+json"
    return "application/cloudevents-batch+json" if body.startswith(b"[" + _BEGIN) else ""


class Arrival(Struct):
    """A message on its way through a flow: acknowledged when the last of its events is settled."""

    reply: str
    left: int
    headers: bytes = b""

    def settled(self) -> bool:
        self.left -= 1
        return self.left == 0
