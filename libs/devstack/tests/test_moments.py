"""Every command tells a moment in the terminal's zone, and with its offset."""

import io
import re
import time
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from tieout.contracts.control import Journey, Journeys, JourneyStep
from tieout.devstack import journey, moments
from tieout.devstack.terminal import Screen

AT = datetime(2026, 3, 28, 16, 5, 7, 250_000, tzinfo=UTC)


@pytest.fixture
def in_zone(monkeypatch):
    def go(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield go
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "2026-03-28 16:05:07 UTC"),
        ("Asia/Shanghai", "2026-03-29 00:05:07 UTC+08:00"),
        ("America/St_Johns", "2026-03-28 13:35:07 UTC-02:30"),
        ("Europe/Berlin", "2026-03-28 17:05:07 UTC+01:00"),
    ],
)
def test_a_moment_is_of_the_terminals_zone_whatever_zone_it_came_in(in_zone, zone, told):
    in_zone(zone)
    for same in (AT, "2026-03-28T16:05:07.250Z", "2026-03-28T16:05:07.25", AT.replace(tzinfo=None)):
        assert moments.moment(same) == told
    assert moments.moment(AT.astimezone(timezone(timedelta(hours=9)))) == told


def test_below_a_heading_the_time_alone_is_told_while_day_and_offset_are_the_headings(in_zone):
    in_zone("Europe/Berlin")
    assert moments.moment(AT, millis=True) == "2026-03-28 17:05:07.250 UTC+01:00"
    assert moments.clock(AT + timedelta(seconds=1), AT) == "17:05:08.250"
    after_midnight = AT.replace(hour=23)
    assert moments.clock(after_midnight, AT) == "2026-03-29 00:05:07.250 UTC+01:00"
    in_summer = AT.replace(day=29, hour=2)  # The clock went forward at 01:00 UTC of that day.
    assert moments.clock(in_summer, after_midnight) == "2026-03-29 04:05:07.250 UTC+02:00"


def test_a_day_of_business_keeps_its_own_zone(in_zone):
    in_zone("America/St_Johns")
    assert moments.day(date(2026, 11, 30), "Asia/Shanghai") == "2026-11-30 (Asia/Shanghai)"


def test_a_journey_tells_the_offset_in_its_heading(in_zone):
    in_zone("Asia/Shanghai")
    at = "2026-03-28T16:05:07.250Z"
    step = JourneyStep(0, "order", "placed", at)
    console = Screen(file=io.StringIO(), width=120)
    journey.render(Journeys((Journey("1001", "C1", "o1", "00", at, at, 0.0, (step,)),)), console)
    heading, below = console.file.getvalue().splitlines()
    assert "2026-03-29 00:05:07.250 UTC+08:00" in heading
    assert below.endswith("00:05:07.250  order placed")


def test_no_command_writes_moments_its_own_way():
    own = re.compile(r"%H:%M|\[:1[69]\](?:\}|\.replace)")
    folder = Path(moments.__file__).parent
    found = [path.name for path in folder.glob("*.py") if path.name != "moments.py" and own.search(path.read_text())]
    assert found == []
