"""How steps heard from several services become one tree. Pure: times come in as text and leave as milliseconds."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace
from tieout.contracts.control import Journey, JourneyPaper, JourneyStep
from tieout.contracts.operation import MoneyStanding, TrailEntry


class HeardStep(Struct, frozen=True):
    """One event as control heard it in a notice."""

    chain_id: str
    event_id: str
    event_type: str
    producer: str
    at: str
    position: int
    order_no: str
    company: str
    cause_id: str
    repeats: int


ORDER_TYPES = frozenset({"order.submit.v1", "order.placed.v1"})  # Events that only an order's own chain has.


def chains_by_journey(steps: Iterable[HeardStep]) -> dict[tuple[str, str], list[str]]:
    """(company, chain of the order) -> all chains that belong to it.

    A payment or an unlinked credit note has a chain of its own and names the order's number. It joins the one order of
    its company with that number; where two satellites used the same number, the one whose events caused it. A chain
    that fits nowhere is a journey of its own.
    """
    by_chain: dict[tuple[str, str], list[HeardStep]] = {}
    for step in steps:
        by_chain.setdefault((step.company, step.chain_id), []).append(step)
    journeys = {key: [key[1]] for key, heard in by_chain.items() if any(s.event_type in ORDER_TYPES for s in heard)}
    for (company, chain), heard in by_chain.items():
        if (company, chain) in journeys:
            continue
        orders = [key for key in journeys if key[0] == company and journeys[key][0] == key[1] and key[1] != chain]
        orders = [key for key in orders if any(s.event_type in ORDER_TYPES for s in by_chain[key])]
        if len(orders) > 1:
            causes = {step.cause_id for step in heard}
            orders = [key for key in orders if causes & {step.event_id for step in by_chain[key]}]
        if len(orders) == 1:
            journeys[orders[0]].append(chain)
        else:
            journeys[(company, chain)] = [chain]
    return journeys


WITHOUT_EFFECT = frozenset(
    ("duplicate", "repeated", "conflict", "conflicted")
)  # The document was known; it changed nothing.


class _Node(Struct):
    service: str
    at: datetime
    step: JourneyStep


def tell(
    order_no: str,
    company: str,
    chain_id: str,
    heard: Sequence[HeardStep],
    trails: Mapping[str, Sequence[TrailEntry]],
    money: Iterable[MoneyStanding] = (),
) -> Journey:
    """One journey: what control heard, joined with what each service's own books say.

    An entry of a trail that names an event fills in that event's step; one that names none stands for itself below its
    cause. Parents come before children, siblings by time.
    """
    nodes: dict[str, _Node] = {}
    for step in heard:
        nodes[step.event_id] = _heard_node(step)
    for service, entries in trails.items():
        for number, entry in enumerate(entries):
            _add_entry(nodes, service, number, entry)
    if not nodes:
        raise ValueError(f"nothing is known of order {order_no}: no journey to tell")

    children: dict[str, list[str]] = {}
    for key, node in nodes.items():
        parent = node.step.cause_id if node.step.cause_id in nodes and node.step.cause_id != key else ""
        children.setdefault(parent, []).append(key)
    for siblings in children.values():
        siblings.sort(key=lambda key: (nodes[key].at, nodes[key].step.depth, key))

    start = min(node.at for node in nodes.values())
    end = max(
        (node.at for node in nodes.values() if _has_effect(node)), default=max(node.at for node in nodes.values())
    )
    steps: list[JourneyStep] = []
    told: set[str] = set()
    roots = children.get("", [])
    for root in (*roots, *(key for key in nodes if key not in roots)):  # The latter only where causes form a ring.
        _walk(root, nodes, children, start, steps, told)
    papers = _papers(order_no, heard, steps)
    return Journey(
        order_no=order_no,
        company=company,
        chain_id=chain_id,
        trace_id=chain_id.replace("-", ""),
        began_at=_text(start),
        ended_at=_text(end),
        duration_ms=_milliseconds(start, end),
        steps=tuple(steps),
        vouchers=tuple(dict.fromkeys(step.voucher_no for step in steps if step.voucher_no)),
        papers=papers,
        # A payment of several orders may also hold money for none of them, which is no business of this one.
        money=tuple(one for one in dict.fromkeys(money) if papers or not one.customer),
    )


def _papers(order_no: str, heard: Iterable[HeardStep], steps: Sequence[JourneyStep]) -> tuple[JourneyPaper, ...]:
    """What a journey is of that is no order's, as its first steps tell it; nothing for an order's."""
    if any(step.event_type in ORDER_TYPES for step in heard) or any(
        step.service == "order" and step.step == "placed" for step in steps
    ):
        return ()
    handed = [
        (step.detail, step.document) for step in steps if step.service == "gateway" and step.step == "handed over"
    ]
    if any(kind == "order" for kind, _ in handed):
        return ()
    refused = [("refused", step.document) for step in steps if step.step == "quarantined"]
    vouchers = [("voucher", step.voucher_no) for step in steps if step.voucher_no]
    found = handed or refused or vouchers or [("document", order_no)]
    return tuple(JourneyPaper(kind, number) for kind, number in dict.fromkeys(found))


def _has_effect(node: _Node) -> bool:
    """Whether the order was still under way then: what arrives is no effect yet, and what was told again has none."""
    return node.service != "gateway" and node.step.step not in WITHOUT_EFFECT


def _walk(
    root: str,
    nodes: Mapping[str, _Node],
    children: Mapping[str, list[str]],
    start: datetime,
    steps: list[JourneyStep],
    told: set[str],
) -> None:
    """Depth first without recursion: a long chain must not end at Python's stack limit."""
    stack = [(root, 0)]
    while stack:
        key, depth = stack.pop()
        if key in told:
            continue
        told.add(key)
        node = nodes[key]
        cause = nodes.get(node.step.cause_id)
        steps.append(
            replace(
                node.step,
                depth=depth,
                after_ms=_milliseconds(cause.at, node.at) if cause else 0.0,
                since_start_ms=_milliseconds(start, node.at),
            )
        )
        stack.extend((child, depth + 1) for child in reversed(children.get(key, [])))


def _heard_node(step: HeardStep) -> _Node:
    return _Node(
        service=step.producer,
        at=_instant(step.at),
        step=JourneyStep(
            depth=0,
            service=step.producer,
            step=verb(step.event_type),
            at=step.at,
            event_type=step.event_type,
            event_id=step.event_id,
            cause_id=step.cause_id,
            repeats=step.repeats,
        ),
    )


def _add_entry(nodes: dict[str, _Node], service: str, number: int, entry: TrailEntry) -> None:
    known = nodes.get(entry.event_id) if entry.event_id else None
    if known is not None and known.service == service:
        known.step = replace(
            known.step,
            step=entry.step or known.step.step,
            cause_id=known.step.cause_id or entry.cause_id,
            document=entry.document or known.step.document,
            voucher_no=entry.voucher_no or known.step.voucher_no,
            quantity_micro=entry.quantity_micro or known.step.quantity_micro,
            amount_minor=entry.amount_minor or known.step.amount_minor,
            currency=entry.currency or known.step.currency,
            detail=entry.detail or known.step.detail,
            attempts=max(entry.attempts, known.step.attempts),
            intake_id=entry.intake_id or known.step.intake_id,
        )
        return
    # Another service that names the event tells what it did with it: a step of its own, below the event.
    cause = entry.event_id if known is not None else entry.cause_id
    key = entry.event_id if entry.event_id and known is None else f"{service}:{number}"
    nodes[key] = _Node(
        service=service,
        at=_instant(entry.at),
        step=JourneyStep(
            depth=0,
            service=service,
            step=entry.step,
            at=entry.at,
            event_id=entry.event_id if known is None else "",
            cause_id=cause,
            document=entry.document,
            voucher_no=entry.voucher_no,
            quantity_micro=entry.quantity_micro,
            amount_minor=entry.amount_minor,
            currency=entry.currency,
            detail=entry.detail,
            attempts=entry.attempts,
            intake_id=entry.intake_id,
        ),
    )


def verb(event_type: str) -> str:
    """order.cancel_requested.v1 -> cancel requested"""
    parts = event_type.split(".")
    return (parts[1] if len(parts) > 1 else event_type).replace("_", " ")


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _milliseconds(before: datetime, after: datetime) -> float:
    return round((after - before).total_seconds() * 1000, 3)
