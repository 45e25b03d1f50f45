"""Chooses how far to shorten a conversation, by the expected cost of its next turns."""

from __future__ import annotations

from addon.claude.model import Prices
from addon.context.selection import SUMMARY_TOKENS
from addon.core.frozen import frozen

# Candidate targets, as shares of the limit. Below a quarter, too little of the conversation itself would be left.
_SHARES = tuple(share / 100 for share in range(25, 95, 5))

_FEWEST_TURNS, _MOST_TURNS = 20, 400


@frozen(kw_only=True)
class Outlook:
    """What is known about a conversation when it reaches its limit."""

    limit: int
    prefix: int
    """Tokens before the summary (tools, system, first messages), which remain in the cache."""
    floor: int
    """Tokens that can't be summarized: the prefix and the protected tail."""
    growth: int
    """Tokens that a turn adds."""
    turns: int
    """Turns so far. As many are expected to follow, which is the best guess."""
    prices: Prices
    summarizer: Prices


@frozen
class Depth:
    target: int
    """Tokens after summarizing."""
    cost: float
    """USD for the input of the expected turns, including summaries."""
    summaries: int


def cheapest(outlook: Outlook) -> Depth:
    """The depth with the lowest expected cost.

    A turn reads its context from the cache (0.1 of the input price) and writes what it adds (1.25). A summary changes
    everything after it, which is then written to the cache again at 1.25, and costs its own input and output. After a
    summary down to D tokens, the next one is needed after (limit - D) / growth turns. So a lower D means fewer and
    smaller rewrites and cheaper reads in each turn. On the other hand the first summary reads more, which pays off
    within the expected turns unless the summarizing model is expensive compared to the model in use, or the
    conversation is short.
    """
    depths = [int(outlook.limit * share) for share in _SHARES]
    possible = [depth for depth in depths if depth >= outlook.floor] or depths[-1:]
    return min((expected(outlook, depth) for depth in possible), key=lambda depth: depth.cost)


def expected(outlook: Outlook, target: int) -> Depth:
    """Simulate the expected turns with summaries down to `target`, the first one now."""
    growth = max(1, outlook.growth)
    context, cost, summaries = outlook.limit + 1, 0.0, 0
    for _ in range(min(max(outlook.turns, _FEWEST_TURNS), _MOST_TURNS)):
        context += growth
        rates = _rates(outlook.prices, context)
        if context > outlook.limit:
            replaced, context = context - target, target
            summaries += 1
            cost += _call(outlook.summarizer, replaced)
            cost += rates.cache_read * outlook.prefix
            cost += rates.cache_write_5m * max(0, context - outlook.prefix)
        else:
            cost += rates.cache_read * (context - growth) + rates.cache_write_5m * growth
    return Depth(target, cost / 1e6, summaries)


def summary_tokens(replaced: int) -> int:
    """The maximal length of the summary of so many tokens."""
    shortest, longest = SUMMARY_TOKENS
    return min(max(replaced * 3 // 20, shortest), longest)


def _call(prices: Prices, replaced: int) -> float:
    rates = _rates(prices, replaced)
    return rates.input * replaced + rates.output * summary_tokens(replaced)


def _rates(prices: Prices, tokens: int) -> Prices:
    """The prices for a request of so many tokens: above a step, some models cost more for the whole request."""
    stepped = prices.step_tokens is not None and tokens > prices.step_tokens
    return prices.step if stepped and prices.step else prices
