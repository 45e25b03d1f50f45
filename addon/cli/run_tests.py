"""`./start.sh test`: the tests that need nothing but what it installs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from addon.core.environment import ROOT

MORE_PROCESSES = 2
"""Than there are CPUs: more than half of the time of the tests is waiting."""
COMMAND = ("-m", "pytest", "--dist", "loadfile", "--random-order")
LEFT_OUT = "not node and not browser and not faketime and not long"


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    processes = str((os.cpu_count() or 1) + MORE_PROCESSES)
    return subprocess.call([sys.executable, *COMMAND, "-n", processes, "-m", LEFT_OUT, *arguments])  # noqa: S603
