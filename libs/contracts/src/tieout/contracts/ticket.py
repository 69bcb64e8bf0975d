"""Tickets: what needs a person, told once, with an owner and a clock. One per cause, however often it strikes."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from tieout.contracts.event import Event
from tieout.contracts.operation import Operation

# What a ticket is about. The first word of its fingerprint is its kind.
Kind = Literal[
    "dead_letter",  # Messages that a flow gave up.
    "flow_stopped",  # Most messages of a flow fail: its code is wrong, and it consumes nothing.
    "stall",  # A consumer stands still although something waits.
    "silence",  # A satellite says nothing although it should.
    "satellite",  # A satellite fails.
    "disagreement",  # Two books differ and nothing explains it.
    "finding",  # Somebody edited a book or a setting by hand.
    "conflict",  # One document number came twice with different contents.
    "cancelled_but_shipped",  # Goods left although the order had been cancelled.
    "deadline",  # Something waits longer than it may.
    "broker_loss",  # The broker lost messages that had been published.
    "replay",  # A replay that did not end in agreement.
]
State = Literal["open", "acknowledged", "waiting", "resolved", "muted"]
Priority = Annotated[int, Meta(ge=1, le=4)]  # 1 at once, 2 today, 3 this week, 4 when there is time.


class TicketOpened(Event, frozen=True):
    """Somebody has to look. `times` is 1 at first, and grows each time a resolved ticket opens again."""

    SUBJECT: ClassVar = "control.ticket_opened.v1"
    PRODUCER: ClassVar = "control"

    number: int
    kind: str
    fingerprint: str
    title_en: str
    title_zh: str
    priority: int
    owner: str
    times: int
    due_at: str  # RFC 3339 UTC.
    service: str = ""
    flow: str = ""


class TicketResolved(Event, frozen=True):
    """It is mended, by a person or by itself. May open again."""

    SUBJECT: ClassVar = "control.ticket_resolved.v1"
    PRODUCER: ClassVar = "control"

    number: int
    kind: str
    fingerprint: str
    times: int
    actor: str
    reason: str


OPERATIONS: tuple[Operation, ...] = ()
