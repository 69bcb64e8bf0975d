"""Names that people type into operations: what nobody can see in them would make another thing of the same name."""

import functools
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, inspect
from tieout.gateway.domain.plausible import looks_plain, seen

# Fields by which things are found again, where their type does not say so by a pattern.
NAMES = frozenset(
    (
        "actor",
        "company",
        "customer",
        "number",
        "order_no",
        "order_nos",
        "order_source",
        "satellite",
        "sku",
        "source",
        "to",
        "uom",
        "warehouse",
    )
)


@functools.cache
def keys_of(kind: type[Struct]) -> frozenset[str]:
    """Fields of a request, also deep inside, that are keys: by their name, or because their text has a pattern. The
    pattern alone is not enough: its `$` is also before a line break at the end."""
    found: set[str] = set()

    def look(name: str, told: inspect.Type) -> None:
        if isinstance(told, inspect.StructType):
            for field in told.fields:
                look(field.encode_name, field.type)
        elif isinstance(told, inspect.UnionType):
            for one in told.types:
                look(name, one)
        elif isinstance(told, inspect.ListType | inspect.VarTupleType):
            look(name, told.item_type)
        elif isinstance(told, inspect.StrType) and (told.pattern or name in NAMES):
            found.add(name)

    look("", inspect.type_info(kind))
    return frozenset(found)


def check_keys(told: Any, keys: frozenset[str], place: str = "", key: bool = False) -> None:
    """Raises Fault with the path of the first key that is not what it looks like."""
    if isinstance(told, str):
        if key and not looks_plain(told):
            seen(place, told)
    elif isinstance(told, Mapping):
        for name, inner in told.items():
            check_keys(inner, keys, f"{place}.{name}" if place else name, name in keys)
    elif isinstance(told, list):
        for index, inner in enumerate(told):
            check_keys(inner, keys, f"{place}[{index}]", key)
