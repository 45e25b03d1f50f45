"""The real mitmdump with the real addon, as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from addon.core.background_writer import REST
from addon.core.clock import Batch
from tests.e2e import preloaded
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
OAUTH_TOKEN = "sk-ant-oat01-test"
API_KEY = "sk-ant-api03-test"
OWN_PORT = "reverse:UPSTREAM@127.0.0.1:PORT"
"""A `mode` for plain mitmdump on a port of its own."""
TLS = ssl.create_default_context()
"""Made once: each client that makes its own reads the certificates of the whole world first."""
NEVER_RETIRED = "\n".join(
    f"[models.{name}]\nretires = 9999-12-31"
    for name, row in tomllib.loads((ROOT / "addon" / "claude" / "models.toml").read_text())[
        "models"
    ].items()
    if "retires" in row
)
"""A models.toml with which tests mean the same on every day."""
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


class Proxy:
    """`with Proxy(fake.url, KEEPALIVE_SECONDS="0.2") as proxy: ...`; keywords are environment variables, None unsets.

    By default both credentials are there and nothing of this machine's own environment is. `launch=False` is plain
    `mitmdump -s ccproxy_addon.py`, with `first` in front of the `script` and `mode` for `reverse:<upstream>`.
    `stdout` is a descriptor for what it says, in place of a file. UPSTREAM and PORT in values stand for the upstream's
    URL and the proxy's port. `fork=False` starts a new interpreter, as a user does: see `preloaded`.
    """

    def __init__(
        self,
        upstream: str,
        *,
        program: str = "mitmdump",
        arguments: Sequence[str] = (),
        launch: bool = True,
        mode: str = "reverse:UPSTREAM",
        first: Sequence[str] = (),
        script: Path = ROOT / "ccproxy_addon.py",
        stdout: int | None = None,
        fork: bool = sys.platform == "linux",
        **env: str | None,
    ) -> None:
        self.port = free_port()
        self.upstream = upstream
        self.program = program
        self.arguments = list(arguments)
        self.launch = launch
        self.mode = self.filled_in(mode)
        self.first = list(first)
        self.script = script
        self.stdout = stdout
        self.fork = fork
        self.home = Path(tempfile.mkdtemp(prefix="ccproxy-test-"))
        shutil.copytree(preloaded.certificate_authority(), self.home / ".mitmproxy")
        (self.home / ".ccproxy").mkdir(mode=0o700)
        models = self.home / ".ccproxy" / "models.toml"
        models.write_text(NEVER_RETIRED)
        models.chmod(0o600)
        defaults: dict[str, str | None] = {
            "HOME": str(self.home),
            "CCPROXY_HOME": str(self.home / ".ccproxy"),
            "PORT": str(self.port),
            "ANTHROPIC_UPSTREAM_URL": upstream,
            "CLAUDE_CODE_OAUTH_TOKEN": OAUTH_TOKEN,
            "ANTHROPIC_API_KEY": API_KEY,
            "CCPROXY_ENV_FILE": "",
            "PYTHONPATH": str(ROOT),
        }
        given = {name: os.environ[name] for name in KEPT if name in os.environ}  # noqa: TID251
        ours = {name: value and self.filled_in(value) for name, value in env.items()}
        self.env = {k: v for k, v in {**given, **defaults, **ours}.items() if v is not None}
        self.process: subprocess.Popen[bytes] | preloaded.Forked | None = None
        self.log = self.home / "output.log"
        self.clients: list[OpenAI | Anthropic] = []

    def filled_in(self, value: str) -> str:
        return value.replace("UPSTREAM", self.upstream).replace("PORT", str(self.port))

    def command(self) -> list[str]:
        bin_dir = Path(sys.executable).parent
        if self.launch:
            return [sys.executable, "-m", "addon.cli.launch", self.program, *self.arguments]
        return [
            str(bin_dir / self.program),
            *self.first,
            "-s",
            str(self.script),
            "--mode",
            self.mode,
            *self.arguments,
        ]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            output = log.fileno() if self.stdout is None else self.stdout
            if self.fork:
                self.process = preloaded.start(self.command(), self.env, self.home, output)
            else:
                self.process = subprocess.Popen(
                    self.command(), env=self.env, cwd=self.home, stdout=output, stderr=output
                )
        try:
            self.wait_until_up()
        except AssertionError:
            self.__exit__(None, None, None)
            raise
        return self

    def wait_until_up(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                break
            try:
                if self.get("/health", timeout=1).status_code in (200, 401, 403):
                    return
            except httpx.HTTPError:
                time.sleep(0.02)
        raise AssertionError(f"the proxy did not come up:\n{self.output}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.hang_up()
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """All that it has written, lines that were waiting for each other included."""
        time.sleep((Batch.SECONDS + REST) * 1.5)
        return self.log.read_text(errors="replace")

    def openai(self, **options: Any) -> OpenAI:
        """Closed with the proxy, or by `hang_up`."""
        client = OpenAI(
            **{"base_url": f"{self.url}/v1", "api_key": "any", "max_retries": 0, **options}
        )
        self.clients.append(client)
        return client

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(
            **{"base_url": f"{self.url}/v1", "api_key": "any", "max_retries": 0, **options}
        )

    def anthropic(self, **options: Any) -> Anthropic:
        """Closed with the proxy, or by `hang_up`."""
        client = Anthropic(**{"base_url": self.url, "api_key": "any", "max_retries": 0, **options})
        self.clients.append(client)
        return client

    def hang_up(self) -> None:
        """Close the SDK clients that were made so far."""
        while self.clients:
            self.clients.pop().close()

    def async_anthropic(self, **options: Any) -> AsyncAnthropic:
        return AsyncAnthropic(
            **{"base_url": self.url, "api_key": "any", "max_retries": 0, **options}
        )

    def post(
        self, path: str, body: Any = None, *, timeout: float = 30, **options: Any
    ) -> httpx.Response:
        """A plain request; `body` is JSON unless `content` is given."""
        if "content" not in options:
            options["json"] = body
        return httpx.post(f"{self.url}{path}", timeout=timeout, **{"verify": TLS, **options})

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", **{"timeout": 30, "verify": TLS, **options})


def chat(text: str = "Hi", model: str = "claude-opus-4-8", **more: Any) -> dict[str, Any]:
    """A chat completion's body."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def message(text: str = "Hi", model: str = "claude-opus-4-8", **more: Any) -> dict[str, Any]:
    """A message's body."""
    return {
        "model": model,
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


def rejected(hours: float = 2.0) -> Mapping[str, str]:
    """Headers of a 429 that means: the subscription is used up."""
    reset = str(int(time.time() + hours * 3600))
    return {
        "anthropic-ratelimit-unified-status": "rejected",
        "anthropic-ratelimit-unified-5h-status": "rejected",
        "anthropic-ratelimit-unified-5h-reset": reset,
        "anthropic-ratelimit-unified-reset": reset,
    }
