from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from addon.context import summary_memory
from addon.context.summary_memory import Summary, SummaryMemory
from addon.core.files import read_json, write_json
from tests.clock import Clock
from tests.context.builders import text

NAMES = [bytes([at]) * 16 for at in range(20)]


def summary(end: int = 8, **more: object) -> Summary:
    return replace(Summary(id=NAMES[end].hex(), start=3, end=end, text="what was done"), **more)


def memory(directory: Path | None) -> SummaryMemory:
    return SummaryMemory(directory, Clock())


def files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_a_summary_is_found_again_after_a_restart(tmp_path: Path):
    kept = summary(pins=(4, 5), merges=2, cost=0.5, previous=NAMES[5].hex())
    await memory(tmp_path).put(kept, [text("user", "hello")])
    assert await memory(tmp_path).for_prefixes(NAMES) == [kept]
    assert await memory(tmp_path).for_prefixes(NAMES[:8]) == []


async def test_the_longest_comes_first(tmp_path: Path):
    subject = memory(tmp_path)
    for end in (6, 9, 7):
        await subject.put(summary(end), [])
    assert [found.end for found in await subject.for_prefixes(NAMES)] == [9, 7, 6]


async def test_use_is_remembered(tmp_path: Path):
    subject, kept = memory(tmp_path), summary()
    await subject.put(kept, [text("user", "hello")])
    await subject.mark_used(kept, 31)
    for again in (subject, memory(tmp_path)):
        assert await again.for_prefixes(NAMES) == [replace(kept, used_at=31)]
        assert await again.show(kept.id) == {
            **replace(kept, used_at=31).to_json(),
            "replaced": [text("user", "hello")],
        }


async def test_files_are_for_the_owner_only_and_hold_no_base64(tmp_path: Path):
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBOR" * 100},
    }
    message = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t", "content": [image]}],
    }
    await memory(tmp_path / "deep" / "er").put(summary(), [message, text("user", "\ud800")])
    (file,) = files(tmp_path / "deep" / "er")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "iVBOR" not in file.read_text()
    assert "[500 characters left out]" in file.read_text()


async def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path):
    old, new = (tmp_path / f"{name * 64}.json.ccproxy-x1" for name in "ab")
    old.touch()
    new.touch()
    os.utime(old, (time.time() - 61,) * 2)
    SummaryMemory(tmp_path, time.time).close()
    assert (old.exists(), new.exists()) == (False, True)


async def test_without_a_directory_it_lasts_as_long_as_the_process():
    subject = memory(None)
    await subject.put(summary(), [text("user", "x")])
    await subject.mark_used(summary(), 12)
    assert (await subject.for_prefixes(NAMES))[0].used_at == 12
    assert await subject.show(summary().id) == {**summary(used_at=12).to_json(), "replaced": None}
    assert subject.ids() == []


async def test_an_unwritable_directory_is_no_more_than_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("in the way")
    subject = memory(tmp_path / "file")
    await subject.put(summary(), [])
    assert await subject.for_prefixes(NAMES) == [summary()]
    assert "Could not save" in caplog.text
    subject.close()  # the record of the log keeps the error, and the error the memory with its thread


def slow_disk(monkeypatch: pytest.MonkeyPatch, ready: threading.Event) -> set[threading.Thread]:
    """Nothing is read or written before `ready`; the threads that did it."""
    threads: set[threading.Thread] = set()

    def slow[*Args, Result](work: Callable[[*Args], Result]) -> Callable[[*Args], Result]:
        def slowly(*given: *Args) -> Result:
            threads.add(threading.current_thread())
            ready.wait(10)
            return work(*given)

        return slowly

    monkeypatch.setattr(summary_memory, "read_json", slow(read_json))
    monkeypatch.setattr(summary_memory, "write_json", slow(write_json))
    return threads


async def test_a_slow_disk_holds_up_no_other_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await memory(tmp_path).put(summary(), [])
    subject, ready = memory(tmp_path), threading.Event()
    threads = slow_disk(monkeypatch, ready)
    work = [
        subject.for_prefixes(NAMES),
        subject.show(summary().id),
        subject.mark_used(summary(), 9),
    ]
    tasks = [asyncio.ensure_future(each) for each in (*work, subject.put(summary(9), []))]
    assert await asyncio.wait(tasks, timeout=0.05) == (set(), set(tasks))
    assert [found.end for found in await subject.for_prefixes(NAMES)] == [9, 8]
    ready.set()
    await asyncio.gather(*tasks)
    assert len(threads) == 1 and threading.main_thread() not in threads


async def test_what_a_client_that_left_had_asked_for_is_written_in_order_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    subject, ready = memory(tmp_path), threading.Event()
    slow_disk(monkeypatch, ready)
    writes = [subject.put(summary(), []), *(subject.mark_used(summary(), n) for n in (20, 30))]
    tasks = [asyncio.ensure_future(write) for write in writes]
    await asyncio.wait(tasks, timeout=0.05)
    for task in tasks:
        task.cancel()
    threading.Timer(0.1, ready.set).start()
    subject.close()
    assert (await memory(tmp_path).for_prefixes(NAMES))[0].used_at == 30


GOOD = {"version": 1, "summary": summary().to_json(), "replaced": []}
DAMAGED = {
    "empty": b"",
    "cut": json.dumps(GOOD).encode()[:-20],
    "no-object": b"[1]",
    "newer": json.dumps({**GOOD, "version": 2}).encode(),
    "of-another": json.dumps({**GOOD, "summary": summary(9).to_json()}).encode(),
    "no-text": json.dumps({**GOOD, "summary": {**summary().to_json(), "text": ""}}).encode(),
    "bad-span": json.dumps({**GOOD, "summary": {**summary().to_json(), "end": 1}}).encode(),
    "bad-types": json.dumps({**GOOD, "summary": {**summary().to_json(), "start": "x"}}).encode(),
    "bad-pins": json.dumps({**GOOD, "summary": {**summary().to_json(), "pins": 7}}).encode(),
    "bad-merges": json.dumps(
        {**GOOD, "summary": {**summary().to_json(), "merges": "many"}}
    ).encode(),
    "bad-text": json.dumps({**GOOD, "summary": {**summary().to_json(), "text": 7}}).encode(),
    "missing": json.dumps({**GOOD, "summary": {"id": summary().id}}).encode(),
    "deep": b"[" * 100_000,
    "huge": b" " * (17 * 1024 * 1024),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes):
    file = tmp_path / f"{summary().id}.json"
    file.write_bytes(content)
    subject = memory(tmp_path)
    assert await subject.for_prefixes(NAMES) == []
    assert [path.suffix for path in files(tmp_path)] == [".corrupt"]
    await subject.put(summary(), [])
    assert await memory(tmp_path).for_prefixes(NAMES) == [summary()]


async def test_foreign_files_are_left_alone(tmp_path: Path):
    for name in ("notes.json", "a.txt", f"{'A' * 32}.json"):
        (tmp_path / name).write_text("mine")
    subject = memory(tmp_path)
    await subject.put(summary(), [])
    assert subject.ids() == [summary().id]
    assert await subject.show("notes") is None
    assert await subject.show("../notes") is None
    assert (tmp_path / "notes.json").read_text() == "mine"


async def test_a_file_that_went_away_is_forgotten(tmp_path: Path):
    await memory(tmp_path).put(summary(), [])
    subject = memory(tmp_path)
    (tmp_path / f"{summary().id}.json").unlink()
    assert await subject.for_prefixes(NAMES) == []


@pytest.mark.parametrize(
    ("most_files", "most_bytes"), [(3, 10**9), (1_000, 1_500)], ids=["count", "bytes"]
)
async def test_the_oldest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_files: int, most_bytes: int
):
    monkeypatch.setattr(summary_memory, "MOST_FILES", most_files)
    monkeypatch.setattr(summary_memory, "MOST_BYTES", most_bytes)
    subject = memory(tmp_path)
    for end in range(4, 10):
        await subject.put(summary(end), [])
        os.utime(tmp_path / f"{NAMES[end].hex()}.json", (end, end))
    assert 1 <= len(files(tmp_path)) <= 5
    assert subject.ids()[0] == NAMES[9].hex()
    assert sum(path.stat().st_size for path in files(tmp_path)) < 2_000
