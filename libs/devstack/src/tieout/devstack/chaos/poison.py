"""Documents and messages that nobody can handle, of every kind. Pure."""

import random
from collections.abc import Callable

import msgspec

DEEP = 100_000
_NUMBERS = ("1e400", "9" * 400, "-" + "9" * 30, "NaN", "0.1e-400")


def _order(**more: object) -> dict[str, object]:
    return {
        "kind": "order",
        "company": "EU",
        "number": "POISON",
        "version": "1",
        "occurred_at": "2026-01-05T08:00:00Z",
        "zone": "Europe/Berlin",
        "business_date": "2026-01-05",
        "customer": "c",
        "currency": "EUR",
        "lines": [{"line_no": 1, "sku": "TEA-001", "quantity_micro": 1_000_000, "net_minor": 100, "tax_minor": 19}],
        **more,
    }


def _encoded(**more: object) -> bytes:
    return msgspec.json.encode(_order(**more))


DOCUMENTS: dict[str, Callable[[random.Random], bytes]] = {
    "deep": lambda chance: b'{"kind":"order","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "brackets": lambda chance: b"[" * DEEP,
    "closed brackets": lambda chance: b'{"kind":"order","lines":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "huge number": lambda chance: _encoded().replace(b"1000000", chance.choice(_NUMBERS).encode()),
    "nul": lambda chance: _encoded(customer="a\0b"),
    "nul in the number": lambda chance: _encoded(number="A\0B"),
    "wrong types": lambda chance: _encoded(lines={"line_no": "one"}, customer=[1, 2]),
    "unknown kind": lambda chance: _encoded(kind="sacrifice"),
    "no text": lambda chance: b"\xff\xfe\x00\x01" * 20,
    "lone surrogate": lambda chance: _encoded(customer="x").replace(b'"x"', b'"\\ud800"'),
    "half a megabyte": lambda chance: _encoded(customer="x" * 500_000),
    "empty object": lambda chance: b"{}",
    "just a word": lambda chance: b"null",
}

_ENVELOPE = (
    b'{"specversion":"%s","id":"poison-%d","source":"/gateway","type":"%s","time":"2026-01-05T08:00:00Z","pos":"%s",'
    b'"chainid":"00000000-0000-5000-8000-000000000000","datacontenttype":"application/json","data":%s}'
)


def message(chance: random.Random, subject: str, serial: int) -> tuple[str, bytes]:
    """What somebody with the broker's keys might publish by mistake: its kind and its bytes."""
    kind = subject.encode()

    def envelope(data: bytes, *, position: bytes = b"1", version: bytes = b"1.0") -> bytes:
        return _ENVELOPE % (version, serial, kind, position, data)

    made = {
        "no JSON": b"\x00\x01\x02 %d" % serial,
        "brackets": b"[" * 50_000 + b"%d" % serial,
        "deep data": envelope(b"[" * 5_000 + b"]" * 5_000),
        "wrong data": envelope(b'{"order_id":17,"lines":"none"}'),
        "unknown version": envelope(b'{"what":"is this"}', version=b"9.9"),
        "no number": envelope(b"{}", position=b"first"),
        "huge position": envelope(b"{}", position=b"9" * 40),
        "large": envelope(b'"' + b"x" * 400_000 + b'"'),
        "two in a pack": b"[" + envelope(b'{"one":1}') + b",\n" + envelope(b'{"two":2}') + b"]",
        "empty pack": b"[{}]",
    }
    name = chance.choice(sorted(made))
    return name, made[name]
