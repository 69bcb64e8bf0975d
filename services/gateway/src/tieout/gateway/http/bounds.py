"""Numbers and times that no database of ours can hold: found here, because there they would look like our mistake."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

LARGEST = 2**63 - 1
NUMBER = f"a whole number from {-LARGEST - 1} to {LARGEST} is expected"
TIME = "a time is expected whose UTC lies in the years 1 to 9999"
# Nothing else can be out of bounds, so the rest of all requests costs one search.
_SUSPICIOUS = re.compile(rb'\d{19}|"(?:0001-01-0|9999-12-3)')


def out_of_bounds(request: Struct, content: bytes, *, texts: bool) -> tuple[str, str] | None:
    """(path, what is expected) of the first value that is. `content`: the request as JSON. `texts`: whether times
    may be told as texts, as some questions do."""
    if _SUSPICIOUS.search(content) is None:
        return None
    return next(_found(request, "", texts=texts), None)


def _found(value: Any, path: str, *, texts: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, Struct):
        for field in msgspec.structs.fields(value):
            below = f"{path}.{field.encode_name}" if path else field.encode_name
            yield from _found(getattr(value, field.name), below, texts=texts)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _found(one, f"{path}.{name}", texts=texts)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _found(one, f"{path}[{index}]", texts=texts)
    elif isinstance(value, int):
        if not -LARGEST - 1 <= value <= LARGEST:
            yield path, NUMBER
    elif isinstance(value, datetime):
        if not _is_in_utc(value):
            yield path, TIME
    elif texts and isinstance(value, str) and not _is_in_utc(_time(value)):
        yield path, TIME


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _is_in_utc(at: datetime | None) -> bool:
    try:
        return at is None or at.tzinfo is None or at.astimezone(UTC) is not None
    except OverflowError:
        return False
