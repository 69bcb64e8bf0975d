"""Currencies: the codes of ISO 4217, and how many decimals the minor unit of each has."""

from typing import TYPE_CHECKING, Any, Literal

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

if TYPE_CHECKING:
    Currency = str
else:  # One of the codes: looked up by a hash when a message is read, a quarter of what a pattern costs.
    Currency = Literal[tuple(sorted(EXPONENTS))]

_SHOWN = {"type": "string", "pattern": "^[A-Z]{3}$"}


def shown(schema: Any) -> Any:
    """A JSON Schema with a pattern in the place of each list of all codes: a code that ISO adds breaks no promise."""
    if isinstance(schema, dict):
        if len(schema.get("enum", ())) == len(EXPONENTS):
            return {**{key: value for key, value in schema.items() if key != "enum"}, **_SHOWN}
        return {key: shown(value) for key, value in schema.items()}
    return [shown(value) for value in schema] if isinstance(schema, list) else schema


def refused(code: object) -> str:
    """What to tell whoever sent this code."""
    return f"{str(code)[:40]!r} is no currency of ISO 4217; send one of its codes in capitals, like CNY or EUR"


def spelled(minor: int, currency: str) -> str:
    """What people read: 123450 of CNY is `1,234.50 CNY`; exact, whatever the currency's decimals."""
    places = EXPONENTS.get(currency, 2)
    whole, part = divmod(abs(minor), 10**places)
    fraction = f".{part:0{places}}" if places else ""
    return f"{'-' if minor < 0 else ''}{whole:,}{fraction} {currency}".rstrip()
