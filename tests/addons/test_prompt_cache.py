"""What a miss of the prompt cache is told with: its reason, and its price."""

from __future__ import annotations

import pytest

from addon.addons.prompt_cache import costs_more
from addon.addons.usage_recorder import BYTES_PER_TOKEN, usage_of
from addon.claude.pricing import Tokens
from addon.core.types import JsonObject
from bench.idle_day import World, message
from tests.claude.support import CATALOGUE

MODEL = CATALOGUE.get("claude-sonnet-5")
TOKENS = 40_000
MINUTE = 60.0


def missed(idle: float, *, source: str = "api_key", edit: bool = False) -> tuple[str, int]:
    """What is told of the second turn of a conversation, so many seconds after the first."""
    world = World("5m")
    messages = [message("user", TOKENS, "one"), message("assistant", 100, "two")]
    world.ask("c", [*messages, message("user", 100, "three")], TOKENS, 100)
    world.now += idle
    world.source = source
    messages[0] = message("user", TOKENS, "other") if edit else messages[0]
    later = [message("user", 100, text) for text in ("three", "four")]
    turns = [*messages, later[0], message("assistant", 100, "two"), later[1]]
    world.ask("c", turns, TOKENS, 100)
    return world.exchange.cache_miss


@pytest.mark.parametrize(
    ("idle", "options", "reason"),
    [
        pytest.param(30.0, {}, "", id="a hit"),
        pytest.param(7 * MINUTE, {}, "expired after 7 min idle", id="a pause"),
        pytest.param(150 * MINUTE, {}, "expired after 2.5 h idle", id="a long pause"),
        pytest.param(30.0, {"edit": True}, "message 0 changed", id="an edit"),
        pytest.param(7 * MINUTE, {"edit": True}, "message 0 changed", id="an edit after a pause"),
        pytest.param(
            30.0,
            {"source": "claude_code"},
            "now by claude_code, whose cache is another one",
            id="another credential",
        ),
    ],
)
def test_a_miss_has_its_reason(idle: float, options: dict[str, object], reason: str) -> None:
    assert missed(idle, **options)[0] == reason  # type: ignore[arg-type]


def test_a_miss_costs_what_writing_costs_more_than_reading() -> None:
    _, cost = missed(7 * MINUTE)
    more = MODEL.prices.cache_write_5m - MODEL.prices.cache_read
    assert cost * 1e-12 == pytest.approx((TOKENS + 15_000) * more * 1e-6, rel=0.02)
    assert missed(30.0)[1] == 0


def test_no_more_is_missed_than_was_paid_for() -> None:
    used = Tokens(input=10, cache_write_5m=100, cache_write_1h=50, cache_read=7)
    prices = MODEL.prices
    most = 10 * (prices.input - prices.cache_read)
    most += 100 * (prices.cache_write_5m - prices.cache_read)
    most += 50 * (prices.cache_write_1h - prices.cache_read)
    assert costs_more(MODEL, used, 10**9) == pytest.approx(most / 1e6)


class Partial:
    """As much of an answer as is read of it when it has ended."""

    def __init__(self, stop_reason: str | None, *, complete: bool) -> None:
        text = "word " * 600
        self.complete = complete
        self.usage: JsonObject = {"input_tokens": 9, "output_tokens": 1}
        self.message: JsonObject = {
            "content": [{"type": "text", "text": text}],
            "stop_reason": stop_reason,
        }


def test_what_was_written_before_a_response_broke_off_is_estimated() -> None:
    broken, ended = Partial(None, complete=False), Partial("end_turn", complete=True)
    usage = usage_of(broken)  # type: ignore[arg-type]
    assert usage["output_tokens"] == pytest.approx(3_000 / BYTES_PER_TOKEN, rel=0.05)
    assert usage["input_tokens"] == 9
    assert usage_of(ended) is ended.usage  # type: ignore[arg-type]
