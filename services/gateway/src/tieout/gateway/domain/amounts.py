"""Decimals of a source as exact integers, and the one place where they are rounded.

`micro` is a millionth of a currency's major unit, or of a unit of measure; `minor` is a currency's smallest unit.
"""

from decimal import Decimal, InvalidOperation
from functools import lru_cache

from msgspec import Struct

MICRO = 1_000_000
LARGEST = 10**15  # As the contracts allow for one line.

# Minor units by ISO 4217, where they are not 2. Codes that are no money (XXX, XTS) or metal are left out.
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"
_TWO_DECIMALS = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD "
    "CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
    "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR "
    "RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD "
    "TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
    **dict.fromkeys(_FOUR_DECIMALS.split(), 4),
}


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
