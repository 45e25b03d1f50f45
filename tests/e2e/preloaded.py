"""Proxies for the tests by fork: one process has mitmproxy and addon/ imported, and forks at each start.

Importing is nearly all of the second of CPU time that a start takes, and the tests start hundreds of proxies. What is
forked goes on as the launcher or as `mitmdump`, with an environment, folder and output of its own. Linux only: elsewhere,
and where a test wants exactly what a user starts, `Proxy` starts a new interpreter.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from mitmproxy import certs
from mitmproxy.certs import CertStore

from addon.context.tokens import vocabulary
from tests.left_behind import STAYING

ROOT = Path(__file__).resolve().parents[2]
LOADED = ("mitmproxy.tools.main", "mitmproxy.tools.dump", "mitmproxy.tools.web.master")
LONGEST = 2**20
STARTING = threading.Lock()

# ---- in the tests


class Forked:
    """What of `subprocess.Popen` the tests use, for a process that is not this one's child."""

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self.pid = int(told.recv(32))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(["proxy"], timeout or 0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(32))
            except (TimeoutError, BlockingIOError):
                return None
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(command: Sequence[str], env: Mapping[str, str], cwd: Path, output: int) -> Forked:
    """`command` as `Proxy.command` makes it: our launcher, or `mitmdump`. `output` is a descriptor."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    told = {"command": list(command), "env": dict(env), "cwd": str(cwd)}
    with theirs, STARTING:
        socket.send_fds(_preloaded(), [json.dumps(told).encode()], [theirs.fileno(), output])
    return Forked(ours)


@functools.cache
def certificate_authority() -> Path:
    """A folder as mitmproxy makes it at its first start, with the key that would take a tenth of a second each time."""
    folder = tempfile.TemporaryDirectory(prefix="ccproxy-test-ca-")
    atexit.register(folder.cleanup)
    CertStore.create_store(Path(folder.name), "mitmproxy", 2048)
    for file in Path(folder.name).iterdir():
        file.chmod(0o600)
    return Path(folder.name)


@functools.cache
def _preloaded() -> socket.socket:
    """To the process that forks: there is one for each process of the tests, and it ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno()), certificate_authority()],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    STAYING.add(process.pid)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# ---- in the process that forks


def prepare(authority: Path) -> None:
    """What each start would do anew is done here once, and every child has it."""
    for name in LOADED:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(importlib.import_module("addon").__path__, "addon."):
        importlib.import_module(module.name)
    certs.load_pem_private_key = functools.cache(certs.load_pem_private_key)
    vocabulary._encoding = functools.cache(vocabulary._encoding)
    CertStore.from_store(authority, "mitmproxy", 2048)
    vocabulary.Vocabulary().load()


def serve(asked: socket.socket) -> None:
    """Until nobody can ask any more."""
    gc.freeze()  # a child that collects garbage would copy all of this memory
    running: dict[int, tuple[int, socket.socket]] = {}  # by the child's pidfd
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not asked:
                    selector.unregister(key.fd)
                    _tell(key.fd, *running.pop(key.fd))
                    continue
                data, passed, _, _ = socket.recv_fds(asked, LONGEST, 2)
                if not data:
                    return
                fd, output = passed
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    asked.close()
                    for _, other in running.values():
                        other.close()
                    os.close(fd)
                    become(output=output, **json.loads(data))
                os.close(output)
                told = socket.socket(fileno=fd)
                told.send(str(pid).encode())
                pidfd = os.pidfd_open(pid)
                running[pidfd] = (pid, told)
                selector.register(pidfd, selectors.EVENT_READ)


def _tell(pidfd: int, pid: int, told: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(pidfd)
    with told:
        try:
            told.send(str(os.waitstatus_to_exitcode(status)).encode())
        except OSError:  # whoever started it has gone
            return


def become(command: list[str], env: dict[str, str], cwd: str, output: int) -> NoReturn:
    """Go on as that command. Never returns."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - with the file's own buffer
    os.execv = _run  # type: ignore[assignment]  # the launcher becomes mitmdump
    _run(command[0], command)


def _run(_: object, command: Sequence[str]) -> NoReturn:
    from mitmproxy.tools import main

    if command[1:2] == ["-m"]:
        sys.exit(importlib.import_module(command[2]).main(command[3:]))
    if command[1:3] == ["-P", "-c"]:
        sys.argv = ["-c", *command[4:]]
        exec(command[3], {})  # noqa: S102 - ours, by addon/cli/launch.py
    sys.argv = list(command)
    sys.exit(getattr(main, Path(command[0]).name)())


if __name__ == "__main__":
    prepare(Path(sys.argv[2]))
    serve(socket.socket(fileno=int(sys.argv[1])))
