"""What a process of its own keeps of memory that it has freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")

START = """
import re
from addon.core.malloc import HeapTrimmer, return_large_blocks

def megabytes():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

before = megabytes()
"""
LARGE = """
def answers():
    # each leaves a little behind, which keeps the heap below it
    return [(bytes(2_000_000), bytes(2_000)) for _ in range(50)]

kept = []
for _ in range(3):
    kept += [small for _, small in answers()]
"""
GAPS = """
answers = [(b"x" * 30_000, bytes(2_000)) for _ in range(1000)]
kept = [small for _, small in answers]
del answers
"""


def left_behind(*script: str) -> float:
    """MB."""
    command = [sys.executable, "-c", "\n".join([START, *script, "print(megabytes() - before)"])]
    return float(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


def test_large_blocks_go_back_to_the_system() -> None:
    assert left_behind("return_large_blocks()", LARGE) < 5 < left_behind(LARGE)


def test_gaps_in_the_heap_go_back_to_the_system() -> None:
    assert left_behind("heap = HeapTrimmer()", GAPS, "heap.trim()") < 10 < left_behind(GAPS)
