"""A pytest plugin: which test runs which line of addon/, also in the proxies that tests start."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measured
import pytest

LONGEST_WAIT = 1.0


def is_running(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            not in "TZ"
        )
    except OSError:
        return False


class Following:
    def __init__(self, folder: Path) -> None:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        self.context = folder / f"context-{worker}"
        self.context.write_text("", encoding="utf-8")
        self.times = (folder / f"times-{worker}").open("w", encoding="utf-8")
        self.coverage = measured.begin()

    def take_along(self) -> None:
        """Every Python child, whatever environment a test gives it, is measured as well."""
        ours = {name: os.environ[name] for name in (measured.FOLDER, measured.TREE)}
        ours[measured.CONTEXT] = str(self.context)
        start = subprocess.Popen.__init__

        def started(process: Any, *arguments: Any, env: Any = None, **options: Any) -> None:
            env = dict(os.environ if env is None else env)
            path = filter(None, [os.environ["PYTHONPATH"], env.get("PYTHONPATH")])
            env |= {**ours, "PYTHONPATH": os.pathsep.join(path)}
            start(process, *arguments, env=env, **options)

        subprocess.Popen.__init__ = started  # type: ignore[method-assign,assignment]

    def wait_for_children(self, test: str) -> None:
        """Until each of them knows which test runs; the dead and the stopped are not waited for."""
        for seen in self.context.parent.glob(f"{self.context.name}.*"):
            deadline = time.monotonic() + LONGEST_WAIT
            while seen.read_text(encoding="utf-8") != test:
                if not is_running(int(seen.suffix[1:])):
                    seen.unlink()
                    break
                if time.monotonic() > deadline:
                    break
                time.sleep(measured.LOOK)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.context.write_text(item.nodeid, encoding="utf-8")
        self.wait_for_children(item.nodeid)
        self.coverage.switch_context(item.nodeid)
        begun = time.monotonic()
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")
            self.times.write(f"{time.monotonic() - begun:.4f} {item.nodeid!r}\n")
            self.times.flush()

    def pytest_unconfigure(self) -> None:
        self.coverage.stop()
        self.coverage.save()


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):  # pytest-xdist's first process runs no test
        return
    following = Following(Path(os.environ[measured.FOLDER]))
    following.take_along()
    config.pluginmanager.register(following)
