"""What a document of the channel `tieout` cannot mean, though every field of it is well formed."""

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import category

from tieout.contracts.currency import EXPONENTS
from tieout.gateway.domain.faults import Fault

_UNSEEN = frozenset(("Cc", "Cf", "Zl", "Zp"))  # Control, format (direction, joiners), line and paragraph separators.
# Letters and marks by their category, and nothing to the eye: fillers, joiners and selectors of variants.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def seen(field: str, text: str) -> None:
    """Raises Fault for a name that people cannot tell from another by reading it: of blanks alone, with a blank at an
    end, or with a character that nobody sees or that turns the reading around (U+202E). "" is for others to judge.

    One rule for what satellites send and for what people type. What `looks_plain` needs no call of this.
    """
    if text.isspace():
        raise Fault("bad_text", field, f"blanks alone (U+{ord(text[0]):04X}) name nothing")
    for character in text:
        if category(character) in _UNSEEN or _FILLERS.match(character):
            raise Fault("bad_text", field, f"the character U+{ord(character):04X} in it cannot be seen: leave it out")
    for place, character in (("begins", text[:1]), ("ends", text[-1:])):
        if character.isspace():
            raise Fault("bad_text", field, f"it {place} with the blank U+{ord(character):04X}: leave it out")


def looks_plain(text: str) -> bool:
    """Whether `seen` has nothing against it, for nearly all texts there are; 0.1 us."""
    return text.isprintable() and text.strip() == text and (text.isascii() or _FILLERS.search(text) is None)


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
