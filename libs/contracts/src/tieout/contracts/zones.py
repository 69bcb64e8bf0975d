"""Time zones by name: those of the tz database, and nothing else that a machine keeps beside them.

`posixrules`, `localtime` and `Factory` load as well, where a machine has them, but mean something else on each.
"""

from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

_NO_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@cache
def zone_names() -> frozenset[str]:
    """About 600; finding them costs a tenth of a second, once per process."""
    return frozenset(
        name for name in available_timezones() if name not in _NO_ZONES and not name.startswith(("posix/", "right/"))
    )


def zone_named(name: str) -> ZoneInfo:
    """Raises ValueError where there is none of this name."""
    if name not in zone_names():
        raise ValueError(f"{name[:60]!r} is no time zone like Europe/Berlin")
    return ZoneInfo(name)


def day_in(at: datetime, zone: ZoneInfo) -> date:
    """The day of this moment there. Raises ValueError in the first and last hours of the calendar, which have none."""
    try:
        return at.astimezone(zone).date()
    except OverflowError:
        raise ValueError(f"{at.isoformat()} is too long ago or in the future") from None
