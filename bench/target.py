"""What is measured: ccproxy, plain mitmdump, and no proxy at all. Each is a process that this bench starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from bench.client import Connection, Wrong
from bench.workload import Dialect
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
SETTLE_SECONDS = 30.0
SETTLE_STEP = 0.5
IDLE_SHARE = 0.02
"""Of a CPU: a process that uses less is idle."""
MITMDUMP = str(Path(sys.executable).with_name("mitmdump"))

type Memory = Literal["VmRSS", "VmHWM"]
type Name = Literal["direct", "mitmdump", "ccproxy", "beside"]
"""`beside`: ccproxy in another checkout, to measure a change."""
NAMES: tuple[Name, ...] = ("direct", "mitmdump", "ccproxy")

PASS_ON = """
def requestheaders(flow): flow.request.stream = True
def responseheaders(flow): flow.response.stream = True
"""
"""Plain mitmdump with streaming on in both directions: it looks at nothing."""


def memory_of(pid: int, field: Memory = "VmRSS") -> int:
    """KiB of a process now, or its most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1])


class Process:
    """A server of the bench's own, with what it has used so far."""

    def __init__(self, command: Sequence[str], port: int, env: Mapping[str, str], home: Path):
        """`home`: where its `output.log` is written."""
        self.command = command
        self.port = port
        self.env = env
        self.home = home
        self.child: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with (self.home / "output.log").open("ab") as log:
            self.child = subprocess.Popen(
                self.command, env=self.env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def wait_until_up(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                probing = Connection(self.port, "messages")
                probing.probe()
                probing.close()
            except (OSError, Wrong):  # mitmproxy listens before it has loaded its scripts
                if self.child.poll() is not None:
                    break
                time.sleep(0.002)
            else:
                return
        raise RuntimeError(f"not up: {(self.home / 'output.log').read_text()[-2000:]}")

    @property
    def cpu(self) -> float:
        """CPU seconds used, threads included."""
        return time.clock_gettime((~self.child.pid << 3) | 2)  # Linux's clock id of another process

    def memory(self, field: Memory) -> int:
        """KiB now, or at most since `forget_peak`."""
        return memory_of(self.child.pid, field)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")


class Target:
    """One of them, running. `with Target(...) as target: target.connect()`."""

    def __init__(
        self,
        name: Name,
        upstream: int,
        source: Path = ROOT,
        *,
        scripts: Sequence[Path] = (),
        under: Sequence[str] = (),
        program: Sequence[str] = (MITMDUMP,),
    ) -> None:
        """`source`: where ccproxy is; `scripts`: mitmproxy loads them as well; `under`: the command that runs
        `program`."""
        self.name = name
        self.upstream = upstream
        self.source = source
        self.ours = name in ("ccproxy", "beside")
        self.dialect: Dialect = "chat" if self.ours else "messages"
        self.home = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
        self.port = upstream if name == "direct" else free_port()
        self.process: Process | None = None
        if name != "direct":
            command = [
                *under,
                *program,
                "-q",
                "--set",
                f"confdir={self.home}",
                *self.arguments(upstream),
            ]
            command += [argument for script in scripts for argument in ("-s", str(script))]
            self.process = Process(command, self.port, self.env(upstream), self.home)

    def arguments(self, upstream: int) -> list[str]:
        mode = ["--mode", f"reverse:http://127.0.0.1:{upstream}@127.0.0.1:{self.port}"]
        if self.ours:
            return [*mode, "-s", str(self.source / "ccproxy_addon.py")]
        script = self.home / "pass_on.py"
        script.write_text(PASS_ON)
        plain = ["flow_detail=0", "connection_strategy=lazy"]
        return [*mode, "-s", str(script), *(arg for pair in plain for arg in ("--set", pair))]

    def env(self, upstream: int) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "PORT": str(self.port),
            "CCPROXY_HOME": str(self.home / "ccproxy"),
            "CCPROXY_ENV_FILE": "",
            "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-bench",
            "ANTHROPIC_UPSTREAM_URL": f"http://127.0.0.1:{upstream}",
        }

    def __enter__(self) -> Self:
        if self.process:
            self.process.__enter__()
            self.process.wait_until_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process:
            self.process.__exit__(kind, error, traceback)
        shutil.rmtree(self.home, ignore_errors=True)

    def settle(self) -> None:
        """Wait until what goes on behind the start (ccproxy loads its vocabulary in a thread) is over."""
        deadline, used = time.monotonic() + SETTLE_SECONDS, self.cpu
        while time.monotonic() < deadline:
            time.sleep(SETTLE_STEP)
            before, used = used, self.cpu
            if used - before < SETTLE_STEP * IDLE_SHARE:
                return

    def connect(self, dialect: Dialect | None = None) -> Connection:
        return Connection(self.port, dialect or self.dialect)

    @property
    def cpu(self) -> float:
        return self.process.cpu if self.process else 0.0


def start_upstream(home: Path) -> Process:
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(port)]
    return Process(command, port, {"PATH": os.defpath}, home)
