"""When a silence is unusual, by the satellite's own earlier days."""

import pytest
from tieout.gateway.domain.rhythm import judge

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("silent", "history", "active", "earlier", "alarming"),
    [
        (HOUR, 5 * DAY, 2000, [40, 38, 45, 41, 39], True),  # Each day had forty such minutes; now none.
        (HOUR, 5 * DAY, 2000, [0, 38, 45, 41, 39], False),  # One day was as silent: it happens.
        (HOUR, 5 * DAY, 200, [3, 4, 2, 5, 3], False),  # Three documents an hour may stay away for an hour.
        (8 * HOUR, 5 * DAY, 200, [24, 30, 20, 25, 26], True),
        (200.0, 5 * DAY, 7000, [60, 60, 60, 60, 60], False),  # Too short for anybody to run.
        (10 * HOUR, 20 * DAY, 9000, [300, 290, 0, 0, 310, 305, 0, 300, 280, 0, 0, 300, 290, 0], False),  # A Sunday.
        (10 * HOUR, 20 * DAY, 9000, [0, 0, 300, 305, 310, 290, 300, 0, 0, 305, 300, 290, 280, 310], True),  # A Monday.
        (HOUR, 2 * HOUR, 120, [], True),  # Young, but it spoke every minute.
        (HOUR, 2 * HOUR, 20, [], False),
        (HOUR, 600.0, 10, [], False),  # Too young to know.
    ],
)
def test_a_silence_is_judged_by_the_same_hours_of_earlier_days(silent, history, active, earlier, alarming) -> None:
    assert judge(silent, history, active, earlier).alarming is alarming
