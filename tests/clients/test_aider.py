"""aider, the real program, at work in a git repository: it asks `/v1/chat/completions` through LiteLLM.

Its tool is its edit format: what Claude answers in words, it applies to the file and commits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import Received
from addon.stand_in.script import say
from addon.stand_in.stream import thinking
from tests.e2e.conftest import World
from tests.e2e.proxy import ROOT, Proxy

# installing it is the first test's, and takes minutes
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CLAUDE = "claude-opus-5-5"
SECONDS = 150
BEFORE = 'def greet():\n    return "hello"\n'
OPTIONS = ("--yes-always", "--no-check-update", "--no-analytics", "--no-show-model-warnings")
SETTINGS = ("--model", f"openai/{CLAUDE}", "--edit-format", "diff")


def edit(found: str, put: str) -> str:
    """An answer in aider's `diff` format."""
    return (
        "I will greet the world.\n\nhello.py\n```python\n"
        f"<<<<<<< SEARCH\n{found}\n=======\n{put}\n>>>>>>> REPLACE\n```\n"
    )


RIGHT = edit('    return "hello"', '    return "hello, wörld"')
WRONG = edit('    return "good evening, everybody"', '    return "hello, wörld"')


CONTINUES = {
    "max_input_tokens": 200_000,
    "max_output_tokens": 64_000,
    "mode": "chat",
    "litellm_provider": "openai",
    "supports_assistant_prefill": True,
}
"""What makes aider send the beginning of an answer that hit the limit, to have it continued."""


@dataclass(frozen=True, slots=True)
class Aider:
    """The program with a home of its own, in a repository where `hello.py` says hello."""

    program: Path
    home: Path
    folder: Path

    def run(self, *command: str | Path, **env: str) -> str:
        """What it printed; it must have ended well."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **env},  # noqa: TID251
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def work(self, proxy: Proxy, task: str, *more: str | Path) -> str:
        base = {"OPENAI_API_BASE": f"{proxy.url}/v1", "OPENAI_API_KEY": "anything"}
        command = (self.program, *OPTIONS, *SETTINGS, *more, "--message", task, "hello.py")
        return self.run(*command, **base)

    @property
    def file(self) -> str:
        return (self.folder / "hello.py").read_text(encoding="utf-8")

    @property
    def commits(self) -> list[str]:
        return self.run("git", "log", "--format=%s").splitlines()


@pytest.fixture
def agent(aider: Path, tmp_path: Path) -> Aider:
    made = Aider(aider, tmp_path / "home", tmp_path / "folder")
    made.home.mkdir()
    made.folder.mkdir()
    (made.folder / "hello.py").write_text(BEFORE)
    made.run("git", "init", "--quiet")
    made.run("git", "config", "user.name", "A Person")
    made.run("git", "config", "user.email", "person@example.org")
    made.run("git", "add", "hello.py")
    made.run("git", "commit", "--quiet", "--message", "Say hello")
    return made


def accepted(fake: FakeAnthropic) -> list[Received]:
    assert {request.status for request in fake.messages()} == {200}
    return fake.messages()


def words(request: Received) -> str:
    """The text of the newest user turn."""
    newest = request.json["messages"][-1]
    assert newest["role"] == "user"
    return "".join(block["text"] for block in newest["content"])


def answers(request: Received) -> list[str]:
    """The earlier answers, as Anthropic got them back; aider reorders its turns and leaves out the last newline."""
    turns = (m["content"] for m in request.json["messages"] if m["role"] == "assistant")
    return ["".join(block["text"] for block in blocks) for blocks in turns]


def test_it_works_as_setup_sets_it_up(agent: Aider, world: World) -> None:
    ccproxy = {"PYTHONPATH": str(ROOT), "CCPROXY_ENV_FILE": "", "PORT": str(world.proxy.port)}
    agent.run(sys.executable, "-m", "addon.cli", "setup", "aider", "--model", CLAUDE, **ccproxy)
    world.fake.script([say(RIGHT), say("feat: Greet the world"), say("It greets.")])

    command = (agent.program, "--yes-always", "--no-check-update", "--no-analytics")
    agent.run(*command, "--message", "Greet the world", "hello.py")
    assert agent.file == BEFORE.replace("hello", "hello, wörld")
    printed = agent.run(*command, "--restore-chat-history", "--message", "/ask What?", "hello.py")

    assert "It greets." in printed
    assert len(accepted(world.fake)) == 3


def test_an_edit_is_streamed_applied_and_committed(agent: Aider, world: World) -> None:
    world.fake.script([say(thinking("Easy."), RIGHT), say("feat: Greet the world")])

    printed = agent.work(world.proxy, "Greet the world")

    assert "Applied edit to hello.py" in printed
    assert "Easy." in printed, "thinking is shown"
    assert agent.file == BEFORE.replace("hello", "hello, wörld")
    assert agent.commits[0] == "feat: Greet the world"
    asked, commit = accepted(world.fake)
    assert "Greet the world" in words(asked)
    assert 'return "hello, wörld"' in words(commit)
    # it sends `temperature: 0`, which this model refuses
    assert "temperature" not in asked.json


def test_an_edit_that_does_not_fit_is_put_right_in_the_next_turn(
    agent: Aider, world: World
) -> None:
    world.fake.script(
        [say(thinking("Hm."), WRONG), say(thinking("Ah."), RIGHT), say("feat: Greet the world")]
    )

    agent.work(world.proxy, "Greet the world")

    assert agent.file == BEFORE.replace("hello", "hello, wörld")
    _, corrected, _ = accepted(world.fake)
    assert "SearchReplaceNoExactMatch" in words(corrected)
    assert WRONG.strip() in answers(corrected)


def test_an_answer_that_was_cut_short_is_continued(agent: Aider, world: World) -> None:
    half = len(RIGHT) // 2
    cut = say(RIGHT[:half], stop_reason="max_tokens")
    world.fake.script([cut, say(RIGHT[half:]), say("feat: Greet the world")])
    known = agent.home / "models.json"
    known.write_text(json.dumps({f"openai/{CLAUDE}": CONTINUES}))

    agent.work(world.proxy, "Greet the world", "--model-metadata-file", known)

    assert agent.file == BEFORE.replace("hello", "hello, wörld")
    _, continued, _ = accepted(world.fake)
    assert answers(continued)[-1] == RIGHT[:half].rstrip()
    # this model takes no answer that was begun for it
    assert continued.json["messages"][-1]["role"] == "user"
