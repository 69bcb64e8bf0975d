"""The contracts as JSON Schemas, committed so that a change of a promise shows in a review.

    python -m tieout.contracts.schemas          write libs/contracts/schemas/*.json anew

compare.py says what a change would break.
"""

from pathlib import Path
from typing import Any

import msgspec
from tieout.contracts.catalogue import CONTRACTS
from tieout.contracts.currency import shown
from tieout.contracts.event import Envelope, Notice
from tieout.contracts.streams import CORE_SERVICES, EVENTS, stream_of

FOLDER = Path(__file__).parents[3] / "schemas"
# `order.show asked`: what stands in a request of it; `order.show answered`: in its answer.
ASKED, ANSWERED = "asked", "answered"


def schemas() -> dict[str, dict[str, Any]]:
    """File stem (`order`, `order-operations`, `envelope`) -> JSON Schema document.

    The events of a producer stand under their subjects, the two sides of an owner's operation under its name.
    """
    documents: dict[str, dict[str, Any]] = {}
    for producer in CORE_SERVICES:
        events = {subject: event for subject, event in sorted(EVENTS.items()) if producer == event.PRODUCER}
        documents[producer] = {"stream": stream_of(producer), **document(f"What {producer} may publish", events)}
        documents[f"{producer}-operations"] = operations_document(producer)
    documents["envelope"] = document("What every message has in common", {"envelope": Envelope, "notice": Notice})
    return documents


def operations_document(owner: str) -> dict[str, Any]:
    """`routes`: how HTTP callers reach each operation."""
    operations = sorted(
        (one for contract in CONTRACTS for one in getattr(contract, "OPERATIONS", ()) if one.owner == owner),
        key=lambda one: one.name,
    )
    sides: dict[str, type] = {}
    for one in operations:
        sides |= {f"{one.name} {ASKED}": one.request, f"{one.name} {ANSWERED}": one.response}
    routes = {one.name: f"{one.method} {one.path}" for one in operations}
    return {"routes": routes, **document(f"What {owner} may be asked, and answers", sides)}


def document(title: str, types: dict[str, type]) -> dict[str, Any]:
    """`types` by the names of their messages."""
    references, components = msgspec.json.schema_components(types.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "messages": dict(zip(types, references, strict=True)),
        "$defs": shown(components),
    }


def write(documents: dict[str, dict[str, Any]], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for stem, content in documents.items():
        encoded = msgspec.json.encode(content, order="sorted")
        (folder / f"{stem}.json").write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")


if __name__ == "__main__":
    write(schemas(), FOLDER)
