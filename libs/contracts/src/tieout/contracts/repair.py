"""Repairs: one per cause of a difference, shown before it is done, noted with who and why, and proved afterwards.

No repair edits a fact. What each kind does:

* wait: nothing but proving again.
* restart_flow: the flow that stands still asks for its messages anew.
* replay: the events are run again through their flow, as a replay with its own log and proof; its dry run is the
  preview.
* publish_again: what the broker lost, out of the producer's outbox.
* resubmit: what the source of the fact had heard of these orders is handed to it again (of the gateway: the raw
  documents that are not settled), as a replay. Where nothing was heard, only its satellite can send it: a census.
* reverse_and_rebook: facts that take out what a hand left and put in what stood there before; of a row that no event
  has, facts that take it out.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct
from tieout.contracts.control import Cause, Difference, RepairKind, Verdict
from tieout.contracts.operation import Operation
from tieout.contracts.reason import Reason
from tieout.contracts.replay import Effect, OutcomeCount

State = Literal["proved", "not_proved", "failed"]


class RepairPreviewRequest(Struct, frozen=True):
    """What would be done about the differences that a proof finds now."""

    order_no: str = ""  # Of this order; empty: of all.
    cause: Cause | Literal[""] = ""
    measure: str = ""  # shipped, billed …
    limit: Annotated[int, Meta(ge=1, le=200)] = 200


class RepairStep(Struct, frozen=True, omit_defaults=True):
    """All differences of one measure with one cause."""

    measure: str
    cause: Cause
    repair: RepairKind
    events: int
    positions: tuple[int, ...]
    order_nos: tuple[str, ...]
    runs: bool  # `repair run` does it; else `words` say what to do.
    title: str  # What will be done.
    title_zh: str
    words: str = ""  # A command for a person.
    flow: str = ""
    service: str = ""  # Whose books or outbox it works on.
    book: str = ""
    why: str = ""
    differences: tuple[Difference, ...] = ()  # A few of them, with both values.
    would: tuple[OutcomeCount, ...] = ()  # Dry run of a replay: what would become of each event,
    effects: tuple[Effect, ...] = ()  # and of stock, vouchers and books.
    surplus: bool = False  # Of rows that no event has: they are taken out, and nothing is put in.


class RepairPreview(Struct, frozen=True, omit_defaults=True):
    steps: tuple[RepairStep, ...]
    sentence: str
    token: str = ""  # Of exactly these steps; `repair run` wants it, so that nothing is done that was not shown.
    verdict: Verdict = "agree"  # Of what was asked for; "open" while somebody does not answer.
    unanswered: tuple[str, ...] = ()


class RepairRequest(Struct, frozen=True):
    token: Annotated[str, Meta(min_length=1, max_length=64)]
    reason: Reason
    order_no: str = ""  # As previewed.
    cause: Cause | Literal[""] = ""
    measure: str = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 200


class RepairResult(Struct, frozen=True, omit_defaults=True):
    """One step, done or not, and what the proof said afterwards of its events."""

    repair_id: str
    at: str  # RFC 3339 UTC.
    measure: str
    cause: str
    repair: str
    order_nos: tuple[str, ...]
    actor: str
    reason: str
    state: State | Literal["running"]
    told: str = ""
    replay: int = 0  # That did it: /v1/replays/{replay}.


class RepairResults(Struct, frozen=True, omit_defaults=True):
    results: tuple[RepairResult, ...]
    sentence: str = ""


class RepairsRequest(Struct, frozen=True):
    """What was repaired, the newest first: the audit log."""

    order_no: str = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


PREVIEW_REPAIR = Operation(
    "control.repair_preview",
    "GET",
    "/v1/repairs/preview",
    RepairPreviewRequest,
    RepairPreview,
    "What would be done about each difference between the books, without doing it.",
)
RUN_REPAIR = Operation(
    "control.repair",
    "POST",
    "/v1/repairs",
    RepairRequest,
    RepairResults,
    "Do what was previewed, then prove the agreement again.",
    scope="admin",
)
LIST_REPAIRS = Operation(
    "control.repairs",
    "GET",
    "/v1/repairs",
    RepairsRequest,
    RepairResults,
    "Which differences were repaired, by whom, why, and whether the books agreed afterwards.",
)
OPERATIONS = (PREVIEW_REPAIR, RUN_REPAIR, LIST_REPAIRS)
