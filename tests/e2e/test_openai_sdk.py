"""The openai SDK, sync and async, through the real proxy: what it gets, and what Anthropic received for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from addon.stand_in.access import SYSTEM_LINE
from addon.stand_in.script import fail, say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import World
from tests.e2e.proxy import chat
from tests.e2e.talk import turns

PIXEL = base64.b64encode(
    bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
    + bytes.fromhex("0000000d49444154789c6360f8cf50000000050001e221bc330000000049454e44ae426082")
).decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
        },
    },
}


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"MODEL_ALIASES": "fast=claude-haiku-4-5", "CLAUDE_CODE_EXTRA_INSTRUCTION": "Be brief."}


def test_plain(world: World) -> None:
    world.fake.script(say("Hello there"))
    completion = world.proxy.openai().chat.completions.create(**chat("Hi"))
    assert completion.object == "chat.completion"
    assert completion.model == "claude-opus-4-8"
    assert completion.choices[0].message.content == "Hello there"
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage and usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_headers_for_anthropic(world: World) -> None:
    given = {
        "anthropic-user-profile-id": "uprof_1",
        "anthropic-workspace-id": "wrkspc_1",
        "anthropic-version": "2026-10-21",
    }
    world.proxy.openai().chat.completions.create(**chat("Hi"), extra_headers=given)
    (request,) = turns(world.fake)
    assert request.header("anthropic-user-profile-id") == "uprof_1"
    assert request.header("anthropic-workspace-id") == "wrkspc_1"
    assert request.header("anthropic-version") == "2023-06-01"


@pytest.mark.parametrize("other", ["gpt-4.1", "my custom model"])
def test_azures_deployment_is_the_model_whatever_the_body_says(other: str, world: World) -> None:
    world.fake.script(say("Hello"))
    with openai.AzureOpenAI(
        azure_endpoint=world.proxy.url,
        azure_deployment="claude-opus-4-8",
        api_version="2024-12-01-preview",
        api_key="any",
    ) as client:
        answer = client.chat.completions.create(model=other, messages=chat("Hi")["messages"])
    assert (answer.model, answer.choices[0].message.content) == ("claude-opus-4-8", "Hello")
    assert world.fake.messages()[0].json["model"] == "claude-opus-4-8"


async def test_plain_async(world: World) -> None:
    world.fake.script(say("Hello there"))
    async with world.proxy.async_openai() as client:
        completion = await client.chat.completions.create(**chat("Hi"))
    assert completion.choices[0].message.content == "Hello there"


def test_stream_with_usage(world: World) -> None:
    world.fake.script(say("one two three four five six seven eight"))
    stream = world.proxy.openai().chat.completions.create(
        **chat("Hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"claude-opus-4-8"}
    assert len({chunk.id for chunk in chunks}) == 1
    said = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert len(said) > 1 and "".join(said) == "one two three four five six seven eight"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert chunks[-1].choices == [] and usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_without_usage_has_none(world: World) -> None:
    chunks = list(world.proxy.openai().chat.completions.create(**chat("Hi"), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_stream_async(world: World) -> None:
    world.fake.script(say("one two three"))
    async with world.proxy.async_openai() as client:
        stream = await client.chat.completions.create(**chat("Hi"), stream=True)
        said = [c.choices[0].delta.content or "" async for c in stream if c.choices]
    assert "".join(said) == "one two three"


def test_stream_helper(world: World) -> None:
    world.fake.script(say("one two three", tool_use("weather", {"town": "Oslo"})))
    with world.proxy.openai().chat.completions.stream(**chat("Hi", tools=[WEATHER])) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds and "tool_calls.function.arguments.done" in kinds
    message = final.choices[0].message
    assert message.content == "one two three" and message.tool_calls
    assert json.loads(message.tool_calls[0].function.arguments) == {"town": "Oslo"}


async def test_stream_helper_async(world: World) -> None:
    world.fake.script(say("one two three"))
    async with (
        world.proxy.async_openai() as client,
        client.chat.completions.stream(**chat("Hi")) as stream,
    ):
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "one two three"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_parallel_tools_round_trip(streamed: bool, world: World) -> None:
    client = world.proxy.openai()
    messages: list[ChatCompletionMessageParam] = [
        {
            "role": "user",
            "content": '[[tool weather {"town": "Oslo"}]] [[tool weather {"town": "Rome"}]]',
        }
    ]
    request: dict[str, Any] = {"model": "claude-opus-4-8", "tools": [WEATHER]}
    if streamed:
        with client.chat.completions.stream(messages=messages, **request) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(messages=messages, **request).choices[0]  # type: ignore[assignment]
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and calls
    towns = [json.loads(call.function.arguments)["town"] for call in calls]  # type: ignore[union-attr]
    assert towns == ["Oslo", "Rome"]
    messages.append(choice.message.model_dump(exclude_none=True))  # type: ignore[arg-type]
    for call, town in zip(calls, towns, strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"Rain in {town}"})
    final = client.chat.completions.create(messages=messages, **request)
    assert final.choices[0].message.content == "The tools said: Rain in Oslo; Rain in Rome"
    assert final.choices[0].finish_reason == "stop"
    received = world.fake.messages()[-1].json["messages"]
    assert [message["role"] for message in received] == ["user", "assistant", "user"]
    assert [block["type"] for block in received[2]["content"]] == ["tool_result", "tool_result"]
    assert [b["tool_use_id"] for b in received[2]["content"]] == [call.id for call in calls]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (
            f"data:image/png;base64,{PIXEL}",
            {"type": "base64", "media_type": "image/png", "data": PIXEL},
        ),
        ("https://example.com/a.png", {"type": "url", "url": "https://example.com/a.png"}),
    ],
    ids=["data", "https"],
)
def test_images(url: str, source: dict[str, str], world: World) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    completion = world.proxy.openai().chat.completions.create(
        model="claude-opus-4-8",
        messages=[{"role": "user", "content": content}],  # type: ignore[list-item, misc]
    )
    assert completion.choices[0].message.content
    blocks = world.fake.messages()[0].json["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["text", "image"]
    assert blocks[1]["source"] == source


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_thinking_is_shown_as_reasoning(streamed: bool, world: World) -> None:
    world.fake.script(say(thinking("Let me see."), "Done"))
    client = world.proxy.openai()
    body = chat("Think", reasoning_effort="high")
    if streamed:
        deltas = [
            c.choices[0].delta
            for c in client.chat.completions.create(**body, stream=True)
            if c.choices
        ]
        thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        said = "".join(delta.content or "" for delta in deltas)
    else:
        message = client.chat.completions.create(**body).choices[0].message
        thought, said = message.reasoning_content, message.content  # type: ignore[attr-defined]
    assert (thought, said) == ("Let me see.", "Done")
    assert world.fake.messages()[0].json["output_config"]["effort"] == "high"


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
def test_finish_reasons(stop_reason: str, finish_reason: str, world: World) -> None:
    world.fake.script(say("So", stop_reason=stop_reason))
    client = world.proxy.openai()
    plain = client.chat.completions.create(**chat()).choices[0].finish_reason
    streamed = [
        chunk.choices[0].finish_reason
        for chunk in client.chat.completions.create(**chat(), stream=True)
        if chunk.choices
    ][-1]
    assert plain == streamed == finish_reason


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("fast", "claude-haiku-4-5"),
        ("claude-4.5-opus-high-thinking", "claude-opus-4-5"),
        ("anthropic/claude-sonnet-4.6", "claude-sonnet-4-6"),
    ],
)
def test_names_are_resolved_and_echoed(asked: str, sent: str, world: World) -> None:
    raw = world.proxy.openai().chat.completions.with_raw_response.create(**chat(model=asked))
    assert raw.parse().model == asked
    assert world.fake.messages()[0].json["model"].startswith(sent)
    assert raw.headers["x-ccproxy-model"].startswith(sent)
    assert raw.headers["x-ccproxy-source"] == "claude_code"


def test_a_body_that_is_not_json_is_a_400(world: World) -> None:
    response = world.proxy.post(
        "/v1/chat/completions", content=b"{", headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert world.untouched


@pytest.mark.parametrize("name", ["", " ", "claude-" + "x" * 250])
def test_a_name_that_can_t_be_a_model_s_is_a_400(name: str, world: World) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        world.proxy.openai().chat.completions.create(**chat("Hi", model=name))
    assert caught.value.param == "model"
    assert world.untouched


def test_an_unknown_model_is_a_404(world: World) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        world.proxy.openai().chat.completions.create(**chat(model="gpt-5"))
    assert caught.value.code == "model_not_found"
    assert world.untouched


def test_models(world: World) -> None:
    names = [model.id for model in world.proxy.openai().models.list()]
    assert names[0] == "fast" and "claude-opus-4-8" in names
    assert world.untouched


def test_what_anthropic_receives_by_subscription(world: World) -> None:
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hi"},
    ]
    world.proxy.openai(
        default_headers={"x-canary": "1", "anthropic-beta": "context-1m-2025-08-07"}
    ).chat.completions.create(model="claude-opus-4-8", messages=messages)  # type: ignore[arg-type]
    request = world.fake.messages()[0]
    assert [block["text"] for block in request.json["system"]] == [
        SYSTEM_LINE,
        "Be brief.",
        "You are a pirate.",
    ]
    assert request.json["stream"] is True
    assert {name.lower() for name, _ in request.headers} == {
        "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent",
        "anthropic-version", "anthropic-beta", "authorization",
    }  # fmt: skip
    assert {"oauth-2025-04-20", "claude-code-20250219"} <= request.betas
    assert "context-1m-2025-08-07" not in request.betas
    assert request.header("host") == f"127.0.0.1:{world.fake.port}"


# -- the Responses API ---------------------------------------------------------------------------------------------


def test_responses_plain(world: World) -> None:
    world.fake.script(say("Hello there"))
    response = world.proxy.openai().responses.create(
        model="claude-opus-4-8", instructions="Be a pirate.", input="Hi"
    )
    assert response.output_text == "Hello there"
    assert response.status == "completed" and response.model == "claude-opus-4-8"
    assert response.usage and response.usage.output_tokens > 0
    assert world.fake.messages()[0].json["system"][-1]["text"] == "Be a pirate."


async def test_responses_async(world: World) -> None:
    world.fake.script(say("Hello there"))
    async with world.proxy.async_openai() as client:
        response = await client.responses.create(model="claude-opus-4-8", input="Hi")
    assert response.output_text == "Hello there"


def test_responses_stream(world: World) -> None:
    world.fake.script(say("one two three four five six seven"))
    stream = world.proxy.openai().responses.create(model="claude-opus-4-8", input="Hi", stream=True)
    events = list(stream)
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    said = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert said == events[-1].response.output_text == "one two three four five six seven"
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_responses_tools_round_trip(world: World) -> None:
    client = world.proxy.openai()
    tools: Any = [
        {
            "type": "function",
            "name": "weather",
            "parameters": WEATHER["function"]["parameters"],  # type: ignore[index]
            "strict": False,
        }
    ]
    asked: list[Any] = [
        {
            "role": "user",
            "content": '[[tool weather {"town": "Oslo"}]] [[tool weather {"town": "Rome"}]]',
        }
    ]
    first = client.responses.create(model="claude-opus-4-8", input=asked, tools=tools)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["town"] for call in calls] == ["Oslo", "Rome"]
    asked += [item.model_dump(exclude_none=True) for item in first.output]
    asked += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"Rain {n}"}
        for n, call in enumerate(calls)
    ]
    final = client.responses.create(model="claude-opus-4-8", input=asked, tools=tools)
    assert final.output_text == "The tools said: Rain 0; Rain 1"


def test_responses_errors_are_the_sdks_own(world: World) -> None:
    world.fake.script(fail(400, "In plain words"))
    with pytest.raises(openai.BadRequestError, match="In plain words"):
        world.proxy.openai().responses.create(model="claude-opus-4-8", input="Hi")
