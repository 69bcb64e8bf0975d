"""Instants that people write, and as we write them. Whatever is none is refused with the field's name: it is no mistake
of ours."""

from datetime import UTC, datetime

from tieout.servicekit.errors import Refused

FORM = "Write it like 2026-11-23T08:00:00Z."
SHOWN = 40  # Of what was written.


def written(at: datetime | None) -> str:
    """RFC 3339 UTC; "" for none."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else ""


def instant(text: str, field: str) -> datetime:
    """In UTC. Raises Refused where it is no time, says no zone, or lies so near to the calendar's ends that UTC has
    none of it: 0001-01-01T00:00:00+14:00 is of the year 0 there."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except ValueError:
        why = f"{text[:SHOWN]!r} is no time. {FORM}"
    except OverflowError:
        why = f"{text[:SHOWN]!r} is too long ago or in the future: its UTC has to lie in the years 1 to 9999. {FORM}"
    else:
        why = f"{text[:SHOWN]!r} says no zone: add Z or +08:00. {FORM}"
    raise Refused("invalid", why, field=field, status=422)
