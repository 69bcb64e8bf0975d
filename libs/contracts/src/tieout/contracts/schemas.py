"""The contracts as JSON Schemas, committed so that a change of a promise shows in a review.

    python -m tieout.contracts.schemas          write libs/contracts/schemas/*.json anew

`breaks` compares an older schema with a newer one and names what a consumer of the old one would stumble over.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
from tieout.contracts.currency import shown
from tieout.contracts.event import Envelope, Notice
from tieout.contracts.streams import CORE_SERVICES, EVENTS

FOLDER = Path(__file__).parents[3] / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """File stem (`order`, `envelope`) -> JSON Schema document; the events of a producer under their subjects."""
    documents: dict[str, dict[str, Any]] = {}
    for producer in CORE_SERVICES:
        events = {subject: event for subject, event in sorted(EVENTS.items()) if producer == event.PRODUCER}
        documents[producer] = _document(f"What {producer} may publish", events)
    documents["envelope"] = _document("What every message has in common", {"envelope": Envelope, "notice": Notice})
    return documents


def _document(title: str, types: dict[str, type]) -> dict[str, Any]:
    references, components = msgspec.json.schema_components(types.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "messages": dict(zip(types, references, strict=True)),
        "$defs": shown(components),
    }


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What an older reader or an older sender would stumble over; empty when the change only adds.

    Broken is: a message or field that is gone, a field of another type or narrower limits, a field that became
    required (older senders leave it out). A new field with a default is fine.
    """
    found = [f"message {subject} is gone" for subject in old["messages"] if subject not in new["messages"]]
    for name, before in old["$defs"].items():
        after = new["$defs"].get(name)
        if after is None:
            found.append(f"{name} is gone")
            continue
        old_fields, new_fields = before.get("properties", {}), after.get("properties", {})
        for field, shape in old_fields.items():
            if field not in new_fields:
                found.append(f"{name}.{field} is gone")
            elif _typed(new_fields[field]) != _typed(shape):
                found.append(f"{name}.{field} was {_typed(shape)} and is {_typed(new_fields[field])}")
        became_required = set(after.get("required", ())) - set(before.get("required", ()))
        found += [f"{name}.{field} is required now: give it a default" for field in sorted(became_required)]
    return found


def _typed(shape: Any) -> Any:
    """A field's type without what may change freely: texts and defaults."""
    if isinstance(shape, dict):
        return {key: _typed(value) for key, value in shape.items() if key not in {"description", "default", "title"}}
    return [_typed(value) for value in shape] if isinstance(shape, list) else shape


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for stem, document in schemas().items():
        path = FOLDER / f"{stem}.json"
        if path.exists() and (found := breaks(msgspec.json.decode(path.read_bytes()), document)):
            sys.stderr.write(f"{stem}: this change breaks consumers:\n  " + "\n  ".join(found) + "\n")
        path.write_bytes(msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1) + b"\n")


if __name__ == "__main__":
    main()
