"""Integer arithmetic on money: parts that add up, and conversion between currencies."""

from tieout.contracts.currency import EXPONENTS

MICRO = 1_000_000


def exponent(currency: str) -> int:
    """How many decimals the minor unit has: 2 for CNY, 0 for JPY, 3 for KWD."""
    return EXPONENTS.get(currency, 2)


def half_up(numerator: int, denominator: int) -> int:
    """Rounded quotient, halves away from zero, so that a reversal is the exact mirror of its original."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def part(amount: int, start: int, end: int, whole: int) -> int:
    """A(end) - A(start) with A(q) = half_up(amount * q / whole): parts add up to the amount in any order."""
    if start == 0 and end == whole:
        return amount
    return half_up(amount * end, whole) - half_up(amount * start, whole)


def convert(amount: int, rate_micro: int, currency: str, functional: str) -> int:
    """Minor units of `currency` in minor units of `functional`. The rate is functional per document major units."""
    if currency == functional:
        return amount
    shift = exponent(functional) - exponent(currency)
    if shift >= 0:
        return half_up(amount * rate_micro * 10**shift, MICRO)
    return half_up(amount * rate_micro, MICRO * 10**-shift)
