"""Reading untrusted JSON."""

from __future__ import annotations

from typing import Any

import pytest

from addon.core.errors import BadRequest
from addon.translation.to_anthropic.fields import MAX_DEPTH, Fields, joined, located, sanitized
from addon.translation.to_anthropic.tools import hashed_name, is_legal_id, legal_id, legal_name

FIELDS = Fields({"s": "x", "n": 1, "f": 0.5, "b": True, "l": [], "o": {"s": 5}, "null": None})


@pytest.mark.parametrize("name", ["null", "missing"])
def test_null_is_absent(name: str) -> None:
    readers = (
        FIELDS.text,
        FIELDS.flag,
        FIELDS.items,
        FIELDS.mapping,
        FIELDS.number,
        FIELDS.positive,
        FIELDS.get,
    )
    assert [read(name) for read in readers] == [None] * len(readers)
    assert name not in FIELDS
    assert list(FIELDS.nested(name)) == []


def test_present_values() -> None:
    assert (FIELDS.text("s"), FIELDS.positive("n"), FIELDS.number("f"), FIELDS.flag("b")) == (
        "x",
        1,
        0.5,
        True,
    )
    assert (FIELDS.items("l"), FIELDS.mapping("o"), list(FIELDS)) == ([], {"s": 5}, list("snfblo"))


WRONG: dict[str, Any] = {
    "text": lambda: FIELDS.text("n"),
    "number": lambda: FIELDS.number("b"),
    "positive": lambda: FIELDS.positive("f"),
    "flag": lambda: FIELDS.flag("n"),
    "items": lambda: FIELDS.items("o"),
    "mapping": lambda: FIELDS.mapping("l"),
    "nested": lambda: FIELDS.nested("s"),
}


@pytest.mark.parametrize("read", WRONG.values(), ids=WRONG)
def test_another_type_is_refused_by_name(read: Any) -> None:
    with pytest.raises(BadRequest, match="expected") as error:
        read()
    assert error.value.param in ("n", "b", "f", "o", "l", "s")


def test_an_inner_field_is_named_with_its_path() -> None:
    with pytest.raises(BadRequest) as error:
        FIELDS.nested("o").text("s")
    assert error.value.param == "o.s"


PATHS = {
    "both": ("a", "b", "a.b"),
    "an-index": ("a", "[0].b", "a[0].b"),
    "no-rest": ("a", None, "a"),
    "no-path": ("", "b", "b"),
    "neither": ("", None, ""),
}


@pytest.mark.parametrize(("path", "rest", "whole"), PATHS.values(), ids=PATHS)
def test_paths(path: str, rest: str | None, whole: str) -> None:
    assert joined(path, rest) == whole


def test_located_keeps_message_and_code() -> None:
    with pytest.raises(BadRequest) as error, located("messages[3]"), located("content"):
        raise BadRequest("no", param="[1]", code="c")
    assert (error.value.message, error.value.param, error.value.code) == (
        "no",
        "messages[3].content[1]",
        "c",
    )


CLEAN: dict[str, tuple[Any, Any]] = {
    "half-an-emoji": ("a\ud83d", "a\ufffd"),
    "in-a-key": ({"\ude00": 1}, {"\ufffd": 1}),
    "a-whole-emoji": ("😀", "😀"),
    "nul": ("\x00", "\x00"),
    "plain-values": ([None, True, 1, 1.5, 10**30], [None, True, 1, 1.5, 10**30]),
}


@pytest.mark.parametrize(("value", "clean"), CLEAN.values(), ids=CLEAN)
def test_sanitized(value: Any, clean: Any) -> None:
    assert sanitized(value) == clean


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": float("-inf")}], ids=repr)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest):
        sanitized(value)


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded() -> None:
    assert sanitized(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(BadRequest, match="deep"):
        sanitized(nested(MAX_DEPTH + 1))


def test_a_copy_shares_nothing() -> None:
    value = {"a": [{}]}
    copy = sanitized(value)
    copy["a"][0]["b"] = 1
    assert value == {"a": [{}]}


IDS = {
    "legal": ("call_1-a", "call_1-a"),
    "illegal-characters": ("call:1|x y", "call_1_x_y"),
    "the-longest": ("x" * 64, "x" * 64),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("given", "legal"), IDS.values(), ids=IDS)
def test_ids(given: str, legal: str) -> None:
    assert legal_id(given) == legal


def test_long_ids_differ_by_their_whole_text() -> None:
    long = ["x" * 65, "x" * 66, ":" * 65]
    assert len({legal_id(call_id) for call_id in long}) == 3
    assert all(is_legal_id(legal_id(call_id)) for call_id in long)
    assert max(len(legal_id(call_id)) for call_id in long) <= 64


@pytest.mark.parametrize("call_id", ["", "a b", "a\n", None, 5], ids=repr)
def test_illegal_ids(call_id: Any) -> None:
    assert not is_legal_id(call_id)


def test_names_that_look_alike_differ() -> None:
    assert legal_name("a_b") == "a_b"
    assert len({legal_name(name) for name in ("a_b", "a.b", "a b", "a:b")}) == 4
    assert len(hashed_name("x" * 500)) == 128
