"""`./start.sh test`: the tests that need nothing but what it installs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from addon.core.environment import ROOT

COMMAND = ("-m", "pytest", "-n", "auto", "--dist", "loadfile", "--random-order")
LEFT_OUT = "not node and not browser and not faketime and not long"


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    return subprocess.call([sys.executable, *COMMAND, "-m", LEFT_OUT, *arguments])  # noqa: S603
