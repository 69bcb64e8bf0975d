"""Lines as a source priced them -> lines as the contracts want them: net, tax, and what rounding took away."""

from collections.abc import Sequence
from typing import Any

import msgspec
from tieout.contracts.order import OrderLine
from tieout.gateway.domain.amounts import LARGEST, MICRO, round_micro, round_pico
from tieout.gateway.domain.faults import Fault

Priced = tuple[int, int, int]  # net and tax in minor units, rounding in millionths of a minor unit


def price_line(
    *,
    quantity_micro: int,
    unit_price_micro: int,
    discount_micro: int,
    tax_micro: int,
    taxes_included: bool,
    exponent: int,
) -> Priced:
    """net = price x quantity - discount (- tax, where prices include it); net and tax are rounded half up, once each.

    Raises Fault with the field that cannot be.
    """
    if not 0 < quantity_micro <= LARGEST:
        raise Fault("bad_quantity", "quantity", "a quantity above 0 is expected")
    if not 0 <= unit_price_micro <= LARGEST:
        raise Fault("bad_amount", "price", "a price of 0 or more is expected")
    if discount_micro < 0:
        raise Fault("bad_amount", "discount_allocations", "a discount is written without a minus")
    if tax_micro < 0:
        raise Fault("bad_amount", "tax_lines", "a tax is written without a minus")
    exact_pico = unit_price_micro * quantity_micro - discount_micro * MICRO
    if taxes_included:
        exact_pico -= tax_micro * MICRO
    if exact_pico < 0:
        raise Fault("bad_amount", "discount_allocations", "discount and tax are more than the line's price")
    net = round_pico(exact_pico, exponent)
    tax = round_pico(tax_micro * MICRO, exponent)
    if net.minor > LARGEST:
        raise Fault("bad_amount", "price", "the line's amount is out of range")
    return net.minor, tax.minor, net.rounding_micro + tax.rounding_micro


def tie_to_header(lines: Sequence[Any], total_minor: int, field: str) -> Sequence[Any]:
    """The lines, so that they add up to what the header says.

    At most half a minor unit per line is rounding: the header stands, and the largest line takes the difference, told
    in its rounding and as its residual, which finance posts to 6603.05 (尾差). Above that the document contradicts
    itself. Lines are dicts or the contract's Structs.
    """
    as_dicts = bool(lines) and isinstance(lines[0], dict)
    if as_dicts:
        sums = [line["net_minor"] + line["tax_minor"] for line in lines]
    else:
        sums = [line.net_minor + line.tax_minor for line in lines]
    difference = total_minor - sum(sums)
    if not difference:
        return lines
    if 2 * abs(difference) > len(lines):
        raise Fault(
            "total_differs", field, f"the header says {total_minor} minor units, its lines add up to {sum(sums)}"
        )
    largest = max(range(len(lines)), key=sums.__getitem__)
    line = lines[largest]
    net = (line["net_minor"] if as_dicts else line.net_minor) + difference
    if net < 0:
        raise Fault("total_differs", field, "the lines are too small to take the header's difference")
    rounding = (line.get("rounding_micro", 0) if as_dicts else line.rounding_micro) - difference * MICRO
    tied: list[Any] = list(lines)
    if as_dicts:
        tied[largest] = {**line, "net_minor": net, "rounding_micro": rounding, "residual_minor": difference}
    else:
        assert isinstance(line, OrderLine)
        tied[largest] = msgspec.structs.replace(line, net_minor=net, rounding_micro=rounding, residual_minor=difference)
    return tied


def minor(micro: int, exponent: int, field: str) -> int:
    """A single amount; a fraction of a minor unit in it is rounded half up."""
    found = round_micro(micro, exponent)
    if not 0 <= found <= LARGEST:
        raise Fault("bad_amount", field, "an amount of 0 or more is expected")
    return found
