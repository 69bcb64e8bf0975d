"""What a document of the channel `tieout` cannot mean, though every field of it is well formed."""

from collections.abc import Sequence
from typing import Any
from unicodedata import category

from tieout.contracts.currency import EXPONENTS
from tieout.gateway.domain.faults import Fault

_UNSEEN = frozenset(("Cc", "Cf", "Zl", "Zp"))  # Control, format (direction, joiners), line and paragraph separators.


def seen(field: str, text: str) -> None:
    """Raises Fault for a name that people cannot read aloud: of blanks alone, or with a character that nobody sees and
    that may turn the reading around (U+202E). "" is for others to judge."""
    if text.isspace():
        raise Fault("bad_text", field, "blanks alone name nothing")
    for character in text:
        if category(character) in _UNSEEN:
            raise Fault("bad_text", field, f"the character U+{ord(character):04X} in it cannot be seen: leave it out")


def check_lines(lines: Sequence[Any], currency: str) -> None:
    """Raises Fault for a tax above the net amount, because no rate is above 100 %, and for a price that cannot lead to
    the amount. A line that costs nothing may have tax (deemed sales)."""
    for index, line in enumerate(lines):
        tax = line.tax_minor
        if tax > line.net_minor > 0:
            detail = f"a tax of {tax} minor units on a net amount of {line.net_minor}: no rate is above 100 %"
            raise Fault("bad_amount", f"lines[{index}].tax_minor", detail)
        if getattr(line, "unit_price_micro", 0):
            _check_price(index, line, EXPONENTS.get(currency, 2))


def _check_price(index: int, line: Any, exponent: int) -> None:
    """Price x quantity is the most that the net amount can be: tax in the price and discounts only lower it. Half a
    minor unit for the line and for each piece is rounding, because the price may have been rounded itself."""
    half_pico = 10 ** (12 - exponent) // 2
    allowed_pico = (
        line.unit_price_micro * line.quantity_micro + half_pico + half_pico * line.quantity_micro // 1_000_000
    )
    if line.net_minor * 2 * half_pico > allowed_pico:
        most = allowed_pico // (2 * half_pico)
        detail = f"price x quantity, rounded, comes to at most {most} minor units, and the line's net_minor is"
        place = f"lines[{index}].unit_price_micro"
        raise Fault("bad_amount", place, f"{detail} {line.net_minor}; millionths of the major unit are expected")
