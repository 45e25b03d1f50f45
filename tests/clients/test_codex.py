"""Codex CLI, the real program, at work in a folder: it asks `/v1/responses`, and its tools change a file.

Under a Claude name Codex has plain functions and namespaces of them; under a name of its own that MODEL_ALIASES gives
to Claude also the tools it knows that model with: `apply_patch` with a grammar, or JavaScript that calls the others.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.script import Answer, broken, fail, say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import World
from tests.e2e.proxy import Proxy

# installing it is the first test's
pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

CLAUDE, WITH_GRAMMAR, WITH_JAVASCRIPT = "claude-opus-5-5", "gpt-5.5", "gpt-6-sol"
ALIASES = f"{WITH_GRAMMAR}={CLAUDE},{WITH_JAVASCRIPT}={CLAUDE}"
SECONDS = 90


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"MODEL_ALIASES": ALIASES}


@dataclass(frozen=True, slots=True)
class Codex:
    """The program with a home of its own, in a folder where `hello.txt` says hello."""

    program: Path
    home: Path
    folder: Path

    def work(
        self, proxy: Proxy, model: str, task: str, *command: str, secret: str = ""
    ) -> list[JsonObject]:
        """Its events, as it prints them."""
        (self.home / "config.toml").write_text(CONFIG.format(model=model, url=proxy.url))
        done = subprocess.run(
            [self.program, "exec", *OPTIONS, *command, task],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],  # noqa: TID251
                "HOME": str(self.home),
                "CODEX_HOME": str(self.home),
                "CCPROXY_SECRET": secret,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.stdout, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @property
    def file(self) -> str:
        return (self.folder / "hello.txt").read_text(encoding="utf-8")


CONFIG = """
model = "{model}"
model_provider = "ccproxy"

[model_providers.ccproxy]
name = "ccproxy"
base_url = "{url}/v1"
wire_api = "responses"
"""
BY_WEBSOCKET = ("-c", "model_providers.ccproxy.supports_websockets=true")
WITH_SECRET = ("-c", 'model_providers.ccproxy.env_key="CCPROXY_SECRET"')
OPTIONS = ("--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


@pytest.fixture
def agent(codex: Path, tmp_path: Path) -> Codex:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    return Codex(codex, home, folder)


def items(events: list[JsonObject], kind: str) -> list[JsonObject]:
    done = (event["item"] for event in events if event["type"] == "item.completed")
    return [item for item in done if item["type"] == kind]


def said(events: list[JsonObject]) -> str:
    assert events[-1]["type"] == "turn.completed", events
    return str(items(events, "agent_message")[-1]["text"])


def accepted(fake: FakeAnthropic) -> list[Received]:
    assert {request.status for request in fake.messages()} == {200}
    return fake.messages()


def tool(request: Received, name: str) -> JsonObject:
    (found,) = (tool for tool in request.json["tools"] if tool["name"] == name)
    return dict(found)


def assistant(request: Received) -> list[list[JsonObject]]:
    """The blocks of each earlier answer, as Anthropic got them back."""
    return [m["content"] for m in request.json["messages"] if m["role"] == "assistant"]


def results(request: Received) -> list[str]:
    """The results that the newest turn brings, each checked to belong to its call, in order."""
    calls = [block["id"] for block in assistant(request)[-1] if block["type"] == "tool_use"]
    blocks = request.json["messages"][-1]["content"]
    assert [block["tool_use_id"] for block in blocks] == calls
    return [json.dumps(block["content"], ensure_ascii=False) for block in blocks]


def kinds(blocks: list[JsonObject]) -> list[str]:
    return [block["type"] for block in blocks]


def without_signature(blocks: list[JsonObject]) -> list[JsonObject]:
    """What an answer said, whatever was signed or numbered on the way."""
    left_out = {"signature", "id", "cache_control"}
    return [{k: v for k, v in block.items() if k not in left_out} for block in blocks]


SHELL = {"cmd": "printf 'and world\\n' >> hello.txt; cat hello.txt"}


def test_calls_at_once_are_run_and_their_results_paired(agent: Codex, world: World) -> None:
    first = (
        thinking("The file first."),
        {"type": "text", "text": "Looking. "},
        tool_use("exec_command", SHELL),
        tool_use("get_goal", {}),
        tool_use("multi_agent_v1__close_agent", {"target": "nobody"}),
    )
    world.fake.script([say(*first), say(thinking("It is there."), "Done.")])

    assert said(agent.work(world.proxy, CLAUDE, "Greet the world")) == "Done."

    assert agent.file == "hello\nand world\n"
    asked, answered = accepted(world.fake)
    assert tool(asked, "exec_command")["input_schema"]["required"] == ["cmd"]
    assert asked.json["messages"][-1]["content"][-1]["text"] == "Greet the world"
    (given_back,) = assistant(answered)
    assert without_signature(given_back) == without_signature(list(first))
    shell, goal, agents = results(answered)
    assert "and world" in shell
    assert "remainingTokens" in goal
    assert "invalid agent id nobody" in agents


PATCH = """*** Begin Patch
*** Update File: hello.txt
@@
-hello
+hello, "wörld" \\o/
*** End Patch
"""


def test_a_tool_with_a_grammar_takes_its_text_as_claude_wrote_it(
    agent: Codex, world: World
) -> None:
    world.fake.script([say(tool_use("apply_patch", {"input": PATCH})), say("Patched.")])

    events = agent.work(world.proxy, WITH_GRAMMAR, "Greet the world")

    assert said(events) == "Patched."
    assert agent.file == 'hello, "wörld" \\o/\n'
    assert [item["status"] for item in items(events, "file_change")] == ["completed"]
    asked, answered = accepted(world.fake)
    assert 'begin_patch: "*** Begin Patch" LF' in tool(asked, "apply_patch")["description"]
    assert assistant(answered)[0][0]["input"] == {"input": PATCH}
    assert "Success. Updated the following files" in results(answered)[0]


SCRIPT = 'const r = await tools.exec_command({cmd: "echo world > hello.txt; cat hello.txt"});\ntext(r.output);\n'


def test_tools_in_namespaces_that_stand_in_the_input_are_called(agent: Codex, world: World) -> None:
    world.fake.script(
        [
            say(tool_use("functions__exec", {"input": SCRIPT})),
            say(tool_use("collaboration__list_agents", {})),
            say("Done."),
        ]
    )

    assert said(agent.work(world.proxy, WITH_JAVASCRIPT, "Greet the world")) == "Done."

    assert agent.file == "world\n"
    _, ran, listed = accepted(world.fake)
    assert assistant(ran)[0][0]["name"] == "functions__exec"
    assert "world" in results(ran)[0]
    assert assistant(listed)[1][0]["name"] == "collaboration__list_agents"
    assert "/root" in results(listed)[0]


def test_a_proxy_that_was_restarted_gets_the_signed_thinking_from_codex(
    agent: Codex, world: World
) -> None:
    world.fake.script([say(thinking("Shell."), tool_use("exec_command", SHELL)), say("Done.")])
    said(agent.work(world.proxy, CLAUDE, "Greet the world"))
    world.fake.script([say("Again.")])

    with Proxy(world.fake.url, MODEL_ALIASES=ALIASES) as restarted:
        events = agent.work(restarted, CLAUDE, "Once more", "resume", "--last")

    assert said(events) == "Again."
    resumed = accepted(world.fake)[-1]
    assert kinds(assistant(resumed)[0]) == ["thinking", "tool_use"]
    assert assistant(resumed)[0][0]["signature"]


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (fail(400, "prompt is too long: 215000 tokens > 200000 maximum"), "ran out of room"),
        (fail(400, "tools.0: no such thing"), "tools.0: no such thing"),
    ],
    ids=["a conversation that is too long", "a request that Anthropic refuses"],
)
def test_a_refusal_ends_the_turn_in_words(
    refusal: Answer, told: str, agent: Codex, world: World
) -> None:
    world.fake.script(refusal)
    ended = agent.work(world.proxy, CLAUDE, "Greet the world")[-1]
    assert ended["type"] == "turn.failed"
    assert told in ended["error"]["message"]


def test_an_answer_that_breaks_off_is_asked_for_again(agent: Codex, world: World) -> None:
    world.fake.script([broken(after=1), say("Recovered.")])
    assert said(agent.work(world.proxy, CLAUDE, "Greet the world")) == "Recovered."
    assert len(accepted(world.fake)) == 2


def test_the_secret_and_an_effort_are_configured_as_the_documents_say(agent: Codex) -> None:
    secret = "a secret of enough letters and 123 numbers"
    more = (*WITH_SECRET, "-c", 'model_reasoning_effort="high"')
    door = {"PROXY_SECRET_KEY": secret, "REQUIRE_SECRET_LOCALLY": "true"}
    with FakeAnthropic() as fake, Proxy(fake.url, **door) as guarded:
        fake.script(say("Done."))
        refused = agent.work(guarded, CLAUDE, "Greet the world", *more, secret="another")[-1]
        assert refused["type"] == "turn.failed"
        assert "secret" in refused["error"]["message"]
        assert not fake.messages()
        assert said(agent.work(guarded, CLAUDE, "Hello", *more, secret=secret)) == "Done."
    (asked,) = accepted(fake)
    assert asked.json["output_config"] == {"effort": "high"}


def test_by_websocket_a_turn_goes_on_from_the_last_response(agent: Codex, world: World) -> None:
    first = (thinking("The file first."), tool_use("exec_command", SHELL))
    world.fake.script([say(*first), say("Done.")])

    events = agent.work(world.proxy, CLAUDE, "Greet the world", *BY_WEBSOCKET)

    assert said(events) == "Done."
    assert agent.file == "hello\nand world\n"
    _, answered = accepted(world.fake)
    assert without_signature(assistant(answered)[0]) == without_signature(list(first))
    assert "and world" in results(answered)[0]
    told = world.proxy.get("/analytics/requests").json()["requests"]
    assert "local" in [record["source"] for record in told[:3]], "Codex warms up, by WebSocket only"
