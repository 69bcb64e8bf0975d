"""What a mapping can turn a JSON value into. Each raises ValueError with a sentence, or Fault with a better reason."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tieout.gateway.domain.amounts import micro_of_text
from tieout.gateway.domain.faults import Fault

Cast = Callable[[Any], Any]


def text(value: Any) -> str:
    """Numbers too: satellites disagree on whether an id is a number."""
    if type(value) is str:
        return value.strip()
    if type(value) is int:
        return str(value)
    raise ValueError(f"a text is expected, not {_kind(value)}")


def number(value: Any) -> str:
    """A document number as people write it: #1001 is 1001."""
    return text(value).removeprefix("#")


def micro(value: Any) -> int:
    """A decimal as millionths: 1.5, "1.5" and 1.50 are 1_500_000."""
    kind = type(value)
    if kind is str:
        return micro_of_text(value)
    if kind is int:
        if abs(value) > 10**15:
            raise ValueError("the number is out of range")
        return int(value) * 1_000_000
    if kind is float:
        return micro_of_text(repr(value))  # The shortest text that gives this float: what the source wrote.
    raise ValueError(f"a number is expected, not {_kind(value)}")


def whole(value: Any) -> int:
    if type(value) is int:
        return int(value)
    if type(value) is float:
        raise ValueError("a whole number in digits alone is expected, like 1000000: no fraction and no exponent")
    raise ValueError(f"a whole number is expected, not {_kind(value)}")


def flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise ValueError(f"true or false is expected, not {_kind(value)}")


def instant(value: Any) -> datetime:
    """RFC 3339 with its offset, as UTC."""
    if type(value) is not str:
        raise ValueError(f"a time like 2026-11-23T08:00:00+01:00 is expected, not {_kind(value)}")
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Fault("implausible_date", "", f"{value[:40]!r} is no time with its offset, like 2026-11-23T08:00:00+01:00")


def currency(value: Any) -> str:
    if type(value) is str and len(value) == 3 and value.isascii() and value.isupper() and value.isalpha():
        return value
    raise Fault("bad_currency", "", f"{str(value)[:40]!r} is no currency code like EUR")


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false", float: "a fraction"}.get(
        type(value), "a number" if type(value) is int else "nothing"
    )


CASTS: dict[str, Cast] = {
    "text": text,
    "number": number,
    "micro": micro,
    "whole": whole,
    "flag": flag,
    "instant": instant,
    "currency": currency,
}
# What a value of this cast is to people, where it cannot be read.
REASONS: dict[str, str] = {"micro": "bad_amount"}
