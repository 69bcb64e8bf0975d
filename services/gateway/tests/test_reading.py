"""JSON as satellites send it: what a decoder passes over is seen all the same."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tieout.gateway.channels.reading import decode, inspect
from tieout.gateway.domain.faults import Fault

TWICE = {
    '{"a":1,"a":2}': "a",
    '{"a":1,"a":1}': "a",
    '{ "a" : 1 , "b": {"c": [ {"d": 1}, {"d": 1, "e": 2, "d": 3} ]}}': "b.c[1].d",
    '{"a":[[{"b":1,"b":2}]]}': "a[0][0].b",
    '{"a":{"x":1},"a":{"x":1}}': "a",
    '{"a":"x","a":"\\u003a"}': "a",  # An escaped colon in the place of the one that is lost.
    '{"a":"12:30","a":"12:31"}': "a",
    '{"a":123456789012345678901234567890,"a":1e30}': "a",
    '{"a":"Müller","\\u0061":2}': "a",
}
ONCE = [
    '{"a":{"a":1},"b":[{"a":1},{"a":2}]}',
    '{"a":"\\u003a","b":"::"}',
    '{"a":"\\"a\\":1","b":"\\\\u003a"}',
    '{ "t" : "2026-11-23T08:00:00Z", "n": "M\\u00fcller \\u4e2d" }',
]


@pytest.mark.parametrize("body", TWICE)
def test_a_field_that_stands_twice_is_found_with_its_path(body):
    with pytest.raises(Fault) as refused:
        inspect(body.encode(), decode(body.encode()))
    assert (refused.value.reason, refused.value.field) == ("repeated_field", TWICE[body])


@pytest.mark.parametrize("body", ONCE)
def test_fields_that_stand_once_pass(body):
    inspect(body.encode(), decode(body.encode()))


class Said(list):
    """An object that may say a field twice, written as it stands."""


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=5).filter(lambda text: "\0" not in text)),
        lambda inner: (
            st.lists(inner, max_size=3) | st.lists(st.tuples(st.sampled_from("ab:\\"), inner), max_size=4).map(Said)
        ),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_repeated_fields_are_found_as_a_slow_reader_finds_them(value, ascii_only):
    body = f'{{"top": {_written(value, ascii_only)}}}'.encode("utf-8", "surrogatepass")
    try:
        document = decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return
    found = ""
    try:
        inspect(body, document)
    except Fault as fault:
        found = fault.reason
    assert found == ("repeated_field" if _says_twice(value) else "")


def _written(value, ascii_only):
    if isinstance(value, Said):
        said = (f"{json.dumps(name)}:{_written(inner, ascii_only)}" for name, inner in value)
        return "{" + ", ".join(said) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(inner, ascii_only) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def _says_twice(value):
    if isinstance(value, Said):
        names = [name for name, _ in value]
        return len(names) != len(set(names)) or any(_says_twice(inner) for _, inner in value)
    return isinstance(value, list) and any(_says_twice(inner) for inner in value)
