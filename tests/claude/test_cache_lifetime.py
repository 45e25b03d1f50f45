"""When a conversation is marked for an hour, and when that is given up."""

from __future__ import annotations

import pytest

from addon.claude.cache_lifetime import FAILURES, CacheLifetimes, HourMark, Lifetime
from addon.claude.pricing import Tokens
from tests.claude.support import CATALOGUE

MODEL = CATALOGUE.get("claude-sonnet-5")
NEW = 1_000
MINUTE = 60.0


class Talk:
    """A conversation of turns of equal size, with a cache that works as Anthropic documents it."""

    def __init__(self, lifetimes: CacheLifetimes, name: str, first: int = 60_000) -> None:
        self.lifetimes, self.name = lifetimes, name
        self.tokens, self.now, self.turns = first, 0.0, 0
        self.hours: list[int] = []
        self.edits = 0

    def turn(self, idle: float = 30.0, *, read: int | None = None, hour: int | None = None) -> None:
        """`read`, `hour`: tokens that are read and written for an hour, other than by the rules."""
        self.now += idle
        self.turns += 1
        self.tokens += NEW
        chosen = self.lifetimes.choose(self.name, MODEL, self.tokens, self.now, self.digest)
        self.chosen: Lifetime = chosen
        if read is None:
            warm = self.turns > 1 and idle < 5 * MINUTE
            kept = chosen.keep.tokens if chosen.keep and idle < 60 * MINUTE else 0
            read = self.tokens - NEW if warm else kept
        written = self.tokens - read
        one_hour = (hour if hour is not None else written) if chosen.hour else 0
        used = Tokens(
            cache_read=read, cache_write_1h=one_hour, cache_write_5m=max(0, written - one_hour)
        )
        mark = HourMark(self.turns, self.digest(self.turns), self.tokens)
        self.lifetimes.learn(self.name, chosen, mark, used, went_on=self.turns > 1)
        if chosen.hour:
            self.hours.append(self.turns)

    def digest(self, message: int) -> bytes:
        """Of the message at an index."""
        return b"%d %d" % (self.edits, message)


def test_a_prompt_that_was_written_anew_is_not_marked_for_an_hour() -> None:
    """As after a summary, which leaves fewer tokens than before."""
    talk = Talk(CacheLifetimes(), "a", 500_000)
    for _ in range(3):
        talk.turn()
    talk.edits += 1
    talk.tokens -= 100_000
    talk.turn(read=0)
    assert talk.chosen == Lifetime()
    talk.turn()
    assert talk.hours[-1] == 5


def test_the_first_turn_is_never_marked_for_an_hour() -> None:
    talk = Talk(CacheLifetimes(), "a", 500_000)
    talk.turn()
    assert not talk.hours
    talk.turn()
    assert talk.hours == [2]


def test_without_pauses_an_hour_is_marked_more_and_more_seldom() -> None:
    talk = Talk(CacheLifetimes(), "a")
    for _ in range(400):
        talk.turn()
    early, late = (sum(low < turn <= low + 100 for turn in talk.hours) for low in (0, 300))
    assert 0 < late < early < 20


def test_pauses_make_it_more_frequent_in_that_conversation_most() -> None:
    lifetimes = CacheLifetimes()
    busy, calm = Talk(lifetimes, "busy"), Talk(lifetimes, "calm")
    for number in range(1, 121):
        busy.turn(20 * MINUTE if not number % 5 else 30.0)
        calm.turn()
    assert len(busy.hours) > 1.5 * len(calm.hours) > 0


def test_after_a_pause_the_marked_part_is_marked_again() -> None:
    talk = Talk(CacheLifetimes(), "a", 500_000)
    for _ in range(4):
        talk.turn()
    marked = talk.hours[-1]
    talk.turn(30 * MINUTE)
    assert talk.chosen == Lifetime(keep=HourMark(marked, b"0 %d" % marked, 500_000 + marked * NEW))
    talk.turn(61 * MINUTE)
    assert talk.chosen == Lifetime()


@pytest.mark.parametrize("fault", ["writes all anew", "does not keep it"])
def test_hours_are_given_up_when_they_do_not_do_what_they_should(fault: str) -> None:
    lifetimes = CacheLifetimes()
    for number in range(FAILURES + 3):
        talk = Talk(lifetimes, f"c{number}", 500_000)
        talk.turn()
        if fault == "writes all anew":
            talk.turn(read=0)
        else:
            talk.turn()
            talk.turn(20 * MINUTE, read=0)
    assert not lifetimes.works
    talk = Talk(lifetimes, "last", 500_000)
    for _ in range(50):
        talk.turn()
    assert not talk.hours


def test_a_login_that_gets_no_hour_has_nothing_to_mark_again() -> None:
    talk = Talk(CacheLifetimes(), "a", 500_000)
    talk.turn()
    talk.turn(hour=0)
    talk.turn(20 * MINUTE)
    assert talk.chosen == Lifetime()
    assert talk.lifetimes.works
