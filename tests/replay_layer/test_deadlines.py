"""When a stream has to say something, and when it gives up: no clock but the numbers given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.replay_layer.deadlines import LONGEST_TICK, SHORTEST_TICK, StreamTimers, Timing

TIMING = Timing(first_byte=10, keepalive=15, connect=7, idle=600)


def timers(**more: object) -> StreamTimers:
    made = StreamTimers(timing=TIMING, complete_at=100.0)
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("now", "due"), [(100.0, False), (109.9, False), (110.0, True), (200.0, True)]
)
def test_the_first_word_is_due_after_first_byte_seconds(now: float, due: bool) -> None:
    assert timers().output_due(now) is due


@pytest.mark.parametrize(("now", "due"), [(120.0, False), (134.9, False), (135.0, True)])
def test_once_committed_silence_is_measured_from_the_last_word(now: float, due: bool) -> None:
    assert timers(last_sent=120.0).output_due(now) is due


@pytest.mark.parametrize(("now", "late"), [(106.9, False), (107.0, True)])
def test_connecting_has_a_deadline(now: float, late: bool) -> None:
    assert timers(connecting_since=100.0).connecting_too_long(now) is late
    assert timers().connecting_too_long(now) is False


@pytest.mark.parametrize(("now", "late"), [(699.9, False), (700.0, True)])
def test_upstreams_silence_counts_only_while_it_is_waited_for(now: float, late: bool) -> None:
    assert timers(last_received=100.0).upstream_silent_too_long(now) is late
    assert timers().upstream_silent_too_long(now) is False


@given(
    now=st.floats(100, 2000),
    committed=st.booleans(),
    delivered=st.booleans(),
    awaiting=st.booleans(),
    connecting=st.none() | st.floats(100, 2000),
)
def test_no_look_at_the_clock_is_far_or_busy(
    now: float, committed: bool, delivered: bool, awaiting: bool, connecting: float | None
) -> None:
    made = timers(
        last_sent=100.0 if committed else None,
        last_received=100.0 if awaiting else None,
        connecting_since=connecting,
    )
    assert SHORTEST_TICK <= made.delay(now, audible=True, delivered=delivered) <= LONGEST_TICK


@given(st.floats(100, 109), st.booleans())
def test_the_next_look_comes_no_later_than_the_next_word(now: float, committed: bool) -> None:
    made = timers(last_sent=100.0 if committed else None)
    after = now + made.delay(now, audible=True, delivered=False)
    due = 115.0 if committed else 110.0
    assert after <= max(due, now + SHORTEST_TICK) + 1e-6
