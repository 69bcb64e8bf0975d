"""With which request a document came: what its trace links to."""

from uuid import UUID

from tieout.gateway.identifiers import request_of
from tieout.servicekit.telemetry import Came, Tracing
from tieout.servicekit.trace_context import traceparent_of


def key_of(first: UUID | str) -> str:
    """What the request is found by whose first document has this id."""
    return f"request {first}"


def came_with(document: UUID, channel: str, tracing: Tracing) -> Came:
    """What the root of a chain's trace tells of the document that began it."""
    key = key_of(request_of(document))
    link = traceparent_of(key) if tracing.sampled(key) else ""
    return Came(link, {"tieout.intake_id": str(document), "tieout.channel": channel})
