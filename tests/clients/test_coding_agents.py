"""Coding agents, the real programs, as `setup` configures them: each changes a file by a tool, and goes on in a second turn.

Copilot CLI has no file: it gets the variables that `setup copilot` shows.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from addon.stand_in.record import Received
from addon.stand_in.script import say
from addon.stand_in.stream import thinking, tool_use
from tests.clients.tap import Tap
from tests.clients.test_ai_sdk import told
from tests.clients.test_claude import QUIET
from tests.e2e.conftest import World
from tests.e2e.proxy import ROOT

# installing them is the first tests'
pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

MODEL = "claude-opus-4-8"
"""It takes the `temperature: 1` that Copilot sends to Anthropic."""
SECONDS = 120
COMMAND = "echo world >> hello.txt; cat hello.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """How a program is started without a terminal."""

    tool: str
    """Its shell, and the tool's argument."""
    argument: str = "command"
    first: Callable[[str], list[str]]
    second: Callable[[str], list[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    """Where it is in the folder that `fixture` is; that is the program itself if it has none."""
    fixture: str = "agents"


CODEX = ["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
CLAUDE = ["--allowedTools", "Bash"]
COPILOT = ["--allow-all-tools", "--silent"]
BY_WEBSOCKET = ["-c", "model_providers.ccproxy.supports_websockets=true"]
AGENTS = {
    "codex": Agent(
        tool="exec_command",
        argument="cmd",
        first=lambda task: [*CODEX, task],
        second=lambda task: [*CODEX, task, "resume", "--last"],
        fixture="codex",
    ),
    "claude": Agent(
        tool="Bash",
        first=lambda task: ["-p", task, "--model", MODEL, *CLAUDE],
        second=lambda task: ["-p", task, "--model", MODEL, *CLAUDE, "--continue"],
        env={**QUIET, "ANTHROPIC_API_KEY": "anything"},
        fixture="claude",
    ),
    "opencode": Agent(
        tool="bash",
        first=lambda task: ["run", task],
        second=lambda task: ["run", "--continue", task],
        program="opencode-linux-x64/bin/opencode",
        env={"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
    ),
    "continue": Agent(
        tool="Bash",
        first=lambda task: ["-p", "--auto", task],
        second=lambda task: ["-p", "--auto", "--resume", task],
        program=".bin/cn",
        env={"CONTINUE_TELEMETRY_ENABLED": "0"},
    ),
    "copilot": Agent(
        tool="bash",
        first=lambda task: ["-p", task, *COPILOT],
        second=lambda task: ["-p", task, *COPILOT, "--continue"],
        program=".bin/copilot",
        env={"COPILOT_OFFLINE": "true"},
    ),
}


AGENTS["codex by WebSocket"] = replace(
    AGENTS["codex"],
    first=lambda task: [*CODEX, *BY_WEBSOCKET, task],
    second=lambda task: [*CODEX, *BY_WEBSOCKET, task, "resume", "--last"],
)
AGENTS["copilot by WebSocket"] = replace(
    AGENTS["copilot"],
    env={**AGENTS["copilot"].env, "COPILOT_PROVIDER_TRANSPORT": "websockets"},
)


@dataclass(frozen=True, slots=True)
class Desk:
    """A home and a folder where `hello.txt` says hello."""

    home: Path
    folder: Path
    env: Mapping[str, str]

    def run(self, *command: str | Path, **env: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ccproxy(self, *words: str, **env: str) -> str:
        line = (sys.executable, "-m", "addon.cli", *words)
        return self.run(*line, PYTHONPATH=str(ROOT), CCPROXY_ENV_FILE="", **env)

    @property
    def files(self) -> list[str]:
        return [str(path) for path in self.home.rglob("*") if path.is_file()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    (folder / "hello.txt").write_text("hello\n")
    return Desk(home, folder, {"PATH": os.environ["PATH"], "HOME": str(home)})  # noqa: TID251


def with_tools(request: Received) -> bool:
    """Unlike one for a title."""
    return request.path == "/v1/messages" and bool(request.json.get("tools"))


@pytest.fixture
def tap(world: World) -> Iterator[Tap]:
    with Tap(world.proxy.port) as tap:
        yield tap


@pytest.mark.parametrize("kind", AGENTS)
def test_it_works_as_it_was_set_up(
    kind: str, desk: Desk, world: World, tap: Tap, request: pytest.FixtureRequest
) -> None:
    agent, name = AGENTS[kind], kind.partition(" ")[0]
    installed: Path = request.getfixturevalue(agent.fixture)
    program = installed / agent.program
    shown = desk.ccproxy("setup", name, "--model", MODEL, PORT=tap.url.rpartition(":")[2])
    env = {**agent.env, **dict(re.findall(r"export (\w+)=(\S+)", shown))}
    call = tool_use(agent.tool, {agent.argument: COMMAND, "description": "Greets"})
    talk = [say(thinking("A tool."), call), say("Done."), say("Again.")]
    world.fake.script(talk, with_tools)

    assert "Done." in desk.run(program, *agent.first("Greet the world"), **env)
    assert "Again." in desk.run(program, *agent.second("Once more"), **env)

    assert (desk.folder / "hello.txt").read_text() == "hello\nworld\n"
    assert {answered.status for answered in world.fake.messages()} == {200}
    _, result, last = filter(with_tools, world.fake.messages())
    assert "hello\\nworld" in json.dumps(result.json["messages"][2:])
    kinds = [kind for message in last.json["messages"] for kind in told(message)]
    assert kinds.index("assistant tool_use") + 1 == kinds.index("user tool_result")
    assert last.json["model"] == MODEL
    asked = {bytes(stream[:18]) for stream in tap.streams}
    assert (asked == {b"GET /v1/responses "}) == ("WebSocket" in kind)
    assert (name != "copilot") == ("--undo" in shown)
    if name != "copilot":
        assert re.search("Restored|Removed", desk.ccproxy("setup", name, "--undo"))
        assert not [file for file in desk.files if "before-ccproxy" in file]
