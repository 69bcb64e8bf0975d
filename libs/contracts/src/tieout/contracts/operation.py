"""Questions and commands: request/reply over NATS, offered as HTTP routes by the gateway.

Each owner's contract file ends with its `OPERATIONS`; the gateway generates route, validation, permission and OpenAPI
from them, so a new operation is one entry here and one handler in its service.
"""

from typing import Literal

from msgspec import Struct

Scope = Literal["read", "write", "admin"]


class Operation(Struct, frozen=True):
    """`name` is `<owner>.<verb>`; it answers on `rpc.<name>`.

    `request` fields that stand in the path's braces come from the path, those of a GET from the query string, the rest
    from the JSON body. Commands (write, admin) carry an Idempotency-Key in their own business ids.
    """

    name: str
    method: Literal["GET", "POST", "PUT"]
    path: str  # /v1/orders/{order_no}
    request: type
    response: type
    summary: str
    scope: Scope = "read"

    @property
    def owner(self) -> str:
        return self.name.partition(".")[0]

    @property
    def subject(self) -> str:
        return f"rpc.{self.name}"


class Problem(Struct, frozen=True, omit_defaults=True):
    """What a refused operation answers; the gateway turns it into problem+json (RFC 9457)."""

    code: str  # not_found, invalid, conflict, busy, …
    detail: str
    field: str = ""
    status: int = 400


class TrailEntry(Struct, frozen=True, omit_defaults=True):
    """One thing that a service did for a chain, as its own books tell it; control joins them into a journey."""

    at: str  # RFC 3339 UTC.
    step: str  # received, mapped, placed, reserved, shipped, billed, paid … an English verb, past tense.
    document: str = ""  # Number of the document that it made or changed.
    event_id: str = ""  # Of the event that announced it.
    cause_id: str = ""
    voucher_no: str = ""
    quantity_micro: int = 0
    amount_minor: int = 0
    currency: str = ""
    detail: str = ""
    attempts: int = 1
    intake_id: str = ""  # Of a document that waits in quarantine, for whoever decides about it.


class TrailRequest(Struct, frozen=True):
    """`rpc.<service>.trail`, answered by every service."""

    chain_id: str
    order_no: str = ""


class OrderNamed(Struct, frozen=True, omit_defaults=True):
    company: str
    order_no: str  # "" with a chain: money that names several orders or none, of which finance knows.
    chain_id: str = ""  # Of a voucher's: the order's, or its document's where it is of no order.


class MoneyPaper(Struct, frozen=True, omit_defaults=True):
    """A payment or refund, and how much of it is of this order."""

    kind: Literal["payment", "refund", "application"]  # The last: money that named no order, applied to one.
    number: str
    amount_minor: int  # Refunds negative.
    whole_minor: int = 0  # Of the whole paper; 0 where the same.


class MoneyStanding(Struct, frozen=True, omit_defaults=True):
    """The money of an order in one currency, to the minor unit.

    received = applied + held + refunded, and of an order open = billed - credited - forgiven - applied.
    """

    currency: str
    received_minor: int
    applied_minor: int  # To what was billed; a customer's also to orders. Negative: more went back than came.
    held_minor: int  # Advances, money due back, and what is not assigned.
    refunded_minor: int
    open_minor: int  # Negative: we owe the customer.
    billed_minor: int = 0
    credited_minor: int = 0
    forgiven_minor: int = 0  # Closed without money: cash discounts, write-offs.
    customer: str = ""  # Not an order's: all that this customer's papers without an order brought and took.
    papers: tuple[MoneyPaper, ...] = ()


class Trail(Struct, frozen=True, omit_defaults=True):
    entries: tuple[TrailEntry, ...]
    # That documents or, in finance, vouchers of the asked number are about; told where no chain is asked for. For the
    # chain of a payment: that it is of.
    orders: tuple[OrderNamed, ...] = ()
    money: tuple[MoneyStanding, ...] = ()  # Told by finance.


class Nothing(Struct, frozen=True):
    """An empty request or answer."""


UNREADABLE_EVENTS = "unreadable events"  # So begins why a flow stopped, where no code of its own failed.


class Replica(Struct, frozen=True, omit_defaults=True):
    """One process of a service, as it noted itself in the service's database."""

    host: str
    pid: int
    version: str
    started_at: str  # RFC 3339 UTC.
    memory_bytes: int
    ready: bool
    unseen_seconds: float = 0.0  # Since it noted itself. Above UNSEEN_SECONDS_MAX nobody knows how it is.
    memory_limit_bytes: int = 0  # 0: none.
    stopped: dict[str, str] = {}  # Durable -> where its code fails.


UNSEEN_SECONDS_MAX = 75.0  # An idle process notes itself every 30 s.


class Health(Struct, frozen=True, omit_defaults=True):
    """`rpc.<service>.health`, answered by one process of every service; `replicas` are all that run."""

    service: str
    version: str
    pid: int
    ready: bool
    memory_bytes: int
    started_at: str
    outbox_waiting: int = 0
    outbox_oldest_seconds: float = 0.0
    parked: int = 0
    dead: int = 0
    findings: int = 0  # Of the last scrub: kept balances, digests and settings that are not what they should be.
    scrubbed_at: str = ""  # RFC 3339 UTC; empty before the first.
    scrub_failed: str = ""  # Why the newest scrub did not come to its end.
    unchecked: tuple[str, ...] = ()  # Rules that the last scrub gave up: nobody knows whether they hold.
    stopped: dict[str, str] = {}  # Durable -> where its code fails: it consumes nothing, and probes until it is mended.
    parked_oldest_seconds: float = 0.0  # How long the oldest parked message has waited.
    flows: dict[str, dict[str, float]] = {}  # Per durable: done, retried, dead, paused, batch_last, latency_p50_ms …
    replicas: tuple[Replica, ...] = ()
