"""A mitmproxy script: `time.sleep` by another system call, since faketime's one refuses an absolute end on the clock that
it leaves alone."""

from __future__ import annotations

import select
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = sleep
