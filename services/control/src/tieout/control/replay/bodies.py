"""Where the bodies of a replay come from: what was edited, the dead letter, or the producer's own outbox."""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw
from tieout.contracts.event import Envelope
from tieout.contracts.replay import Kept, KeptRequest, Played, PlayedEvent
from tieout.contracts.streams import stream_of
from tieout.control.colleagues import Colleagues
from tieout.servicekit import Database, Letter, sql
from tieout.servicekit.errors import UNREADABLE

statements = sql.load(__file__)

GONE = Played(
    "failed", "no_longer_kept", "", "Its producer's outbox no longer keeps it. Ask its source to send it again."
)
UNREADABLE_BODY = Played(
    "failed", "unreadable", "", "It is no JSON: no flow can ever read it. Edit it, or leave it out."
)

_read_letter = msgspec.json.Decoder(Letter).decode
_read_raw = msgspec.json.Decoder(Raw).decode


async def fetch(items: Sequence[Any], database: Database, colleagues: Colleagues) -> list[PlayedEvent | Played]:
    """One per item, in their order; what has no body is failed already. Raises Unanswered."""
    bodies: dict[int, bytes] = {item["item"]: item["edited"] for item in items if item["edited"] is not None}
    sequences: dict[int, int] = {}
    letters = [item for item in items if item["letter"] and item["item"] not in bodies]
    if letters:
        async with database.read() as connection:
            rows = await connection.fetch(statements.letters, [item["letter"] for item in letters])
        texts = {row["number"]: _body_of(_read_letter(row["letter"])) for row in rows}
        bodies |= {item["item"]: body for item in letters if (body := texts.get(item["letter"], b""))}
    by_producer: dict[str, dict[int, int]] = {}
    for item in items:
        if item["item"] not in bodies and item["position"]:
            by_producer.setdefault(item["producer"], {})[item["position"]] = item["item"]
    for producer, wanted in by_producer.items():
        for position, sequence, body in await _kept(producer, list(wanted), colleagues):
            bodies[wanted[position]], sequences[wanted[position]] = body, sequence
    return [_event(item, bodies.get(item["item"]), sequences.get(item["item"], 0)) for item in items]


async def _kept(producer: str, positions: list[int], colleagues: Colleagues) -> list[tuple[int, int, bytes]]:
    found: list[tuple[int, int, bytes]] = []
    after = 0
    while True:
        kept = await colleagues.ask(producer, "kept", KeptRequest(positions=tuple(positions), after=after), Kept)
        found += [(event.position, event.sequence, bytes(event.body)) for event in kept.events]
        if not kept.more or not kept.events:
            return found
        after = kept.events[-1].position


def _body_of(letter: Letter) -> bytes:
    """Empty where the letter was too large to hold it."""
    return letter.body.encode() if letter.body else base64.b64decode(letter.body_base64)


def _event(item: Any, body: bytes | None, sequence: int) -> PlayedEvent | Played:
    if not body:
        return GONE
    try:
        raw = _read_raw(body)
    except UNREADABLE:
        return UNREADABLE_BODY
    return PlayedEvent(item["subject"], stream_of(item["producer"]), item["sequence"] or sequence, raw)


def edited(original: bytes, data: bytes) -> bytes:
    """The same envelope around other data. Raises one of UNREADABLE where the original is no envelope."""
    envelope = msgspec.json.decode(original, type=Envelope)
    return msgspec.json.encode(msgspec.structs.replace(envelope, data=Raw(data)))
