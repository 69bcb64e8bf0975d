"""Working hours, holidays and worked weekends: when something is due, and how much time has passed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tieout.control.domain.hours import Calendar, Clock, Deadline, Unclear, after, between, spans_of
from tieout.control.office import china

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAYS, YEARS = china()
OFFICE = Calendar("Asia/Shanghai", spans_of("09:00-12:00 13:00-18:00"), DAYS, YEARS)
HOUR = timedelta(hours=1)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("since", "hours", "due"),
    [
        ("2026-11-23 09:00", 8, "2026-11-23 18:00"),  # A whole Monday: its lunch does not count.
        ("2026-11-23 17:30", 1, "2026-11-24 09:30"),  # Over night,
        ("2026-11-20 17:00", 2, "2026-11-23 10:00"),  # over the weekend,
        ("2026-11-21 03:00", 1, "2026-11-23 10:00"),  # from within it,
        ("2026-09-30 17:00", 2, "2026-10-08 10:00"),  # over the National Day's week,
        ("2026-09-18 17:00", 2, "2026-09-20 10:00"),  # and into a Sunday that is worked for it (调休).
        ("2026-10-09 17:00", 2, "2026-10-10 10:00"),  # So is this Saturday.
        ("2026-12-31 17:00", 2, "2027-01-01 10:00"),  # A Friday of a year that nobody has published.
    ],
)
def test_what_is_due_counts_working_hours_only(since: str, hours: int, due: str) -> None:
    assert after(OFFICE, local(since), hours * HOUR) == local(due)


def test_it_is_said_where_nobody_knows_the_holidays() -> None:
    clock = Clock(Deadline(120, "working"), OFFICE)
    assert clock.guesses(local("2026-12-31 17:00"), local("2027-01-01 10:00")) == (2027,)
    assert clock.guesses(local("2026-11-23 17:00"), local("2026-11-24 10:00")) == ()
    assert Clock(Deadline(120, "wall"), OFFICE).guesses(local("2026-12-31 17:00"), local("2027-01-01 10:00")) == ()
    nobody = Clock(Deadline(120, "working"), Calendar("UTC", ((540, 1080),)))
    assert nobody.guesses(local("2026-12-31 17:00"), local("2027-01-01 10:00")) == ()


def test_the_year_ends_where_the_zone_says() -> None:
    clock = Clock(Deadline(120, "working"), OFFICE)
    last = datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in Shanghai.
    assert (clock.guesses(last, last), clock.guesses(last, last + timedelta(seconds=1))) == ((), (2027,))


def test_an_hour_that_the_zone_skips_or_repeats_is_as_long_as_it_is() -> None:
    night = Calendar("Europe/Berlin", spans_of("00:00-24:00"), {date(2026, 3, 29): True, date(2026, 10, 25): True})
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25)):
        begins = datetime(day.year, day.month, day.day, tzinfo=berlin)
        ends = datetime(day.year, day.month, day.day + 1, tzinfo=berlin)
        assert between(night, begins, ends) == hours * HOUR
        assert after(night, begins, hours * HOUR) == ends


def test_a_calendar_without_a_working_day_counts_by_the_wall() -> None:
    never = Calendar("UTC", ((540, 1080),), {date(2026, 1, 1) + timedelta(days=n): False for n in range(2000)})
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert after(never, since, HOUR) == since + HOUR


instants = st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))
spans = st.lists(st.integers(0, 1440), min_size=2, max_size=6, unique=True).map(
    lambda ends: tuple(zip(*[iter(sorted(ends)[: len(ends) // 2 * 2])] * 2, strict=True))
)
zones = st.sampled_from(["Asia/Shanghai", "UTC", "America/New_York", "Australia/Lord_Howe"])
calendars = st.builds(
    Calendar,
    zones,
    spans,
    st.dictionaries(st.dates(date(2025, 1, 1), date(2027, 6, 30)), st.booleans(), max_size=40),
)
amounts = st.integers(1, 20_000).map(lambda seconds: timedelta(seconds=seconds))


@given(calendars, instants, amounts)
def test_until_something_is_due_exactly_its_time_has_passed(
    calendar: Calendar, since: datetime, left: timedelta
) -> None:
    due = after(calendar, since, left)
    assert due > since
    assert between(calendar, since, due) == left
    assert between(calendar, since, due - timedelta(seconds=1)) < left  # Not a second later than it must be.


@given(calendars, instants, amounts, amounts)
def test_time_adds_up_wherever_it_is_parted(
    calendar: Calendar, since: datetime, one: timedelta, two: timedelta
) -> None:
    assert after(calendar, after(calendar, since, one), two) == after(calendar, since, one + two)
    middle, end = since + one, since + one + 100 * two
    assert between(calendar, since, middle) + between(calendar, middle, end) == between(calendar, since, end)


@given(calendars, instants, amounts, amounts)
def test_what_waits_is_due_later_by_the_time_that_it_waited(
    calendar: Calendar, since: datetime, left: timedelta, waited: timedelta
) -> None:
    """Paused and gone on with, something has as much of its time as it had."""
    clock = Clock(Deadline(1, "working"), calendar)
    due = after(calendar, since, left)
    again = clock.after(since + waited, clock.between(since, due))
    assert between(calendar, since + waited, again) == left
    assert again >= due


@pytest.mark.parametrize("text", ["", "9-12", "12:00-09:00", "09:00-12:00 11:00-13:00", "09:00-25:00", "09:60-10:00"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Unclear):
        spans_of(text)
