"""Reads Anthropic's rate-limit headers: the windows of a plan, and what a 429 means.

The `anthropic-ratelimit-unified-*` headers are not documented. Their meaning is taken from Claude Code's traffic, and
any of them may be missing or malformed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from addon.core.frozen import frozen
from addon.core.retry_after import finite, latest, lowered, read_reset, read_retry_after
from addon.core.types import JsonObject

_UNIFIED = re.compile(r"anthropic-ratelimit-unified-(?:([a-z0-9_]+)-)?(status|utilization|reset)")
_CLAIM = "anthropic-ratelimit-unified-representative-claim"
_ACCOUNT_WINDOW = re.compile(r"\d+[mhd]")
_OVERAGE = "overage"
LONGEST_WINDOW = 8 * 86_400.0
"""Seconds. A plan's windows last a week at most: a later reset says nothing about when a limit ends."""

FAMILY_OF_WINDOW = {"7d_oi": "fable", "7d_opus": "opus", "7d_sonnet": "sonnet"}
"""Windows that count one model family only."""


@frozen
class Limit:
    """A credential's limit: of one model family, or of the whole account when `family` is None."""

    family: str | None
    until: float | None
    """Unix seconds; None if unknown."""


@frozen
class Window:
    """One window of a plan: `5h`, `7d`, `7d_oi` (one family's week)."""

    name: str
    status: str | None = None
    """`allowed`, `allowed_warning`, `rejected`, or an unknown word."""
    utilization: float | None = None
    """The used share, 0 to 1 (above 1 if overdrawn)."""
    reset: float | None = None
    """Unix seconds."""

    @property
    def rejected(self) -> bool:
        return self.status == "rejected"

    @property
    def full(self) -> bool:
        return self.rejected or (self.utilization or 0.0) >= 1.0

    @property
    def account_wide(self) -> bool:
        return _ACCOUNT_WINDOW.fullmatch(self.name) is not None


@frozen(kw_only=True)
class Windows:
    """The state of a plan, from the headers of the last response."""

    status: str | None = None
    reset: float | None = None
    claim: str | None = None
    """The window that limits at present (`five_hour`, `seven_day`)."""
    overage: str | None = None
    """Whether usage beyond the plan is allowed and billed; `rejected` if not."""
    windows: tuple[Window, ...] = ()

    @property
    def extra_usage(self) -> bool:
        """The response is billed beyond the plan (Claude Code's `RateLimitType` has `overage` beside the windows)."""
        return self.claim == _OVERAGE

    def spent(self, now: float) -> tuple[Limit, ...]:
        """The limits that are reached: what goes beyond them is extra usage. Of those with a window of unknown scope,
        the whole account."""
        full = [w for w in self.windows if w.full]
        found = [Limit(FAMILY_OF_WINDOW.get(w.name), w.reset or self.reset) for w in full]
        if not found and self.extra_usage:
            fullest = max(self.windows, key=lambda w: w.utilization or 0.0, default=None)
            found = [Limit(None, fullest.reset if fullest else self.reset)]
        return _known(found, now)

    def eased(self) -> set[str | None]:
        """The limits that are not reached, as far as the windows tell: families, and None for the account."""
        eased: dict[str | None, bool] = {}
        for window in self.windows:
            scope = FAMILY_OF_WINDOW.get(window.name)
            if scope or window.account_wide:
                eased[scope] = eased.get(scope, True) and not window.full
        return {scope for scope, has_room in eased.items() if has_room}

    def public(self) -> JsonObject:
        """For `/health`; holds no secrets."""
        return {
            "status": self.status,
            "reset": self.reset,
            "claim": self.claim,
            "overage": self.overage,
            "windows": {
                w.name: {"status": w.status, "utilization": w.utilization, "reset": w.reset}
                for w in self.windows
            },
        }


@frozen(kw_only=True)
class RateLimit:
    """What a 429 means."""

    limits: tuple[Limit, ...] = ()
    retry_after: float | None = None
    """Seconds, from upstream's headers."""

    @property
    def exhausted(self) -> bool:
        """A limit is used up: waiting a moment will not help."""
        return bool(self.limits)

    @property
    def until(self) -> float | None:
        """Unix seconds when the last limit ends."""
        return latest(limit.until for limit in self.limits)


def read_windows(headers: Mapping[str, str], now: float) -> Windows | None:
    """The plan's windows; None for a response without them (those to an API key)."""
    found: dict[str, dict[str, str]] = {}
    claim = None
    for name, value in lowered(headers).items():
        if match := _UNIFIED.fullmatch(name):
            found.setdefault(match[1] or "", {})[match[2]] = value
        elif name == _CLAIM:
            claim = value
    if not found:
        return None
    whole, overage = found.pop("", {}), found.pop(_OVERAGE, {})
    return Windows(
        status=whole.get("status"),
        reset=read_reset(whole.get("reset"), now),
        claim=claim,
        overage=overage.get("status"),
        windows=tuple(_window(name, fields, now) for name, fields in sorted(found.items())),
    )


def _window(name: str, fields: Mapping[str, str], now: float) -> Window:
    return Window(
        name,
        status=fields.get("status"),
        utilization=finite(fields.get("utilization")),
        reset=read_reset(fields.get("reset"), now),
    )


def read_rate_limit(
    headers: Mapping[str, str], *, family: str, now: float, patience: float
) -> RateLimit:
    """What a 429 for a model of `family` means. A wait of more than `patience` seconds counts as exhausted."""
    wait = read_retry_after(headers, now)
    windows = read_windows(headers, now)
    limits = _rejected(windows, family, now if wait is None else now + wait) if windows else ()
    if not limits and wait is not None and wait > patience:
        limits = (Limit(None, now + wait),)
    return RateLimit(limits=_known(limits, now), retry_after=wait)


def _rejected(windows: Windows, family: str, asked: float) -> tuple[Limit, ...]:
    rejected = [w for w in windows.windows if w.rejected]
    if not rejected:
        return (Limit(None, windows.reset or asked),) if windows.status == "rejected" else ()
    limits = []
    # All windows must allow a request: the account is usable again when the last rejected one is reset.
    account = [w.reset for w in rejected if w.account_wide]
    if account:
        limits.append(Limit(None, latest(account) or windows.reset or asked))
    for window in rejected:
        # A window with an unknown suffix belongs to this family if no account-wide window explains the 429.
        scope = FAMILY_OF_WINDOW.get(window.name) or (None if account else family)
        if scope and not window.account_wide:
            limits.append(Limit(scope, window.reset or windows.reset or asked))
    return tuple(limits)


def _known(limits: Sequence[Limit], now: float) -> tuple[Limit, ...]:
    """The limits without resets that are in the past or too far away: they don't say when the limit ends."""
    return tuple(
        Limit(
            limit.family, limit.until if 0 < (limit.until or 0.0) - now <= LONGEST_WINDOW else None
        )
        for limit in limits
    )


def windows_of(public: JsonObject, now: float) -> Windows:
    """What `Windows.public` gave, without windows that have been reset since. Raises KeyError, TypeError,
    AttributeError."""
    windows = [
        Window(str(name), _text(w["status"]), _number(w["utilization"]), _number(w["reset"]))
        for name, w in public["windows"].items()
    ]
    return Windows(
        status=_text(public["status"]),
        reset=_number(public["reset"]),
        claim=_text(public["claim"]),
        overage=_text(public["overage"]),
        windows=tuple(w for w in windows if w.reset is None or w.reset > now),
    )


def _text(value: object) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(f"{value!r} is no number")
    return value
