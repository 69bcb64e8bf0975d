"""Tickets: what needs a person, told once, with an owner and a clock. One per cause, however often it strikes."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from msgspec import Meta, Struct
from tieout.contracts.event import Event
from tieout.contracts.operation import Operation
from tieout.contracts.reason import ReasonIfAny

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


class ClaimSetAside(Struct, frozen=True):
    refund: UUID
    position: int  # In finance's books, of the latest that was heard of its claim after the refund itself; 0: nothing.


class ClaimsSetAside(Event, frozen=True):
    """A person had resolved this ticket although these refunds were not settled; it is open again for others, and its
    end does not wait for them. A restored database of control could learn that nowhere else."""

    SUBJECT: ClassVar = "control.claims_set_aside.v1"
    PRODUCER: ClassVar = "control"

    number: int
    fingerprint: str
    times: int  # Of the opening that goes on without them.
    claims: tuple[ClaimSetAside, ...]


class Money(Struct, frozen=True):
    currency: str
    amount_minor: int


class Ticket(Struct, frozen=True, omit_defaults=True):
    """Instants are RFC 3339 UTC."""

    number: int
    kind: str
    fingerprint: str
    title_en: str
    title_zh: str
    state: str
    priority: int
    owner: str  # A team.
    count: int  # How often it struck, over all openings.
    times: int  # How often it was opened.
    first_at: str
    last_at: str
    opened_at: str
    due_at: str
    overdue: bool = False
    assignee: str = ""
    muted_until: str = ""
    waiting_since: str = ""
    resolved_at: str = ""
    service: str = ""
    flow: str = ""
    reason: str = ""
    field: str = ""
    detail: str = ""
    runbook: str = ""
    orders: int = 0  # Different orders that it hurts,
    money: tuple[Money, ...] = ()  # and their amounts, as far as they are known.
    unpublished: tuple[int, ...] = ()  # Years until its deadline whose holidays nobody has published: weekdays count.


class TicketsRequest(Struct, frozen=True):
    state: Literal["standing", "all", "open", "acknowledged", "waiting", "resolved", "muted"] = "standing"
    kind: str = ""
    service: str = ""
    owner: str = ""  # A team, or the one who has taken it.
    order_no: str = ""  # Tickets that hurt this order, or one of whose documents is it or names it.
    after: Annotated[int, Meta(ge=0)] = 0  # `next_after` of the page before.
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Tickets(Struct, frozen=True, omit_defaults=True):
    """The most urgent first, then the oldest."""

    tickets: tuple[Ticket, ...]
    standing: int = 0  # All that are not resolved, whatever was asked for.
    overdue: int = 0  # Of those found, how many are past their deadline.
    next_after: int = 0  # 0: that was all.
    found: int = 0  # All that the question finds, on this page and the others.
    total: int = 0  # All in the state that was asked for, whatever else was.


class TicketRequest(Struct, frozen=True):
    number: Annotated[int, Meta(ge=1)]


class TicketOrder(Struct, frozen=True, omit_defaults=True):
    company: str
    order_no: str
    currency: str = ""
    amount_minor: int = 0
    paper: bool = False  # No order, but a document with this number: a payment, a receipt.


class TicketStep(Struct, frozen=True, omit_defaults=True):
    at: str
    what: str
    actor: str
    note: str = ""


class TicketLetter(Struct, frozen=True, omit_defaults=True):
    """A dead letter of this ticket; /v1/dead-letters/{number} has all of it."""

    number: int
    at: str
    order_no: str = ""
    company: str = ""
    detail: str = ""


class TicketStory(Struct, frozen=True, omit_defaults=True):
    ticket: Ticket
    history: tuple[TicketStep, ...]  # The newest 200, the oldest of them first.
    orders: tuple[TicketOrder, ...] = ()  # The 100 with the most money.
    letters: tuple[TicketLetter, ...] = ()  # The newest 20.


Action = Literal["acknowledge", "wait", "resolve", "reopen", "mute", "comment", "assign", "prioritise"]


class ChangeTicket(Struct, frozen=True):
    """What a person does with a ticket. `reason` stays in its history; only acknowledge and assign need none."""

    number: Annotated[int, Meta(ge=1)]
    action: Action
    reason: ReasonIfAny = ""
    until: str = ""  # mute: RFC 3339, at most 90 days ahead.
    to: Annotated[str, Meta(max_length=200)] = ""  # assign: a team (@finance) or a person.
    priority: Annotated[int, Meta(ge=0, le=4)] = 0  # prioritise: 1 to 4.


class TicketChanged(Struct, frozen=True, omit_defaults=True):
    ticket: Ticket
    repeated: bool = False  # It was so already; nothing was changed.


class DeadLetterRequest(Struct, frozen=True):
    number: Annotated[int, Meta(ge=1)]


class DeadLetterStory(Struct, frozen=True, omit_defaults=True):
    """One message that a flow gave up, with all that is needed to mend and replay it."""

    number: int
    ticket: int
    id: str
    at: str
    service: str
    version: str
    flow: str
    subject: str
    stream: str
    sequence: int
    reason: str
    attempts: int
    cause: str  # Fingerprint of the cause: the same for all letters of a ticket.
    fingerprint: str  # Of the body.
    field: str = ""
    detail: str = ""
    tries: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    trace_id: str = ""
    traceparent: str = ""
    event_id: str = ""
    chain_id: str = ""
    order_no: str = ""
    company: str = ""
    position: int = 0
    body: str = ""
    body_base64: str = ""  # Where the body is no UTF-8.
    body_cut: bool = False  # Too long for one answer; the stream has all of it.


LIST_TICKETS = Operation(
    "control.tickets",
    "GET",
    "/v1/tickets",
    TicketsRequest,
    Tickets,
    "What needs a person: one ticket per cause, with the orders and the money that it hurts.",
)
SHOW_TICKET = Operation(
    "control.ticket",
    "GET",
    "/v1/tickets/{number}",
    TicketRequest,
    TicketStory,
    "One ticket with its history, its orders and its dead letters.",
)
CHANGE_TICKET = Operation(
    "control.change_ticket",
    "POST",
    "/v1/tickets/{number}/{action}",
    ChangeTicket,
    TicketChanged,
    "Acknowledge, wait, resolve, reopen, mute, comment, assign or prioritise a ticket.",
    scope="write",
)
SHOW_DEAD_LETTER = Operation(
    "control.dead_letter",
    "GET",
    "/v1/dead-letters/{number}",
    DeadLetterRequest,
    DeadLetterStory,
    "One message that a flow gave up: the original, its headers, and every attempt.",
)
OPERATIONS = (LIST_TICKETS, SHOW_TICKET, CHANGE_TICKET, SHOW_DEAD_LETTER)
