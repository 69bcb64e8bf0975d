"""Replay: run events again through the flows that hear them, rehearsed first, and proved afterwards.

The first half is between control and the services (`rpc.<service>.replay | rehearse | kept`, answered by the kit); the
second half is what people ask of control.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Raw, Struct
from tieout.contracts.event import Number
from tieout.contracts.operation import Operation
from tieout.contracts.reason import Reason

# ---------------------------------------------------------------------------------------- between the services

EVENTS_MAX = 500  # Of one request; a request also has to fit into one message.
BYTES_MAX = 700_000

Outcome = Literal[
    "booked",  # It changed the books now, or would.
    "already_there",  # The books had it: nothing changed.
    "conflict",  # Its owner says so: the same number with other content. Nothing changed.
    "waits",  # For its partner document; it runs by itself when that comes.
    "failed",  # Reason and field say why. Nothing changed.
]


class PlayedEvent(Struct, frozen=True, array_like=True):
    """One event for one flow. `stream` and `sequence` are where it stood; an edited body keeps them."""

    subject: str
    stream: str
    sequence: int
    body: Raw  # The whole envelope.


class PlayRequest(Struct, frozen=True):
    """`rpc.<service>.replay` commits, `rpc.<service>.rehearse` rolls back. At most one event per document."""

    flow: str
    events: tuple[PlayedEvent, ...]


class Played(Struct, frozen=True, array_like=True):
    outcome: Outcome
    reason: str = ""
    field: str = ""
    detail: str = ""


class Effect(Struct, frozen=True):
    """What events did, or would do, to one figure of one service, by currency. Sums; of stock also quantities."""

    service: str
    figure: str  # A book of the agreement (move, billed …), or an event that carries an amount (vouchers).
    values: tuple[str, str]  # What a and b are: quantity_micro, value_minor …; "" where unused.
    currency: str
    rows: int
    a: int
    b: int


class PlayedBatch(Struct, frozen=True):
    """One outcome per event, in their order."""

    played: tuple[Played, ...]
    effects: tuple[Effect, ...] = ()  # Of a rehearsal.


class KeptRequest(Struct, frozen=True):
    """`rpc.<service>.kept`: events from the producer's own outbox, by position or by stream sequence."""

    positions: tuple[int, ...] = ()
    first_sequence: int = 0  # With last_sequence: all in this range, without bodies.
    last_sequence: int = 0
    after: int = 0  # Positions above this: the next page.


class KeptEvent(Struct, frozen=True, array_like=True):
    position: int
    sequence: int  # 0 while it is not published.
    subject: str
    body: Raw  # `null` where bodies were not asked for.


class Kept(Struct, frozen=True):
    events: tuple[KeptEvent, ...]  # Ascending. What the outbox no longer keeps is missing.
    more: bool = False


class ChooseDocuments(Struct, frozen=True):
    """`rpc.gateway.choose_documents`: raw documents, oldest first."""

    satellite: str = ""
    since: datetime | None = None  # When they were received.
    until: datetime | None = None
    order_nos: tuple[str, ...] = ()  # Of their commands or refusals.
    after: UUID | None = None


class ChosenDocument(Struct, frozen=True, array_like=True):
    intake_id: UUID
    received_at: datetime
    number: str  # Of a refused one, as far as it could be read.
    company: str


class ChosenDocuments(Struct, frozen=True):
    documents: tuple[ChosenDocument, ...]
    more: bool = False


class MapAgain(Struct, frozen=True):
    """`rpc.gateway.map_again`: documents in quarantine are mapped anew. All others are left as they are."""

    documents: tuple[UUID, ...]
    rehearsal: bool
    reason: str = ""


class MappedAgain(Struct, frozen=True):
    played: tuple[Played, ...]  # `waits` also while it is being mapped.
    chains: tuple[str, ...]  # What a document's first command belongs to; "" without one.


# Between services only, so not among OPERATIONS.
CHOOSE_DOCUMENTS = Operation(
    "gateway.choose_documents", "POST", "", ChooseDocuments, ChosenDocuments, "Raw documents of a replay"
)
MAP_AGAIN = Operation("gateway.map_again", "POST", "", MapAgain, MappedAgain, "Map raw documents again", "write")

# ---------------------------------------------------------------------------------------------- for people

INTAKE = "intake"  # The step before all flows: the gateway's mapping of raw documents.

State = Literal[
    "frozen",  # Chosen and counted; nothing was tried.
    "rehearsing",
    "rehearsed",  # The dry run has said what would happen.
    "running",
    "paused",
    "proving",  # All was run; the agreement of the touched orders is being proved.
    "succeeded",  # Nothing failed, and the books agree on the touched orders.
    "unproved",  # It ran, but something failed, waits, or does not agree; `sentence` says what.
    "cancelled",
]


class Selection(Struct, frozen=True, omit_defaults=True):
    """What to replay; all that is given must hold. A ticket chooses its dead letters, each for the flow it died in;
    everything else chooses events, for each flow that hears them."""

    ticket: int = 0
    order_nos: tuple[Number, ...] = ()
    company: str = ""
    satellite: str = ""  # Documents that it sent, and all that they led to.
    since: str = ""  # RFC 3339; when the events were announced.
    until: str = ""
    stream: str = ""  # ORDER, INVENTORY … with both sequences.
    first_sequence: int = 0
    last_sequence: int = 0
    positions: tuple[int, ...] = ()  # Of the producer whose stream is named, instead of sequences.
    letters: bool = False  # With positions: only those that died, each for the flow in which it died.
    step: str = ""  # A flow (finance-bill-shipments), a service (finance), an event (order.placed.v1), or `intake`.


class FreezeReplay(Struct, frozen=True):
    selection: Selection
    reason: Reason


class OutcomeCount(Struct, frozen=True):
    flow: str
    outcome: str  # "" where it was not run.
    reason: str
    items: int


class LogEntry(Struct, frozen=True):
    at: str
    actor: str
    action: str  # frozen, edited, rehearsed, run, paused, resumed, cancelled, taken_over, ended
    note: str


class ReplayView(Struct, frozen=True, omit_defaults=True):
    replay: int
    state: State
    selection: Selection
    reason: str
    items: int
    documents: int  # Chains: an order with all that belongs to it is one.
    done: int  # Items of the present run, or of the dry run.
    per_second: int  # 0: as fast as it goes.
    frozen_at: str
    frozen_by: str
    sentence: str = ""  # What came of it, or what to do next.
    started_at: str = ""
    ended_at: str = ""
    seconds: float = 0.0  # Of the run with its proof; without pauses.
    # The rest is not counted while it works.
    rehearsed: tuple[OutcomeCount, ...] = ()  # What would happen,
    outcomes: tuple[OutcomeCount, ...] = ()  # and what did.
    effects: tuple[Effect, ...] = ()  # Of the dry run.
    log: tuple[LogEntry, ...] = ()


class ShowReplay(Struct, frozen=True):
    replay: int


class ListReplays(Struct, frozen=True):
    """Newest first."""

    before: int = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Replays(Struct, frozen=True):
    replays: tuple[ReplayView, ...]


class ListItems(Struct, frozen=True):
    replay: int
    outcome: str = ""  # booked, failed … of the run, or of the dry run where it was not run.
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class ItemView(Struct, frozen=True, omit_defaults=True):
    item: int
    flow: str
    subject: str
    order_no: str
    company: str
    chain_id: str
    stream: str
    sequence: int
    position: int
    event_id: str
    rehearsed: str = ""
    outcome: str = ""
    reason: str = ""
    field: str = ""
    detail: str = ""
    done_at: str = ""
    edited_by: str = ""
    edited_why: str = ""


class Items(Struct, frozen=True):
    items: tuple[ItemView, ...]
    next_after: int = 0


class ShowItem(Struct, frozen=True):
    replay: int
    item: int


class ItemBody(Struct, frozen=True, omit_defaults=True):
    item: ItemView
    original: Raw
    edited: Raw | None = None


class EditItem(Struct, frozen=True):
    """Replace the `data` of one event. The original stays beside it, and the envelope stays as it was."""

    replay: int
    item: int
    data: Raw
    reason: Reason


class RehearseReplay(Struct, frozen=True):
    replay: int


class RunReplay(Struct, frozen=True):
    replay: int
    reason: Reason
    per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class SteerReplay(Struct, frozen=True):
    replay: int
    reason: Reason


FREEZE_REPLAY = Operation(
    "control.freeze_replay",
    "POST",
    "/v1/replays",
    FreezeReplay,
    ReplayView,
    "Choose events to run again; the choice is frozen with its count, and nothing is run",
    scope="write",
)
LIST_REPLAYS = Operation(
    "control.replays", "GET", "/v1/replays", ListReplays, Replays, "Replays, the newest first, with what came of them"
)
SHOW_REPLAY = Operation(
    "control.replay",
    "GET",
    "/v1/replays/{replay}",
    ShowReplay,
    ReplayView,
    "One replay: progress, what would happen, what happened, who did what and why",
)
LIST_ITEMS = Operation(
    "control.replay_items", "GET", "/v1/replays/{replay}/items", ListItems, Items, "The single events of a replay"
)
SHOW_ITEM = Operation(
    "control.replay_item",
    "GET",
    "/v1/replays/{replay}/items/{item}",
    ShowItem,
    ItemBody,
    "One event of a replay with its body, and the edited one beside it",
)
EDIT_ITEM = Operation(
    "control.edit_replay_item",
    "PUT",
    "/v1/replays/{replay}/items/{item}",
    EditItem,
    ItemView,
    "Correct the data of one event before it is run; the original is kept",
    scope="admin",
)
REHEARSE_REPLAY = Operation(
    "control.rehearse_replay",
    "POST",
    "/v1/replays/{replay}/rehearsal",
    RehearseReplay,
    ReplayView,
    "Dry run: what would be booked, what is there, what would fail and why, and the effect on stock and vouchers",
    scope="write",
)
RUN_REPLAY = Operation(
    "control.run_replay",
    "POST",
    "/v1/replays/{replay}/run",
    RunReplay,
    ReplayView,
    "Run a rehearsed replay; the agreement of the touched orders is proved at its end",
    scope="write",
)
PAUSE_REPLAY = Operation(
    "control.pause_replay", "POST", "/v1/replays/{replay}/pause", SteerReplay, ReplayView, "Hold a replay", "write"
)
RESUME_REPLAY = Operation(
    "control.resume_replay", "POST", "/v1/replays/{replay}/resume", SteerReplay, ReplayView, "Go on with it", "write"
)
CANCEL_REPLAY = Operation(
    "control.cancel_replay",
    "POST",
    "/v1/replays/{replay}/cancel",
    SteerReplay,
    ReplayView,
    "End a replay; what it has booked stays booked",
    scope="write",
)
OPERATIONS = (
    FREEZE_REPLAY,
    LIST_REPLAYS,
    SHOW_REPLAY,
    LIST_ITEMS,
    SHOW_ITEM,
    EDIT_ITEM,
    REHEARSE_REPLAY,
    RUN_REPLAY,
    PAUSE_REPLAY,
    RESUME_REPLAY,
    CANCEL_REPLAY,
)
