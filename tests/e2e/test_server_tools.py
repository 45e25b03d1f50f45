"""Tools that Anthropic runs, for clients of OpenAI's APIs: their blocks come back as pairs, and paused turns go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.script import broken, fail, say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import Proxy, chat, message, rejected

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


def requests_in(proxy: Proxy) -> list[JsonObject]:
    """The rows of `/analytics/requests`, the newest first."""
    rows: list[JsonObject] = proxy.get("/analytics/requests").json()["requests"]
    return rows


def read(row: JsonObject) -> int:
    return sum(row[name] for name in ("inputTokens", "cacheWrite5mTokens", "cacheReadTokens"))


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


def test_responses_keep_server_tools_between_thinking(world: World) -> None:
    blocks = (thinking("Hm."), search(), found(), thinking("So."), tool_use("read", {"a": 1}))
    world.fake.script([say(*blocks)])
    tools = [SEARCH_TOOL, {"type": "function", "name": "read", "parameters": {"type": "object"}}]
    body = {"model": "claude-opus-5-5", "tools": tools, "store": False}
    body["reasoning"] = {"effort": "high", "summary": "auto"}
    asks: list[JsonObject] = [{"role": "user", "content": "Hi"}]
    output = world.proxy.post("/v1/responses", {**body, "input": asks}).json()["output"]
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    result = {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "x"}
    given = world.proxy.post("/v1/responses", {**body, "input": [*asks, *output, result]})
    assert given.status_code == 200
    first, second = world.fake.messages()
    assert (first.status, second.status) == (200, 200)
    assert kinds(second) == [block["type"] for block in blocks]


# -------------------------------------------------------------------------------------------------- paused turns


def paused(*blocks: Any) -> Any:
    return say(*blocks, stop_reason="pause_turn")


PARTS = [
    paused(thinking("Hm."), "One. ", search(1)),
    paused(found(1), "Two. ", search(2)),
    say(found(2), thinking("So."), "Three."),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_paused_turn_goes_on_as_one_completion(streamed: bool, world: World) -> None:
    world.fake.script(PARTS)
    body = asked(reasoning_effort="high")
    client = world.proxy.openai().chat.completions
    if streamed:
        with client.stream(**body, stream_options={"include_usage": True}) as stream:
            completion: Any = stream.get_final_completion()
    else:
        completion = client.create(**body)
    choice = completion.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("One. Two. Three.", "stop")
    first, second, third = world.fake.messages()
    assert len(second.json["messages"]) == len(third.json["messages"]) == 2
    assert kinds(second) == ["thinking", "text", "server_tool_use"]
    assert kinds(third) == [*kinds(second), "web_search_tool_result", "text", "server_tool_use"]
    assert first.json["messages"] == third.json["messages"][:1]
    [row] = requests_in(world.proxy)[:1]
    assert completion.usage.completion_tokens == row["outputTokens"] > 300
    assert completion.usage.prompt_tokens < read(row)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_paused_turn_goes_on_as_one_response(streamed: bool, world: World) -> None:
    world.fake.script(PARTS)
    body = {"model": "claude-opus-4-8", "input": "Hi", "tools": [SEARCH_TOOL]}
    response = world.proxy.post("/v1/responses", {**body, "stream": streamed})
    given = response.json() if not streamed else {}
    if streamed:
        events = [json.loads(x[6:]) for x in response.text.splitlines() if x.startswith("data: ")]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        given = events[-1]["response"]
    output = given["output"]
    words = [part["text"] for item in output for part in item.get("content", ())]
    assert (given["status"], "".join(words)) == ("completed", "One. Two. Three.")
    assert len({item["id"] for item in output}) == len(output)


@pytest.mark.parametrize("model", ["claude-opus-4-5", "claude-opus-4-8", "claude-opus-5-5"])
def test_the_next_turn_gets_the_whole_paused_turn_back(model: str, world: World) -> None:
    world.fake.script(PARTS)
    more: JsonObject = {"model": model, "reasoning_effort": "high"}
    response = world.proxy.post("/v1/chat/completions", asked(**more))
    first = response.json()["choices"][0]["message"]
    following = asked(first, {"role": "user", "content": "Why?"}, **more)
    assert world.proxy.post("/v1/chat/completions", following).status_code == 200
    assert {request.status for request in world.fake.messages()} == {200}
    assert kinds(world.fake.messages()[-1]) == [
        *("thinking", "text", "server_tool_use", "web_search_tool_result"),
        *("text", "server_tool_use", "web_search_tool_result", "thinking", "text"),
    ]


def test_a_turn_that_never_ends_is_given_out_after_six_parts(world: World) -> None:
    world.fake.script(
        [paused(*([found(n - 1)] if n else []), f"{n} ", search(n)) for n in range(9)]
    )
    choice = world.proxy.post("/v1/chat/completions", asked()).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("0 1 2 3 4 5 ", "stop")
    assert len(world.fake.messages()) == 6
    following = asked(choice["message"], {"role": "user", "content": "Why?"})
    world.fake.api.script.clear()
    assert world.proxy.post("/v1/chat/completions", following).status_code == 200


def test_an_anthropic_client_goes_on_by_itself(world: World) -> None:
    world.fake.script(PARTS)
    given = world.proxy.post("/v1/messages", message(tools=[SEARCH_TOOL])).json()
    assert given["stop_reason"] == "pause_turn"
    assert len(world.fake.messages()) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_rest_of_a_paused_turn_is_tried_again(streamed: bool, world: World) -> None:
    world.fake.script([PARTS[0], fail(529), PARTS[1], broken(), PARTS[2]])
    response = world.proxy.post("/v1/chat/completions", asked(stream=streamed))
    assert response.status_code == 200
    assert "Three." in response.text and response.text.count("One.") == 1
    assert len(world.fake.messages()) == 5


def test_the_rest_of_a_paused_turn_falls_back(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    fake.script([PARTS[0], fail(429, headers=rejected())], when="oauth")
    fake.script(PARTS[1:], when="api_key")
    response = proxy.post("/v1/chat/completions", asked())
    assert response.json()["choices"][0]["message"]["content"] == "One. Two. Three."
    assert response.headers["x-ccproxy-source"] == "api_key"
    assert [len(fake.messages(kind)) for kind in ("oauth", "api_key")] == [2, 2]
    [row] = requests_in(proxy)
    assert (row["source"], row["status"]) == ("api_key", 200)


def test_what_the_key_was_paid_counts_when_the_subscription_goes_on(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="api_key,wait", FIRST_BYTE_SECONDS="0.2")
    proxy.post("/budget", {"dailyLimit": 5, "enabled": True})
    fake.script([fail(429, headers=rejected(2 / 3600)), *PARTS[1:]], when="oauth")
    fake.script([PARTS[0], fail(403, "Not for you")], when="api_key")
    response = proxy.post("/v1/chat/completions", asked(stream=True))
    assert "Three." in response.text
    paid, served = requests_in(proxy)
    assert [row["source"] for row in (paid, served)] == ["api_key", "claude_code"]
    assert paid["inputTokens"] > 0 and paid["estimatedCost"] > 0
    spent = proxy.get("/dashboard/data").json()["budget"]["spent"]["day"]
    assert spent == pytest.approx(paid["estimatedCost"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_rest_that_fails_is_one_error(streamed: bool, path: str, world: World) -> None:
    world.fake.script([PARTS[0], fail(400, "no")])
    body = asked(stream=streamed)
    if path == "/v1/responses":
        body["input"] = body.pop("messages")
    response = world.proxy.post(path, body)
    if not streamed:
        assert (response.status_code, response.json()["error"]["message"]) == (400, "no")
    else:
        ends = [line for line in response.text.splitlines() if '"no"' in line]
        assert len(ends) == 1
        assert "[DONE]" not in response.text and "response.completed" not in response.text
        assert response.text.count("event: response.created") == (path == "/v1/responses")


def test_each_part_is_paid_from_the_budget(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(CLAUDE_CODE_FIRST="false")
    proxy.post("/budget", {"enabled": True, "dailyLimit": 0.000001})
    fake.script(PARTS)
    response = proxy.post("/v1/chat/completions", asked())
    assert (response.status_code, response.json()["error"]["code"]) == (429, "budget_exceeded")
    assert len(fake.messages()) == 1


# ------------------------------------------------------------------------------------------------------ counting


def test_what_is_put_back_is_counted(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    """What a web fetch has read is in no client's history, and still in the prompt."""
    proxy = start_proxy(CONTEXT_MAX_TOKENS="20000", CONTEXT_TARGET_TOKENS="18000")
    page = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}}
    page["source"]["data"] = "one word of the page " * 1500  # type: ignore[index]
    content = {"type": "web_fetch_result", "url": "https://a.example", "content": page}
    read = {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_1", "content": content}
    fake.script([say("Look. ", {**search(), "name": "web_fetch"}, read, "It is so.")])
    first = proxy.post("/v1/chat/completions", asked()).json()["choices"][0]["message"]
    proxy.post("/v1/chat/completions", asked(first, {"role": "user", "content": "Why?"}))
    assert kinds(fake.messages()[1]) == [
        *("text", "server_tool_use", "web_fetch_tool_result", "text")
    ]
    assert fake.wait_until(lambda: "limit 20K" in proxy.output)
    [shown] = [line for line in proxy.output.splitlines() if "limit 20K" in line]
    assert "3 messages" in shown
