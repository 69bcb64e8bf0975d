"""How a moment is told: in the zone of this terminal (TZ), and always with its offset.

    2026-11-23 16:05:07 UTC+08:00

Days of business (a business date, the last day of a month) are of their company and stay what they are; where a reader
could take them for his own, its zone stands beside them. `--json` tells moments as the services do: UTC, ISO 8601.
"""

from datetime import UTC, date, datetime


def moment(at: datetime | str, *, millis: bool = False) -> str:
    """2026-11-23 16:05:07 UTC+08:00. What tells no zone itself is UTC, as all that services keep."""
    told = local(at)
    return f"{told:%Y-%m-%d} {_clock(told, millis=millis)} {offset(told)}"


def clock(at: datetime | str, beside: datetime | str) -> str:
    """16:05:07.250 below a heading that tells the moment `beside`; the whole moment where day or offset are not its."""
    told, heading = local(at), local(beside)
    if (told.date(), told.utcoffset()) == (heading.date(), heading.utcoffset()):
        return _clock(told, millis=True)
    return moment(at, millis=True)


def day(of: date, zone: str) -> str:
    """2026-11-30 (Asia/Shanghai)"""
    return f"{of} ({zone})"


def offset(at: datetime) -> str:
    """UTC+08:00; plain UTC where that is the zone."""
    told = f"{at:%z}"
    return "UTC" if not int(told) else f"UTC{told[:3]}:{told[3:5]}"


def local(at: datetime | str) -> datetime:
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone()


def _clock(at: datetime, *, millis: bool) -> str:
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" if millis else f"{at:%H:%M:%S}"
