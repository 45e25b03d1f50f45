"""Writes lines to the terminal, and formats numbers for people."""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from typing import Literal, TextIO

logger = logging.getLogger(__name__)

type Tone = Literal["plain", "faint", "odd", "bad"]
"""odd: served, but not as usual; bad: not served. With `quiet`, only these two are written."""

CODES: dict[Tone, str] = {"faint": "\x1b[2m", "odd": "\x1b[33m", "bad": "\x1b[31m"}
RESET = "\x1b[0m"
DOTS = {"●": "\x1b[32m", "○": "\x1b[33m", "✗": "\x1b[31m"}
"""The dots of a request's line: served by the subscription, for money, not at all."""
INDENT = " " * 9
"""Of what did not fit into a line: under the text behind the time."""
NARROWEST = 40
"""Columns. A narrower terminal breaks lines itself."""
LEVELS: dict[Tone, int] = {
    "plain": logging.INFO,
    "faint": logging.INFO,
    "odd": logging.WARNING,
    "bad": logging.ERROR,
}


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
        try:
            self.stream.write(self._for_people(text, tone) + "\n" if self.private else f"{text}\n")
            self.stream.flush()
        except UnicodeEncodeError:  # a terminal in a narrow encoding
            self.line(text.encode("ascii", "replace").decode(), tone)
        except (OSError, ValueError):  # the terminal was closed, but the proxy goes on
            return

    def _for_people(self, text: str, tone: Tone) -> str:
        """Broken between words, and in colour."""
        width = shutil.get_terminal_size().columns
        if len(text) > width > NARROWEST:
            text = "\n".join(textwrap.wrap(text, width, subsequent_indent=INDENT))
        if self.no_color:
            return text
        code = CODES.get(tone, "")
        for dot, colour in DOTS.items():
            text = text.replace(dot, f"{colour}{dot}{RESET}{code}")
        return f"{code}{text}{RESET}" if code else text


class EventLog(Terminal):
    """For mitmproxy's console, which draws on the whole terminal: lines go to its event log."""

    @property
    def private(self) -> bool:
        return False

    def line(self, text: str, tone: Tone = "plain") -> None:
        if not self.quiet or tone in ("odd", "bad"):
            logger.log(LEVELS[tone], "%s", text)


def short_count(tokens: int) -> str:
    """`950`, `4.1K`, `200K`, `1.05M`."""
    if tokens < 1000:
        return str(tokens)
    if tokens < 1_000_000:
        return f"{tokens / 1000:.1f}".removesuffix(".0") + "K"
    return f"{tokens / 1_000_000:.2f}".removesuffix(".00") + "M"


def cents(usd: float) -> str:
    """`$0.21`, and what is less than a cent `$0.0012`, so that it does not look free."""
    return f"${usd:.2f}" if usd >= 0.01 or not usd else f"${usd:.4f}"
