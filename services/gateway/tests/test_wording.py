"""What people read of a refusal: what is expected and which values are possible, in no words of ours."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct, UnsetType
from tieout.contracts.currency import Currency
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
