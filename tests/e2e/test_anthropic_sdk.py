"""The anthropic SDK, sync and async, through the real proxy: what it gets, and what Anthropic received for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anthropic
import pytest

from addon.stand_in.access import SYSTEM_LINE
from addon.stand_in.script import say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import World
from tests.e2e.proxy import message
from tests.e2e.test_openai_sdk import PIXEL

WEATHER = {
    "name": "weather",
    "description": "The weather of a town",
    "input_schema": {
        "type": "object",
        "properties": {"town": {"type": "string"}},
        "required": ["town"],
    },
}
LONG = "The quick brown fox jumps over the lazy dog. " * 400


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"CLAUDE_CODE_EXTRA_INSTRUCTION": "Be brief."}


def test_plain(world: World) -> None:
    world.fake.script(say("Hello there"))
    answer = world.proxy.anthropic().messages.create(**message("Hi"))
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "claude-opus-4-8")
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "Hello there"  # type: ignore[union-attr]
    assert answer.stop_reason == "end_turn" and answer.usage.output_tokens > 0


async def test_plain_async(world: World) -> None:
    world.fake.script(say("Hello there"))
    async with world.proxy.async_anthropic() as client:
        answer = await client.messages.create(**message("Hi"))
    assert answer.content[0].text == "Hello there"  # type: ignore[union-attr]


def test_stream(world: World) -> None:
    world.fake.script(say("one two three four five six seven"))
    events = list(world.proxy.anthropic().messages.create(**message("Hi"), stream=True))
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    assert "".join(d.text for d in deltas if d.type == "text_delta").endswith("six seven")


def test_stream_helper(world: World) -> None:
    world.fake.script(say("one two", tool_use("weather", {"town": "Oslo"})))
    client = world.proxy.anthropic()
    with client.messages.stream(**message("Hi", tools=[WEATHER])) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert said == "one two"
    assert final.content[1].input == {"town": "Oslo"}  # type: ignore[union-attr]
    assert final.stop_reason == "tool_use"


async def test_stream_helper_async(world: World) -> None:
    world.fake.script(say("one two"))
    async with (
        world.proxy.async_anthropic() as client,
        client.messages.stream(**message("Hi")) as stream,
    ):
        assert await stream.get_final_text() == "one two"


def test_parallel_tools_round_trip(world: World) -> None:
    client = world.proxy.anthropic()
    asked: list[Any] = [
        {
            "role": "user",
            "content": '[[tool weather {"town": "Oslo"}]] [[tool weather {"town": "Rome"}]]',
        }
    ]
    body: Any = {"model": "claude-opus-4-8", "max_tokens": 1000, "tools": [WEATHER]}
    first = client.messages.create(messages=asked, **body)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"town": "Oslo"}, {"town": "Rome"}]
    asked.append({"role": "assistant", "content": first.content})
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"Rain {n}"}
        for n, call in enumerate(calls)
    ]
    asked.append({"role": "user", "content": results})
    final = client.messages.create(messages=asked, **body)
    assert final.content[0].text == "The tools said: Rain 0; Rain 1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "source",
    [
        {"type": "base64", "media_type": "image/png", "data": PIXEL},
        {"type": "url", "url": "https://example.com/a.png"},
    ],
    ids=["data", "https"],
)
def test_images_go_through_as_they_are(source: dict[str, str], world: World) -> None:
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    world.proxy.anthropic().messages.create(
        model="claude-opus-4-8", max_tokens=100, messages=[{"role": "user", "content": content}]
    )
    assert world.fake.messages()[0].json["messages"][0]["content"][0]["source"] == source


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_thinking_keeps_its_signature(streamed: bool, world: World) -> None:
    world.fake.script(say(thinking("Let me see."), "Done"))
    client = world.proxy.anthropic()
    body = message("Think", thinking={"type": "adaptive", "display": "summarized"})
    if streamed:
        with client.messages.stream(**body) as stream:
            answer: Any = stream.get_final_message()
    else:
        answer = client.messages.create(**body)
    thought, said = answer.content
    assert (thought.type, thought.thinking, said.text) == ("thinking", "Let me see.", "Done")
    assert thought.signature


def test_unknown_blocks_and_fields_are_kept(world: World) -> None:
    unknown = {"type": "hologram", "depth": 3, "layers": [{"z": 1}]}
    details = {"category": "cyber", "explanation": "Because"}
    world.fake.script(say(unknown, "So", stop_reason="refusal", stop_details=details))
    answer = world.proxy.post("/v1/messages", message()).json()
    assert answer["content"][0] == unknown
    assert answer["stop_details"] == details
    assert answer["usage"]["service_tier"] == "standard"
    assert answer["usage"]["cache_creation"]["ephemeral_1h_input_tokens"] == 0


def test_a_long_prompt_is_read_from_the_cache_the_second_time(world: World) -> None:
    system: Any = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    client = world.proxy.anthropic()
    written = client.messages.create(**message("Hi", system=system)).usage
    read = client.messages.create(**message("Ho", system=system)).usage
    assert written.cache_creation_input_tokens and not written.cache_read_input_tokens
    assert read.cache_read_input_tokens == written.cache_creation_input_tokens


def test_cached_tokens_are_told_to_openai_clients_too(world: World) -> None:
    parts = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    body: Any = {
        "model": "claude-opus-4-8",
        "messages": [{"role": "system", "content": parts}, {"role": "user", "content": "Hi"}],
    }
    client = world.proxy.openai()
    client.chat.completions.create(**body)
    usage = client.chat.completions.create(**body).usage
    assert usage and usage.prompt_tokens_details
    cached = usage.prompt_tokens_details.cached_tokens
    assert cached and 0 < cached < usage.prompt_tokens


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("thread", [True, False], ids=["Anthropic keeps the turns", "whole"])
def test_the_tool_runner_takes_two_turns(thread: bool, streamed: bool, world: World) -> None:
    @anthropic.beta_tool
    def weather(town: str) -> str:
        """The weather of a town."""
        return f"Rain in {town}"

    messages: list[Any] = []

    def answer(question: str) -> str:
        messages.append({"role": "user", "content": question})
        runner = world.proxy.anthropic().beta.messages.tool_runner(
            model="claude-opus-4-8",
            max_tokens=2000,
            messages=messages,
            tools=[weather],
            thinking={"type": "adaptive"},
            thread=None if thread else False,
            stream=streamed,
        )
        ended = runner.until_done()
        messages.append({"role": "assistant", "content": ended.content})
        return str(ended.content[-1].text)  # type: ignore[union-attr]

    call = say(thinking("A tool."), tool_use("weather", {"town": "Oslo"}))
    world.fake.script([call, say("It rains."), call, say("Still.")])
    assert [answer("Weather in Oslo?"), answer("And now?")] == ["It rains.", "Still."]

    assert {request.status for request in world.fake.messages()} == {200}
    _, result, _, last = (request.json for request in world.fake.messages())
    for request in (result, last):
        assert request["messages"][-1]["content"][0]["content"] == "Rain in Oslo"
    if thread:
        threads = [request["thread"] for request in (result, last)]
        assert all(thread["previous_message_id"] for thread in threads)
    else:
        kinds = [block["type"] for block in result["messages"][-2]["content"]]
        assert kinds == ["thinking", "tool_use"]
        assert len(last["messages"]) == 5


def test_counting_tokens(world: World) -> None:
    count = world.proxy.anthropic().messages.count_tokens(
        model="claude-opus-4-8", messages=[{"role": "user", "content": LONG}]
    )
    assert count.input_tokens > 1000
    request = world.fake.requests[0]
    assert request.path == "/v1/messages/count_tokens" and "stream" not in request.json


def test_models(world: World) -> None:
    page = world.proxy.anthropic().models.list()
    assert "claude-opus-4-8" in [model.id for model in page.data]
    assert page.data[0].type == "model" and page.has_more is False
    assert world.untouched


def test_one_model_and_pages(world: World) -> None:
    client = world.proxy.anthropic()
    for name in ("claude-opus-4-8", "claude-opus-4-8[1m]", "anthropic/claude-opus-4.8"):
        model = client.models.retrieve(name)
        assert (model.id, model.display_name) == ("claude-opus-4-8", "Claude Opus 4.8")
    assert [m.id for m in client.models.list(limit=3)] == [m.id for m in client.models.list()]
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("gpt-5")
    assert world.proxy.openai().models.retrieve("claude-opus-4-8").id == "claude-opus-4-8"
    assert world.untouched


def test_what_anthropic_receives_by_subscription(world: World) -> None:
    world.proxy.anthropic(default_headers={"x-canary": "1"}).messages.create(
        **message(
            system=[
                {
                    "type": "text",
                    "text": "You are a pirate.",
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                }
            ]
        ),
        extra_headers={
            "anthropic-beta": "interleaved-thinking-2025-05-14,context-1m-2025-08-07",
            "anthropic-version": "2023-06-01",
        },
    )
    request = world.fake.messages()[0]
    assert [block["text"] for block in request.json["system"]] == [
        SYSTEM_LINE,
        "Be brief.",
        "You are a pirate.",
    ]
    assert request.json["system"][2]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert request.json["stream"] is True
    assert "interleaved-thinking-2025-05-14" in request.betas
    assert {"oauth-2025-04-20", "context-1m-2025-08-07"} <= request.betas
    assert "context-1m-2025-08-07" not in world.fake.messages()[1].betas  # it was refused
    assert {name.lower() for name, _ in request.headers} == {
        "host", "content-type", "content-length", "accept", "accept-encoding", "user-agent",
        "anthropic-version", "anthropic-beta", "authorization",
    }  # fmt: skip


def test_claude_codes_own_system_line_is_not_doubled(world: World) -> None:
    system: Any = [{"type": "text", "text": SYSTEM_LINE}, {"type": "text", "text": "Mine"}]
    world.proxy.anthropic().messages.create(**message(system=system))
    assert [b["text"] for b in world.fake.messages()[0].json["system"]] == [SYSTEM_LINE, "Mine"]


def test_beta_namespace_keeps_its_flags_and_query(world: World) -> None:
    world.proxy.anthropic().beta.messages.create(**message(), betas=["files-api-2025-04-14"])
    world.proxy.post("/v1/messages?beta=true&evil=1", message())
    by_sdk, older = world.fake.messages()
    assert "files-api-2025-04-14" in by_sdk.betas
    assert older.target == "/v1/messages?beta=true&evil=1"


def test_a_model_that_is_not_claudes_is_a_404(world: World) -> None:
    with pytest.raises(anthropic.NotFoundError):
        world.proxy.anthropic().messages.create(**message(model="gpt-5"))
    assert world.untouched


def test_the_client_that_asks_without_messages_is_told_which_field(world: World) -> None:
    response = world.proxy.post("/v1/messages", {"model": "claude-opus-4-8", "max_tokens": 10})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "messages: Field required"
    assert world.fake.messages()
