"""A message as a flow gets it: decoded, with its envelope and its place in the stream."""

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct
from tieout.contracts.event import Envelope, Event, Notice
from tieout.servicekit.packs import Arrival

T = TypeVar("T")

POSITION_MAX = 2**55  # Books multiply it; a sequence gets there in a million years.


class Received(Struct, Generic[T]):
    data: T
    envelope: Envelope  # Of messages without one (notices, dead letters): empty but for type and time.
    position: int  # The producer's outbox position; 0 without an envelope.
    attempts: int  # 1 the first time.
    stream: str
    stream_sequence: int
    subject: str
    body: bytes
    durable: str = ""
    trace: str = ""  # W3C trace context of this message's own span here; "" where its chain is not sampled.
    arrival: Arrival | None = None  # The message that carried it; None for one that was parked.
    headers: bytes = b""  # Of a parked one, as they came; else the arrival has them.
    tries: tuple[datetime, ...] = ()  # When this service tried a parked one, this time included.

    @property
    def business_id(self) -> str:
        """What makes a message the same one: the id of its event, or its place where it has none."""
        return self.envelope.id or f"{self.stream}-{self.stream_sequence}"

    @property
    def stored_at(self) -> float:
        """When the broker had it, in seconds since the epoch: its event was committed then. 0 of one that was parked.

        An event's own time is that of its transaction's begin.
        """
        places = self.arrival.reply.split(".") if self.arrival is not None else []
        if len(places) < 9:
            return 0.0
        told = places[7] if len(places) < 11 else places[9]  # Later servers put domain and account first.
        return int(told) / 1e9 if told.isdigit() else 0.0

    @property
    def original_headers(self) -> bytes:
        return self.arrival.headers if self.arrival is not None else self.headers


class Reader:
    """Decodes the messages of one flow, by subject. Prebuilt decoders; a body is parsed once, its data once more."""

    def __init__(self, *types: type[Any]) -> None:
        self._by_subject: dict[str, msgspec.json.Decoder[Any]] = {}
        self._bare: msgspec.json.Decoder[Any] | None = None
        for kind in types:
            subject = getattr(kind, "SUBJECT", None)
            if subject is None:
                self._bare = msgspec.json.Decoder(kind)
            else:
                self._by_subject[subject] = msgspec.json.Decoder(kind)
        self._envelope = msgspec.json.Decoder(Envelope).decode

    def read(
        self, body: bytes, *, subject: str, attempts: int, stream: str, stream_sequence: int, durable: str
    ) -> Received[Any]:
        """Raises msgspec.ValidationError with the path of the field, or another of errors.UNREADABLE."""
        decoder = self._by_subject.get(subject)
        if decoder is not None:
            envelope = self._envelope(body)
            told = envelope.pos
            # Python reads more as a number than we write: signs, blanks, other scripts' digits.
            if not (told.isascii() and told.isdigit() and 0 < (position := int(told)) <= POSITION_MAX):
                raise msgspec.ValidationError("Expected the producer's position, a whole number from 1 - at `$.pos`")
            if not envelope.id:
                raise msgspec.ValidationError("Expected the event's id - at `$.id`")
            return Received(
                decoder.decode(envelope.data),
                envelope,
                position,
                attempts,
                stream,
                stream_sequence,
                subject,
                body,
                durable,
            )
        if self._bare is None:
            raise msgspec.ValidationError(f"This flow does not know the subject {subject}")
        data = self._bare.decode(body)
        time = data.time if isinstance(data, Notice) else ""
        envelope = Envelope(
            specversion="1.0", id="", source="", type=subject, time=time, pos="0", chainid="", data=Raw()
        )
        return Received(data, envelope, 0, attempts, stream, stream_sequence, subject, body, durable)


class Outgoing(Struct, omit_defaults=True):
    """An Envelope with typed data: one encoding pass instead of two. The same fields, in the same order."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    pos: str
    chainid: str
    datacontenttype: str
    data: Event
    orderno: str = ""
    company: str = ""
    causationid: str = ""
    traceparent: str = ""
    tracestate: str = ""


encode = msgspec.json.Encoder().encode
