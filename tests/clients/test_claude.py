"""Claude Code, the real program: what it sends is what reaches Anthropic, byte for byte.

`claude` -> tap -> the proxy -> a stand-in, by the proxy's own subscription; the bytes at the tap and at the stand-in are
compared with nothing normalised. Then the same work straight, `claude` -> tap -> stand-in: the proxy must not change
what Claude Code asks for.
"""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import Received
from addon.stand_in.script import say
from addon.stand_in.stream import thinking, tool_use
from tests.clients.tap import Sent, Tap
from tests.e2e.proxy import Proxy

# installing it is the first test's
pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

MODEL = "claude-opus-5-5"
SECONDS = 120
OWN_TOKEN = "sk-ant-oat01-of-the-client"
QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
"""What it would ask of others than its base URL."""
BY_LOGIN = {"CLAUDE_CODE_OAUTH_TOKEN": OWN_TOKEN}
BY_KEY = {"ANTHROPIC_API_KEY": "anything"}
OAUTH_BETAS = {"oauth-2025-04-20", "claude-code-20250219"}


@dataclass(frozen=True, slots=True)
class Claude:
    """The program with a home of its own, in a folder with a text and a picture."""

    program: Path
    home: Path
    folder: Path
    credential: Mapping[str, str]

    def work(self, url: str, task: str, *options: str) -> str:
        """What it said at the end."""
        done = subprocess.run(
            # Run by root it takes no `--dangerously-skip-permissions`.
            [
                self.program,
                "-p",
                task,
                "--model",
                MODEL,
                "--allowedTools",
                "Read,Bash,Agent",
                *options,
            ],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],  # noqa: TID251
                "HOME": str(self.home),
                "ANTHROPIC_BASE_URL": url,
                **self.credential,
                **QUIET,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture(params=[BY_LOGIN, BY_KEY], ids=["by its own login", "by any key"])
def agent(claude: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Claude:
    return made(claude, tmp_path / "agent", request.param)


def made(program: Path, at: Path, credential: Mapping[str, str]) -> Claude:
    agent = Claude(program, at / "home", at / "folder", credential)
    agent.home.mkdir(parents=True)
    agent.folder.mkdir()
    (agent.folder / "hello.txt").write_text("hello\n")
    (agent.folder / "red.png").write_bytes(png(32, 32))
    return agent


def png(width: int, height: int) -> bytes:
    """A red picture."""
    lines = (b"\0" + b"\xff\0\0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


QUESTION = "What does the text say?"


def by_subagent(request: Received) -> bool:
    """Its conversation opens with what it was asked."""
    if request.path != "/v1/messages":
        return False
    opening = request.json["messages"][0]["content"]
    return isinstance(opening, list) and any(QUESTION in part.get("text", "") for part in opening)


def let_work(agent: Claude, fake: FakeAnthropic, url: str) -> None:
    """Thinking, several tools at once, a picture, a subagent, a resumed session, counted tokens."""
    fake.access.oauth_tokens.add(OWN_TOKEN)
    fake.access.api_keys.add(BY_KEY["ANTHROPIC_API_KEY"])
    read, picture = ({"file_path": str(agent.folder / name)} for name in ("hello.txt", "red.png"))
    shell = {"command": "printf 'and wörld\\n' >> hello.txt; cat hello.txt", "description": "Greet"}
    # In the background it would ask at the same time as the one that called it, and in no order.
    ask = {"description": "look", "prompt": QUESTION, "subagent_type": "general-purpose"}
    ask |= {"run_in_background": False}
    fake.script([say(thinking("Hm."), tool_use("Read", read)), say("It says hello.")], by_subagent)
    fake.script(
        [
            say(
                thinking("The file first."),
                tool_use("Read", read),
                tool_use("Read", picture),
                tool_use("Bash", shell),
            ),
            say(thinking("Another may look."), "I ask. 🙂", tool_use("Agent", ask)),
            say(thinking("That is all."), "Done."),
            say("Once more."),
        ]
    )
    assert agent.work(url, "Greet the wörld") == "Done."
    assert (agent.folder / "hello.txt").read_text() == "hello\nand wörld\n"
    assert agent.work(url, "And again?", "--continue") == "Once more."
    assert "Context Usage" in agent.work(url, "/context")


type Request = Sent | Received


def key(request: Request) -> tuple[str, str, bytes]:
    return request.method, request.target, request.body


def header(request: Request, name: str) -> str:
    return next((value for key, value in request.headers if key.lower() == name), "")


def other_headers(request: Request) -> list[tuple[str, str]]:
    """The `anthropic-*` headers but for the betas, as they stand."""
    found = [item for item in request.headers if item[0].lower().startswith("anthropic-")]
    return [item for item in found if item[0].lower() != "anthropic-beta"]


def kinds(requests: Iterable[Received]) -> Counter[tuple[str, str, str, bool, int]]:
    """What was asked for, and how often, whatever ids and times the bodies hold."""
    return Counter(
        (
            request.method,
            request.target,
            request.json["model"],
            by_subagent(request),
            len(request.json["messages"]),
        )
        for request in requests
    )


def test_what_claude_code_sends_is_what_arrives(agent: Claude) -> None:
    with FakeAnthropic() as fake, Proxy(fake.url) as proxy, Tap(proxy.port) as tap:
        let_work(agent, fake, tap.url)
        sent, arrived = (sorted(list_, key=key) for list_ in (tap.requests, fake.requests))

    assert {request.status for request in arrived} == {200}
    assert {kind_of(request) for request in arrived} == {"oauth"}
    assert OWN_TOKEN not in {header(request, "authorization") for request in arrived}
    assert [key(request) for request in sent] == [key(request) for request in arrived]
    for before, after in zip(sent, arrived, strict=True):
        assert other_headers(before) == other_headers(after)
        betas = [header(request, "anthropic-beta").split(",") for request in (before, after)]
        missing = [beta for beta in OAUTH_BETAS if beta not in betas[0]]
        assert [beta for beta in betas[1] if beta not in missing] == betas[0]
        assert set(missing) <= set(betas[1])
    assert_it_had_everything(arrived)


def assert_it_had_everything(requests: list[Received]) -> None:
    told = b"".join(request.body for request in requests)
    for part in (
        b'"type":"thinking"',
        b'"type":"image"',
        b'"type":"tool_result"',
        b"cache_control",
    ):
        assert part in told
    assert {request.path for request in requests} == {"/v1/messages", "/v1/messages/count_tokens"}
    assert any(by_subagent(request) for request in requests)


def test_the_proxy_does_not_change_what_claude_code_asks_for(claude: Path, tmp_path: Path) -> None:
    asked = []
    for name in ("straight", "proxied"):
        agent = made(claude, tmp_path / name, BY_LOGIN)
        with FakeAnthropic() as fake, Proxy(fake.url) as proxy:
            let_work(agent, fake, fake.url if name == "straight" else proxy.url)
            asked.append(kinds(fake.requests))
    assert asked[0] == asked[1]
