"""What names a trace: ids that follow from a chain or a key alone, and W3C trace context, which goes with an event."""

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tieout.servicekit.received import Received


def trace_id(chain: str) -> str:
    """32 hex digits: the chain's UUID, or a digest of what is none."""
    bare = chain.replace("-", "")
    if len(bare) == 32:
        try:
            return bare if int(bare, 16) else "1".zfill(32)
        except ValueError:
            pass
    return hashlib.sha256(chain.encode()).hexdigest()[:32]


def span_id(key: str) -> int:
    """The same key is the same span each time."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:16], 16) or 1


def traceparent_of(key: str) -> str:
    """Of the one span that a key stands for: whoever knows the key can link to it, and nobody need be told."""
    return f"00-{trace_id(key)}-{span_id(key):016x}-01"


def satellite_of(received: "Received[Any]") -> str:
    """Who sent the document that this message says something about; not every event repeats it."""
    named: str = getattr(received.data, "source", "")
    if named:
        return named
    state = received.envelope.tracestate
    return state.removeprefix("tieout=") if state.startswith("tieout=") else ""


def tracestate(satellite: str) -> str:
    """W3C trace state, which goes with a traceparent: our entry is the satellite."""
    if not satellite or not satellite.isascii() or not satellite.isprintable() or set(satellite) & set(",= "):
        return ""
    return f"tieout={satellite}"


def context_of(api: Any, traceparent: str) -> Any:
    """00-<trace id>-<span id>-01"""
    return api.SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, api.TraceFlags(1))


def as_traceparent(context: Any) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
