"""Python's frameworks for agents, the real packages: a turn with a tool, a second turn, and a structured output.

Each talks in a process of its own, from an environment that python/requirements.txt pins, plain and then streamed.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from addon.stand_in.script import say
from addon.stand_in.stream import thinking, tool_use
from tests.clients.test_ai_sdk import told
from tests.e2e.conftest import World

# installing them is the first test's
pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

MODEL = "claude-opus-5-5"
SECONDS = 90
PROGRAMS = Path(__file__).parent / "python"
WAYS = {
    "openai_agents": ("chat", "responses", "responses by id", "websocket", "websocket by id"),
    "pydantic_ai": ("chat", "responses", "messages"),
    "langchain": ("chat", "responses", "responses by id", "messages"),
}
TALK = (
    say(thinking("A tool."), tool_use("weather", {"town": "Oslo"})),
    say(thinking("Rain."), "It rains."),
    say("You asked for Oslo."),
    say('{"town": "Oslo"}'),
)


@pytest.mark.parametrize(
    ("framework", "way"), [(name, way) for name, ways in WAYS.items() for way in ways]
)
def test_a_tool_is_used_and_the_next_turn_knows_it(
    framework: str, way: str, frameworks: Path, world: World
) -> None:
    world.fake.script([*TALK, *TALK])

    done = subprocess.run(
        [frameworks, PROGRAMS / f"talk_{framework}.py", way, f"{world.proxy.url}/v1", MODEL],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stderr
    printed = {"asked": ["Oslo"], "said": ["It rains.", "You asked for Oslo."], "town": "Oslo"}
    assert json.loads(done.stdout) == [printed, printed]
    requests = world.fake.messages()
    assert {request.status for request in requests} == {200}
    for _, result, last, structured in (requests[:4], requests[4:]):
        assert "Rain in Oslo" in json.dumps(result.json["messages"][-1])
        assert [kind for message in last.json["messages"] for kind in told(message)] == [
            "user text",
            "assistant thinking",
            "assistant tool_use",
            "user tool_result",
            "assistant thinking",
            "assistant text",
            "user text",
        ]
        assert structured.json["output_config"]["format"]["type"] == "json_schema"
