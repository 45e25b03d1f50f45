"""The acceptance cases of Open Responses, written anew from the specification, through the real proxy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openresponses_types import __spec_version__, types

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import broken, say
from addon.stand_in.stream import thinking, tool_use
from tests.documents import text
from tests.e2e.conftest import StartProxy, World
from tests.e2e.test_openai_sdk import PIXEL
from tests.open_responses import VERSION, check_event, check_response
from tests.translation.client import read_sse

type JsonObject = dict[str, Any]
MODEL = "claude-opus-4-8"
TOOL = {
    "type": "function",
    "name": "forecast",
    "description": "The forecast for a place",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}
both = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


def turn(role: str, content: Any) -> JsonObject:
    return {"type": "message", "role": role, "content": content}


def create(world: World, given: Any, *, streamed: bool, **fields: Any) -> JsonObject:
    """The response, valid by the specification, as all of its events are."""
    body = {"model": MODEL, "input": given, "stream": streamed, **fields}
    answer = world.proxy.post("/v1/responses", body)
    assert answer.status_code == 200, answer.text
    response = events(answer.content)[-1]["response"] if streamed else answer.json()
    check_response(response)
    assert isinstance(response, dict)
    return response


def events(stream: bytes) -> list[JsonObject]:
    found = [json.loads(data) for _, data in read_sse(stream)]
    for number, event in enumerate(found):
        check_event(event)
        assert event["sequence_number"] == number
    return found


def said(response: JsonObject) -> str:
    parts = [p for item in response["output"] if item["type"] == "message" for p in item["content"]]
    return "".join(part["text"] for part in parts)


def test_the_version_is_the_documented_one() -> None:
    assert __spec_version__ == VERSION
    assert f"Open Responses {VERSION}" in text("docs/COMPATIBILITY.md")


CASES: dict[str, JsonObject] = {
    "text": {"given": [turn("user", "Greet me in three words")]},
    "a-string": {"given": "Greet me"},
    "system-message": {"given": [turn("system", "Talk like a sailor"), turn("user", "Greet me")]},
    "developer-message": {"given": [turn("developer", "Be brief"), turn("user", "Greet me")]},
    "image": {
        "given": [
            turn(
                "user",
                [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
                ],
            )
        ]
    },
    "several-turns": {
        "given": [
            turn("user", "I am Ann"),
            turn("assistant", "Hello Ann"),
            turn("user", "My name?"),
        ]
    },
    "every-field": {
        "given": "Hi",
        "instructions": "Be kind",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "top_logprobs": 3,
        "parallel_tool_calls": False,
        "max_output_tokens": 2000,
        "max_tool_calls": 3,
        "reasoning": {"effort": "high", "summary": "auto"},
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "truncation": "auto",
        "store": False,
        "service_tier": "default",
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tools": [TOOL],
        "tool_choice": "auto",
    },
    "json-schema": {
        "given": "Hi",
        "text": {
            "format": {
                "type": "json_schema",
                "name": "greeting",
                "schema": {
                    "type": "object",
                    "properties": {"a": {"type": "string"}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
            }
        },
    },
}


@both
@pytest.mark.parametrize("case", CASES)
def test_a_response_is_complete_and_valid(case: str, streamed: bool, world: World) -> None:
    world.fake.script(say(thinking("A greeting."), "Ahoy there friend"))
    response = create(world, streamed=streamed, **CASES[case])
    assert (response["status"], said(response)) == ("completed", "Ahoy there friend")
    assert response["completed_at"] >= response["created_at"]


@both
def test_a_tool_is_called(streamed: bool, world: World) -> None:
    world.fake.script(say(tool_use("forecast", {"place": "Oslo"})))
    response = create(world, "Rain in Oslo?", streamed=streamed, tools=[TOOL])
    (call,) = response["output"]
    assert (call["type"], call["name"]) == ("function_call", "forecast")
    assert json.loads(call["arguments"]) == {"place": "Oslo"}
    assert response["tools"] == [{**TOOL, "strict": False}]


def test_a_call_is_streamed_event_by_event(world: World) -> None:
    world.fake.script(say(tool_use("forecast", {"place": "Oslo"})))
    body = {"model": MODEL, "input": "Rain?", "tools": [TOOL], "stream": True}
    told = events(world.proxy.post("/v1/responses", body).content)
    kinds = list(dict.fromkeys(event["type"].removeprefix("response.") for event in told))
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    items = [event["item"]["type"] for event in told if "item" in event]
    assert items == ["function_call", "function_call"]


@both
def test_the_second_response_knows_the_first(streamed: bool, world: World) -> None:
    world.fake.script([say("Hello Ann"), say("Ann")])
    first = create(world, "I am Ann", streamed=streamed)
    second = create(world, "My name?", streamed=streamed, previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    words = [m["content"][0]["text"] for m in world.fake.messages()[-1].json["messages"]]
    assert words == ["I am Ann", "Hello Ann", "My name?"]


@both
@pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
def test_an_end_before_time_is_valid(reason: str, streamed: bool, world: World) -> None:
    world.fake.script(say("Half", stop_reason=reason))
    response = create(world, "Hi", streamed=streamed)
    assert (response["status"], response["completed_at"]) == ("incomplete", None)


def test_a_failure_is_a_valid_event(world: World) -> None:
    world.fake.script(broken(after=1))
    body = {"model": MODEL, "input": "Hi", "stream": True}
    last = events(world.proxy.post("/v1/responses", body).content)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")


def test_what_was_ignored_is_not_repeated(world: World) -> None:
    ignored = {
        "temperature": 0.5,  # this model takes none
        "presence_penalty": 0.5,
        "top_logprobs": 3,
        "max_tool_calls": 3,
        "truncation": "auto",
        "tools": [TOOL, {"type": "file_search", "vector_store_ids": ["v"]}],
    }
    response = create(world, "Hi", streamed=False, **ignored)
    assert [tool["name"] for tool in response["tools"]] == ["forecast"]
    assert {name: response[name] for name in ignored if name != "tools"} == {
        "temperature": 1,
        "presence_penalty": 0,
        "top_logprobs": 0,
        "max_tool_calls": None,
        "truncation": "disabled",
    }


def test_a_conversation_is_compacted(world: World) -> None:
    world.fake.script([say("Hello Ann"), say("She is Ann."), say("Ann")])
    first = create(world, [turn("system", "Be kind"), turn("user", "I am Ann")], streamed=False)
    body = {"model": MODEL, "input": "And I like tea", "previous_response_id": first["id"]}
    answer = world.proxy.post("/v1/responses/compact", body)
    assert answer.status_code == 200, answer.text
    compacted = answer.json()
    types.CompactResource.model_validate_json(answer.text, strict=True)
    assert compacted["usage"]["output_tokens"] > 0
    asked = world.fake.messages()[-1]
    assert asked.header("x-api-key") and asked.path == "/v1/messages"
    transcript = asked.json["messages"][0]["content"]
    for said_before in ("Be kind", "I am Ann", "Hello Ann", "And I like tea"):
        assert said_before in transcript

    next_input = [*compacted["output"], turn("user", "My name?")]
    assert said(create(world, next_input, streamed=False)) == "Ann"
    (message,) = world.fake.messages()[-1].json["messages"]
    assert "She is Ann." in message["content"][0]["text"]
    records = world.proxy.get("/analytics/requests").json()["requests"]
    assert [record["source"] for record in records[:3]].count("summary") == 1


@pytest.mark.parametrize(
    ("fields", "status"), [({"model": "gpt-5"}, 404), ({"model": None}, 400), ({"input": []}, 400)]
)
def test_what_can_t_be_compacted(fields: JsonObject, status: int, world: World) -> None:
    answer = world.proxy.post("/v1/responses/compact", {"model": MODEL, "input": "a", **fields})
    assert answer.status_code == status
    assert world.untouched


def test_without_a_key_nothing_is_compacted(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(FALLBACK="off")
    answer = proxy.post("/v1/responses/compact", {"model": MODEL, "input": "a"})
    assert (answer.status_code, "FALLBACK=off" in answer.text) == (403, True)
    assert not fake.requests
