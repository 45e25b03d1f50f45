from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from addon.context.transcript import TRANSCRIPT_BYTES, summary_request, transcript
from tests.context.builders import NEW, OLD, call, result, text
from tests.context.validator import conversations, unhurried

BASE64 = "iVBORw0KGgo" * 500
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}}


def test_blocks_read_as_lines():
    blocks = [
        {"type": "text", "text": "look"},
        {"type": "tool_use", "id": "t", "name": "grep", "input": {"q": "ä"}},
    ]
    shown = transcript([{"role": "assistant", "content": blocks}, result("t", "3 hits")])
    assert (
        shown
        == '[ASSISTANT]:\nlook\n[Tool call] grep {"q": "ä"}\n\n---\n\n[USER]:\n[Tool result] 3 hits'
    )


def test_long_calls_and_results_are_capped():
    shown = transcript([call("t", path="p" * 9_000), result("t", "r" * 9_000)])
    assert 3_000 < len(shown) < 4_300
    assert "characters left out" in shown


@pytest.mark.parametrize(
    "content",
    [
        [IMAGE],
        [{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}],
        [{"type": "document", "title": "spec", "source": {"type": "base64", "data": BASE64}}],
        [
            {
                "type": "new_block",
                "source": {"data": BASE64},
                "deep": [{"encrypted_content": BASE64}],
            }
        ],
        [{"type": "redacted_thinking", "data": BASE64}],
    ],
    ids=["image", "image-in-result", "document", "unknown-block", "redacted-thinking"],
)
def test_base64_never_gets_into_it(content: list[Any]):
    assert "iVBORw0KGgo" not in transcript([{"role": "user", "content": content}])


def test_long_messages_share_what_room_there_is():
    messages = [
        text("user", "short"),
        text("assistant", "L" * 3_000_000),
        text("user", "é" * 900_000),
    ]
    shown = transcript(messages)
    assert len(shown.encode()) <= TRANSCRIPT_BYTES
    assert "short" in shown
    assert 140_000 < shown.count("L") < 180_000
    assert 70_000 < shown.count("é") < 90_000


@unhurried
@given(conversations(most_lines=400))
def test_every_message_is_in_it(messages: list[dict[str, Any]]):
    shown = transcript(messages)
    assert shown.count("]:\n") >= len(messages)
    for message in messages:
        blocks = message["content"]
        for block in [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks:
            mark = {"text": "text", "tool_result": "content"}.get(block["type"])
            assert (block[mark][:20] if mark else block["input"]["path"]) in shown


def test_request_asks_for_a_plain_short_answer():
    body = summary_request([text("user", "fix the bug")], 100_000, OLD)
    assert (body["model"], body["stream"], body["max_tokens"]) == (OLD.id, False, 15_000)
    assert "fix the bug" in body["messages"][0]["content"]
    assert "earlier_summary" not in body["messages"][0]["content"]


def test_request_to_merge_holds_the_earlier_summary():
    body = summary_request([text("user", "go on")], 1_000, OLD, previous="they fixed the bug")
    assert body["messages"][0]["content"].count("they fixed the bug") == 1
    assert body["max_tokens"] == 4_096


@pytest.mark.parametrize(
    ("off", "fields"),
    [
        ("omit", {}),
        ("disabled", {"thinking": {"type": "disabled"}}),
        ("between_tools", {"thinking": {"type": "between_tools"}}),
        ("never", {"output_config": {"effort": "low"}}),
    ],
)
def test_request_does_without_thinking_as_the_model_allows(off: Any, fields: dict[str, Any]):
    body = summary_request([text("user", "x")], 1, replace(NEW, thinking_off=off))
    assert {key: body[key] for key in ("thinking", "output_config") if key in body} == fields
