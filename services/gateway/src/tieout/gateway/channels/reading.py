"""JSON as satellites send it: decoded once, and every way in which it cannot be is one Fault."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from tieout.gateway.domain.faults import Fault

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
NUL = b"\\u0000"

decode = msgspec.json.Decoder().decode


def read_object(body: bytes) -> dict[str, Any]:
    try:
        document = decode(body)
    except UNREADABLE as error:
        raise Fault("unreadable", "", f"no JSON: {str(error) or type(error).__name__}") from None
    if type(document) is not dict:
        raise Fault("unreadable", "", "a JSON object is expected")
    return document


def refuse_nul(body: bytes) -> None:
    """Postgres keeps no NUL character. Looked for only where the escape stands in the bytes."""
    if NUL in body and (field := _find_nul(decode(body))) is not None:
        raise Fault("bad_text", field, "the character U+0000 cannot be kept")


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
            found: ZoneInfo | None = ZoneInfo(name)
        except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError.
            found = None
        except KeyError:
            found = None
        if len(_zones) > 2000:
            _zones.clear()
        _zones[name] = found
    zone = _zones[name]
    if zone is None:
        raise Fault("bad_value", "zone", f"{name[:60]!r} is no time zone like Europe/Berlin")
    return zone
