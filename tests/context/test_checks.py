from __future__ import annotations

from typing import Any

import pytest

from addon.context.checks import check_messages
from addon.core.errors import BadRequest
from tests.context.builders import call, result, text

BAD: dict[str, tuple[Any, str]] = {
    "no-messages": (None, "messages"),
    "messages-are-no-list": ({}, "messages"),
    "message-is-a-text": (["hi"], "messages[0]"),
    "no-role": ([text("user", "a"), {"content": "b"}], "messages[1]"),
    "no-content": ([{"role": "user"}], "messages[0].content"),
    "content-is-null": ([{"role": "user", "content": None}], "messages[0].content"),
    "block-is-a-text": ([{"role": "user", "content": ["x"]}], "messages[0].content[0]"),
    "block-without-type": ([{"role": "user", "content": [{}]}], "messages[0].content[0]"),
    "text-is-a-number": (
        [{"role": "user", "content": [{"type": "text", "text": 1}]}],
        "messages[0].content[0].text",
    ),
    "call-without-id": (
        [{"role": "user", "content": [{"type": "tool_use"}]}],
        "messages[0].content[0].id",
    ),
    "result-without-id": (
        [{"role": "user", "content": [{"type": "tool_result"}]}],
        "messages[0].content[0].tool_use_id",
    ),
    "nested-block": ([result("t", ["x"])], "messages[0].content[0].content[0]"),
}


@pytest.mark.parametrize(("messages", "param"), BAD.values(), ids=BAD)
def test_what_can_not_be_counted_is_named(messages: Any, param: str):
    with pytest.raises(BadRequest) as caught:
        check_messages({"messages": messages})
    assert caught.value.param == param
    assert param in caught.value.message


def test_what_anthropic_may_add_is_let_through():
    blocks = [
        {"type": "new_block", "content": 7},
        {"type": "image"},
        {"type": "document", "source": 3},
    ]
    check_messages(
        {
            "messages": [
                text("system", "x"),
                call("t"),
                result("t", None),
                {"role": "user", "content": blocks},
            ]
        }
    )
