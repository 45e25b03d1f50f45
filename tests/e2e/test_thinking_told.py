"""Thinking that was asked for and can't be had is told: in a header, in the terminal, and in what `/explain` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, fail, say
from tests.e2e.conftest import World
from tests.e2e.proxy import chat, message

MANUAL, ADAPTIVE = "claude-opus-4-5", "claude-opus-4-8"
HEADER = "x-ccproxy-thinking"
CALL = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
LOOP = [
    {"role": "user", "content": "Read it."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "some text"},
]
PREFILL = [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "It is"}]
TOOLS = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
BUDGET = {"type": "enabled", "budget_tokens": 2000}
SIGNATURE_REFUSED = "messages.1.content.0: Invalid `signature` in `thinking` block"


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"FIRST_BYTE_SECONDS": "1"}


def thinking_chat(model: str = MANUAL, **more: Any) -> dict[str, Any]:
    return {**chat(model=model, reasoning_effort="high"), **more}


TAKEN_OFF = {
    "a tool loop whose thinking is lost": (
        "/v1/chat/completions",
        thinking_chat(messages=LOOP, tools=TOOLS),
        "off (lost_blocks)",
    ),
    "a chat that begins the answer": (
        "/v1/chat/completions",
        thinking_chat(messages=PREFILL),
        "off (prefill)",
    ),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", TAKEN_OFF)
def test_thinking_that_is_taken_off_is_told(case: str, streamed: bool, world: World) -> None:
    path, body, told = TAKEN_OFF[case]
    start = len(world.proxy.output)
    response = world.proxy.post(path, {**body, "stream": streamed})
    assert (response.status_code, response.headers.get(HEADER)) == (200, told), response.text
    [sent] = world.fake.messages()
    assert "thinking" not in sent.json
    assert_said(world, start, told)


REFUSED = {
    "a message that begins the answer": (
        message(model=MANUAL, max_tokens=4000, thinking=BUDGET, messages=PREFILL),
        "off (refused)",
    ),
    "an answer too short for any budget": (
        message(model=MANUAL, max_tokens=1000, thinking=BUDGET),
        "off (max_tokens)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_thinking_of_an_anthropic_client_is_taken_off_after_its_refusal(
    case: str, world: World
) -> None:
    body, told = REFUSED[case]
    response = world.proxy.post("/v1/messages", body)
    assert (response.status_code, response.headers.get(HEADER)) == (200, told), response.text
    assert response.headers["x-ccproxy-repaired"] == "thinking"
    first, second = world.fake.messages()
    assert first.json == {**first.json, **body, "stream": True}
    assert "thinking" not in second.json


@pytest.mark.parametrize(
    ("model", "told"), [(MANUAL, "off (refused)"), (ADAPTIVE, "stripped (refused)")]
)
def test_thinking_that_anthropic_refused_is_told(model: str, told: str, world: World) -> None:
    world.fake.script([fail(400, SIGNATURE_REFUSED)])
    start = len(world.proxy.output)
    response = world.proxy.post("/v1/chat/completions", thinking_chat(model))
    assert (response.status_code, response.headers.get(HEADER)) == (200, told)
    assert_said(world, start, told)


def assert_said(world: World, start: int, told: str) -> None:
    world.fake.wait_until(lambda: f"thinking {told}" in world.proxy.output[start:])
    assert f"thinking {told}" in world.proxy.output[start:]
    newest = world.proxy.get("/explain").json()["requests"][0]["id"]
    assert f"thinking: {told}" in world.proxy.get(f"/explain/{newest}").json()["notes"]


def test_a_stream_that_started_early_is_told_in_its_comment(world: World) -> None:
    gate = Gate()
    world.fake.script(delivered(say("At last."), hold=gate))
    body = {**thinking_chat(messages=LOOP, tools=TOOLS), "stream": True}
    with world.proxy.openai() as client:
        stream = client.with_streaming_response.chat.completions.create(**body)
        with stream as response:
            assert response.headers["x-ccproxy-source"] == "pending"
            gate.open()
            text = "".join(response.iter_text())
    assert ": source=claude_code reason=none thinking=off (lost_blocks)\n" in text


@pytest.mark.parametrize("model", [MANUAL, ADAPTIVE])
def test_thinking_as_it_was_asked_for_needs_no_word(model: str, world: World) -> None:
    start = len(world.proxy.output)
    asked = world.proxy.post("/v1/chat/completions", thinking_chat(model))
    silent = world.proxy.post("/v1/chat/completions", chat(model=model, messages=PREFILL[:1]))
    for response in (asked, silent):
        assert response.status_code == 200 and HEADER not in response.headers
    assert "thinking" not in world.proxy.output[start:]
