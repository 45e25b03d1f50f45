"""Reads from response headers how long a server asks clients to wait, and when a limit resets.

The values are used for timers and dates, and any server may have sent them. A value that is neither a finite number nor
a date, or that is further in the future than any limit lasts, is ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 40 * 86400.0
"""Seconds. No limit lasts longer than a month, so a greater value is in another unit or wrong."""

_RESET = re.compile(r"anthropic-ratelimit-(?!unified-)([a-z-]+)-reset")


def read_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, 0 to `LONGEST`: what the server asks for, otherwise the time until an exhausted limit resets."""
    asked = asked_wait(headers, now)
    return _wait(_seconds_to(_spent_reset(lowered(headers), now), now)) if asked is None else asked


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, 0 to `LONGEST`, from the first valid one of `retry-after-ms` (which OpenAI's and Anthropic's
    SDKs prefer) and `retry-after` (seconds or an HTTP date, RFC 9110 section 10.2.3)."""
    values = lowered(headers)
    milliseconds = finite(values.get("retry-after-ms"))
    waits = (
        None if milliseconds is None else milliseconds / 1000,
        finite(values.get("retry-after")),
        _seconds_to(http_date(values.get("retry-after")), now),
    )
    return next((wait for seconds in waits if (wait := _wait(seconds)) is not None), None)


def read_reset(text: str | None, now: float) -> float | None:
    """Unix seconds of a time that is given in unix seconds, milliseconds or RFC 3339."""
    number = finite(text)
    if number is None:
        number = _date(text or "", datetime.fromisoformat)
    elif number > 1e11:
        number /= 1000
    return number if number is not None and 0 < number < now + LONGEST else None


def http_date(text: str | None) -> float | None:
    """Unix seconds of an HTTP date, however far away."""
    return _date(text or "", parsedate_to_datetime)


def finite(text: str | None) -> float | None:
    """The number in `text`; None if it is none, `nan`, infinite, or too large for a float."""
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


def _spent_reset(values: Mapping[str, str], now: float) -> float | None:
    return latest(
        read_reset(value, now)
        for name, value in values.items()
        if (match := _RESET.fullmatch(name))
        and finite(values.get(f"anthropic-ratelimit-{match[1]}-remaining")) == 0
    )
