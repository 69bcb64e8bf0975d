"""What people read of a refusal: what is expected and which values are possible, in no words of ours."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType
from tieout.contracts.currency import Currency
from tieout.contracts.period import PeriodAgreementRequest
from tieout.gateway.http.operations import OPERATIONS
from tieout.gateway.wording import explained

Method = Literal["fifo", "moving_average"]


class Inner(Struct):
    method: Method | UnsetType = UNSET
    size: Annotated[int, Meta(ge=1, le=9)] = 1


class Asked(Struct):
    id: UUID | None = None
    day: date | None = None
    at: datetime | None = None
    currency: Currency = "CNY"
    name: Annotated[str, Meta(max_length=3)] = ""
    code: Annotated[str, Meta(pattern="^[A-Z]$")] = "A"
    open: bool = False
    lines: Annotated[tuple[Inner, ...], Meta(max_length=2)] = ()
    by_name: dict[str, Inner] = {}
    wanted: int | None = None
    passes: Literal[Method, ""] | UnsetType = UNSET


@pytest.mark.parametrize(
    ("body", "path", "sentence"),
    [
        ({"id": "7"}, "id", "an id (UUID) is expected"),
        ({"day": "soon"}, "day", "a date like 2026-11-23 is expected"),
        ({"at": "soon"}, "at", "a time with its offset like 2026-11-23T08:00:00Z is expected"),
        ({"name": "abcd"}, "name", "a text of at most 3 characters is expected"),
        ({"code": "a"}, "code", "a text of this form is expected: ^[A-Z]$"),
        ({"open": 1}, "open", "true or false is expected, not a whole number"),
        ({"wanted": "1"}, "wanted", "a whole number or null is expected, not a text"),
        ({"lines": {}}, "lines", "a list is expected, not an object"),
        ({"lines": [{}, {}, {}]}, "lines", "a list of at most 2 entries is expected"),
        ({"lines": [{}, {"size": 0}]}, "lines[1].size", "a whole number of at least 1 is expected"),
        ({"lines": [{"method": "lifo"}]}, "lines[0].method", "'lifo' is none of: fifo, moving_average"),
        ({"by_name": {"x": {"method": "lifo"}}}, "by_name[...].method", "'lifo' is none of: fifo, moving_average"),
        ({"passes": "lifo"}, "passes", "'lifo' is none of: fifo, moving_average, \"\""),
    ],
)
def test_what_is_expected_is_said_in_plain_words(body, path, sentence):
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(body, Asked)
    assert explained(str(error.value), Asked) == (path, sentence)


def test_of_currencies_an_example_is_told_and_not_all():
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"currency": "NIX"}, Asked)
    path, sentence = explained(str(error.value), Asked)
    assert path == "currency"
    assert "'NIX' is no currency of ISO 4217" in sentence


def test_what_is_missing_is_named_with_its_place():
    assert explained("Object missing required field `sku` - at `$.lines[0]`", Asked) == (
        "lines[0].sku",
        "this field is required",
    )


def patterns_of(kind, seen):
    """Of a request of the contracts: every pattern that a text in it must match."""
    if kind in seen:
        return
    seen.append(kind)
    for one in kind.__metadata__ if hasattr(kind, "__metadata__") else ():
        if getattr(one, "pattern", None):
            yield one.pattern
    inner = [field.type for field in msgspec.structs.fields(kind)] if is_struct(kind) else getattr(kind, "__args__", ())
    for one in (*inner, *([kind.__origin__] if hasattr(kind, "__metadata__") else ())):
        yield from patterns_of(one, seen)


def is_struct(kind):
    return isinstance(kind, type) and issubclass(kind, Struct)


def test_no_request_of_the_contracts_is_answered_with_a_regular_expression():
    found = {one for operation in OPERATIONS for one in patterns_of(operation.request, [])}
    assert len(found) >= 5
    for pattern in found:
        told = explained(f"Expected `str` matching regex {pattern!r} - at `$.it`", Struct)[1]
        assert pattern not in told
        assert "like" in told


def test_a_month_that_is_none_is_told_with_an_example():
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert({"period": "2026-13", "company": "C1"}, PeriodAgreementRequest)
    told = explained(str(error.value), PeriodAgreementRequest)
    assert told == ("period", "a month as year and month like 2026-11 is expected")
