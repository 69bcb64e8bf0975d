"""When people work, and so when something is due. Pure: calendar and instants are arguments.

Working hours are spans of the local day, on days that a calendar calls worked: weekdays, without public holidays, with
the weekend days that are worked instead (调休). Of a year that nobody has published yet weekdays count, and it is said.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

LOOK_DAYS_MAX = 800  # A calendar without a working day in two years is a mistake; what is due then is due by the wall.
SATURDAY = 5

Span = tuple[int, int]  # Minutes of the local day, 0 to 1440; the first is worked, the last is not.


class Calendar(Struct, frozen=True):
    """`days` are the exceptions: a holiday is False, a worked weekend day True. `years`: those that are published."""

    zone: str
    spans: tuple[Span, ...]  # Ascending, apart from each other.
    days: Mapping[date, bool] = {}
    years: frozenset[int] | None = None  # None: nobody publishes any; weekdays are all there is to know.

    def works(self, day: date) -> bool:
        return self.days.get(day, day.weekday() < SATURDAY)

    def guesses(self, first: date, last: date) -> tuple[int, ...]:
        """The years between two days whose holidays nobody has published."""
        if self.years is None:
            return ()
        return tuple(year for year in range(first.year, last.year + 1) if year not in self.years)


class Deadline(Struct, frozen=True):
    """How long a ticket of a priority may stay open."""

    minutes: int
    clock: Literal["wall", "working"]


class Clock(Struct, frozen=True):
    """One priority's: by the wall, or by the working hours of `calendar`."""

    deadline: Deadline
    calendar: Calendar

    def due(self, since: datetime, paused: timedelta = timedelta()) -> datetime:
        """When what began at `since` is due, having waited for `paused` of its own time."""
        return self.after(since, timedelta(minutes=self.deadline.minutes) + paused)

    def after(self, since: datetime, left: timedelta) -> datetime:
        if self.deadline.clock == "wall":
            return since + left
        return after(self.calendar, since, left)

    def between(self, since: datetime, until: datetime) -> timedelta:
        """How much of its time lies there; none where `until` is not later."""
        if until <= since:
            return timedelta()
        return until - since if self.deadline.clock == "wall" else between(self.calendar, since, until)

    def guesses(self, since: datetime, until: datetime) -> tuple[int, ...]:
        """The years whose holidays nobody knew when this was counted."""
        if self.deadline.clock == "wall":
            return ()
        zone = ZoneInfo(self.calendar.zone)
        return self.calendar.guesses(since.astimezone(zone).date(), until.astimezone(zone).date())


def after(calendar: Calendar, since: datetime, left: timedelta) -> datetime:
    """The instant at which `left` of working time has passed since; the end of a span rather than the next one's
    beginning."""
    if left <= timedelta():
        return since
    rest = left
    for begins, ends in _stretches(calendar, since, LOOK_DAYS_MAX):
        if rest <= ends - begins:
            return begins + rest
        rest -= ends - begins
    return since + left


def between(calendar: Calendar, since: datetime, until: datetime) -> timedelta:
    """Working time from one instant to another."""
    total = timedelta()
    for begins, ends in _stretches(calendar, since, (until - since).days + 2):
        if begins >= until:
            break
        total += min(ends, until) - begins
    return total


def _stretches(calendar: Calendar, since: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
    """Working time from `since` on, in UTC: so an hour that the zone skips or repeats is counted as long as it is."""
    zone = ZoneInfo(calendar.zone)
    first = since.astimezone(zone).date()
    for ahead in range(days + 1):
        day = first + timedelta(days=ahead)
        if not calendar.works(day):
            continue
        for begins, ends in calendar.spans:
            start, end = max(_at(day, begins, zone), since.astimezone(UTC)), _at(day, ends, zone)
            if start < end:
                yield start, end


def _at(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    if minutes == 24 * 60:
        return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    return datetime.combine(day, time(*divmod(minutes, 60)), zone).astimezone(UTC)


class Unclear(ValueError):
    """What was given as working hours is none; the words say what would be."""


def spans_of(text: str) -> tuple[Span, ...]:
    """`09:00-12:00 13:00-18:00`. Raises Unclear."""
    found: list[Span] = []
    for part in text.split():
        begins, dash, ends = part.partition("-")
        span = (_minutes(begins, part), _minutes(ends, part))
        if not dash or span[0] >= span[1] or (found and span[0] < found[-1][1]):
            raise Unclear(f"{part!r}: spans have a beginning before their end, and come one after the other.")
        found.append(span)
    if not found:
        raise Unclear("Give at least one span, as 09:00-18:00.")
    return tuple(found)


def _minutes(text: str, part: str) -> int:
    hours, colon, minutes = text.partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2 and int(minutes) < 60):
        raise Unclear(f"{part!r} is no span of a day: write 09:00-12:00.")
    found = int(hours) * 60 + int(minutes)
    if found > 24 * 60:
        raise Unclear(f"{part!r}: a day ends at 24:00.")
    return found
