"""Bodies of every API as text that a person reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from addon.api.readable import from_stream, readable

TOOL_TURNS: dict[str, Any] = {
    "messages": {
        "model": "claude-opus-5", "max_tokens": 100, "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "get_weather", "input_schema": {}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Ask the tool.", "signature": "s"},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "17 degrees"}]},
        ],
    },
    "chat": {
        "model": "claude-opus-5", "max_tokens": 100,
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "content": None, "reasoning_content": "Ask the tool.", "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}},
            ]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "17 degrees"},
        ],
    },
    "responses": {
        "model": "claude-opus-5", "max_output_tokens": 100, "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "get_weather", "parameters": {}}],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Ask the tool."}]},
            {"type": "function_call", "call_id": "toolu_1", "name": "get_weather", "arguments": '{"city": "Oslo"}'},
            {"type": "function_call_output", "call_id": "toolu_1", "output": "17 degrees"},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("dialect", TOOL_TURNS)
def test_a_request_shows_who_said_what_in_every_dialect(dialect: str) -> None:
    text = readable(TOOL_TURNS[dialect])
    for part in (
        "model claude-opus-5", "1 tool: get_weather", "Be brief.", "── user ", "Weather?", "Ask the tool.",
        '→ get_weather {"city": "Oslo"}  [toolu_1]', "← toolu_1", "17 degrees",
    ):  # fmt: skip
        assert part in text


def test_an_answer_shows_its_usage() -> None:
    text = readable(
        {
            "type": "message", "role": "assistant", "model": "claude-opus-5", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "17 degrees."}],
            "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 900, "cache_creation": {"ephemeral_5m_input_tokens": 0}},
        }
    )  # fmt: skip
    assert text.splitlines()[2:] == [
        "── assistant ".ljust(72, "─"), "17 degrees.", "", "── usage ".ljust(72, "─"),
        "input_tokens 10", "output_tokens 5", "cache_read_input_tokens 900", "stop_reason end_turn",
    ]  # fmt: skip


def test_images_are_told_by_their_size() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 5000}
    text = readable(
        {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    )
    assert "AAAA" not in text
    assert "[image, " in text


def test_unknown_blocks_are_shown_as_they_are() -> None:
    assert "[new_block]" in readable(
        {"messages": [{"role": "user", "content": [{"type": "new_block", "x": 1}]}]}
    )


@pytest.mark.parametrize("body", [{}, {"budget": 1}, {"messages": []}], ids=str)
def test_what_is_no_conversation_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no conversation"):
        readable(body)


def events(*data: Any) -> bytes:
    return (
        b"".join(b"data: " + json.dumps(d).encode() + b"\n\n" for d in data) + b"data: [DONE]\n\n"
    )


def test_a_chat_stream_is_put_together() -> None:
    def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
        return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"a":1}'}}
    data = events(
        chunk(role="assistant", content=""), chunk(reasoning_content="Hm."), chunk(content="He"), chunk(content="llo"),
        chunk(tool_calls=[call]), chunk(tool_calls=[more]), chunk("tool_calls"),
        {"model": "m", "choices": [], "usage": {"prompt_tokens": 3}},
    )  # fmt: skip
    text = readable(from_stream(data))
    for part in (
        "(thinking) Hm.",
        "Hello",
        '→ f {"a":1}  [c1]',
        "finish_reason tool_calls",
        "prompt_tokens 3",
    ):
        assert part in text


def test_a_stream_of_anthropics_is_put_together() -> None:
    stream = next((Path(__file__).parents[1] / "fixtures" / "streams").rglob("*.sse"))
    assert "── assistant " in readable(from_stream(stream.read_bytes()))


def test_a_stream_of_responses_is_its_completed_response() -> None:
    response = {"model": "m", "status": "completed", "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}]}  # fmt: skip
    data = events(
        {"type": "response.created"}, {"type": "response.completed", "response": response}
    )
    assert "Hello" in readable(from_stream(data))


def test_a_stream_without_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="no model response"):
        from_stream(b": keepalive\n\n")
