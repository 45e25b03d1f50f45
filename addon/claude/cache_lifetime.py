"""Decides whether a conversation's prompt is kept in Anthropic's cache for five minutes or for an hour.

Anthropic bills by the longest entry that it finds: what is before it is read, what is new until the last mark of an
hour is written for an hour, the rest for five minutes (platform.claude.com/docs/en/build-with-claude/prompt-caching,
"Mixing different TTLs"). So while the entry of the last turn is alive, a mark of an hour costs more for the new turn
alone, and keeps the whole conversation. A pause of up to an hour then loses only the turns after that mark.

Such a mark is set when what pauses were likely to have cost since the last one reaches its price, as in the classical
rule for when to restock. Responses show whether Anthropic really bills so; if not, no more hours are marked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from addon.claude.model import Model, Prices
from addon.claude.pricing import Tokens
from addon.core.frozen import frozen
from addon.core.lru import Lru

SHORT, LONG = 300.0, 3600.0
"""Seconds that an entry lives after its last use."""
MARGIN = 10.0
"""Seconds by which an entry may end earlier: its time runs from when Anthropic used it."""
KEPT = 1_000
PRIOR_PAUSES, PRIOR_TURNS = 0.75, 50.0
"""What is believed before anything was seen: a pause of 5 to 60 minutes in 67 turns."""
SHARED_TURNS = 40.0
"""As many turns of its own outweigh for a conversation what all others have shown."""
FAILURES = 2
WRITTEN_AGAIN, SLACK = 3.0, 2_000
"""A mark of an hour that writes more than this many times what is new, and some tokens, has written the old anew."""


@dataclass(eq=False, repr=False, slots=True)
class Pauses:
    """How often a next turn comes after more than five minutes and less than an hour."""

    turns: float = 0.0
    pauses: float = 0.0

    def note(self, pause: bool) -> None:
        self.turns += 1
        self.pauses += pause


@frozen
class HourMark:
    """Where a conversation was last marked for an hour."""

    message: int
    digest: bytes
    """Of that message, so that a changed conversation is not taken for the same."""
    tokens: int
    """Of the prompt up to it."""


@dataclass(eq=False, repr=False, slots=True)
class Known:
    """What is known of one conversation."""

    at: float
    """When its last request was sent, in Unix seconds."""
    prompt: int = 0
    """Tokens of its last prompt, as estimated."""
    cached: bool = False
    """The last request left an entry."""
    at_risk: float = 0.0
    """What pauses were likely to cost since the last mark of an hour, in millionths of a dollar."""
    end: HourMark | None = None
    """Where its last prompt ended."""
    hour: HourMark | None = None
    idle: float = 0.0
    """Seconds between its last two requests."""
    new: int = 0
    """Tokens that its last prompt had more than the one before it."""
    pauses: Pauses = field(default_factory=Pauses)


@frozen
class Lifetime:
    """For the marks of one request."""

    hour: bool = False
    """Mark all of it for an hour."""
    keep: HourMark | None = None
    """Mark this again, as its entry may be the one that is still alive."""


class CacheLifetimes:
    """Ask `choose` before a request, and tell `learn` what its response used."""

    def __init__(self) -> None:
        self._known: Lru[str, Known] = Lru(KEPT)
        self._all = Pauses(PRIOR_TURNS, PRIOR_PAUSES)
        self._failures = self._successes = 0

    def choose(
        self,
        conversation: str,
        model: Model,
        tokens: int,
        now: float,
        digest: Callable[[int], bytes],
    ) -> Lifetime:
        """`tokens`: of the prompt, as estimated; `digest`: of the message at an index."""
        known = self._known.get(conversation)
        if known is None:
            self._known.put(conversation, Known(now, tokens))
            return Lifetime()
        idle, new = now - known.at, max(1, tokens - known.prompt)
        paused = SHORT - MARGIN < idle < LONG
        for each in (known.pauses, self._all):
            each.note(paused)
        went_on = known.end is not None and digest(known.end.message) == known.end.digest
        warm = known.cached and went_on and idle < SHORT - MARGIN
        hour = known.hour
        if hour and (idle > LONG - MARGIN or digest(hour.message) != hour.digest):
            known.hour = None
        at_risk = known.at_risk if warm else 0.0
        prices = model.prices
        tail = tokens - (known.hour.tokens if known.hour else 0)
        at_risk += self.chance(known) * tail * (prices.cache_write_5m - prices.cache_read)
        marks_hour = warm and self.works and at_risk >= new * hour_costs_more(prices)
        known.at, known.prompt, known.cached = now, tokens, False
        known.idle, known.new = idle, new
        known.at_risk = 0.0 if marks_hour else at_risk
        return Lifetime(marks_hour, None if marks_hour else known.hour)

    def chance(self, known: Known) -> float:
        """That the next turn comes after a pause that an hour outlasts and five minutes don't."""
        others = self._all.pauses / self._all.turns
        own = known.pauses
        return (own.pauses + SHARED_TURNS * others) / (own.turns + SHARED_TURNS)

    @property
    def works(self) -> bool:
        """Marks of an hour have the effect that they should have."""
        return self._failures < FAILURES or self._failures < self._successes

    def learn(
        self, conversation: str, chosen: Lifetime, marked: HourMark, used: Tokens, *, went_on: bool
    ) -> None:
        """`marked`: the end of the prompt that was sent; `went_on`: it began like the one before it."""
        known = self._known.get(conversation)
        if known is None:
            return
        known.cached, known.end = used.prompt > used.input, marked
        if chosen.hour:
            # A login that may not have an hour is sent no `ttl`; then nothing is written for one.
            known.hour = marked if used.cache_write_1h else known.hour
            if used.cache_write_1h and went_on:
                self._judge(used.cache_write_1h <= WRITTEN_AGAIN * known.new + SLACK)
        elif chosen.keep and SHORT < known.idle < LONG - MARGIN and went_on:
            kept = used.cache_read >= chosen.keep.tokens / 2
            self._judge(kept)
            known.hour = chosen.keep if kept else None

    def _judge(self, worked: bool) -> None:
        self._successes += worked
        self._failures += not worked


def hour_costs_more(prices: Prices) -> float:
    return prices.cache_write_1h - prices.cache_write_5m
