"""How long a server asks to be left alone, and when a limit resets, as the headers of its response say.

The values end in timers and dates, and anybody may have written them. One that is neither a finite number nor a date,
or that lies further ahead than any limit lasts, is read as if it were absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 40 * 86400.0
"""Seconds. No limit lasts longer than a month: a value beyond is in another unit, or nonsense."""

_RESET = re.compile(r"anthropic-ratelimit-(?!unified-)([a-z-]+)-reset")


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, 0 to `LONGEST`: what the server asks for, else the time until a spent limit resets."""
    asked = asked_wait(headers, now)
    return _wait(_seconds_to(_spent_reset(lowered(headers), now), now)) if asked is None else asked


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, 0 to `LONGEST`: the first of `retry-after-ms` (which OpenAI's and Anthropic's SDKs prefer) and
    `retry-after` (seconds or an HTTP date, RFC 9110 section 10.2.3) that can be read."""
    told = lowered(headers)
    milliseconds = finite(told.get("retry-after-ms"))
    waits = (
        None if milliseconds is None else milliseconds / 1000,
        finite(told.get("retry-after")),
        _seconds_to(http_date(told.get("retry-after")), now),
    )
    return next((wait for seconds in waits if (wait := _wait(seconds)) is not None), None)


def read_reset(text: str | None, now: float) -> float | None:
    """Unix seconds of a moment that is told as unix seconds, milliseconds or RFC 3339."""
    number = finite(text)
    if number is None:
        number = _date(text or "", datetime.fromisoformat)
    elif number > 1e11:
        number /= 1000
    return number if number is not None and 0 < number < now + LONGEST else None


def http_date(text: str | None) -> float | None:
    """Unix seconds of a date as HTTP writes it, however far away."""
    return _date(text or "", parsedate_to_datetime)


def finite(text: str | None) -> float | None:
    """The number that `text` is, unless it is `nan`, infinite, or too large for a float."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, value in headers.items()}


def latest(moments: Iterable[float | None]) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _wait(seconds: float | None) -> float | None:
    return None if seconds is None or seconds > LONGEST else max(0.0, seconds)


def _seconds_to(moment: float | None, now: float) -> float | None:
    return None if moment is None else moment - now


def _date(text: str, parse: Callable[[str], datetime]) -> float | None:
    try:
        date = parse(text)
    except (ValueError, OverflowError):  # OverflowError: the year 99999999999
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _spent_reset(told: Mapping[str, str], now: float) -> float | None:
    return latest(
        read_reset(value, now)
        for name, value in told.items()
        if (match := _RESET.fullmatch(name))
        and finite(told.get(f"anthropic-ratelimit-{match[1]}-remaining")) == 0
    )
