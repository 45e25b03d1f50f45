"""What a person reads in the terminal: one line a request."""

from __future__ import annotations

import sys
from typing import TextIO


class Terminal:
    """Plain lines; mitmproxy's own log goes on beside them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def line(self, text: str) -> None:
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except (OSError, ValueError):  # the terminal is gone; the proxy is not
            return


def count(tokens: int) -> str:
    """1234 → 1.2k."""
    if tokens < 1000:
        return str(tokens)
    if tokens < 1_000_000:
        return f"{tokens / 1000:.1f}k"
    return f"{tokens / 1_000_000:.2f}M"


def dollars(usd: float) -> str:
    return f"${usd:.4f}" if usd < 1 else f"${usd:.2f}"
