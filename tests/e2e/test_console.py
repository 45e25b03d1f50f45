"""mitmproxy's console, in a terminal of its own: it draws there alone, and our lines are in its event log."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e.proxy import OAUTH_TOKEN, ROOT, chat
from tests.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a pty, as Linux has it")
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78])")


class Console:
    def __init__(self, home: Path, upstream: str) -> None:
        self.port = free_port()
        self.seen = b""
        master, slave = pty.openpty()
        self.master = master
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        code = "from mitmproxy.tools.main import mitmproxy; mitmproxy()"
        arguments = [
            "-s", str(ROOT / "ccproxy_addon.py"), "--mode", f"reverse:{upstream}@127.0.0.1:{self.port}",
            "--set", f"confdir={home / 'mitmproxy'}",
        ]  # fmt: skip
        env = {
            "PATH": os.environ["PATH"], "TERM": "xterm", "HOME": str(home), "CCPROXY_HOME": str(home / "state"),  # noqa: TID251
            "CCPROXY_ENV_FILE": "", "CLAUDE_CODE_OAUTH_TOKEN": OAUTH_TOKEN, "ANTHROPIC_UPSTREAM_URL": upstream,
            "PORT": str(self.port),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, *arguments],
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def until(self, true: Callable[[str], bool]) -> str:
        """What the terminal was sent, once `true` of it."""
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)
            text = ESCAPES.sub("", self.seen.decode("utf-8", "replace"))
            if true(text):
                return text
        raise AssertionError(text[-3000:])

    def press(self, keys: str) -> None:
        self.seen = b""
        os.write(self.master, keys.encode())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def console(tmp_path: Path, fake: FakeAnthropic) -> Iterator[Console]:
    console = Console(tmp_path, fake.url)
    yield console
    console.stop()


def test_our_lines_are_in_the_event_log_alone(console: Console) -> None:
    def answered(_: str) -> bool:
        try:
            response = httpx.post(
                url, json=chat("Hello there", stream=True), trust_env=False, timeout=20
            )
        except httpx.TransportError:
            return False
        return response.status_code == 200

    url = f"http://127.0.0.1:{console.port}/v1/chat/completions"
    console.until(answered)
    shown = console.until(lambda text: "opus-4-8" in text or "/v1/messages" in text)
    assert "📊" not in shown and "base URL" not in shown
    console.press("E")
    log = console.until(lambda text: "📊" in text)
    assert "base URL" in log and "● sub" in log
    console.press("q")
    console.press("\r")  # the flow
    console.press("\x1b[C")  # its response, streamed
    assert "content missing" not in console.until(
        lambda text: "chat.completion.chunk" in text or "assistant" in text
    )
