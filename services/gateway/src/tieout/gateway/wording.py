"""What msgspec found wrong, in words for whoever sent it: what is expected, never how we call it in Python."""

import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from tieout.contracts import currency

_PLACE = re.compile(r" - at `\$([^`]*)`$")
_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "uuid": "an id (UUID)",
    "date": "a date like 2026-11-23",
    "datetime": "a time with its offset like 2026-11-23T08:00:00Z",
}
_LIMIT = re.compile(r"^Expected `(\w+)`( of length)? (>=|<=|>|<) (-?[\d.]+)")
_TYPE = re.compile(r"^Expected `([^`]+)`, got `(\w+)`")
_WRITTEN = {
    "Invalid UUID": _NAMES["uuid"],
    "Invalid RFC3339 encoded datetime": _NAMES["datetime"],
    "Invalid RFC3339 encoded date": _NAMES["date"],
}
# What a pattern of the contracts asks for: who sends a document reads no regular expressions.
_FORMS = {
    r"^(\d{4}-(0[1-9]|1[0-2]))?$": "a month as year and month like 2026-11, or nothing",
    r"^\d{4}-(0[1-9]|1[0-2])$": "a month as year and month like 2026-11",
    r"^\d{4}-\d{2}$": "a month as year and month like 2026-11",
    r"^\d{4}-\d{2}-\d{2}$": "a date like 2026-11-23",
    r"^[A-Z0-9][A-Z0-9_-]{0,15}$": "a company's code like C1 (capital letters, digits, - and _, up to 16)",
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$": "a name like web-1 (letters, digits, - and _, up to 32)",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "a name like anna.li (letters, digits, '.', - and _, up to 64)",
    r"^[^\s,][^,\x00-\x1f]{0,99}$": "a name like Anna Li (no commas, up to 100 characters)",
    r"^[\w.-]{1,100}$": "a team's name like books (letters, digits, '.', - and _, up to 100)",
    r"^[0-9]{1,9}(\.[0-9]{1,6})?$": "an exact decimal like 7.1034 (up to 6 decimals)",
    r"^\d{4}(\.\d{2}){0,3}$": "an account's code like 6001 or 2221.01.04",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def explained(message: str, kind: Any) -> tuple[str, str]:
    """(path, sentence without its full stop) of an error of msgspec about a value that should be a `kind`."""
    found = _PLACE.search(message)
    path = found[1].removeprefix(".") if found else ""
    text = _PLACE.sub("", message)
    if "missing required field" in text:
        name = text.split("`")[1]
        return (f"{path}.{name}" if path else name), "this field is required"
    if text.startswith("Invalid enum value"):
        given = text.removeprefix("Invalid enum value ").strip("'")
        allowed = _allowed(_type_at(kind, path))
        if len(allowed) >= len(currency.EXPONENTS):
            return path, currency.refused(given)
        return (
            path,
            f"{given[:60]!r} is none of: {', '.join(map(_shown, allowed))}"
            if allowed
            else f"{given!r} is not possible",
        )
    for beginning, expected in _WRITTEN.items():
        if text.startswith(beginning):
            return path, f"{expected} is expected"
    if (limit := _LIMIT.match(text)) is not None:
        name, length, bound, number = limit.groups()
        counted = {"str": ("character", "characters"), "array": ("entry", "entries")}.get(name) if length else None
        told = f" of {_BOUNDS[bound]} {number}" + (f" {counted[number != '1']}" if counted else "")
        return path, f"{_NAMES.get(name, name)}{told} is expected"
    if (wrong := _TYPE.match(text)) is not None:
        if wrong[1] == "int" and wrong[2] == "float":
            return path, "a whole number in digits alone is expected, like 1000000: no fraction and no exponent"
        expected = " or ".join(_NAMES.get(name.strip(), name.strip()) for name in wrong[1].split("|"))
        return path, f"{expected} is expected, not {_NAMES.get(wrong[2], wrong[2])}"
    if "matching regex" in text:
        quoted = text.partition("matching regex ")[2]
        form = next((form for pattern, form in _FORMS.items() if repr(pattern) == quoted), "")
        return path, f"{form} is expected" if form else f"a text of this form is expected: {quoted.strip(chr(39))}"
    return path, text


def _shown(value: object) -> str:
    return '""' if value == "" else str(value)


def _type_at(kind: Any, path: str) -> Any:
    """The annotation at this path below `kind`; None where there is none."""
    for step in _STEP.findall(path):
        for candidate in _unfolded(kind):
            origin, inner = get_origin(candidate), get_args(candidate)
            if step.startswith("[") and origin in (tuple, list, dict):
                kind = inner[1] if origin is dict else inner[0]
                break
            if isinstance(candidate, type) and issubclass(candidate, Struct):
                fields = {field.encode_name: field.type for field in msgspec.structs.fields(candidate)}
                if step in fields:
                    kind = fields[step]
                    break
        else:
            return None
    return kind


def _unfolded(kind: Any) -> list[Any]:
    """Without Annotated, and each alternative of a union on its own."""
    if get_origin(kind) is Annotated:
        return _unfolded(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [found for one in get_args(kind) for found in _unfolded(one)]
    return [kind]


def _allowed(kind: Any) -> list[Any]:
    return [value for one in _unfolded(kind) if get_origin(one) is Literal for value in _literals(one)]


def _literals(kind: Any) -> list[Any]:
    """Flat: Literal[Literal["a", "b"], ""] is "a", "b", ""."""
    return [value for one in get_args(kind) for value in (_literals(one) if get_origin(one) is Literal else [one])]
