"""What is on its way to a customer and becomes his when it is delivered. Pure rules: no I/O, no clock, no logging.

Only for orders whose control passes at delivery. A delivery is never above what is on its way; services, which nobody
carries, go with the first delivery of their order.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tieout.inventory.domain import Line, Part
from tieout.inventory.wording import pieces


class Arrival(NamedTuple):
    """The answer to somebody who says what was delivered. `refusal` and `wait` are reasons; either: nothing changed."""

    arriving: Sequence[tuple[Line, int]] = ()
    wait: str = ""
    refusal: str = ""
    detail: str = ""


def check(
    lines: Mapping[int, Line], said: Iterable[tuple[int, int]] | None, shipment: Mapping[int, int] | None
) -> Arrival:
    """`said` are (line_no, quantity); None: all that is on its way. `shipment`: what left with the shipment that was
    named, by line; None: none was named. What has not left yet can still come, so a word of its delivery waits.
    """
    goods = {line.line_no: line for line in lines.values() if not line.service}
    to_come = any(line.reserved or line.back_ordered for line in goods.values())
    if said is None:
        bounds = {no: line.on_way if shipment is None else shipment.get(no, 0) for no, line in goods.items()}
        arriving = [(line, min(line.on_way, bounds[no])) for no, line in goods.items()]
        arriving = [(line, quantity) for line, quantity in arriving if quantity]
        if arriving:
            return Arrival(arriving)
        if to_come and shipment is None:
            return Arrival(wait="not_shipped_yet")
        return Arrival(refusal="nothing_on_its_way", detail="Nothing of it is on its way.")
    totals: dict[int, int] = {}
    for line_no, quantity in said:
        totals[line_no] = totals.get(line_no, 0) + quantity
    arriving = []
    for line_no, quantity in totals.items():
        line = goods.get(line_no)
        if line is None:
            return Arrival(refusal="unknown_line", detail=f"Line {line_no} has no goods.")
        if shipment is not None and quantity > shipment.get(line_no, 0):
            had = shipment.get(line_no, 0)
            detail = f"Line {line_no}: {pieces(quantity)} delivered, but that shipment had {pieces(had)}."
            return Arrival(refusal="above_shipped", detail=detail)
        missing = quantity - line.on_way
        if missing > 0:
            if shipment is None and missing <= line.reserved + line.back_ordered:
                return Arrival(wait="not_shipped_yet")
            detail = f"Line {line_no}: {pieces(quantity)} delivered, {pieces(line.on_way)} is on its way."
            return Arrival(refusal="above_shipped", detail=detail)
        arriving.append((line, quantity))
    return Arrival(arriving)


def deliver(arriving: Iterable[tuple[Line, int]], all_lines: Iterable[Line]) -> list[Part]:
    """Goods arrive, and with them the services that waited for the first ones. Parts count what was delivered."""
    parts = [_arrive(line, quantity) for line, quantity in arriving]
    if parts:
        parts.extend(_services(all_lines))
    return parts


def pass_services(lines: Collection[Line]) -> list[Part]:
    """Services whose goods were all stopped or delivered before: no delivery will come for them."""
    if any(line.reserved or line.back_ordered or line.on_way for line in lines if not line.service):
        return []
    return _services(lines)


def _services(lines: Iterable[Line]) -> list[Part]:
    return [_arrive(line, line.on_way) for line in lines if line.service and line.on_way]


def _arrive(line: Line, quantity: int) -> Part:
    cost = line.take_off_the_way(quantity)
    start = line.delivered
    line.delivered += quantity
    return Part(line, line.stock, start, line.delivered, cost, 0, False)
