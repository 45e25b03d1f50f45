from __future__ import annotations

from dataclasses import replace

import pytest

from addon.claude.model import Prices
from addon.context.depth import Outlook, cheapest, expected, summary_tokens
from tests.context.builders import NEW

OUTLOOK = Outlook(
    limit=200_000,
    prefix=25_000,
    floor=45_000,
    growth=5_000,
    turns=60,
    prices=NEW.prices,
    summarizer=NEW.prices,
)
DEAR = Prices(input=50, output=250, cache_write_5m=62.5, cache_write_1h=100, cache_read=5)


def test_a_long_conversation_is_summarized_deeply():
    best = cheapest(OUTLOOK)
    assert best.target == 50_000
    assert best.cost < expected(OUTLOOK, 180_000).cost / 2


def test_deeper_means_fewer_summaries():
    counts = [expected(OUTLOOK, target).summaries for target in (180_000, 140_000, 100_000, 60_000)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 3 * counts[-1]


def test_a_dear_summarizer_in_a_short_conversation_makes_it_shallow():
    short = replace(OUTLOOK, turns=1, growth=300, summarizer=DEAR)
    assert cheapest(short).target > 150_000


def test_what_can_not_be_summarized_bounds_the_depth():
    assert cheapest(replace(OUTLOOK, floor=120_000)).target == 120_000
    assert cheapest(replace(OUTLOOK, floor=500_000)).target == 180_000


def test_a_price_step_counts():
    stepped = replace(NEW.prices, step_tokens=100_000, step=DEAR)
    assert cheapest(replace(OUTLOOK, prices=stepped)).target < 100_000
    assert (
        expected(replace(OUTLOOK, prices=stepped), 180_000).cost > expected(OUTLOOK, 180_000).cost
    )


def test_cost_of_one_turn_can_be_checked_by_hand():
    """20 turns that stay below the limit after one summary of 100,001 + 1 tokens."""
    cost = expected(replace(OUTLOOK, limit=200_000, growth=1, turns=1), 100_000).cost
    call = (3 * 100_002 + 15 * 15_000) / 1e6
    rewrite = (0.3 * 25_000 + 3.75 * 75_000) / 1e6
    turns = sum(0.3 * (100_000 + at) + 3.75 for at in range(19)) / 1e6
    assert cost == pytest.approx(call + rewrite + turns)


@pytest.mark.parametrize(("replaced", "tokens"), [(1, 4_096), (60_000, 9_000), (500_000, 16_384)])
def test_a_summary_may_be_longer_for_more(replaced: int, tokens: int):
    assert summary_tokens(replaced) == tokens
