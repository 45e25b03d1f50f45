from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.json_codec import dumps
from addon.translation.from_anthropic.tool_calls import StreamedCall, arguments_text, tool_reply
from addon.translation.types import Reply, ToolReply
from tests.translation.strategies import json_values
from tests.translation.upstream import tool

PLAIN = ToolReply(name="f")
CUSTOM = ToolReply(name="f", custom=True)
WRAPPED = ToolReply(name="f", wrapped=True)
RENAMED = ToolReply(name="f", renamed=(("a[b]", "a_b_"), ("名", "_")))


@pytest.mark.parametrize(
    ("value", "how", "text"),
    [
        pytest.param({"a": "é"}, PLAIN, '{"a":"é"}', id="plain"),
        pytest.param({"input": "x"}, PLAIN, '{"input":"x"}', id="plain-with-an-input"),
        pytest.param("not json", PLAIN, "not json", id="no-json"),
        pytest.param({"input": "raw\n"}, CUSTOM, "raw\n", id="custom"),
        pytest.param({"input": ["x"]}, CUSTOM, '["x"]', id="custom-that-is-no-text"),
        pytest.param({"other": "x"}, CUSTOM, '{"other":"x"}', id="custom-under-another-key"),
        pytest.param({}, CUSTOM, "", id="custom-without-input"),
        pytest.param({"input": "x"}, WRAPPED, '"x"', id="wrapped-text"),
        pytest.param({"input": None}, WRAPPED, "null", id="wrapped-null"),
        pytest.param({}, WRAPPED, "{}", id="wrapped-without-input"),
        pytest.param({"a_b_": {"_": 1}, "c": 2}, RENAMED, '{"a[b]":{"_":1},"c":2}', id="renamed"),
        pytest.param({"_": None}, RENAMED, '{"名":null}', id="renamed-alone"),
    ],
)
def test_arguments(value: Any, how: ToolReply, text: str) -> None:
    assert arguments_text(value, how) == text


def test_a_tool_that_is_not_listed_keeps_its_name() -> None:
    assert tool_reply(Reply(model="m"), "f") == PLAIN


@given(json_values, st.sampled_from([CUSTOM, WRAPPED]), st.integers(1, 9))
def test_a_streamed_input_is_unwrapped_as_a_whole_one(
    value: Any, how: ToolReply, piece: int
) -> None:
    wrapped = {"input": value}
    call = StreamedCall(tool("t", "f", {}), 0, Reply(model="m", tools={"f": how}))
    written = dumps(wrapped).decode()
    assert "".join(call.add(written[i : i + piece]) for i in range(0, len(written), piece)) == ""
    assert call.rest() == arguments_text(wrapped, how)


def test_a_streamed_input_gets_its_own_names_back() -> None:
    call = StreamedCall(tool("t", "f", {}), 0, Reply(model="m", tools={"f": RENAMED}))
    assert call.add('{"a_b') + call.add('_": 1}') == ""
    assert call.rest() == '{"a[b]":1}'


def test_a_cut_custom_input_is_given_as_it_came() -> None:
    call = StreamedCall(tool("t", "f", {}), 0, Reply(model="m", tools={"f": CUSTOM}))
    call.add('{"input": "cu')
    assert call.rest() == '{"input": "cu'
