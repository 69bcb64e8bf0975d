"""Whether a satellite's silence is unusual for it: a shop that sells at night is silent at noon without anybody caring.

The silence is laid over the same hours of earlier days. If these had so many minutes with documents that a silence
would come by chance once in a thousand times, and none of them was silent, it is alarming.
"""

from collections.abc import Sequence

from msgspec import Struct

DAYS = 14
EXPECTED_MIN = 7.0  # exp(-7) is a thousandth.
EXPECTED_MIN_YOUNG = 20.0  # Without a whole day behind it nobody knows its nights.
SILENT_SECONDS_MIN = 300.0
HISTORY_SECONDS_MIN = 3600.0
DAY_SECONDS = 86_400.0


class Silence(Struct, frozen=True):
    expected: float  # Minutes with documents.
    alarming: bool


def judge(silent_seconds: float, history_seconds: float, active_minutes: int, earlier: Sequence[int]) -> Silence:
    """`history_seconds`: from the first minute that is known to the last; `active_minutes` of them had documents.
    `earlier[k]`: minutes with documents in the same hours, k + 1 days ago.
    """
    whole_days = min(int((history_seconds + silent_seconds) // DAY_SECONDS), len(earlier))
    if whole_days == 0:
        rate = active_minutes * 60 / max(history_seconds, 60.0)
        expected = min(rate, 1.0) * silent_seconds / 60
        enough = history_seconds >= HISTORY_SECONDS_MIN and expected >= EXPECTED_MIN_YOUNG
        return Silence(round(expected, 1), enough and silent_seconds >= SILENT_SECONDS_MIN)
    weeks = [earlier[day] for day in (6, 13) if day < whole_days]
    like = weeks if len(weeks) == 2 else earlier[:whole_days]  # Sundays are like Sundays, once two of them are known.
    expected = sum(like) / len(like)
    alarming = silent_seconds >= SILENT_SECONDS_MIN and expected >= EXPECTED_MIN and min(like) > 0
    return Silence(round(expected, 1), alarming)
