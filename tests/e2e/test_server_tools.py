"""Tools that Anthropic runs, for clients of OpenAI's APIs: their blocks come back as pairs, and paused turns go on."""

from __future__ import annotations

from typing import Any

from addon.stand_in.record import JsonObject, Received
from addon.stand_in.script import fail, say
from tests.e2e.conftest import World
from tests.e2e.proxy import chat

SEARCH_TOOL = {"type": "web_search_20250305", "name": "web_search"}
UNPAIRED = (
    "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
    "`web_search_tool_result` block"
)


def search(number: int = 1) -> JsonObject:
    query = {"query": f"number {number}"}
    ident = f"srvtoolu_{number}"
    return {"type": "server_tool_use", "id": ident, "name": "web_search", "input": query}


def found(number: int = 1) -> JsonObject:
    ident = f"srvtoolu_{number}"
    return {"type": "web_search_tool_result", "tool_use_id": ident, "content": []}


def asked(*history: Any, **more: Any) -> JsonObject:
    body = chat(tools=[SEARCH_TOOL], **more)
    return {**body, "messages": [{"role": "user", "content": "Hi"}, *history]}


def kinds(request: Received) -> list[str]:
    return [block["type"] for block in request.json["messages"][1]["content"]]


def test_refused_server_tools_are_left_out_once(world: World) -> None:
    world.fake.script([say("Look. ", search(), found(), "It is so.")])
    first = world.proxy.post("/v1/chat/completions", asked()).json()["choices"][0]["message"]
    assert first["content"] == "Look. It is so."
    world.fake.script([fail(400, UNPAIRED)])
    body = asked(first, {"role": "user", "content": "Why?"})
    response = world.proxy.post("/v1/chat/completions", body)
    assert (response.status_code, response.headers["x-ccproxy-repaired"]) == (200, "server_tools")
    _, refused, sent = world.fake.messages()
    assert kinds(refused) == ["text", "server_tool_use", "web_search_tool_result", "text"]
    assert kinds(sent) == ["text", "text"]


def test_a_second_refusal_of_server_tools_is_the_clients(world: World) -> None:
    world.fake.script([fail(400, UNPAIRED)] * 2)
    response = world.proxy.post("/v1/chat/completions", asked())
    assert (response.status_code, len(world.fake.messages())) == (400, 2)
