"""The periods that usage is told for. All are rolling: `day` is the last 24 hours, not since midnight."""

from __future__ import annotations

from dataclasses import dataclass

from addon.core.errors import BadRequest

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Period:
    name: str
    seconds: int | None
    """None: since the beginning, or the last reset."""
    bucket: int
    """Seconds that the buckets are wide whose sums answer for this period."""
    step: int
    """Seconds between two points of its chart; a multiple of `bucket`."""


PERIODS = {
    period.name: period
    for period in (
        Period("hour", HOUR, bucket=MINUTE, step=MINUTE),
        Period("day", DAY, bucket=MINUTE, step=30 * MINUTE),
        Period("week", 7 * DAY, bucket=HOUR, step=6 * HOUR),
        Period("month", 30 * DAY, bucket=HOUR, step=DAY),
        Period("all", None, bucket=DAY, step=DAY),
    )
}


def parse_period(name: str | None) -> Period:
    """The period called `name`; the last day if None. Raises `BadRequest` for any other word."""
    period = PERIODS.get(name or "") if name is not None else PERIODS["day"]
    if period is None:
        raise BadRequest(f"period: must be one of {', '.join(PERIODS)}", param="period")
    return period
