"""Requests that come while the proxy starts: its port is open before all of mitmproxy's addons run."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e import raw
from tests.e2e.proxy import OWN_PORT, Proxy, chat

STARTS = 40
MODELS = ("gpt-5", "claude-opus-4-8")
SLOW_SCRIPT = """
import asyncio
from pathlib import Path

async def running():
    Path("running").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)
"""
"""Its `running` comes before those of most of mitmproxy's addons, and lasts until the test allows it to end."""


class Starting(Proxy):
    """One that is not waited for: the test's client is there first."""

    def wait_until_up(self, seconds: float = 60.0) -> None:
        return


@contextlib.contextmanager
def starting(upstream: str, **options: Any) -> Iterator[Starting]:
    keys = {"OPENAI_API_KEY": "sk-openai-test", "OPENAI_BASE_URL": upstream}
    with Starting(upstream, CLAUDE_CODE_OAUTH_TOKEN=None, **keys, **options) as proxy:
        yield proxy


def ask_at_once(proxy: Proxy, model: str, seconds: float = 60.0) -> socket.socket:
    """Sends a request as soon as the port is open."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=seconds)
        except OSError:
            assert proxy.process and proxy.process.poll() is None, proxy.output
            assert time.monotonic() < deadline
            continue
        client.sendall(raw.post(chat(model=model)))
        return client


def wait_for(file: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(proxy: Proxy, model: str) -> int:
    with ask_at_once(proxy, model) as client:
        return raw.read_response(client)[0]


def test_a_client_that_leaves_before_every_addon_runs_is_no_crash(
    fake: FakeAnthropic, tmp_path: Path
) -> None:
    """`./start.sh tunnel` and monitors look whether the port is open."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW_SCRIPT)
    with starting(fake.url, launch=False, first=["-s", str(script)], mode=OWN_PORT) as proxy:
        wait_for(proxy.home / "running")
        for _ in range(3):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5).close()
        (proxy.home / "go").touch()
        assert status(proxy, "claude-opus-4-8")
        assert "crashed" not in proxy.output
        assert "Traceback" not in proxy.output


@pytest.mark.parametrize("model", MODELS)
def test_a_request_waits_until_every_addon_runs(
    fake: FakeAnthropic, tmp_path: Path, model: str
) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW_SCRIPT)
    first = ["-s", str(script)]
    with (
        starting(fake.url, launch=False, first=first, mode=OWN_PORT) as proxy,
        ask_at_once(proxy, model) as client,
    ):
        wait_for(proxy.home / "running")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert not fake.connections
        (proxy.home / "go").touch()
        client.settimeout(30)
        assert raw.read_response(client)[0] == 200
        assert "Error logged during startup" not in proxy.output


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_start_of_many_dies_of_a_client_that_asks_at_once(fake: FakeAnthropic) -> None:
    for _ in range(STARTS):
        with starting(fake.url) as proxy, ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda model, p=proxy: status(p, model), MODELS))
            assert found == [200, 200], proxy.output
            assert proxy.get("/health").status_code == 200
