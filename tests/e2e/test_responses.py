"""The Responses API's state, with the openai SDK through the real proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response

from addon.stand_in.record import Received
from addon.stand_in.script import say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import World

MODEL = "claude-opus-4-8"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture
def client(world: World) -> Iterator[OpenAI]:
    return world.proxy.openai()


def ask(client: OpenAI, given: Any, *, streamed: bool = False, **fields: Any) -> Response:
    body = {"model": MODEL, "input": given, **fields}
    if not streamed:
        return client.responses.create(**body)
    last = list(client.responses.create(**body, stream=True))[-1]
    assert last.type == "response.completed"
    return last.response


def turns(request: Received) -> list[str]:
    """What was said, with its role."""
    return [
        f"{message['role']}: {block.get('text') or block.get('content') or block['type']}"
        for message in request.json["messages"]
        for block in message["content"]
        if block["type"] != "thinking"
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_the_next_turn_knows_the_first(streamed: bool, client: OpenAI, world: World) -> None:
    world.fake.script([say("Hello Ann"), say("Ann"), say("Yes")])
    first = ask(client, "I am Ann", streamed=streamed)
    second = ask(client, "My name?", streamed=streamed, previous_response_id=first.id)
    ask(client, "Sure?", streamed=streamed, previous_response_id=second.id)
    assert second.previous_response_id == first.id
    assert turns(world.fake.messages()[-1]) == [
        "user: I am Ann",
        "assistant: Hello Ann",
        "user: My name?",
        "assistant: Ann",
        "user: Sure?",
    ]


def test_a_tool_step_goes_on_with_its_thinking(client: OpenAI, world: World) -> None:
    call = tool_use("weather", {"town": "Oslo"})
    world.fake.script([say(thinking("A tool."), call), say("Rain")])
    fields: Any = {"tools": [WEATHER], "reasoning": {"effort": "high"}}
    first = ask(client, "Weather?", **fields)
    (called,) = (item for item in first.output if item.type == "function_call")
    output = {"type": "function_call_output", "call_id": called.call_id, "output": "wet"}
    assert ask(client, [output], previous_response_id=first.id, **fields).output_text == "Rain"
    sent = world.fake.messages()[-1].json["messages"]
    assert [block["type"] for block in sent[1]["content"]] == ["thinking", "tool_use"]
    assert sent[2]["content"][0]["tool_use_id"] == called.call_id


def test_items_are_referred_to(client: OpenAI, world: World) -> None:
    world.fake.script([say("Hello Ann"), say("Ann")])
    first = ask(client, "I am Ann")
    question = {"role": "user", "content": "My name?"}
    ask(client, [{"type": "item_reference", "id": first.output[0].id}, question])  # type: ignore[union-attr]
    assert turns(world.fake.messages()[-1])[-2:] == ["assistant: Hello Ann", "user: My name?"]


def test_a_stored_response_is_read_listed_and_deleted(client: OpenAI, world: World) -> None:
    first = ask(client, "one")
    second = ask(client, "two", previous_response_id=first.id, metadata={"a": "b"})
    assert client.responses.retrieve(second.id) == second
    items = client.responses.input_items.list(second.id, order="asc")
    assert [item.type for item in items] == ["message", "message", "message"]
    newest = client.responses.input_items.list(second.id, limit=1)
    assert newest.has_more and len(newest.data) == 1
    assert len(list(newest)) == 3, "the SDK turns the pages"
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError) as lost:
        client.responses.retrieve(second.id)
    assert lost.value.code == "previous_response_not_found"


def test_store_false_keeps_nothing(client: OpenAI) -> None:
    first = ask(client, "one", store=False)
    assert first.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError, match="send the whole input"):
        ask(client, "two", previous_response_id=first.id)


def test_it_is_told_apart_who_asks(world: World) -> None:
    mine, other = (world.proxy.openai(api_key=f"sk-ant-api03-{name}") for name in ("mine", "other"))
    response = ask(mine, "one")
    assert mine.responses.retrieve(response.id).id == response.id
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(response.id)


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/v1/responses/resp_gone", 404, "response_id"),
        ("/v1/responses/resp_gone/input_items", 404, "response_id"),
        ("/v1/responses/ID?stream=true", 400, "stream"),
        ("/v1/responses/ID/input_items?limit=0", 400, "limit"),
        ("/v1/responses/ID/input_items?limit=101", 400, "limit"),
        (f"/v1/responses/ID/input_items?limit={'9' * 5000}", 400, "limit"),
        ("/v1/responses/ID/input_items?after=x", 400, "after"),
        ("/v1/responses/ID/other", 404, None),
        ("/responses/ID/", 200, None),
    ],
)
def test_what_can_t_be_read(
    path: str, status: int, param: str | None, client: OpenAI, world: World
) -> None:
    known = ask(client, "one").id
    response = world.proxy.get(path.replace("ID", known))
    assert response.status_code == status
    assert response.json()["error"] is None or response.json()["error"]["param"] == param


def test_tokens_are_counted(client: OpenAI, world: World) -> None:
    first = ask(client, "one two three " * 100)
    short = client.responses.input_tokens.count(model=MODEL, input="Hi")
    whole = client.responses.input_tokens.count(
        model=MODEL, input="Hi", previous_response_id=first.id, reasoning={"effort": "high"}
    )
    assert short.object == "response.input_tokens"
    assert whole.input_tokens > short.input_tokens > 0
    asked = world.fake.requests[-1]
    assert asked.path.partition("?")[0] == "/v1/messages/count_tokens"
    assert not {"max_tokens", "stream"} & json.loads(asked.body).keys()


def test_a_wrong_method_is_a_405_with_the_right_ones(world: World) -> None:
    response = world.proxy.get("/v1/chat/completions")
    assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
    assert response.json()["error"]["code"] == "method_not_allowed"
    upgrade = {"connection": "upgrade", "upgrade": "websocket"}
    assert world.proxy.get("/v1/chat/completions", headers=upgrade).status_code == 404
    assert world.proxy.get("/v1/responses").status_code == 405
