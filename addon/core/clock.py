"""Time and luck, as values that a test can replace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    wall: Callable[[], float] = time.time
    """Unix seconds: what other programs wrote is measured by it. It may jump."""
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    pause: Callable[[float], None] = time.sleep
    """Blocks the (worker) thread."""
    random: Callable[[], float] = random.random
    """0 to 1, to keep many processes from acting at the same moment."""


SYSTEM = Clock()
