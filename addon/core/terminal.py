"""Writes lines to the terminal, and formats numbers for people."""

from __future__ import annotations

import sys
from typing import Literal, TextIO

type Tone = Literal["plain", "faint", "odd", "bad"]
"""odd: served, but not as usual; bad: not served. With `quiet`, only these two are written."""

CODES: dict[Tone, str] = {"faint": "\x1b[2m", "odd": "\x1b[33m", "bad": "\x1b[31m"}
RESET = "\x1b[0m"


class Terminal:
    """Writes plain lines, beside mitmproxy's own log. In colour on a terminal, unless NO_COLOR is set."""

    def __init__(
        self, stream: TextIO | None = None, *, quiet: bool = False, no_color: bool = False
    ) -> None:
        self.stream = stream or sys.stdout
        self.quiet = quiet
        self.no_color = no_color

    @property
    def private(self) -> bool:
        """The output is a terminal and is not stored, so that a secret may be shown."""
        try:
            return self.stream.isatty()
        except ValueError:  # closed
            return False

    def line(self, text: str, tone: Tone = "plain") -> None:
        if self.quiet and tone not in ("odd", "bad"):
            return
        # Names and messages come from outside: an escape sequence in them would control the terminal.
        if not text.isprintable():
            text = "".join(c if c.isprintable() else "?" for c in text)
        code = CODES.get(tone) if self.private and not self.no_color else None
        try:
            self.stream.write(f"{code}{text}{RESET}\n" if code else f"{text}\n")
            self.stream.flush()
        except UnicodeEncodeError:  # a terminal in a narrow encoding
            self.line(text.encode("ascii", "replace").decode(), tone)
        except (OSError, ValueError):  # the terminal was closed, but the proxy goes on
            return


def short_count(tokens: int) -> str:
    """`950`, `4.1K`, `200K`, `1.05M`."""
    if tokens < 1000:
        return str(tokens)
    if tokens < 1_000_000:
        return f"{tokens / 1000:.1f}".removesuffix(".0") + "K"
    return f"{tokens / 1_000_000:.2f}".removesuffix(".00") + "M"


def dollars(usd: float) -> str:
    return f"${usd:.4f}" if usd < 1 else f"${usd:.2f}"
