"""JSON that loses nothing, and bodies that cannot blow up."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.errors import BadRequest
from addon.core.json_codec import JsonError, dumps, dumps_to_keep, loads, read_body

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_reads_what_the_standard_library_writes(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value


@given(VALUES)
def test_writes_what_the_standard_library_reads(value: Any) -> None:
    assert json.loads(dumps(value)) == value


@pytest.mark.parametrize("number", [2**63, -(2**70), 10**40, 1234567890123456789])
def test_big_integers_stay_whole(number: int) -> None:
    assert loads(f'{{"n": {number}}}') == {"n": number}
    assert loads(dumps({"n": number})) == {"n": number}


@pytest.mark.parametrize("offset", range(5))
def test_the_shortest_integer_beyond_64_bits_stays_whole_wherever_it_stands(offset: int) -> None:
    assert loads(b" " * offset + b'{"n": -9223372036854775809, "x": "1"}') == {
        "n": -(2**63) - 1,
        "x": "1",
    }


def test_lone_surrogates_are_read_and_written_as_replacement() -> None:
    assert loads(rb'"\ud800"') == "\ud800"
    assert dumps("\ud800x") == b'"?x"'


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"NaN", b'{"a": Infinity}', b"[-Infinity]", b"1 2", b"{'a': 1}",
        b"\xff", b'"\xed\xa0\x80"', "\ud800", '"\ud800"',
        b"[" * 200_000, b'{"a":' * 200_000, b"[" * 1_500 + b"]" * 1_500, b"[1234567890123456789," + b"[" * 200_000,
        b"1e999", b"-1e999", b"[1234567890123456789, 1e999]", b"9" * 309, b"9" * 400, b"9" * 10_000,
    ],
    ids=lambda text: ascii(text[:22]),
)  # fmt: skip
def test_what_cannot_be_read_has_one_error(text: bytes | str) -> None:
    with pytest.raises(JsonError):
        loads(text)


@pytest.mark.parametrize("text", [b"1.7e308", b"[12345678901234567890, 1.7e308]", b"9" * 308])
def test_every_number_fits_a_float(text: bytes) -> None:
    assert all(map(math.isfinite, numbers(loads(text))))


def numbers(value: Any) -> list[float]:
    return [float(number) for number in (value if isinstance(value, list) else [value])]


def test_a_body_may_begin_with_a_byte_order_mark() -> None:
    assert read_body(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"x"', b"1"])
def test_a_body_is_an_object(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="must be a JSON object"):
        read_body(raw)


@pytest.mark.parametrize("length", [1, 300, 5000, 20_000])
def test_what_is_kept_takes_little_more_than_its_length(length: int) -> None:
    value = {"text": "x" * length}
    tracemalloc.start()
    try:
        data = dumps_to_keep(value)
        assert tracemalloc.get_traced_memory()[0] < len(data) + 200
    finally:
        tracemalloc.stop()
    assert data == dumps(value)
