"""The Dockerfile without Docker: its RUN and CMD lines, in an empty folder, as a user without an account."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.documents import ROOT, text
from tests.e2e.proxy import OAUTH_TOKEN
from tests.ports import free_port

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux"),
]
USER = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
# this Python may lie in a home that only its owner may enter
USER += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


class Container:
    """A folder in place of /, and of port 8082 a free one."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.upstream = upstream
        self.env = {"PATH": f"{folder}/venv/bin:{os.environ['PATH']}"}  # noqa: TID251
        self.command: list[str] = []
        self.health: list[str] = []
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        for line in instructions():
            self.do(*line.split(maxsplit=1))

    def do(self, name: str, rest: str) -> None:
        match name:
            case "FROM" | "VOLUME" | "EXPOSE":
                pass
            case "USER":
                assert rest == "1000:1000"
            case "WORKDIR":
                (self.folder / rest.lstrip("/")).mkdir()
            case "ENV":
                self.env |= dict(pair.split("=", 1) for pair in shlex.split(self.here(rest)))
            case "COPY":
                *sources, to = rest.split()
                for source in sources:
                    self.copy(ROOT / source, self.folder / "app" / to)
            case "RUN":
                me = f"-o {os.getuid()} -g {os.getgid()}"
                line = rest if os.getuid() == 0 else rest.replace("-o 1000 -g 1000", me)
                subprocess.run(
                    ["sh", "-ec", self.here(line)],
                    env=self.env | {"HOME": str(self.folder)}, cwd=self.folder / "app", check=True,
                )  # fmt: skip
            case "HEALTHCHECK":
                self.health = [word.replace("8082", str(self.port)) for word in exec_form(rest)]
            case "CMD":
                self.command = [self.here(word) for word in exec_form(rest)]
            case _:
                raise AssertionError(f"{name} is not known here")

    def copy(self, source: Path, to: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, to)

    def here(self, line: str) -> str:
        line = line.replace("/data", f"{self.folder}/data").replace("8082", str(self.port))
        return line.replace("https://api.anthropic.com", self.upstream)

    def start(self) -> subprocess.Popen[str]:
        user = USER if os.getuid() == 0 else []
        env = self.env | {
            "CLAUDE_CODE_OAUTH_TOKEN": OAUTH_TOKEN,
            "ANTHROPIC_UPSTREAM_URL": self.upstream,
        }
        with (self.folder / "log").open("w") as log:
            return subprocess.Popen(
                [*user, *self.command],
                env=env,
                cwd=self.folder / "app",
                text=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def healthy(self) -> bool:
        command = [str(self.folder / "venv" / "bin" / self.health[0]), *self.health[1:]]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def instructions() -> list[str]:
    joined = re.sub(r"^#.*\n", "", text("Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def exec_form(rest: str) -> list[str]:
    return list(json.loads(rest[rest.index("[") :]))


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    folder = Path(tempfile.mkdtemp(prefix="ccproxy-container-"))
    folder.chmod(0o755)
    with FakeAnthropic() as fake:
        yield Container(folder, fake.url)
    shutil.rmtree(folder)


def outside() -> str:
    """An address of this machine that is not loopback, as the host's are for a container."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])


def test_what_the_dockerfile_says_runs_and_asks_for_the_secret(container: Container) -> None:
    process = container.start()
    try:
        while not container.healthy():
            assert process.poll() is None, (container.folder / "log").read_text()
        data = container.folder / "data"
        secret = (data / "secret").read_text().strip()
        owner = 1000 if os.getuid() == 0 else os.getuid()
        assert {path.stat().st_uid for path in data.iterdir()} == {owner}
        url = f"http://{outside()}:{container.port}/v1/messages"
        body = {
            "model": "claude-opus-5-5",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": "hi"}],
        }
        with httpx.Client(trust_env=False, timeout=30) as client:
            assert client.post(url, json=body).status_code == 401
            assert client.post(url, json=body, headers={"x-api-key": secret}).status_code == 200
        assert secret not in (container.folder / "log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not container.healthy()


def test_compose_gives_the_container_what_it_needs() -> None:
    import ruamel.yaml

    services = ruamel.yaml.YAML(typ="safe").load(text("compose.yaml"))["services"]
    proxy, tunnel = services["ccproxy"], services["cloudflared"]
    assert proxy["ports"] == ["127.0.0.1:8082:8082"] and proxy["read_only"] is True
    assert proxy["volumes"] == ["state:/data"] and "VOLUME /data" in text("Dockerfile")
    assert tunnel["command"].endswith("http://ccproxy:8082")
    for service in services.values():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == [
            "no-new-privileges:true"
        ]
    ignored = text(".dockerignore").splitlines()
    copied = {
        word for line in instructions() if line.startswith("COPY") for word in line.split()[1:-1]
    }
    assert {f"!{name}" for name in copied} <= set(ignored)
