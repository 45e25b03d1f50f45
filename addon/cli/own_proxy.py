"""Runs the proxy as a subprocess, for the demo, the doctor and `ccproxy.resend`."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from addon.api.request_history import KEPT_HEADERS
from addon.cli.bootstrap import PROGRAM
from addon.cli.launch import who_listens
from addon.core.environment import environment
from addon.core.own_http import HttpError, sync_client
from addon.core.types import JsonObject
from addon.stand_in.anthropic import FakeAnthropic

OAUTH_TOKEN, API_KEY = "sk-ant-oat01-test", "sk-ant-api03-test"


class DidNotStart(RuntimeError):
    """The message is the proxy's output."""


@contextlib.contextmanager
def proxy(home: str, upstream: str, **more: str) -> Iterator[str]:
    """Runs a proxy with made-up credentials, `more` settings and its state in `home`; yields its address."""
    with own_proxy(made_up(home, upstream) | more, Path(home) / "proxy.log") as url:
        yield url


def made_up(home: str, upstream: str) -> dict[str, str]:
    """The environment of a proxy with made-up credentials and its state in `home`."""
    return environment() | {
        "CCPROXY_HOME": f"{home}/state",
        "CLAUDE_CONFIG_DIR": f"{home}/claude",
        "ANTHROPIC_UPSTREAM_URL": upstream,
        "UPSTREAM_PROXY": "",
        "CLAUDE_CODE_OAUTH_TOKEN": OAUTH_TOKEN,
        "ANTHROPIC_API_KEY": API_KEY,
        "CLAUDE_CODE_FIRST": "true",
        "FALLBACK": "auto",
    }


def against_stand_in(saved: JsonObject) -> JsonObject:
    """Sends a response of `GET /explain/<id>` through a proxy to a stand-in for Anthropic, which needs no account and
    costs nothing. Returns the new response. Raises DidNotStart or HttpError."""
    client = saved["client"]
    headers = {name: value for name, value in client["headers"] if name.lower() in KEPT_HEADERS}
    with ExitStack() as stack:
        fake = stack.enter_context(FakeAnthropic())
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="ccproxy-resend-"))
        url = stack.enter_context(proxy(home, fake.url, EXPLAIN="true"))
        http = stack.enter_context(sync_client(base_url=url, timeout=120, trust_env=False))
        try:
            http.post(client["path"], json=client["body"], headers=headers)
            newest = http.get("/explain").json()["requests"][0]["id"]
            return dict(http.get(f"/explain/{newest}").json())
        except httpx.HTTPError as error:
            raise HttpError(type(error).__name__) from error


@contextlib.contextmanager
def own_proxy(
    env: Mapping[str, str], log: Path | None, arguments: Sequence[str] = ("run",)
) -> Iterator[str]:
    """Runs a proxy on a free port until the block ends; yields its address when it responds. `log`: where its output
    goes; None: where ours does. Raises DidNotStart."""
    port = free_port()
    own = {"CCPROXY_ENV_FILE": "", "PORT": str(port), "REQUIRE_SECRET_LOCALLY": "false"}
    command = [sys.executable, str(PROGRAM), *arguments]
    with log.open("wb") if log else contextlib.nullcontext() as output:
        process = subprocess.Popen(  # noqa: S603
            command, env={**env, **own}, stdout=output, stderr=output
        )
    try:
        _wait_for(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(40)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path | None) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if who_listens(port) == "ccproxy":
            return
        time.sleep(0.05)
    raise DidNotStart(log.read_text(errors="replace") if log else "The lines above say why.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
