"""What every message has in common: the event, its envelope, its deterministic id, and the units of its numbers."""

import hashlib
from typing import Annotated, ClassVar
from uuid import UUID

from msgspec import Meta, Raw, Struct
from tieout.contracts.currency import Currency as Currency  # A word that most messages need.

MICRO = 1_000_000  # Quantities and unit prices are integers in millionths: 1.5 kg is 1_500_000.

Company = Annotated[str, Meta(pattern=r"^[A-Z0-9][A-Z0-9_-]{0,15}$")]
Number = Annotated[str, Meta(min_length=1, max_length=100)]  # A document number as its source wrote it.
Sku = Annotated[str, Meta(min_length=1, max_length=64)]
Warehouse = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]
LineNo = Annotated[int, Meta(ge=1, le=100_000)]
QuantityMicro = Annotated[int, Meta(ge=0, le=10**15)]
SignedQuantityMicro = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Minor = Annotated[int, Meta(ge=-(10**15), le=10**15)]  # Minor units of the currency that stands beside it.
Period = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}$")]  # A posting period, 2026-11.


class Event(Struct, frozen=True, omit_defaults=True):
    """A fact that its producer announces once, or a durable command (`order.submit.v1`) that its owner obeys once.

    Both arrive at least once and in any order; consumers key on the business ids inside, never on the message.
    """

    SUBJECT: ClassVar[str]  # <owner>.<fact or verb>.v<N>
    PRODUCER: ClassVar[str]  # The only service that may publish it.


class Envelope(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """CloudEvents 1.0, structured JSON mode. `data` stays raw for those who only pass it on."""

    specversion: str  # Always "1.0".
    id: str  # UUIDv5 of the fact, see `event_id`.
    source: str  # /order
    type: str  # The subject.
    time: str  # RFC 3339, UTC: when the transaction that made it began.
    datacontenttype: str = "application/json"
    pos: str  # The producer's outbox position; a string, because a CloudEvents Integer has 32 bits only.
    chainid: str  # The journey it belongs to: the order's id, or the document's where there is no order.
    orderno: str = ""  # What people type to find it.
    company: str = ""
    causationid: str = ""  # Id of the event that led to this one.
    traceparent: str = ""  # W3C trace context of the producing span; empty when the chain is not sampled.
    tracestate: str = ""  # tieout=<satellite>: who sent the document; only beside a traceparent.
    data: Raw

    @property
    def position(self) -> int:
        return int(self.pos)


class Handled(Struct, frozen=True, array_like=True):
    """Messages that one transaction of a flow handled, by their sequences, in the order in which it had them."""

    flow: str
    turn: int  # As in Notice; 0: that of the notice itself.
    time: str
    sequences: tuple[int, ...]


class Notice(Struct, frozen=True, omit_defaults=True):
    """One line per outbox batch for those who follow everything (control): who, what, when, without the data.

    The arrays have one element per event of the batch, in the order of their positions. `turn`: drawn as the last thing
    before the commit, so whoever waited for another's lock, or saw what it wrote, has the higher one, in whatever
    process. `handled`: by this transaction, and by those of its process that have said nothing since its last notice.
    Together they are the order in which a restored database is brought forward.
    """

    time: str
    types: tuple[str, ...]
    ids: tuple[str, ...]
    positions: tuple[int, ...]
    chains: tuple[str, ...]
    order_nos: tuple[str, ...]
    companies: tuple[str, ...]
    causes: tuple[str, ...]
    handled: tuple[Handled, ...] = ()
    turn: int = 0


NAMESPACE = UUID("6f1d3c62-5b1e-5f57-9d0c-7c0a6d1e0001")
_NAMESPACE_BYTES = NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # The two bits that RFC 9562 sets.


def event_id(kind: str, *business_key: object) -> str:
    """The same fact always has the same id: UUIDv5 of its kind and business key, never of what caused it.

    Equals `str(uuid.uuid5(NAMESPACE, "kind|key|key"))` at a third of its cost.
    """
    name = "|".join((kind, *map(str, business_key)))
    text = hashlib.sha1(_NAMESPACE_BYTES + name.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def order_id(company: str, source: str, number: str) -> UUID:
    """Everybody can name an order before it has arrived: a payment or a cancellation may come first."""
    return UUID(event_id("order", company, source, number))


def document_id(kind: str, company: str, source: str, number: str) -> UUID:
    """Credits, cancellations, payments, refunds, receipts, adjustments, confirmations: one id per (source, number)."""
    return UUID(event_id(kind, company, source, number))
