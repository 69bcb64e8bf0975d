"""Types that refuse fields which they do not know, also deep inside: what somebody wrote for a reason is never dropped.

The contracts themselves ignore such fields, because a newer sender may tell more than an older reader knows. What comes
in from outside is another matter: `tax` in the place of `tax_minor` would be a line without tax.
"""

import difflib
import functools
import operator
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

PREFIX = "Sent"  # Of the names in JSON Schemas: SentOrderLine is an OrderLine as it may be sent.


@functools.cache
def strict(kind: type[Struct]) -> Any:
    """A subclass of this Struct, and of every Struct inside, that refuses unknown fields. msgspec looks for them while
    it reads anyway, so that this costs nothing to speak of."""
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(kind):
        given = {"default": field.default} if field.default is not NODEFAULT else {}
        if field.default_factory is not NODEFAULT:
            given = {"default_factory": field.default_factory}
        fields.append((field.name, strict_type(field.type), msgspec.field(**given)))
    return msgspec.defstruct(
        f"{PREFIX}{kind.__name__}",
        fields,
        bases=(kind,),
        module=__name__,
        kw_only=True,
        frozen=kind.__struct_config__.frozen,
        forbid_unknown_fields=True,
    )


def strict_type(kind: Any) -> Any:
    """The same for an annotation: tuple[OrderLine, ...] is tuple[strict(OrderLine), ...]."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return strict(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(strict_type(inner[0]), *inner[1:])]
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(strict_type, inner))
    if origin in (tuple, list, dict):
        return origin[tuple(strict_type(one) for one in inner)]
    return kind


def unknown_field(value: Any, kind: Any) -> tuple[str, list[str]] | None:
    """The path of the first field that `kind` does not know, and the fields that stand there; slow."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, Mapping):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        for name, content in value.items():
            if name not in fields:
                return str(name), list(fields)
            if (found := unknown_field(content, fields[name])) is not None:
                return _inside(str(name), found)
    elif origin in (Annotated, Union, types.UnionType):
        candidates = inner[:1] if origin is Annotated else inner
        for one in candidates:
            if (found := unknown_field(value, one)) is not None:
                return found
    elif origin in (tuple, list) and isinstance(value, list):
        for index, content in enumerate(value):
            if (found := unknown_field(content, inner[0])) is not None:
                return _inside(f"[{index}]", found)
    elif origin is dict and isinstance(value, Mapping):
        for name, content in value.items():
            if (found := unknown_field(content, inner[1])) is not None:
                return _inside(str(name), found)
    return None


def told_unknown(path: str, names: list[str]) -> str:
    """The sentence for whoever wrote it, with the field that was probably meant."""
    name = path.rpartition(".")[2]
    close = difflib.get_close_matches(name, names, n=1)
    close = close or [known for known in names if known.startswith(name) or name.startswith(known)][:1]
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"There is no field {name[:60]!r} here; there are: {', '.join(names)}.{meant}"


def _inside(place: str, found: tuple[str, list[str]]) -> tuple[str, list[str]]:
    path, names = found
    return (f"{place}{path}" if path.startswith("[") else f"{place}.{path}"), names
