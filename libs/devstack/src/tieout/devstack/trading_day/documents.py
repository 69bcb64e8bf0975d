"""A document of the trading day as it goes over the wire, and what must become of it."""

from typing import Literal

from msgspec import Struct

Outcome = Literal["accepted", "duplicate", "conflict", "quarantined", "rejected"]
Kind = Literal["order", "cancel", "credit", "payment", "refund", "receipt", "adjustment", "confirmation"]


class Expected(Struct, frozen=True):
    """One command that a document leads to, and its outcome; a quarantined or rejected document leads to none."""

    kind: str
    outcome: Outcome
    reason: str = ""  # Of a quarantine.


class Fed(Struct, frozen=True):
    at: float  # Place in the day: the feeder sends in this order.
    satellite: str
    channel: str
    topic: str  # Shopify's topic; for the store the last token of the subject.
    number: str
    body: bytes
    expected: tuple[Expected, ...]
    delivery: str  # Unique per delivery: webhook id, Idempotency-Key, Nats-Msg-Id.
    signed: bool = True  # False: the signature is wrong, so the door must stay shut.
    story: str = ""  # Which part of the plan it belongs to, for people.
