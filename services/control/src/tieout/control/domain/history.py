"""In which order events are run again: each document's own history, many documents at a time. Pure."""

from collections.abc import Iterable, Sequence

from msgspec import Struct


class Happened(Struct, frozen=True):
    """One event for one flow, as it was heard or died."""

    flow: str
    subject: str
    producer: str
    position: int
    sequence: int
    event_id: str
    chain_id: str
    order_no: str
    company: str
    at: str  # RFC 3339 UTC.
    cause_id: str = ""
    letter: int = 0


def waves(items: Iterable[Happened]) -> list[tuple[int, Happened]]:
    """(wave, item) in the order of the run. A wave holds at most one event of each document.

    An event never comes before what caused it, nor before an earlier one of its producer: clocks of two services may
    differ, positions and causes do not. Within a wave the older document is first, as it was the first time.
    """
    chosen: dict[tuple[str, str], Happened] = {}
    for item in items:
        chosen.setdefault((item.flow, item.event_id or f"{item.producer}-{item.sequence}-{item.position}"), item)
    moments = _moments(chosen.values())
    chains: dict[str, list[Happened]] = {}
    for item in chosen.values():
        chains.setdefault(item.chain_id or item.event_id, []).append(item)
    placed: list[tuple[int, tuple[str, int], Happened]] = []
    for members in chains.values():
        events: dict[str, list[Happened]] = {}
        for item in members:
            events.setdefault(item.event_id or str(item.sequence), []).append(item)
        history = sorted(events.values(), key=lambda some: (*moments[some[0].event_id], some[0].position))
        for wave, some in enumerate(history):
            placed += [(wave, moments[item.event_id], item) for item in some]
    placed.sort(key=lambda one: (one[0], one[2].flow, one[1], one[2].position))
    return [(wave, item) for wave, _, item in placed]


def _moments(items: Iterable[Happened]) -> dict[str, tuple[str, int]]:
    """When an event was, and how deep below that moment's first cause it stands."""
    events = {item.event_id: item for item in items}
    found: dict[str, tuple[str, int]] = {}
    for event in _by_producer(events.values()):
        _place(event, events, found)
    return found


def _by_producer(items: Iterable[Happened]) -> Sequence[Happened]:
    return sorted(items, key=lambda item: (item.producer, item.position))


def _place(event: Happened, events: dict[str, Happened], found: dict[str, tuple[str, int]]) -> None:
    path: list[Happened] = []
    seen: set[str] = set()
    one: Happened | None = event
    while one is not None and one.event_id not in found and one.event_id not in seen:
        seen.add(one.event_id)
        path.append(one)
        one = events.get(one.cause_id)
    for below in reversed(path):
        cause = found.get(below.cause_id)
        if cause is None or cause[0] < below.at:
            found[below.event_id] = (below.at, 0)
        else:
            found[below.event_id] = (cause[0], cause[1] + 1)
