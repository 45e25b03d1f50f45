"""Anthropic's prompt cache, as the real proxy uses it for clients that don't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import fail
from tests.claude.support import CATALOGUE
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import rejected
from tests.e2e.talk import TOOLS, Talk, marks, turns

CHAT = "/v1/chat/completions"


def ask(world: World, body: dict[str, Any]) -> Mapping[str, int]:
    """The usage that the client is told."""
    answer = world.proxy.post(CHAT, body)
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]
    return {**usage, **usage["prompt_tokens_details"]}


def test_a_conversation_gets_four_marks(world: World) -> None:
    ask(world, Talk("marked").grow(3).body())
    sent = turns(world.fake)[0].json
    assert marks(sent) == 4
    assert "cache_control" in sent["tools"][-1] and "cache_control" in sent["system"][-1]
    assert [marks(message) for message in sent["messages"]][-4:] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(Talk("brief", system="Be brief.", words=5).grow(2).body(), id="it is short"),
        pytest.param(
            {**Talk("own").grow(3).body(), "prompt_cache_options": {"mode": "explicit"}},
            id="the client sets them all itself",
        ),
        pytest.param(
            {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "word " * 3000}]},
            id="it is no conversation",
        ),
    ],
)
def test_there_are_no_marks_when(body: dict[str, Any], world: World) -> None:
    usage = ask(world, body)
    assert marks(turns(world.fake)[0].json) == 0
    assert usage["cached_tokens"] == 0


def test_marks_of_the_client_are_the_only_ones(world: World) -> None:
    body = Talk("own").grow(3).body()
    body["messages"][0]["content"] = [
        {"type": "text", "text": Talk("").system, "cache_control": {"type": "ephemeral"}}
    ]
    ask(world, body)
    sent = turns(world.fake)[0].json
    assert marks(sent) == 1 and marks(sent["system"]) == 1


def test_from_the_second_turn_on_the_prompt_is_read_from_the_cache(world: World) -> None:
    talk, before = Talk("cached").grow(3), len(world.proxy.output)
    first = ask(world, talk.body())
    for _ in range(4):
        usage = ask(world, talk.grow().body())
        assert usage["cached_tokens"] > first["prompt_tokens"] - 50
        first = usage
    assert "cache missed" not in world.proxy.output[before:]


def renamed(body: dict[str, Any]) -> None:
    function = {**TOOLS[0]["function"], "name": "open_file"}  # type: ignore[dict-item]
    body["tools"] = [*body["tools"], {"type": "function", "function": function}]


def dated(body: dict[str, Any]) -> None:
    body["messages"][0]["content"] += "It is a quarter past nine."


def edited(body: dict[str, Any]) -> None:
    body["messages"][5]["content"] = "What I meant is this."


def forced(body: dict[str, Any]) -> None:
    body["tool_choice"] = "none"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(renamed, "tools", id="a tool was added"),
        pytest.param(dated, "system", id="the system prompt tells the time"),
        pytest.param(edited, "message 4", id="an earlier message was edited"),
        pytest.param(forced, "tool_choice, thinking or effort", id="the tool choice changed"),
    ],
)
def test_a_miss_is_explained(
    change: Callable[[dict[str, Any]], None], told: str, world: World
) -> None:
    talk = Talk(change.__name__, system=Talk("").system + change.__name__).grow(4)
    ask(world, talk.body())
    body = talk.grow().body()
    change(body)
    start = len(world.proxy.output)
    usage = ask(world, body)
    assert usage["cached_tokens"] < 0.5 * usage["prompt_tokens"]
    line = f"cache missed: {told} changed ($"
    assert world.fake.wait_until(lambda: line in world.proxy.output[start:]), world.proxy.output
    assert world.proxy.output[start:].count("missed") == 1
    (record,) = world.proxy.get("/analytics/requests?limit=1").json()["requests"]
    assert record["cacheMiss"] == f"{told} changed"
    prices = CATALOGUE.get(record["model"]).prices
    five = record["cacheWrite5mTokens"] * (prices.cache_write_5m - prices.cache_read)
    hour = record["cacheWrite1hTokens"] * (prices.cache_write_1h - prices.cache_read)
    least = 0.5 * (five + hour) / 1e6
    assert least < record["cacheMissCost"] < 2 * least


def test_off_means_no_marks(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    world = World(fake, start_proxy(PROMPT_CACHE="off"))
    talk = Talk("off").grow(3)
    ask(world, talk.body())
    usage = ask(world, talk.grow().body())
    assert [marks(request.json) for request in turns(fake)] == [0, 0]
    assert usage["cached_tokens"] == 0


def test_an_hour_is_asked_for_until_a_login_is_refused_it(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    world = World(fake, start_proxy())
    fake.rules.long_ttl.remove("oauth")
    body = Talk("hour").grow(3).body(prompt_cache_retention="24h")
    ask(world, body)
    asked, mended = turns(fake)
    assert marks(asked.json) == 4 and asked.body.count(b'"ttl":"1h"') == 4
    assert marks(mended.json) == 4 and b'"ttl"' not in mended.body
    fake.script([fail(429, headers=rejected())], when="oauth")
    ask(world, body)
    _, _, remembered, paid = turns(fake)
    assert b'"ttl"' not in remembered.body
    assert paid.body.count(b'"ttl":"1h"') == 4
