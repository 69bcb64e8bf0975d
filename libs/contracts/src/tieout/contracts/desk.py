"""How the desk works: which team looks after a service, how long a ticket may stand, and when people work.

All of it are settings: who changed what stands in `control.settings` and, over HTTP, in the gateway's audit log.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct
from tieout.contracts.operation import Operation

Team = Annotated[str, Meta(pattern=r"^[\w.-]{1,100}$")]
Clock = Literal["wall", "working"]
IsoDate = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class ServiceTeam(Struct, frozen=True):
    service: str
    team: str


class TicketDeadline(Struct, frozen=True):
    priority: int  # 1 at once, 2 today, 3 this week, 4 when there is time.
    due_minutes: int
    clock: Clock  # `working`: minutes of working hours; `wall`: of nights and holidays too.


class DeskHours(Struct, frozen=True):
    zone: str  # IANA: Asia/Shanghai.
    spans: str  # 09:00-12:00 13:00-18:00, of a working day.
    holidays: Literal["CN", "none"]  # Whose public holidays and worked weekends (调休) hold.


class CalendarYear(Struct, frozen=True):
    """`free` are holidays on weekdays, `worked` the weekend days that are worked instead. ISO 8601."""

    year: int
    source: str  # "company": entered here; "published": China's State Council, as this version knows it.
    free: tuple[str, ...]
    worked: tuple[str, ...]


class DeskRequest(Struct, frozen=True):
    year: Annotated[int, Meta(ge=0, le=9999)] = 0  # Whose days are shown; 0: this year.


class Desk(Struct, frozen=True, omit_defaults=True):
    teams: tuple[ServiceTeam, ...]
    deadlines: tuple[TicketDeadline, ...]
    hours: DeskHours
    year: CalendarYear | None = None  # None: nobody has published it; weekdays are counted.
    published_through: int = 0  # The last year whose days are known.
    note: str = ""


class PutTeam(Struct, frozen=True):
    """Who looks after a service from now on. Standing tickets stay where they are; `assign` moves one."""

    service: Annotated[str, Meta(min_length=1, max_length=40)]
    team: Team


class PutDeadline(Struct, frozen=True):
    """For tickets that open, or change their priority, from now on."""

    priority: Annotated[int, Meta(ge=1, le=4)]
    due_minutes: Annotated[int, Meta(ge=1, le=525_600)]
    clock: Clock = "working"


class PutHours(Struct, frozen=True):
    zone: Annotated[str, Meta(min_length=1, max_length=60)]
    spans: Annotated[str, Meta(min_length=1, max_length=200)]
    holidays: Literal["CN", "none"] = "CN"


class PutYear(Struct, frozen=True):
    """The company's own calendar of a year; it replaces what is published. Both empty: weekdays, and nothing else."""

    year: Annotated[int, Meta(ge=2000, le=2200)]
    free: Annotated[tuple[IsoDate, ...], Meta(max_length=366)] = ()
    worked: Annotated[tuple[IsoDate, ...], Meta(max_length=366)] = ()


SHOW_DESK = Operation(
    "control.desk",
    "GET",
    "/v1/desk",
    DeskRequest,
    Desk,
    "Which team looks after which service, how long a ticket may stand, and when people work.",
)
PUT_TEAM = Operation(
    "control.put_team", "PUT", "/v1/desk/teams/{service}", PutTeam, Desk, "Give a service to a team", scope="admin"
)
PUT_DEADLINE = Operation(
    "control.put_deadline",
    "PUT",
    "/v1/desk/deadlines/{priority}",
    PutDeadline,
    Desk,
    "How long a ticket of a priority may stand, in working hours or by the wall clock",
    scope="admin",
)
PUT_HOURS = Operation(
    "control.put_hours", "PUT", "/v1/desk/hours", PutHours, Desk, "When people work on a working day", scope="admin"
)
PUT_YEAR = Operation(
    "control.put_year",
    "PUT",
    "/v1/desk/years/{year}",
    PutYear,
    Desk,
    "The company's own holidays and worked weekends (调休) of a year",
    scope="admin",
)
OPERATIONS = (SHOW_DESK, PUT_TEAM, PUT_DEADLINE, PUT_HOURS, PUT_YEAR)
