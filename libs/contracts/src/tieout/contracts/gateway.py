"""What the gateway promises: satellites, documents as they came, and the quarantine."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from tieout.contracts.event import Company, Warehouse
from tieout.contracts.operation import Operation
from tieout.contracts.order import ControlPasses
from tieout.contracts.reason import Reason, ReasonIfAny

DOCUMENT_BYTES_MAX = 2 << 20  # Of one document, unless a gateway is set otherwise: what is larger is refused unread.

Satellite = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]

Authentication = Literal[
    "key",  # Bearer or X-Api-Key; the gateway makes the key and keeps only its hash.
    "hmac",  # X-Signature-Sha256: hex of HMAC-SHA256 over the raw body.
    "shopify",  # X-Shopify-Hmac-Sha256: base64 of HMAC-SHA256 over the raw body.
    "leaf",  # A leaf node; HTTP is refused.
]
State = Literal[
    "pending",  # Kept, not mapped yet.
    "waiting",  # Names an order by an id that the gateway has not seen yet.
    "mapped",  # Led to one or more commands.
    "rebuilt",  # The same; but a database was lost with its bytes, and only its commands came back.
    "ignored",  # Read, and of no interest to the books: an authorisation without money, say.
    "quarantined",
    "corrected",  # Quarantined; another document took its place.
    "dismissed",  # Quarantined; a person decided that it stays out.
]


class PutSatellite(Struct, frozen=True):
    """Make or change a satellite. Its secret is answered once, when it is made or rotated. What is not named stays as
    it is; of a new satellite it is "", (), UTC, key, MAIN, 30 and ""."""

    satellite: Satellite
    name: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    companies: tuple[Company, ...] | UnsetType = UNSET  # It may speak for these; the first where its dialect names
    # none. (): for all.
    zone: str | UnsetType = UNSET  # Where its business days begin, if its documents do not say.
    authentication: Authentication | UnsetType = UNSET
    secret: Annotated[str, Meta(max_length=200)] = ""  # hmac, shopify: the shared secret; "": the gateway makes one.
    rotate: bool = False  # Make a new secret; the old one ends at once.
    default_warehouse: Warehouse | UnsetType = UNSET
    due_days: Annotated[int, Meta(ge=0, le=3650)] | UnsetType = UNSET
    # Of the orders that it takes; "": as their company decided.
    control_passes: Literal[ControlPasses, ""] | UnsetType = UNSET


class SatelliteView(Struct, frozen=True):
    satellite: str
    name: str
    companies: tuple[str, ...]
    zone: str
    authentication: Authentication
    default_warehouse: str
    due_days: int
    held: bool  # Documents are taken in, but not mapped.
    created_at: datetime
    control_passes: Literal[ControlPasses, ""] = ""
    changed_at: datetime | None = None
    changed_by: str = ""  # The actor of the token; "admin" is whoever runs the stack.


class SatellitePut(Struct, frozen=True, omit_defaults=True):
    satellite: SatelliteView
    secret: str = ""  # Write it down now; nobody can show it again.


class ListSatellites(Struct, frozen=True):
    pass


class Satellites(Struct, frozen=True):
    satellites: tuple[SatelliteView, ...]


class HoldSatellite(Struct, frozen=True):
    """Stop or resume mapping. What arrives meanwhile is kept and mapped later."""

    satellite: Satellite
    held: bool


class ShowDocument(Struct, frozen=True):
    intake_id: UUID
    content: bool = True  # With the bytes as they came.


class CommandView(Struct, frozen=True, omit_defaults=True):
    """What a document led to."""

    kind: str  # order, cancel, credit, payment, refund, receipt, adjustment, confirmation, delivery.
    number: str
    company: str
    chain_id: str
    position: int  # Of the gateway's outbox.
    business_date: date
    lines: int
    quantity_micro: int
    amount_minor: int
    order_no: str = ""


class Refusal(Struct, frozen=True, omit_defaults=True):
    """Why a document was quarantined, and what was decided then."""

    at: datetime
    reason: str  # A code: unknown_sku, total_differs, bad_quantity …
    field: str
    detail: str
    decided_at: datetime | None = None
    decision: Literal["", "resubmitted", "corrected", "dismissed"] = ""
    decided_by: str = ""
    note: str = ""
    corrected_by: UUID | None = None  # The document that took its place.


class DocumentView(Struct, frozen=True, omit_defaults=True):
    intake_id: UUID
    state: State
    satellite: str
    channel: str
    topic: str
    received_at: datetime
    bytes: int
    content: str = ""  # UTF-8 text; base64 where it is none.
    content_is_base64: bool = False
    commands: tuple[CommandView, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    corrects: UUID | None = None  # It takes the place of this document.
    waits_for: str = ""
    ignored: str = ""
    remark: str = ""  # Why there are no bytes.


class ListDocuments(Struct, frozen=True):
    """Newest first. `before` is the `next` of the page before."""

    satellite: str = ""
    before: UUID | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class DocumentSummary(Struct, frozen=True):
    intake_id: UUID
    state: State
    satellite: str
    channel: str
    topic: str
    received_at: datetime
    bytes: int


class DocumentPage(Struct, frozen=True):
    documents: tuple[DocumentSummary, ...]
    next: UUID | None = None


class SatelliteCommandsRequest(Struct, frozen=True):
    """`rpc.gateway.satellite_commands`: which chains a satellite's documents led to, in the order of the outbox."""

    satellite: Satellite
    until: datetime | None = None  # When they were mapped.
    after: Annotated[int, Meta(ge=0)] = 0


class SatelliteCommands(Struct, frozen=True):
    chains: tuple[UUID, ...]  # Each once on a page.
    next_after: int = 0  # 0: that was all.


class ListQuarantine(Struct, frozen=True):
    """Oldest first. `after` is the `next` of the page before."""

    satellite: str = ""
    reason: str = ""
    all: bool = False  # Also those that were corrected, resubmitted or dismissed.
    field: str = ""  # As a refusal names it, lines[0].sku; lines[].sku is that field of any line.
    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class Quarantined(Struct, frozen=True, omit_defaults=True):
    entry: int
    intake_id: UUID
    satellite: str
    channel: str
    topic: str
    received_at: datetime
    refused_at: datetime
    reason: str
    field: str
    detail: str
    kind: str = ""
    company: str = ""
    number: str = ""
    business_date: date | None = None
    lines: int = 0
    quantity_micro: int = 0
    amount_minor: int = 0
    decision: Literal["", "resubmitted", "corrected", "dismissed"] = ""


class QuarantineGroup(Struct, frozen=True):
    """Documents that wait for a decision for the same reason."""

    satellite: str
    reason: str
    field: str  # lines[].sku, whichever line it was.
    documents: int
    oldest: datetime


class QuarantinePage(Struct, frozen=True):
    documents: tuple[Quarantined, ...]
    open: int = 0  # All that wait for a decision, of this choice.
    next: int = 0  # 0: this was the last page.
    newest: int = 0  # Entry of the newest that waits, of this choice: what came later was not counted in `open`.
    groups: tuple[QuarantineGroup, ...] = ()  # Of `open`, the largest first, at most 100; on the first page only.


class CorrectDocument(Struct, frozen=True):
    """Another document in its place; the original bytes stay. The same correction again is told as repeated."""

    intake_id: UUID
    content: Annotated[str, Meta(min_length=1)]
    note: ReasonIfAny = ""


class ResubmitDocument(Struct, frozen=True):
    """Map the same bytes again: the mapping was mended, or the SKU is known by now."""

    intake_id: UUID
    note: ReasonIfAny = ""


class DismissDocument(Struct, frozen=True):
    """It stays out of the books, and somebody says why."""

    intake_id: UUID
    note: Reason


class DismissMany(Struct, frozen=True):
    """All open documents of this choice stay out of the books, at most `limit`, the oldest first. At least one of
    satellite, reason and field is named. `upto` is the `newest` of the list that somebody looked at: what was refused
    since then stays open."""

    upto: Annotated[int, Meta(ge=1)]
    note: Reason
    satellite: str = ""
    reason: str = ""
    field: str = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class Dismissed(Struct, frozen=True):
    documents: int


class Decided(Struct, frozen=True):
    intake_id: UUID  # Of the document that is mapped now; the original's where none is.
    repeated: bool = False


class ResubmitMany(Struct, frozen=True):
    """Map all open documents of this satellite, reason and field again, at most `limit`."""

    satellite: str = ""
    reason: str = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    note: ReasonIfAny = ""
    field: str = ""


class Resubmitted(Struct, frozen=True):
    documents: int


class GatewayOutcomesRequest(Struct, frozen=True):
    company: str = ""
    source: str = ""  # The satellite.


class GatewayOutcome(Struct, frozen=True, omit_defaults=True):
    """Documents that led to no command, as far as they could be read, by month and reason.

    Corrected and resubmitted ones are counted where they ended. Signed as they stand in the document; of credits that
    are written with positive numbers, negative.
    """

    company: str
    source: str
    month: str  # Of the business date, 2026-11; of the day of arrival where the document tells none.
    kind: str
    outcome: Literal["quarantined", "dismissed", "ignored"]
    reason: str
    documents: int
    lines: int
    quantity_micro: int
    amount_minor: int


class GatewayOutcomes(Struct, frozen=True):
    outcomes: tuple[GatewayOutcome, ...]


class ProgressRequest(Struct, frozen=True):
    source: str = ""


class Progress(Struct, frozen=True):
    """Where the documents of one satellite are. received = pending + waiting + mapped + quarantined + ignored + …"""

    source: str
    received: int
    pending: int
    waiting: int
    mapped: int
    quarantined: int
    corrected: int
    dismissed: int
    ignored: int
    commands: dict[str, int]  # By kind.


class ProgressView(Struct, frozen=True):
    satellites: tuple[Progress, ...]


PUT_SATELLITE = Operation(
    "gateway.put_satellite",
    "PUT",
    "/v1/satellites/{satellite}",
    PutSatellite,
    SatellitePut,
    "Make or change a satellite; its secret is shown once",
    scope="admin",
)
SATELLITES = Operation(
    "gateway.satellites", "GET", "/v1/satellites", ListSatellites, Satellites, "The satellites, without their secrets"
)
HOLD_SATELLITE = Operation(
    "gateway.hold",
    "PUT",
    "/v1/satellites/{satellite}/hold",
    HoldSatellite,
    SatelliteView,
    "Stop or resume mapping the documents of a satellite; taking them in goes on",
    scope="write",
)
SHOW_DOCUMENT = Operation(
    "gateway.document",
    "GET",
    "/v1/documents/{intake_id}",
    ShowDocument,
    DocumentView,
    "One document as it came, and what it led to",
)
DOCUMENTS = Operation(
    "gateway.documents", "GET", "/v1/documents", ListDocuments, DocumentPage, "Documents as they came, newest first"
)
QUARANTINE = Operation(
    "gateway.quarantine",
    "GET",
    "/v1/quarantine",
    ListQuarantine,
    QuarantinePage,
    "Documents that no book may take as they stand, with the reason and the field",
)
SATELLITE_COMMANDS = Operation(
    "gateway.satellite_commands",
    "GET",
    "/v1/satellites/{satellite}/commands",
    SatelliteCommandsRequest,
    SatelliteCommands,
    "The chains that a satellite's documents began or belong to",
)
CORRECT = Operation(
    "gateway.correct",
    "POST",
    "/v1/quarantine/{intake_id}/correct",
    CorrectDocument,
    Decided,
    "Submit a corrected document in the place of a quarantined one",
    scope="write",
)
RESUBMIT = Operation(
    "gateway.resubmit",
    "POST",
    "/v1/quarantine/{intake_id}/resubmit",
    ResubmitDocument,
    Decided,
    "Map a quarantined document again",
    scope="write",
)
DISMISS = Operation(
    "gateway.dismiss",
    "POST",
    "/v1/quarantine/{intake_id}/dismiss",
    DismissDocument,
    Decided,
    "Decide that a quarantined document stays out of the books",
    scope="write",
)
RESUBMIT_MANY = Operation(
    "gateway.resubmit_many",
    "POST",
    "/v1/quarantine/resubmit",
    ResubmitMany,
    Resubmitted,
    "Map all quarantined documents of a satellite, reason and field again",
    scope="write",
)
DISMISS_MANY = Operation(
    "gateway.dismiss_many",
    "POST",
    "/v1/quarantine/dismiss",
    DismissMany,
    Dismissed,
    "Decide that all quarantined documents of a satellite, reason and field stay out of the books",
    scope="write",
)
GATEWAY_OUTCOMES = Operation(
    "gateway.outcomes",
    "GET",
    "/v1/gateway-outcomes",
    GatewayOutcomesRequest,
    GatewayOutcomes,
    "What led to no command, by satellite, month and reason",
)
PROGRESS = Operation(
    "gateway.progress", "GET", "/v1/intake-progress", ProgressRequest, ProgressView, "How far intake is, by satellite"
)

OPERATIONS = (
    PUT_SATELLITE,
    SATELLITES,
    SATELLITE_COMMANDS,
    HOLD_SATELLITE,
    SHOW_DOCUMENT,
    DOCUMENTS,
    QUARANTINE,
    CORRECT,
    RESUBMIT,
    DISMISS,
    RESUBMIT_MANY,
    DISMISS_MANY,
    GATEWAY_OUTCOMES,
    PROGRESS,
)
