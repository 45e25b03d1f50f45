"""Saving in the background: soon, quietly when it fails, and for the last time at exit."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from addon.core.errors import RateLimited
from addon.usage.budget import Budget, post_budget
from addon.usage.journal import PaidJournal
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.record import picodollars
from addon.usage.snapshot import SnapshotFile
from addon.usage.snapshot_format import Snapshot
from addon.usage.store import SAVE_SECONDS, UsageStore
from tests.clock import NOW, Clock
from tests.usage.records import record


class Instance:
    """A ledger, a budget and a store on `home`, as one process has them."""

    def __init__(
        self, home: Path, clock: Clock | None = None, file: SnapshotFile | None = None
    ) -> None:
        clock = clock or Clock()
        self.monotonic = Clock(0)
        self.ledger = UsageLedger(clock)
        self.budget = Budget(self.ledger)
        self.store = UsageStore(
            file or SnapshotFile(home, clock),
            self.ledger,
            self.budget,
            PaidJournal(home),
            monotonic=self.monotonic,
            interval=0.01,
        )
        self.store.load()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.store.run())
        task.add_done_callback(self.store.ended)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for is a file
            await asyncio.sleep(0.005)


def test_the_interval_leaves_time_for_a_slow_disk_within_ten_seconds() -> None:
    assert SAVE_SECONDS <= 5


def test_a_restart_keeps_usage_and_budget(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.ledger.add(record(dollars=2))
    post_budget(first.budget, {"hourlyLimit": 1, "enabled": True})
    first.store.close()
    second = Instance(tmp_path)
    assert second.ledger.state() == first.ledger.state()
    with pytest.raises(RateLimited, match=r"Hourly budget exceeded: \$2\.00 / \$1\.00"):
        second.budget.reserve(0)
    second.store.close()


async def test_changes_are_saved_in_the_background(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    path = tmp_path / "usage.json"
    async with instance.running():
        instance.ledger.add(record())
        await until(path.exists)
        written = path.stat().st_mtime_ns
        await asyncio.sleep(0.05)
        assert path.stat().st_mtime_ns == written
        post_budget(instance.budget, {"dailyLimit": 3})
        await until(lambda: b'"dailyLimit":3' in path.read_bytes())
    instance.store.close()


def test_a_lost_snapshot_stops_paid_calls_even_after_another_restart(tmp_path: Path) -> None:
    (tmp_path / "usage.json").write_text("{")
    first = Instance(tmp_path)
    with pytest.raises(RateLimited, match="POST /budget"):
        first.budget.reserve(0)
    first.ledger.add(record("claude_code"))
    first.store.close()
    second = Instance(tmp_path)
    assert second.ledger.count() == 1
    assert not second.budget.known
    post_budget(second.budget, {})
    second.store.close()
    third = Instance(tmp_path)
    third.budget.reserve(0)
    third.store.close()


def test_a_lost_snapshot_with_a_previous_one_is_known(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.ledger.add(record())
    first.store.close()
    (tmp_path / "usage.json").replace(tmp_path / "usage.json.prev")
    (tmp_path / "usage.json").write_text("{")
    second = Instance(tmp_path)
    assert second.ledger.count() == 1
    second.budget.reserve(0)
    second.store.close()


def test_a_second_instance_starts_with_what_is_known_and_says_so(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.ledger.add(record(dollars=2))
    first.store.close()
    first = Instance(tmp_path)
    second = Instance(tmp_path)
    assert second.ledger.spent(PERIODS["hour"]) == picodollars(2)
    assert "another ccproxy" in (second.store.problem or "")
    second.ledger.add(record(dollars=5))
    second.store.close()
    first.store.close()
    third = Instance(tmp_path)
    assert third.ledger.spent(PERIODS["hour"]) == picodollars(2)
    third.store.close()


async def test_a_failing_disk_is_told_once_a_minute_and_then_heals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "home"
    instance = Instance(home)
    shutil.rmtree(home)

    def told() -> int:
        return sum("can't be saved" in message for message in caplog.messages)

    async with instance.running():
        instance.ledger.add(record())
        await until(lambda: told() == 1)
        instance.monotonic.now = 59
        await asyncio.sleep(0.1)
        assert told() == 1
        assert "can't be saved" in (instance.store.problem or "")
        instance.monotonic.now = 61
        await until(lambda: told() == 2)
        home.mkdir()
        await until((home / "usage.json").exists)
        await until(lambda: instance.store.problem is None)
    assert "Usage is saved again." in caplog.messages
    instance.store.close()


def test_an_unwritable_home_serves_from_memory_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    instance = Instance(tmp_path / "file" / "home")
    instance.ledger.add(record())
    instance.budget.reserve(picodollars(1))
    instance.store.close()
    assert len(caplog.messages) == 1
    assert "memory only" in caplog.messages[0]


class BrokenFile(SnapshotFile):
    """Fails as no file does, but a defect may."""

    def save(self, snapshot: Snapshot) -> None:
        raise ValueError("a defect")


async def test_a_defect_that_ends_the_saving_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    instance = Instance(tmp_path, file=BrokenFile(tmp_path, Clock()))
    with pytest.raises(ValueError, match="a defect"):
        async with instance.running():
            instance.ledger.add(record())
            await until(lambda: instance.store.problem is not None)
    assert "not saved until ccproxy is restarted" in (instance.store.problem or "")
    assert instance.store.problem in caplog.messages


class SlowFile(SnapshotFile):
    """Its first save waits for `go`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, Clock())
        self.started, self.go = threading.Event(), threading.Event()

    def save(self, snapshot: Snapshot) -> None:
        if not self.started.is_set():
            self.started.set()
            self.go.wait(5)
        super().save(snapshot)


async def test_exit_waits_for_a_running_save_and_has_the_last_word(tmp_path: Path) -> None:
    file = SlowFile(tmp_path)
    instance = Instance(tmp_path, file=file)
    async with instance.running():
        instance.ledger.add(record())
        await until(file.started.is_set)
        instance.ledger.add(record())
    closing = asyncio.to_thread(instance.store.close)
    asyncio.get_running_loop().call_later(0.05, file.go.set)
    await closing
    after = Instance(tmp_path)
    assert after.ledger.count() == 2
    after.store.close()


def test_a_clock_set_back_before_a_restart_frees_no_budget(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.ledger.add(record(dollars=2))
    post_budget(first.budget, {"hourlyLimit": 1, "enabled": True})
    first.store.close()
    second = Instance(tmp_path, Clock(NOW - 86_400 * 400))
    with pytest.raises(RateLimited):
        second.budget.reserve(0)
    second.store.close()
