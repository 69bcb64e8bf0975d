"""JSON as satellites send it: decoded once, and every way in which it cannot be is one Fault."""

import json
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from tieout.contracts.zones import day_in, zone_named
from tieout.gateway.domain.faults import Fault

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
NUL = b"\\u0000"

decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_LOW_CHARACTER, _COLON_ESCAPED = b"\\u00", b"\\u003"  # How the escapes begin that matter here.


def read_object(body: bytes) -> dict[str, Any]:
    try:
        document = decode(body)
    except UNREADABLE as error:
        raise Fault("unreadable", "", f"no JSON: {str(error) or type(error).__name__}") from None
    if type(document) is not dict:
        raise Fault("unreadable", "", "no JSON object, and one is expected")
    return document


def inspect(body: bytes, document: Any) -> None:
    """Refuses what a decoder passes over: a field that stands twice in one object, where readers disagree on which one
    counts, and the character U+0000, which no database of ours keeps.

    A decoded document has lost the first of the two fields, so that written again it has fewer colons than what came.
    That costs 2 us for 3 kB, 5 us where a sender writes blanks or escapes; each field is only looked at where the
    numbers differ, or where an escaped colon could make them equal.
    """
    backslash = body.find(b"\\")
    escapes = backslash >= 0 and body.find(_LOW_CHARACTER, backslash) >= 0
    if escapes and NUL in body and (field := _find_nul(document)) is not None:
        raise Fault("bad_text", field, "the character U+0000 cannot be kept")
    written = _encode(document)
    if written == body:
        return
    doubtful = written.count(b":") != body.count(b":") or (escapes and _COLON_ESCAPED in body)
    if doubtful and (field := repeated_field(body)) is not None:
        raise Fault("repeated_field", field, "this field stands twice in one object; send the one that is meant")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with everything that it says."""


def repeated_field(body: bytes) -> str | None:
    """The path of the first field that stands twice in its object; slow."""
    return _find_repeated(json.loads(body, object_pairs_hook=_Pairs, parse_int=str, parse_float=str))


def _find_repeated(value: Any) -> str | None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            if name in seen:
                return name
            seen.add(name)
            if (found := _find_repeated(inner)) is not None:
                return f"{name}{found}" if found.startswith("[") else f"{name}.{found}"
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if (found := _find_repeated(inner)) is not None:
                return f"[{index}]{found}" if found.startswith("[") else f"[{index}].{found}"
    return None


def _find_nul(value: Any) -> str | None:
    if isinstance(value, str):
        return "" if "\0" in value else None
    if isinstance(value, dict):
        for name, inner in value.items():
            if "\0" in name:
                return str(name).replace("\0", "\\0")
            if (found := _find_nul(inner)) is not None:
                return f"{name}.{found}" if found and not found.startswith("[") else f"{name}{found}"
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if (found := _find_nul(inner)) is not None:
                return f"[{index}].{found}" if found and not found.startswith("[") else f"[{index}]{found}"
    return None


_zones: dict[str, ZoneInfo | None] = {}


def zone_of(name: str) -> ZoneInfo:
    """Reading a zone costs a file; there are about 600."""
    if name not in _zones:
        try:
            found: ZoneInfo | None = zone_named(name)
        except ValueError:
            found = None
        if len(_zones) > 2000:
            _zones.clear()
        _zones[name] = found
    zone = _zones[name]
    if zone is None:
        raise Fault("bad_value", "zone", f"{name[:60]!r} is no time zone like Europe/Berlin")
    return zone


def business_day(at: datetime, zone: str) -> date:
    """The day of `at` there."""
    try:
        return day_in(at, zone_of(zone))
    except ValueError as error:
        raise Fault("implausible_date", "occurred_at", str(error)) from None
