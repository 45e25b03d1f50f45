"""Lines that are written later: in order, and what can't be written is counted and told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from addon.core.background_writer import BackgroundWriter, in_background


class Disk:
    """Takes what is written; may be full, slow, or take a few bytes only."""

    def __init__(self) -> None:
        self.content = b""
        self.room: int | None = None
        """Bytes; None: without end."""
        self.writes = 0
        self.busy = 0
        """So many calls would have to wait."""
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()

    def write(self, data: memoryview) -> int | None:
        self.entered.set()
        self.writes += 1
        assert self.go.wait(10)
        if self.busy:
            self.busy -= 1
            return None
        if self.room == 0:
            raise OSError(28, "No space left on device")
        taken = bytes(data[: self.room])
        if self.room is not None:
            self.room -= len(taken)
        self.content += taken
        return len(taken)

    @property
    def lines(self) -> list[str]:
        return self.content.decode().splitlines()


type Start = Callable[..., BackgroundWriter]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def start(disk: Disk) -> Iterator[Start]:
    with ExitStack() as stack:

        def make(**options: int) -> BackgroundWriter:
            writer = BackgroundWriter("the log", disk.write, **options)
            stack.callback(writer.close)
            stack.callback(disk.go.set)
            return writer

        yield make


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_lines_are_written_in_their_order(start: Start, disk: Disk) -> None:
    writer = start()
    for number in range(1000):
        writer.put(b"%d\n" % number)
    writer.close()
    assert disk.lines == [str(number) for number in range(1000)]
    assert writer.dropped == 0 and writer.problem is None


def test_a_full_disk_is_a_problem_until_there_is_room_and_then_told_in_place(
    start: Start, disk: Disk
) -> None:
    writer = start()
    disk.room = 0
    writer.put(b"lost 1\n")
    writer.put(b"lost 2\nlost 3\n")
    wait_for(lambda: writer.dropped == 3)
    assert writer.problem == "the log: 3 lines could not be written: No space left on device."
    disk.room = None
    writer.put(b"kept\n")
    wait_for(lambda: writer.problem is None)
    writer.close()
    assert disk.lines == ["[3 lines could not be written: No space left on device]", "kept"]
    assert writer.dropped == 3


def test_a_line_that_was_written_in_half_ends_before_the_next(start: Start, disk: Disk) -> None:
    writer = start()
    disk.room = 11
    writer.put(b"whole\nbroken off\n")
    wait_for(lambda: writer.dropped == 1)
    disk.room = None
    writer.put(b"kept\n")
    writer.close()
    assert disk.lines == [
        "whole",
        "broke",
        "[1 line could not be written: No space left on device]",
        "kept",
    ]


def test_what_nobody_reads_fills_no_memory_and_is_told_once_somebody_does(
    start: Start, disk: Disk
) -> None:
    writer = start(most_waiting=100)
    disk.go.clear()
    writer.put(b"first\n")
    assert disk.entered.wait(5)
    began = time.monotonic()
    for _ in range(1000):
        writer.put(b"123456789\n")
    assert time.monotonic() - began < 1
    assert writer.dropped == 990
    assert writer.problem == "the log: 990 lines could not be written: nobody reads it."
    disk.go.set()
    wait_for(lambda: writer.problem is None)
    writer.close()
    assert disk.lines == [
        "first",
        "[990 lines could not be written: nobody reads it]",
        *["123456789"] * 10,
    ]


def test_dropped_lines_are_told_although_nothing_else_is_said(start: Start, disk: Disk) -> None:
    writer = start(most_waiting=1)
    disk.go.clear()
    writer.put(b"first\n")
    assert disk.entered.wait(5)
    writer.put(b"second\n")
    writer.put(b"lost\n")
    disk.go.set()
    wait_for(lambda: writer.problem is None)
    assert disk.lines[-1] == "second" and "[1 line could" in disk.content.decode()


def test_one_long_line_is_kept_although_it_is_longer_than_what_may_wait(
    start: Start, disk: Disk
) -> None:
    writer = start(most_waiting=10)
    writer.put(b"x" * 1000 + b"\n")
    writer.close()
    assert len(disk.content) == 1001


def test_an_output_that_must_not_wait_is_tried_again(start: Start, disk: Disk) -> None:
    writer = start()
    disk.busy = 2
    writer.put(b"late\n")
    writer.close()
    assert disk.lines == ["late"]


def test_lines_in_quick_succession_are_written_together(start: Start, disk: Disk) -> None:
    writer = start()
    for number in range(1_000):
        writer.put(b"%d\n" % number)
    wait_for(lambda: len(disk.lines) == 1_000)
    assert disk.writes <= 5


def test_the_end_is_not_held_up(start: Start, disk: Disk) -> None:
    writer = start()
    disk.go.clear()
    writer.put(b"never\n")
    assert disk.entered.wait(5)
    began = time.monotonic()
    writer.close(0.05)
    assert time.monotonic() - began < 1
    writer.put(b"after the end\n")
    assert writer.dropped == 1


def test_a_closed_file_is_a_problem_like_any_other(start: Start) -> None:
    closed = open("/dev/null", "wb", buffering=0)  # noqa: PTH123, SIM115
    closed.close()
    writer = BackgroundWriter("the log", closed.write)
    writer.put(b"lost\n")
    wait_for(lambda: writer.dropped == 1)
    assert "closed file" in (writer.problem or "")
    writer.close()


def test_a_stream_in_the_background_is_as_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="cp1252") as before:
        before.write("said before\n")
        text, writer = in_background(before, "stdout")
        print("429 → 200", "é", file=text)
        print("a lone \ud800", file=text)
        assert (text.encoding, text.isatty()) == ("cp1252", False)
        assert text.fileno() == before.fileno()
        writer.close()
    assert path.read_bytes().split(os.linesep.encode())[:3] == [
        b"said before",
        b"429 ? 200 \xe9",
        b"a lone ?",
    ]


class Warns(bytes):
    """Prints while it is read, as the garbage collector may."""

    writer: BackgroundWriter

    def __buffer__(self, flags: int) -> memoryview:
        self.writer.put(b"a warning\n")
        return super().__buffer__(flags)


def test_what_is_printed_while_lines_are_joined_is_written(start: Start, disk: Disk) -> None:
    writer = start()
    lines = Warns(b"first\n")
    lines.writer = writer
    with writer._changed:
        writer.put(b"before\n")  # a single line is not joined
        writer.put(lines)
    wait_for(lambda: len(disk.lines) >= 2)
    writer.close()
    assert disk.lines == ["before", "first", "a warning"]


def test_many_threads_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as before:
        text, writer = in_background(before, "stdout")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: text.write(f"{number}\n"), range(2000)))
        writer.close()
    assert sorted(map(int, path.read_text().split())) == list(range(2000))
