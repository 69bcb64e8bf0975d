"""What the control team promises: tickets and disagreements, and answers about journeys, agreement and status."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from tieout.contracts.agreement import CurrencySum, SettingsChange, Unchecked, Violation
from tieout.contracts.event import Event, Number
from tieout.contracts.operation import Health, MoneyStanding, Operation
from tieout.contracts.watch import LeafSite


class DisagreementFound(Event, frozen=True):
    """Two books differ below the watermark, and nothing in flight explains it."""

    SUBJECT: ClassVar = "control.disagreement_found.v1"
    PRODUCER: ClassVar = "control"

    measure: str
    position: int
    chain_id: str
    order_no: str
    detail: str


class JourneyRequest(Struct, frozen=True):
    """Order numbers are unique per company and satellite only, so the answer is a list.

    The number of an order, of a document about orders, or of a voucher (记-2026-11-000012).
    """

    order_no: Number
    company: str = ""


class JourneyStep(Struct, frozen=True, omit_defaults=True):
    """One thing that happened, in the order of a tree: parents first, `depth` says how deep."""

    depth: int
    service: str
    step: str  # placed, shipped, billed …
    at: str  # RFC 3339, UTC.
    after_ms: float = 0.0  # Since the step that caused it.
    since_start_ms: float = 0.0
    event_type: str = ""  # order.placed.v1; empty where a service's books know it and no event told it.
    event_id: str = ""
    cause_id: str = ""
    document: str = ""
    voucher_no: str = ""
    quantity_micro: int = 0
    amount_minor: int = 0
    currency: str = ""
    detail: str = ""
    attempts: int = 1  # How often the message was delivered before it worked.
    repeats: int = 0  # How often its announcement arrived again.
    intake_id: str = ""  # Of a document that waits in quarantine.


class JourneyPaper(Struct, frozen=True):
    kind: str  # As the gateway calls it: payment, credit, receipt …; refused, voucher, or document where it is unknown.
    number: str


class Journey(Struct, frozen=True, omit_defaults=True):
    order_no: str
    company: str
    chain_id: str  # The order's; its payments and credit notes may run under chains of their own.
    trace_id: str
    began_at: str
    ended_at: str  # Of the last effect: a duplicate that comes later changes nothing.
    duration_ms: float
    steps: tuple[JourneyStep, ...]
    vouchers: tuple[str, ...] = ()
    papers: tuple[JourneyPaper, ...] = ()  # Where no order is known: what there is of it instead.
    money: tuple[MoneyStanding, ...] = ()  # As finance's books have it now.


class JourneyChoice(Struct, frozen=True):
    company: str
    order_no: str


class Journeys(Struct, frozen=True, omit_defaults=True):
    journeys: tuple[Journey, ...]
    unanswered: tuple[str, ...] = ()  # Services that could not be asked; their part is missing.
    choices: tuple[JourneyChoice, ...] = ()  # Instead of journeys, where a voucher leads to several; at most 100.


Verdict = Literal["agree", "open", "differ"]
MeasureState = Literal["agree", "open", "differ", "unanswered"]
Cause = Literal[
    "in_flight",  # Its consumer has yet to handle it.
    "stalled",  # The same, but that consumer stands still.
    "parked",  # It waits for a partner document,
    "waiting_approval",  # or for people who must approve it.
    "goods_in_return",  # A credit note is booked, its goods are not back yet.
    "period_deferred",  # Booked in a later period, as its own was closed.
    "dead",  # Given up with a reason; it has a ticket.
    "lost_by_broker",  # The producer's outbox knows it, the stream does not.
    "missing_at_source",  # Books hold what their source does not.
    "edited_by_hand",
    "duplicate",  # Booked twice from one fact.
    "unknown",  # None of these.
]
RepairKind = Literal[
    "wait", "restart_flow", "replay", "publish_again", "resubmit", "reverse_and_rebook"
]  # repair.py tells what each does.


class AgreementRequest(Struct, frozen=True):
    wait_seconds: Annotated[float, Meta(ge=0, le=15)] = 2.0  # How long consumers may take to reach the newest mark.
    violations: bool = True  # Prove each kept balance anew; else what the services' own scrubs found last is told.
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100  # Differences and violations to list; counts are always whole.
    currencies: bool = True  # Also compare and tell the sums of each currency.


class BookSide(Struct, frozen=True):
    """What one service's own database says up to the watermark."""

    service: str
    book: str
    rows: int
    a: int
    b: int
    currencies: tuple[CurrencySum, ...] = ()  # The same by currency, where the balances are proved as well.


class MeasureResult(Struct, frozen=True, omit_defaults=True):
    number: int
    name: str
    title: str
    title_zh: str
    producer: str
    values: tuple[str, str]
    state: MeasureState
    watermark: int  # All books hold the same for every position up to here.
    compared_upto: int  # Positions above the watermark were compared too; what is in flight there is told apart.
    sides: tuple[BookSide, ...]
    in_flight: int = 0  # Positions that a consumer has yet to handle.
    parked: int = 0  # Positions that wait for a partner document.
    dead: int = 0  # Positions whose message lies in the dead letters of a book's flow.
    differing: int = 0  # Positions that nothing explains.
    open_state: str = ""
    note: str = ""
    digests: int = 0  # Of `differing`, those that are no events: totals that differ while no row does.
    note_zh: str = ""


class DifferenceSide(Struct, frozen=True, omit_defaults=True):
    service: str
    book: str
    present: bool
    a: int = 0
    b: int = 0


class Difference(Struct, frozen=True, omit_defaults=True):
    """One line of one event on which two books do not hold the same."""

    measure: int
    name: str
    values: tuple[str, str]
    cause: Cause
    order_no: str
    chain_id: str
    position: int  # Of the producer's event.
    line_no: int
    sides: tuple[DifferenceSide, ...]
    currency: str = ""  # Of its money, where a book knows it.
    company: str = ""  # As it was heard with the order's number; two companies may use the same one.
    why: str = ""  # What proves the cause, for people.
    why_zh: str = ""
    flow: str = ""  # In flight, parked or dead: in which.
    repair: RepairKind | Literal[""] = ""
    service: str = ""  # Edited by hand or booked twice: in whose books.
    surplus: bool = False  # A row there that no event has, though no hand was seen: the service's own role wrote it.


class CauseCount(Struct, frozen=True, omit_defaults=True):
    """How many events of a measure have one cause."""

    measure: int
    cause: Cause
    events: int
    flow: str = ""
    lag: int = 0  # Messages that this flow has yet to handle.
    stalled_seconds: float = 0.0
    repair: RepairKind | Literal[""] = ""


class Watermark(Struct, frozen=True, omit_defaults=True):
    """How far a producer's events are closed, and how far all of its books have followed."""

    producer: str
    mark: int  # Everything up to here is committed and published, for ever.
    agreed: int  # Everything up to here is in every book; the lowest of its measures.
    last_position: int
    at: str
    oldest_writer: str = ""
    unpublished: int = 0  # Events that the producer has committed and the broker has not taken for seconds.
    unpublished_seconds: float = 0.0


class FlowState(Struct, frozen=True, omit_defaults=True):
    """One durable consumer as the broker sees it."""

    durable: str
    stream: str
    waiting: int  # Not delivered yet.
    unacked: int  # Delivered, not confirmed.
    floor: int  # Stream sequence up to which all is confirmed.
    stalled_seconds: float = 0.0  # Since it last moved, while something waits.
    missing: bool = False  # The broker knows no such consumer: its service has not started yet.
    drained_per_second: float = 0.0  # Messages, lately.
    arriving_per_second: float = 0.0
    done_in_seconds: float = 0.0  # Until nothing waits, at the present pace; -1: the backlog does not shrink.
    paused_until: str = ""  # RFC 3339: somebody paused it on the hub until then; control has it resumed.


class MissingStream(Struct, frozen=True):
    """Of the hub, that somebody deleted: its service makes it anew within 20 s and publishes again what it held."""

    stream: str
    since: str  # RFC 3339 UTC, when control first saw that it is gone.


class SilentService(Struct, frozen=True, omit_defaults=True):
    service: str  # Or the broker: nats.
    since: str = ""  # RFC 3339 UTC, when control last had an answer of it; empty: not since control started.


class Agreement(Struct, frozen=True, omit_defaults=True):
    verdict: Verdict
    sentence: str  # The verdict for people.
    at: str
    took_ms: float
    measures: tuple[MeasureResult, ...]
    watermarks: tuple[Watermark, ...]
    differences: tuple[Difference, ...] = ()  # The worst first; of what is in flight only a few.
    flows: tuple[FlowState, ...] = ()  # Those with something under way.
    rules_checked: int = 0
    rules_at: str = ""  # RFC 3339 UTC: so old the oldest of these checks is. Empty: some were never made since a start.
    rules_under_way: tuple[str, ...] = ()  # Services whose books are so large that a newer check goes on.
    rules_unchecked: tuple[tuple[str, Unchecked], ...] = ()  # With the service: not among `rules_checked`.
    violations_found: int = 0
    violations: tuple[tuple[str, Violation], ...] = ()  # With the service.
    unanswered: tuple[str, ...] = ()
    causes: tuple[CauseCount, ...] = ()
    requests: int = 0  # Questions to services that the comparison took, without those for balances and currencies.
    answer_bytes: int = 0
    sentence_zh: str = ""
    missing_streams: tuple[MissingStream, ...] = ()
    silent: tuple[SilentService, ...] = ()  # Those of `unanswered`, and since when.
    sites: tuple[LeafSite, ...] = ()  # Whose own stream somebody deleted: their sales may be missing at the source.


class SettingsRequest(Struct, frozen=True):
    """Who changed which setting: accounts and their roles, articles, warehouses, satellites, companies."""

    service: str = ""  # Empty: of all.
    table: str = ""
    by_hand: bool = False  # Only those that did not come from the service itself.
    before: str = ""  # RFC 3339 UTC, the `at` of the oldest one that you have.
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Settings(Struct, frozen=True, omit_defaults=True):
    changes: tuple[SettingsChange, ...]  # The newest first.
    unanswered: tuple[str, ...] = ()


class StatusRequest(Struct, frozen=True):
    minutes: Annotated[int, Meta(ge=1, le=1440)] = 15  # Of latencies and throughput.


class StepLatency(Struct, frozen=True):
    """From one event to the event that it caused; or, for `journey`, from the first command to the voucher."""

    before: str
    after: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Throughput(Struct, frozen=True):
    event_type: str
    total: int  # In the asked minutes.
    per_second_last_minute: float
    per_second_peak: float  # Best ten seconds.


class ServiceStatus(Struct, frozen=True, omit_defaults=True):
    service: str
    up: bool
    instances: tuple[Health, ...] = ()
    waiting: int = 0  # Over all of its flows.


class Status(Struct, frozen=True, omit_defaults=True):
    at: str
    services: tuple[ServiceStatus, ...]
    flows: tuple[FlowState, ...]
    latencies: tuple[StepLatency, ...] = ()
    throughput: tuple[Throughput, ...] = ()
    dead_letters: int = 0
    findings: int = 0  # Of the services' own scrubs: what hands touched, and balances that are not their facts.
    unchecked: tuple[str, ...] = ()  # Rules that those scrubs gave up, as service and rule.
    disagreements: int = 0  # Found by the periodic proof and not gone yet.
    sites: tuple[LeafSite, ...] = ()  # Leaf sites whose own stream somebody deleted.
    proved_at: str = ""  # RFC 3339 UTC: up to this moment all books were proved to agree; empty: not yet.
    missing_streams: tuple[MissingStream, ...] = ()


class DeadLettersRequest(Struct, frozen=True):
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    service: str = ""


class DeadLetter(Struct, frozen=True, omit_defaults=True):
    number: int
    at: str
    service: str
    flow: str
    subject: str
    reason: str
    field: str = ""
    detail: str = ""
    order_no: str = ""
    company: str = ""
    chain_id: str = ""
    position: int = 0
    attempts: int = 1


class DeadLetters(Struct, frozen=True, omit_defaults=True):
    letters: tuple[DeadLetter, ...]
    next_after: int = 0  # 0: that was all.


SHOW_JOURNEY = Operation(
    "control.journey",
    "GET",
    "/v1/journeys/{order_no}",
    JourneyRequest,
    Journeys,
    "Every step of one order over all services: when, how long, which document, which voucher.",
)
PROVE_AGREEMENT = Operation(
    "control.agreement",
    "GET",
    "/v1/agreement",
    AgreementRequest,
    Agreement,
    "Whether orders, stock and books agree, proved now from each service's own database.",
)
SHOW_STATUS = Operation(
    "control.status",
    "GET",
    "/v1/status",
    StatusRequest,
    Status,
    "Health, lag, stalled consumers, step latencies and throughput of the whole suite.",
)
LIST_DEAD_LETTERS = Operation(
    "control.dead_letters",
    "GET",
    "/v1/dead-letters",
    DeadLettersRequest,
    DeadLetters,
    "Messages that a flow could not handle, with the reason.",
)
LIST_SETTINGS = Operation(
    "control.settings",
    "GET",
    "/v1/settings",
    SettingsRequest,
    Settings,
    "Who changed which setting in which service, and what was changed by hand.",
)
OPERATIONS = (SHOW_JOURNEY, PROVE_AGREEMENT, SHOW_STATUS, LIST_DEAD_LETTERS, LIST_SETTINGS)
