"""The contracts as JSON Schemas, committed so that a change of a promise shows in a review.

    python -m tieout.contracts.schemas          write libs/contracts/schemas/*.json anew

compare.py says what a change would break.
"""

from pathlib import Path
from typing import Any

import msgspec
from tieout.contracts.currency import shown
from tieout.contracts.event import Envelope, Notice
from tieout.contracts.streams import CORE_SERVICES, EVENTS, stream_of

FOLDER = Path(__file__).parents[3] / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """File stem (`order`, `envelope`) -> JSON Schema document; the events of a producer under their subjects."""
    documents: dict[str, dict[str, Any]] = {}
    for producer in CORE_SERVICES:
        events = {subject: event for subject, event in sorted(EVENTS.items()) if producer == event.PRODUCER}
        documents[producer] = {"stream": stream_of(producer), **document(f"What {producer} may publish", events)}
    documents["envelope"] = document("What every message has in common", {"envelope": Envelope, "notice": Notice})
    return documents


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
