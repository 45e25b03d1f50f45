"""The standard streams of the process: whatever becomes of them, saying something raises nothing."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from addon.addons.output import in_background, replace_streams
from tests.masters import masters_end


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


def test_many_threads_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as before:
        text, writer = in_background(before, "stdout")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: text.write(f"{number}\n"), range(2000)))
        writer.close()
    assert sorted(map(int, path.read_text().split())) == list(range(2000))


async def test_mitmproxys_own_lines_go_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        monkeypatch.setattr(sys, name, stream)
    with masters_end():
        master = DumpMaster(Options(), with_termlog=True, with_dumper=True)
        writers = list(replace_streams(master.addons))
        assert [writer.name for writer in writers] == ["stdout", "stderr"]
        assert master.addons.get("termlog").logger.file is sys.stdout
        assert master.addons.get("dumper").outfp is sys.stdout
        for writer in writers:
            writer.close()


async def test_a_program_that_draws_on_stdout_keeps_it() -> None:
    with masters_end():
        master = DumpMaster(Options(), with_termlog=False)
        assert list(replace_streams(master.addons)) == []
