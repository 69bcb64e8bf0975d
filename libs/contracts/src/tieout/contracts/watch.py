"""How trouble is seen before people see it: each service's vitals, alarms with their probable cause, the checkup."""

from typing import Annotated, Literal

from msgspec import Meta, Struct
from tieout.contracts.event import Number
from tieout.contracts.operation import Operation

# ------------------------------------------------------------------ what a service says of itself


class VitalsRequest(Struct, frozen=True):
    """`rpc.<service>.vitals`, answered by every service, also while its database is away."""

    tables: bool = False  # Also the largest tables; costs a few milliseconds of Postgres.


class FlowVitals(Struct, frozen=True, omit_defaults=True):
    """One flow inside its process."""

    durable: str
    waiting: int = 0  # Events that arrived here and are not in hand yet.
    in_hand_seconds: float = 0.0  # How long it has been working on its present batch.
    attempts: int = 0  # How often the batch in hand was delivered; above 1 somebody failed or died on it.
    stopped: bool = False  # Most messages failed, so it holds everything and probes.
    trouble: str = ""  # What its last attempt failed with; empty once one worked.


class Blocked(Struct, frozen=True, omit_defaults=True):
    """A session of the service that waits for a lock, and the one that holds it."""

    pid: int
    waits_seconds: float
    statement: str
    by_pid: int
    by_role: str
    by_application: str = ""  # Empty where the role may not see it.
    by_state: str = ""
    by_seconds: float = 0.0  # Since its transaction began.
    by_statement: str = ""


class Ending(Struct, frozen=True, omit_defaults=True):
    """How an earlier process of the service ended that did not stop by itself."""

    noticed_at: str  # When the next process found it; RFC 3339 UTC.
    how: Literal["killed", "out_of_memory"]
    pid: int
    memory_bytes: int = 0  # The last that it noted.
    memory_limit_bytes: int = 0


class TableSize(Struct, frozen=True):
    table: str
    bytes: int  # With indexes and what lies out of line.
    live_rows: int  # Postgres' estimate.
    dead_rows: int


class Vitals(Struct, frozen=True, omit_defaults=True):
    service: str
    version: str
    host: str
    pid: int
    started_at: str
    memory_bytes: int
    memory_limit_bytes: int = 0  # 0: none.
    database: str = ""  # Why it does not answer; empty where it does.
    database_ms: float = 0.0
    unsafe: tuple[str, ...] = ()  # Settings of the database with which a cut of the power loses commits, or pages.
    flows: tuple[FlowVitals, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    endings: tuple[Ending, ...] = ()  # Of the last hour.
    parked_oldest_seconds: float = 0.0
    tables: tuple[TableSize, ...] = ()  # The largest first.


# ------------------------------------------------------------------ alarms

AlarmKind = Literal["stall", "silence"]
Cause = Literal[
    "process_gone",
    "out_of_memory",
    "keeps_dying",
    "hangs",
    "database_away",
    "blocked_by_lock",
    "poison_message",
    "code_is_wrong",
    "passing",
    "long_batch",
    "not_consumed",
    "paused",
    "silent",
    "unknown",
]


class AlarmsRequest(Struct, frozen=True):
    ended: bool = False  # Also those that are over, of the last week.
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Alarm(Struct, frozen=True, omit_defaults=True):
    """Something stands still that should move."""

    kind: AlarmKind
    about: str  # The flow, or the satellite.
    cause: Cause
    since: str  # RFC 3339 UTC.
    told: str  # What is wrong and why, for people.
    told_zh: str
    next_step: str
    ended_at: str = ""
    waiting: int = 0  # Messages.


class Alarms(Struct, frozen=True):
    alarms: tuple[Alarm, ...]  # The newest first.


# ------------------------------------------------------------------ the checkup

CheckState = Literal["ok", "look", "wrong", "unknown"]


class CheckupRequest(Struct, frozen=True):
    tables: bool = True


class Check(Struct, frozen=True, omit_defaults=True):
    """One question about the stack's health, and its answer."""

    name: str
    state: CheckState
    found: str  # What is so, in one sentence.
    why: str = ""  # Why it matters; only where something is not well.
    next_step: str = ""
    runbook: str = ""  # docs/runbooks/<this>.md


class Checkup(Struct, frozen=True):
    at: str
    checks: tuple[Check, ...]
    took_ms: float


# ------------------------------------------------------------------ the source census


class Listed(Struct, frozen=True, omit_defaults=True):
    """One order as its source lists it. What the source does not tell is not compared."""

    number: Number
    amount_minor: int | None = None  # With tax, in minor units of `currency`.
    currency: str = ""
    date: str = ""  # ISO 8601, the source's business day.


class CensusRequest(Struct, frozen=True):
    """A part of a satellite's own list. Nothing is changed by asking."""

    satellite: str
    orders: Annotated[tuple[Listed, ...], Meta(max_length=5_000)]


class Counted(Struct, frozen=True, omit_defaults=True):
    """An order that is not here as its source has it. Those that are, are only counted."""

    number: str
    state: Literal["missing", "quarantined", "dismissed", "differs"]
    amount_minor: int = 0  # Ours.
    currency: str = ""
    date: str = ""
    fields: tuple[str, ...] = ()  # That differ.
    intake_id: str = ""
    reason: str = ""  # Why it is in quarantine.


class CensusPart(Struct, frozen=True, omit_defaults=True):
    agree: int
    found: tuple[Counted, ...]
    # Numbers of the list under which nothing is here, while the same with or without a leading # is: taken as the same.
    other_sign: tuple[Number, ...] = ()


def other_sign(number: str) -> str:
    """#1001 -> 1001, and 1001 -> #1001: shops write order numbers for people, and documents without the sign."""
    return number[1:] if number.startswith("#") else f"#{number}"


class OursRequest(Struct, frozen=True):
    """Which orders of a satellite we have by business day, for those that its list does not have."""

    satellite: str
    first_day: str  # ISO 8601, both included.
    last_day: str
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 5_000


class Ours(Struct, frozen=True, omit_defaults=True):
    numbers: tuple[str, ...]
    next: int = 0  # 0: that was all.


class SatelliteRhythm(Struct, frozen=True, omit_defaults=True):
    """How long a satellite has been silent, and how likely that is by its own rhythm."""

    satellite: str
    last_at: str  # RFC 3339 UTC; empty: nothing in the days that count.
    silent_seconds: float
    expected: float  # Minutes with documents that its own rhythm would have had in this silence.
    alarming: bool
    held: bool = False


class RhythmsRequest(Struct, frozen=True):
    satellite: str = ""


class Rhythms(Struct, frozen=True):
    satellites: tuple[SatelliteRhythm, ...]


class LeafSite(Struct, frozen=True, omit_defaults=True):
    """A leaf site's own stream, which the hub copies, as the gateway saw it last."""

    site: str
    state: Literal["ok", "away", "missing"] = "away"  # Away: the line is cut, so nobody here can look.
    since: str = ""  # RFC 3339 UTC, of `state`.
    remade_at: str = ""  # Somebody deleted it, and it was made anew then, empty.
    lost_first: int = 0  # Places in the one before it, seen there and never copied by the hub; 0: none was seen.
    lost_last: int = 0
    seen_at: str = ""  # What was sold after this, and was not copied when it was deleted, nobody here has seen.


class SitesRequest(Struct, frozen=True):
    pass


class LeafSites(Struct, frozen=True):
    sites: tuple[LeafSite, ...]


LIST_ALARMS = Operation(
    "control.alarms",
    "GET",
    "/v1/alarms",
    AlarmsRequest,
    Alarms,
    "What stands still that should move: flows with their probable cause, satellites that are silent.",
)
CHECKUP = Operation(
    "control.checkup",
    "GET",
    "/v1/checkup",
    CheckupRequest,
    Checkup,
    "All checks of the suite's health: what is wrong, why it matters, the next step.",
)
CENSUS = Operation(
    "gateway.census",
    "POST",
    "/v1/satellites/{satellite}/census",
    CensusRequest,
    CensusPart,
    "Compare a part of a satellite's own list of orders with what has arrived; only differences are told.",
)
CENSUS_OURS = Operation(
    "gateway.census_ours",
    "GET",
    "/v1/satellites/{satellite}/census",
    OursRequest,
    Ours,
    "Numbers of the orders that we have of a satellite, by business day.",
)
RHYTHMS = Operation(
    "gateway.rhythms",
    "GET",
    "/v1/rhythms",
    RhythmsRequest,
    Rhythms,
    "Since when each satellite has been silent, and whether that is unusual for it.",
)
SITES = Operation(
    "gateway.sites",
    "GET",
    "/v1/sites",
    SitesRequest,
    LeafSites,
    "Each leaf site's own stream: whether it is there, and what was lost where somebody deleted it.",
)
OPERATIONS = (LIST_ALARMS, CHECKUP, CENSUS, CENSUS_OURS, RHYTHMS, SITES)
