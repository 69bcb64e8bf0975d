"""Channels: how the documents of one dialect are read, and what they mean. A document goes through

    read     bytes -> what the dialect calls it; no knowledge of other documents
    lookup   the source's own id of the order that it names, where it names one that way
    map      -> drafts of commands, or that it is of no interest
    summary  what can be read of it, where it is refused

Each step raises domain.faults.Fault. Add a channel: a file here, and a line in `CHANNELS`.
"""

from typing import Any, Protocol

from tieout.gateway.domain.drafts import KnownOrder, Mapped, Satellite, Summary


class Channel(Protocol):
    name: str

    def read(self, body: bytes, topic: str) -> Any: ...

    def lookup(self, document: Any) -> str | None: ...

    def map(self, document: Any, satellite: Satellite, known: KnownOrder | None) -> Mapped: ...

    def summary(self, body: bytes, topic: str, satellite: Satellite) -> Summary: ...
