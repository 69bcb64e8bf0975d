"""Compiles a mapping, which is data, to closures. A mapping is a table of fields; a field is one of

    "customer.id"                                   the value at this path, as it is
    { from = "customer.id", cast = "text" }         cast: see casts.py
    { from = ["processed_at", "created_at"] }       the first that is there
    { from = "…", required = true }                 a Fault `missing` instead of None
    { from = "…", default = "ANON" }
    { from = "…", map = { yes = 1 } }               by table; what is not in it is a Fault, unless
    { from = "…", map = { … }, otherwise = "keep" } it is kept, or ("default") replaced by the default
    { from = "…", default_from = "satellite.zone" }
    { const = 1 }
    { concat = ["cancel-", "id"] }                  texts; each part is a field or `= literal`
    { sum = "tax_lines.price", cast = "micro" }     over a list; nothing there is 0
    { each = "line_items", fields = { … }, start = 1, ordinal = "line_no", unless = { path = "…", is = [0] } }
    { fields = { … } }                              a table inside the table

Paths start at the item at hand; `^.` starts at the document, `satellite.` at what the gateway knows of its sender.
A field that is not there is None. A value that cannot be read raises Fault with its path in the document.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from typing import Any

from tieout.gateway.domain.faults import Fault
from tieout.gateway.mapping.casts import CASTS, REASONS

Item = dict[str, Any]
Scope = tuple[Item, Item]  # The whole document, and the satellite.
Field = Callable[[Any, Scope], Any]
Mapping = Callable[[Item, Item], Item]  # (document, satellite) -> fields

LINES_MAX = 10_000  # As the contracts allow.

_KEYS = {
    "from": {"from", "cast", "required", "default", "default_from", "map", "otherwise", "reason"},
    "const": {"const"},
    "concat": {"concat"},
    "sum": {"sum", "cast", "reason"},
    "each": {"each", "fields", "start", "ordinal", "required", "unless"},
    "fields": {"fields"},
}


class SpecError(Exception):
    """The mapping itself is wrong. Names the field of the mapping."""


def compile_mapping(fields: AnyMapping[str, Any], place: str = "mapping") -> Mapping:
    """Raises SpecError. The result raises Fault, and keeps the order of the fields."""
    table = _table(fields, place)

    def mapping(document: Item, satellite: Item) -> Item:
        return table(document, (document, satellite))  # type: ignore[no-any-return]

    return mapping


def _compile(spec: Any, place: str) -> Field:
    if isinstance(spec, str):
        return _getter(spec, place)
    if not isinstance(spec, dict):
        raise SpecError(f"{place}: a path or a table is expected, not {spec!r}")
    kind = next((name for name in _KEYS if name in spec), None)
    if kind is None:
        raise SpecError(f"{place}: one of {', '.join(_KEYS)} is expected")
    if unknown := set(spec) - _KEYS[kind]:
        raise SpecError(f"{place}: {', '.join(sorted(unknown))} does not go with {kind}")
    return {
        "from": _from,
        "const": _const,
        "concat": _concat,
        "sum": _sum,
        "each": _each,
        "fields": _fields,
    }[kind](spec, place)


def _fields(spec: AnyMapping[str, Any], place: str) -> Field:
    return _table(spec["fields"], place)


def _table(fields: AnyMapping[str, Any], place: str) -> Field:
    compiled = [(name, _compile(spec, f"{place}.{name}")) for name, spec in fields.items()]

    def table(item: Any, scope: Scope) -> Item:
        if type(item) is not dict:
            raise Fault("wrong_type", "", "an object is expected here")
        return {name: field(item, scope) for name, field in compiled}

    return table


def _getter(path: str, place: str) -> Field:
    parts = path.split(".")
    if not all(parts):
        raise SpecError(f"{place}: {path!r} is no path")
    origin = {"^": 0, "satellite": 1}.get(parts[0])
    if origin is not None:
        parts = parts[1:]
        if not parts:
            raise SpecError(f"{place}: {path!r} names nothing")
    if origin is None and len(parts) == 1:
        key = parts[0]
        return lambda item, scope: item.get(key)

    def walk(item: Any, scope: Scope) -> Any:
        value = item if origin is None else scope[origin]
        for part in parts:
            if type(value) is not dict:
                return None
            value = value.get(part)
        return value

    return walk


def _shown(path: str) -> str:
    """A path as a Fault tells it."""
    return path.removeprefix("^.")


def _from(spec: AnyMapping[str, Any], place: str) -> Field:
    paths = [spec["from"]] if isinstance(spec["from"], str) else list(spec["from"])
    getters = [(_shown(path), _getter(path, place)) for path in paths]
    cast = _cast(spec, place)
    required, default, table = spec.get("required", False), spec.get("default"), spec.get("map")
    elsewhere = _getter(spec["default_from"], place) if "default_from" in spec else None
    reason = spec.get("reason") or REASONS.get(spec.get("cast", ""), "wrong_type")
    otherwise = spec.get("otherwise")
    if otherwise not in (None, "keep", "default"):
        raise SpecError(f'{place}: otherwise is "keep" or "default"')
    (shown, only), *others = getters
    if len(paths) == 1 and table is None and elsewhere is None and "." not in paths[0] and cast is not None:
        return _simple(paths[0], cast, reason, default, required=required)

    def field(item: Any, scope: Scope) -> Any:
        value, name = only(item, scope), shown
        if value is None:
            for other, getter in others:
                if (value := getter(item, scope)) is not None:
                    name = other
                    break
        if value is None or value == "":
            if required:
                raise Fault("missing", shown, "this field is required")
            return default if elsewhere is None else elsewhere(item, scope)
        if cast is not None:
            try:
                value = cast(value)
            except ValueError as error:
                raise Fault(reason, name, str(error)) from None
            except Fault as fault:
                raise fault.inside(name) from None
        if table is not None:
            word = value if type(value) is str else _word(value)
            if word in table:
                return table[word]
            if otherwise is None:
                raise Fault("bad_value", name, f"{word[:40]!r} is none of {', '.join(table)}")
            return value if otherwise == "keep" else default
        return value

    return field


def _simple(key: str, cast: Callable[[Any], Any], reason: str, default: Any, *, required: bool) -> Field:
    """The same for the most frequent case, a field of the item itself, at half the cost."""

    def field(item: Any, scope: Scope) -> Any:
        value = item.get(key)
        if value is None or value == "":
            if required:
                raise Fault("missing", key, "this field is required")
            return default
        try:
            return cast(value)
        except ValueError as error:
            raise Fault(reason, key, str(error)) from None
        except Fault as fault:
            raise fault.inside(key) from None

    return field


def _word(value: Any) -> str:
    """As a table of a mapping writes it: true, 5."""
    return str(value).lower()


def _cast(spec: AnyMapping[str, Any], place: str) -> Callable[[Any], Any] | None:
    name = spec.get("cast")
    if name is None:
        return None
    if name not in CASTS:
        raise SpecError(f"{place}: there is no cast {name!r}; there are {', '.join(CASTS)}")
    return CASTS[name]


def _const(spec: AnyMapping[str, Any], place: str) -> Field:
    value = spec["const"]
    return lambda item, scope: value


def _concat(spec: AnyMapping[str, Any], place: str) -> Field:
    if not isinstance(spec["concat"], Sequence) or isinstance(spec["concat"], str):
        raise SpecError(f"{place}: concat takes a list")
    parts = [_part(part, place) for part in spec["concat"]]

    def concat(item: Any, scope: Scope) -> str:
        return "".join("" if (value := part(item, scope)) is None else str(value) for part in parts)

    return concat


def _part(part: Any, place: str) -> Field:
    if isinstance(part, str) and part.startswith("= "):
        return _const({"const": part[2:]}, place)
    return _compile(part, place)


def _sum(spec: AnyMapping[str, Any], place: str) -> Field:
    head, _, tail = spec["sum"].rpartition(".")
    if not head:
        raise SpecError(f"{place}: sum takes the path of a list and a field in it, tax_lines.price")
    rows_of, cast = _getter(head, place), _cast(spec, place) or CASTS["micro"]
    reason, shown = spec.get("reason") or "bad_amount", _shown(head)

    def total(item: Any, scope: Scope) -> int:
        rows = rows_of(item, scope)
        if not rows:
            return 0
        if type(rows) is not list:
            raise Fault("wrong_type", shown, "a list is expected here")
        found = 0
        for index, row in enumerate(rows):
            try:
                value = row.get(tail)
                if value is not None:
                    found += cast(value)
            except (ValueError, AttributeError) as error:
                raise Fault(reason, f"{shown}[{index}].{tail}", str(error)) from None
        return found

    return total


def _each(spec: AnyMapping[str, Any], place: str) -> Field:
    path = spec["each"]
    rows_of, shown = _getter(path, place), _shown(path)
    table = _table(spec["fields"], place)
    required, ordinal, start = spec.get("required", False), spec.get("ordinal"), spec.get("start", 1)
    skip = spec.get("unless")
    skipped = None if skip is None else (_getter(skip["path"], place), list(skip["is"]))

    def each(item: Any, scope: Scope) -> list[Item]:
        rows = rows_of(item, scope)
        if not rows:
            if required:
                raise Fault("missing", shown, "at least one entry is required")
            return []
        if type(rows) is not list:
            raise Fault("wrong_type", shown, "a list is expected here")
        if len(rows) > LINES_MAX:
            raise Fault("too_many", shown, f"{len(rows)} entries; at most {LINES_MAX} are possible")
        found: list[Item] = []
        for index, row in enumerate(rows):
            try:
                if skipped is not None and type(row) is dict and skipped[0](row, scope) in skipped[1]:
                    continue
                entry = table(row, scope)
            except Fault as fault:
                raise fault.inside(f"{shown}[{index}]") from None
            if ordinal is not None:
                entry[ordinal] = start + len(found)
            entry["_at"] = index  # For messages about it.
            found.append(entry)
        return found

    return each
