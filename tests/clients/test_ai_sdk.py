"""Vercel's AI SDK, the real packages in Node.js: a turn with a tool, a second turn, and a structured output.

Its default provider for OpenAI asks `/v1/responses` and refers to its earlier items by id; the one for Open Responses sends
them whole.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from addon.claude.blocks import blocks_of
from addon.stand_in.script import say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import World

# installing it is the first test's
pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

type JsonObject = dict[str, Any]
MODEL = "claude-opus-5-5"
SECONDS = 60


def talk(program: Path, world: World, provider: str, *, streamed: bool) -> JsonObject:
    """What the program printed."""
    asked = [provider, f"{world.proxy.url}/v1", MODEL, str(streamed).lower()]
    done = subprocess.run(
        ["node", program, *asked], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    printed: JsonObject = json.loads(done.stdout)
    return printed


def told(message: JsonObject) -> list[str]:
    """The role and each block's type."""
    return [f"{message['role']} {block['type']}" for block in blocks_of(message["content"])]


def unmarked(messages: list[JsonObject]) -> list[list[JsonObject]]:
    """The blocks without marks for the cache, which move on with each turn."""
    return [
        [{k: v for k, v in block.items() if k != "cache_control"} for block in message["content"]]
        for message in messages
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "openai chat", "open-responses", "anthropic"])
def test_a_tool_is_used_and_the_next_turn_knows_it(
    provider: str, streamed: bool, ai_sdk: Path, world: World
) -> None:
    call = tool_use("weather", {"town": "Oslo"})
    world.fake.script(
        [
            say(thinking("A tool."), call),
            say("It rains."),
            say("You asked for Oslo."),
            say('{"town": "Oslo"}'),
        ]
    )

    printed = talk(ai_sdk, world, provider, streamed=streamed)

    assert printed["asked"] == ["Oslo"]
    assert [turn["said"] for turn in printed["turns"]] == ["It rains.", "You asked for Oslo."]
    assert [turn["finish"] for turn in printed["turns"]] == ["stop", "stop"]
    assert printed["output"] == {"town": "Oslo"}
    assert {request.status for request in world.fake.messages()} == {200}
    _, result, last, _ = (request.json["messages"] for request in world.fake.messages())
    assert "Rain in Oslo" in json.dumps(result[-1])
    assert [kind for message in last for kind in told(message)] == [
        "user text",
        "assistant thinking",
        "assistant tool_use",
        "user tool_result",
        "assistant text",
        "user text",
    ]
    assert unmarked(last[:3]) == unmarked(result), "the cached prefix stays"
