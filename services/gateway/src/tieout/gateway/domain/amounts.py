"""Decimals of a source as exact integers, and the one place where they are rounded.

`micro` is a millionth of a currency's major unit, or of a unit of measure; `minor` is a currency's smallest unit.
"""

from decimal import Decimal, InvalidOperation
from functools import lru_cache

from msgspec import Struct

MICRO = 1_000_000
LARGEST = 10**15  # As the contracts allow for one line.


@lru_cache(maxsize=65_536)  # Prices and quantities repeat; a hit costs a tenth.
def micro_of_text(text: str) -> int:
    """'19.99' -> 19_990_000, exactly. Raises ValueError for what is no number, or finer than a millionth."""
    try:
        number = Decimal(text)
        if not number.is_finite() or abs(number.adjusted()) > 15:
            if number == 0:
                return 0
            raise ValueError(f"{text[:40]!r} is out of range")
        scaled = number.scaleb(6)
        micro = int(scaled)
    except (InvalidOperation, OverflowError):
        raise ValueError(f"{text[:40]!r} is no number") from None
    if micro != scaled:
        raise ValueError(f"{text[:40]!r} has more than six decimals")
    return micro


def half_up(numerator: int, denominator: int) -> int:
    """Rounds half away from zero, so that a credit mirrors its sale. `denominator` is positive."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


class Amount(Struct, frozen=True):
    """`exact_pico`: millionths of a millionth of the major unit, because price and quantity are millionths each."""

    minor: int
    rounding_micro: int  # Exact minus rounded, in millionths of a minor unit.


def round_pico(exact_pico: int, exponent: int) -> Amount:
    """Rounds once, and says what that took away."""
    per_minor = 10 ** (12 - exponent)
    minor = half_up(exact_pico, per_minor)
    rest = exact_pico - minor * per_minor
    return Amount(minor, half_up(rest * MICRO, per_minor) if rest else 0)


def round_micro(exact_micro: int, exponent: int) -> int:
    """Minor units of an amount in millionths of the major unit."""
    return half_up(exact_micro, 10 ** (6 - exponent))
