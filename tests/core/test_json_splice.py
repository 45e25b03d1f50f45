"""Single fields of a JSON object are changed in its bytes, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.json_codec import holds_lone_surrogate, loads
from addon.core.json_splice import spliced

BODY = b' {\n "model" : "a",\t"n": [1.0, {"stream": false, "x": "}\\"]"}], "stream":  false\r\n}\n'

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=6)


def splice(data: bytes, new: dict[str, Any], gone: Collection[str] = ()) -> bytes:
    return spliced(data, loads(data), new, gone)


def test_one_field_is_changed_in_place() -> None:
    assert splice(BODY, {"stream": True}) == BODY.replace(b"  false", b"  true")


def test_a_missing_field_is_put_at_the_end() -> None:
    assert splice(BODY, {"more": [1]}) == BODY.replace(b"false\r", b'false,"more":[1]\r')


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("model", b' {\t"n": [1.0, {"stream": false, "x": "}\\"]"}], "stream":  false\r\n}\n'),
        ("n", b' {\n "model" : "a", "stream":  false\r\n}\n'),
        ("stream", b' {\n "model" : "a",\t"n": [1.0, {"stream": false, "x": "}\\"]"}]\r\n}\n'),
    ],
)
def test_a_field_is_left_out(name: str, left: bytes) -> None:
    assert splice(BODY, {}, {name}) == left


def test_a_field_that_is_written_twice_or_with_escapes_is_found() -> None:
    given = rb'{"stream":false,"str\u0065am":null}'
    assert splice(given, {"stream": True}) == rb'{"stream":true,"str\u0065am":true}'
    assert splice(b"{}", {"a": 1}) == b'{"a":1}'
    assert splice(b'{"a":1 , "b":2}', {"b": 3}) == b'{"a":1 , "b":3}'
    assert splice(b"{ }", {"a": 1}, {"b"}) == b'{"a":1 }'


@given(OBJECTS, OBJECTS, st.sets(st.text(max_size=3)), st.booleans(), st.sampled_from([None, 1]))
def test_it_is_what_a_dictionary_would_be(
    body: dict[str, Any], new: dict[str, Any], gone: set[str], ascii: bool, indent: int | None
) -> None:
    new = {name: value for name, value in new.items() if name not in gone}
    text = json.dumps(body, ensure_ascii=ascii, indent=indent).encode("utf-8", "replace")
    body = loads(text)
    kept = {name: value for name, value in body.items() if name not in gone}
    assert loads(splice(text, new, gone)) == loads(json.dumps(kept | new).encode())


@pytest.mark.parametrize(
    ("text", "lone"),
    [
        (rb'"\ud83d"', True),
        (rb'"a\uDE00\ud83d"', True),
        (rb'"\ud83d\ude00"', False),
        (rb'"\\ud83d"', False),
        (b'\xef\xbb\xbf"\\ud83d\\ude00"', False),
    ],
)
def test_half_of_a_pair_is_noticed(text: bytes, lone: bool) -> None:
    assert holds_lone_surrogate(text) is lone
