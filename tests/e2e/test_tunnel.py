"""`python -m addon.cli.tunnel`: the proxy and a stand-in for cloudflared in one terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from addon.core.secret import secret_file
from tests.e2e.proxy import ROOT
from tests.ports import free_port

CLOUDFLARED = """#!/bin/sh
echo "INF asked for: $*" >&2
echo "INF |  https://quick-test.trycloudflare.com  |" >&2
trap 'echo "INF stopped"; exit 0' TERM INT
while :; do sleep 0.05; done
"""
NOWHERE = "http://127.0.0.1:9"
"""As a web proxy: a test must not reach the internet."""


class Running:
    """The command, and what it has said so far."""

    def __init__(self, env: dict[str, str], *, on_terminal: bool = False) -> None:
        self.text = ""
        reader, writer = pty.openpty() if on_terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "addon.cli.tunnel"],
            env=env,
            cwd=ROOT,
            stdout=writer,
            stderr=writer,
            stdin=subprocess.DEVNULL,
        )
        os.close(writer)
        self.reading = threading.Thread(target=self.read, args=(reader,))
        self.reading.start()

    def read(self, reader: int) -> None:
        with os.fdopen(reader, "rb", buffering=0) as stream:
            try:
                while data := stream.read(65536):
                    self.text += data.decode(errors="replace")
            except OSError:  # a pseudo-terminal whose other end has closed
                return

    def until(self, words: str, seconds: float = 30) -> str:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"never said {words!r}:\n{self.text}"
            time.sleep(0.02)
        return self.text

    def end(self) -> int:
        """The exit code, and with it all of the text."""
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
            self.reading.join()
        return code

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.end()


type Start = Callable[..., Running]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    return {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CCPROXY_HOME": str(tmp_path / "state"),
        "CCPROXY_ENV_FILE": "",
        "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-test",
        "ANTHROPIC_UPSTREAM_URL": NOWHERE,
        "PORT": str(free_port()),
        "HTTPS_PROXY": NOWHERE,
    }


@pytest.fixture
def start(env: dict[str, str]) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(*, on_terminal: bool = False, **more: str) -> Running:
            running = Running({**env, **more}, on_terminal=on_terminal)
            stack.callback(running.reading.join)
            stack.callback(running.process.wait)
            stack.callback(running.process.kill)
            return running

        yield run


@pytest.fixture
def cloudflared(tmp_path: Path, env: dict[str, str]) -> None:
    script = tmp_path / "bin" / "cloudflared"
    script.write_text(CLOUDFLARED)
    script.chmod(0o755)


@contextmanager
def forwarder(port: int, headers: dict[str, str]) -> Iterator[str]:
    """A tunnel as the proxy sees it: requests from this machine, with what a tunnel adds."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            answer = httpx.get(
                f"http://127.0.0.1:{port}{self.path}", headers={**given, **headers}, trust_env=False
            )
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def groups_of_children(parent: int) -> set[int]:
    groups = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            _, of, group, *_ = stat.read_text().rpartition(")")[2].split()
            if int(of) == parent:
                groups.add(int(group))
    return groups


def environments_of_children(parent: int) -> list[list[str]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _, of, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(of) == parent:
                found.append((folder / "environ").read_text(errors="replace").split("\0"))
    return found


@pytest.mark.usefixtures("cloudflared")
def test_both_run_in_one_terminal_and_ctrl_c_ends_both(start: Start, env: dict[str, str]) -> None:
    running = start()
    text = running.until("Checking https://quick-test.trycloudflare.com")
    assert f" on http://localhost:{env['PORT']}" in text
    assert "[tunnel] INF asked for: tunnel --no-autoupdate --config" in text
    assert f"--url http://127.0.0.1:{env['PORT']}" in text
    groups = groups_of_children(running.process.pid)
    assert len(groups) == 2, "a terminal interrupts a group, and each program has its own"
    assert os.getpgid(running.process.pid) not in groups
    assert running.interrupt() == 0
    assert "[tunnel] INF stopped" in running.text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{env['PORT']}/health", trust_env=False)


@pytest.mark.thorough
@pytest.mark.usefixtures("cloudflared")
def test_the_proxy_is_told_of_the_tunnel(start: Start, env: dict[str, str]) -> None:
    running = start()
    running.until("Checking https://quick-test.trycloudflare.com")
    told = environments_of_children(running.process.pid)
    assert sum("TUNNEL_PROVIDER=cloudflare" in variables for variables in told) == 1
    running.interrupt()


@pytest.mark.usefixtures("cloudflared")
def test_cloudflared_gets_nothing_that_it_has_no_use_for(start: Start, env: dict[str, str]) -> None:
    keys = {
        "ANTHROPIC_API_KEY": "sk-ant-api03-canary",
        "OPENAI_API_KEY": "sk-canary",
        "PROXY_SECRET_KEY": "canary",
        "SOMEBODYS_TOKEN": "canary",
    }
    wanted = {"TUNNEL_LOGLEVEL": "debug", "NO_AUTOUPDATE": "true", "no_proxy": "localhost"}
    running = start(**keys, **wanted)
    running.until("Checking https://quick-test.trycloudflare.com")
    proxy, cloudflared = sorted(environments_of_children(running.process.pid), key=len)[::-1]
    running.interrupt()
    assert "ANTHROPIC_API_KEY=sk-ant-api03-canary" in proxy
    assert [v for v in cloudflared if "canary" in v or "sk-ant" in v] == []
    assert {f"{name}={value}" for name, value in wanted.items()} <= set(cloudflared)
    assert {v.partition("=")[0] for v in cloudflared} >= {"PATH", "HOME", "HTTPS_PROXY"}


@pytest.mark.thorough
@pytest.mark.usefixtures("cloudflared")
def test_output_that_nobody_reads_keeps_it_from_nothing(env: dict[str, str]) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-m", "addon.cli.tunnel"]
    url = f"http://127.0.0.1:{env['PORT']}"
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=writer, stderr=writer) as process:
        os.close(writer)
        with httpx.Client(trust_env=False) as client:
            until_healthy(client, url)
            for _ in range(40):
                assert client.get(f"{url}/nowhere/{'x' * 300}").status_code == 404
        process.terminate()
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
    os.close(reader)


def until_healthy(client: httpx.Client, url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if client.get(f"{url}/health").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the proxy did not come up")


def test_a_tunnel_of_the_users_own_is_checked_and_the_key_shown(
    start: Start, env: dict[str, str]
) -> None:
    port = int(env["PORT"])
    with forwarder(port, {"x-forwarded-for": "203.0.113.7"}) as url:
        running = start(on_terminal=True, TUNNEL_URL=url)
        text = running.until("Ctrl+C ends both")
        assert "It leads here, and rejects requests without the key." in text
        secret = secret_file(Path(env["CCPROXY_HOME"])).read_text().strip()
        assert f"Override OpenAI Base URL   {url}/v1" in text
        assert f"OpenAI API Key             {secret}" in text
        assert "ak-claude-opus-" in text
        through = httpx.get(
            f"{url}/v1/models", headers={"authorization": f"Bearer {secret}"}, trust_env=False
        )
        assert json.loads(through.text)["object"] == "list"
        assert running.interrupt() == 0


def test_output_that_is_kept_does_not_hold_the_key(start: Start, env: dict[str, str]) -> None:
    with forwarder(int(env["PORT"]), {"x-forwarded-for": "203.0.113.7"}) as url:
        running = start(TUNNEL_URL=url)
        running.until("Ctrl+C ends both")
        running.interrupt()
    secret = secret_file(Path(env["CCPROXY_HOME"])).read_text().strip()
    assert secret not in running.text
    assert str(secret_file(Path(env["CCPROXY_HOME"]))) in running.text


@pytest.mark.thorough
def test_a_tunnel_that_hides_itself_is_called_dangerous(start: Start, env: dict[str, str]) -> None:
    with forwarder(int(env["PORT"]), {}) as url:
        running = start(TUNNEL_URL=url)
        assert "DANGER: the tunnel lets everyone in" in running.until("Ctrl+C ends both")
        running.interrupt()


def test_without_cloudflared_nothing_starts(start: Start) -> None:
    running = start()
    assert running.end() == 1
    assert running.text.splitlines()[0].startswith("cloudflared is not installed")
    assert "\n  macOS      brew install cloudflared\n" in running.text
    assert "[proxy]" not in running.text


@pytest.mark.thorough
@pytest.mark.usefixtures("cloudflared")
def test_a_proxy_that_does_not_start_is_said(start: Start, env: dict[str, str]) -> None:
    (Path(env["CCPROXY_HOME"])).mkdir()
    (Path(env["CCPROXY_HOME"]) / "models.toml").write_text("this is no toml")
    running = start()
    assert running.end() == 1
    assert "The proxy did not start; its output above says why." in running.text
    assert "Traceback" not in running.text


@pytest.mark.thorough
def test_a_tunnel_that_ends_at_once_ends_the_proxy(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "cloudflared"
    script.write_text(
        "#!/bin/sh\necho 'failed to request quick Tunnel: no such host' >&2\nexit 1\n"
    )
    script.chmod(0o755)
    running = start()
    assert running.end() == 1
    assert "Is this machine online?" in running.text
