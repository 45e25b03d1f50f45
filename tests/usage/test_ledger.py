"""Sums per period: right at their edges, after the ring wrapped, and whatever the clock does."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.usage.ledger import (
    BUCKETS_KEPT,
    DAY,
    HOUR,
    MAX_NAMES,
    MINUTE,
    MOST_UNSUMMED,
    OTHER,
    PERIODS,
    ZERO,
    Key,
    Period,
    Totals,
    UsageLedger,
)
from addon.usage.record import PAID, PICO, RequestRecord, picodollars
from tests.clock import NOW, Clock
from tests.usage.records import random_record, record, seeded


def whole(ledger: UsageLedger, period: str) -> Totals:
    return sum(ledger.sums(PERIODS[period]).values(), ZERO)


def test_two_thousand_requests_with_wraps_and_resets_reconcile() -> None:
    rng, clock = seeded(7), Clock()
    ledger = UsageLedger(clock, ring_size=100)
    kept: list[RequestRecord] = []
    for n in range(2_000):
        clock.now += rng.random() * 600
        kept.append(ledger.add(random_record(rng, clock.now)))
        if n in {300, 301, 950}:
            assert ledger.reset() == len(kept)
            kept.clear()
    expected = Counter[Key]()
    for each in kept:
        expected[Key(each.source, each.model, each.client, each.name)] += each.cost
    sums = ledger.sums(PERIODS["all"])
    assert {key: totals.cost for key, totals in sums.items()} == expected
    assert whole(ledger, "all") == sum(map(Totals.of, kept), ZERO)
    assert [each.id for each in kept] == [*range(1, len(kept) + 1)]
    assert ledger.recent() == kept[:-101:-1]


def test_sums_wait_until_they_are_read_and_not_without_end() -> None:
    ledger = UsageLedger(Clock())
    for number in range(1, 3 * MOST_UNSUMMED):
        ledger.add(record())
        assert len(ledger._unsummed) == number % MOST_UNSUMMED
    assert whole(ledger, "day").requests == number
    ledger.add(record())
    assert dict(ledger.state().buckets[MINUTE])[int(NOW) // MINUTE * MINUTE] == ledger.sums(
        PERIODS["day"]
    )


@given(
    ages=st.lists(st.floats(0, 40 * DAY), max_size=60),
    ring_size=st.integers(1, 70),
    period=st.sampled_from([p for p in PERIODS.values() if p.seconds]),
)
def test_a_window_holds_what_is_younger_and_at_most_one_bucket_more(
    ages: list[float], ring_size: int, period: Period
) -> None:
    ledger = UsageLedger(Clock(), ring_size=ring_size)
    for age in sorted(ages, reverse=True):
        ledger.add(record(time=NOW - age))
    found = sum(ledger.sums(period).values(), ZERO).requests
    start = NOW - (period.seconds or 0)
    inside = sum(NOW - age >= start for age in ages)
    early = sum(NOW - age >= start - period.bucket for age in ages)
    assert inside <= found <= early
    if len(ages) <= ring_size:
        assert found == inside


@pytest.mark.parametrize("period", ["hour", "day", "week", "month"])
@pytest.mark.parametrize(("late", "counted"), [(0, 1), (0.5, 0)], ids=["at-its-age", "just-older"])
def test_a_window_begins_at_its_age_to_the_second(period: str, late: float, counted: int) -> None:
    clock = Clock()
    ledger = UsageLedger(clock)
    ledger.add(record())
    clock.now += (PERIODS[period].seconds or 0) + late
    assert whole(ledger, period).requests == counted


def test_a_wrapped_ring_counts_the_edge_bucket_whole() -> None:
    clock = Clock(NOW - NOW % 60)
    ledger = UsageLedger(clock, ring_size=1)
    for second in (1, 2, 59):
        ledger.add(record(time=clock.now + second))
    clock.now += HOUR + 30
    assert whole(ledger, "hour").requests == 3
    clock.now += 30
    assert whole(ledger, "hour").requests == 0


def test_a_clock_set_back_hides_nothing_that_was_spent() -> None:
    clock = Clock()
    ledger = UsageLedger(clock)
    ledger.add(record(dollars=1))
    clock.now -= 2 * DAY
    ledger.add(record(dollars=2, time=clock.now))
    assert ledger.spent(PERIODS["hour"]) == picodollars(3)


def test_a_clock_set_back_when_all_buckets_are_full_still_books() -> None:
    clock = Clock()
    ledger = UsageLedger(clock, ring_size=10)
    for minute in range(BUCKETS_KEPT[60] + 5):
        ledger.add(record(time=clock.now + minute * 60))
    before = ledger.spent(PERIODS["hour"])
    clock.now -= 90 * DAY
    ledger.add(record(dollars=1, time=clock.now))
    assert ledger.spent(PERIODS["hour"]) - before == picodollars(1)


def test_what_was_ever_used_outlives_its_days() -> None:
    clock = Clock()
    ledger = UsageLedger(clock, ring_size=1)
    for _ in range(BUCKETS_KEPT[DAY] + 10):
        ledger.add(record(dollars=1, time=clock.now))
        clock.now += DAY
    assert ledger.spent(PERIODS["all"]) == picodollars(BUCKETS_KEPT[DAY] + 10)
    assert len(ledger.state().buckets[DAY]) == BUCKETS_KEPT[DAY]


def test_buckets_are_bounded_and_the_oldest_goes_first() -> None:
    clock = Clock()
    ledger = UsageLedger(clock, ring_size=1)
    for hour in range(BUCKETS_KEPT[3600] + 10):
        ledger.add(record(time=clock.now + hour * HOUR))
    kept = [at for at, _ in ledger.state().buckets[3600]]
    assert len(kept) == BUCKETS_KEPT[3600]
    assert kept[-1] - kept[0] == (BUCKETS_KEPT[3600] - 1) * HOUR


def test_only_paid_sources_are_spent() -> None:
    ledger = UsageLedger(Clock())
    for source in ("claude_code", "claude_code_summary", "error", "local", "refused"):
        ledger.add(record(source, dollars=1))
    assert ledger.spent(PERIODS["all"]) == 0
    for source in PAID:
        ledger.add(record(source, dollars=1))
    assert ledger.spent(PERIODS["all"]) == len(PAID) * PICO


def test_models_beyond_the_limit_are_summed_as_other() -> None:
    ledger = UsageLedger(Clock())
    for n in range(MAX_NAMES + 3):
        ledger.add(record(model=f"m{n}"))
    sums = ledger.sums(PERIODS["all"])
    assert len(sums) == MAX_NAMES + 1
    assert sums[Key("api_key", OTHER)].requests == 3
    assert ledger.sums(PERIODS["hour"]) == sums


def test_a_long_model_name_is_cut() -> None:
    assert UsageLedger(Clock()).add(record(model="m" * 10_000)).model == "m" * 200


@pytest.mark.parametrize("period", PERIODS.values(), ids=PERIODS)
def test_a_chart_is_even_bounded_and_holds_every_request(period: Period) -> None:
    clock = Clock()
    ledger = UsageLedger(clock, ring_size=5)
    for age in (5_000 * 60, 200 * 60, 30 * 60, 60, 0):
        ledger.add(record(time=NOW - age))
    clock.now = NOW
    step, points = ledger.series(period)
    starts = [at for at, _ in points]
    assert starts == [*range(starts[0], starts[0] + step * len(starts), step)]
    assert starts[-1] <= NOW < starts[-1] + step
    assert len(points) <= 65
    shown = sum(sum(sums.values(), ZERO).requests for _, sums in points)
    assert shown >= whole(ledger, period.name).requests


def test_a_chart_shows_the_future_at_its_right_edge() -> None:
    clock = Clock()
    ledger = UsageLedger(clock)
    ledger.add(record())
    clock.now -= 10 * DAY
    for period in PERIODS.values():
        _, points = ledger.series(period)
        assert sum(points[-1][1].values(), ZERO).requests == 1


def test_an_empty_ledger_has_one_point_for_all_time() -> None:
    _, points = UsageLedger(Clock()).series(PERIODS["all"])
    assert [sums for _, sums in points] == [{}]


def test_recent_is_newest_first_and_no_longer_than_asked() -> None:
    ledger = UsageLedger(Clock(), ring_size=3)
    for _ in range(5):
        ledger.add(record())
    assert [each.id for each in ledger.recent(2)] == [5, 4]
    assert [each.id for each in ledger.recent()] == [5, 4, 3]


@given(seed=st.integers(0, 2**32), size=st.integers(1, 30))
def test_restore_of_state_is_the_identity(seed: int, size: int) -> None:
    rng = seeded(seed)
    ledger, copy = UsageLedger(Clock(), ring_size=size), UsageLedger(Clock(), ring_size=size)
    for _ in range(20):
        ledger.add(random_record(rng, NOW - rng.random() * 50 * DAY))
    copy.restore(ledger.state())
    assert copy.state() == ledger.state()
    assert copy.add(record()) == ledger.add(record())
    assert copy.state() == ledger.state()


def test_a_state_does_not_change_with_its_ledger() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record())
    state = ledger.state()
    ledger.add(record())
    for buckets in state.buckets.values():
        assert [sums[Key("api_key", "claude-opus-4-5")].requests for _, sums in buckets] == [1]


def test_a_smaller_ring_keeps_the_newest_of_a_restored_state() -> None:
    big, small = UsageLedger(Clock()), UsageLedger(Clock(), ring_size=2)
    for _ in range(5):
        big.add(record())
    small.restore(big.state())
    assert [each.id for each in small.recent()] == [5, 4]
    assert whole(small, "hour").requests == 5
