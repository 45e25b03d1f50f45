"""What is read from the cache, written to it, and counted afresh."""

from __future__ import annotations

from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject
from tests.clock import Clock
from tests.stand_in.client import BY_KEY, BY_TOKEN, LINE, answered, asking

LONG = "The quick brown fox jumps over the lazy dog again and again. " * 200
TOOLS = [{"name": "f", "description": LONG, "input_schema": {"type": "object"}}]


def block(text: str, ttl: str | None = "5m") -> JsonObject:
    mark = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
    return {"type": "text", "text": text, **mark}


def ask(*blocks: JsonObject, **fields: Any) -> JsonObject:
    return asking({"role": "user", "content": list(blocks)}, **fields)


def spent(
    fake: FakeAnthropic, body: JsonObject, headers: dict[str, str] = BY_KEY
) -> tuple[int, int, int]:
    """Tokens (read, written, fresh)."""
    usage = answered(fake, body, headers)["usage"]
    split = usage["cache_creation"]
    assert usage["cache_creation_input_tokens"] == sum(split.values())
    return (
        usage["cache_read_input_tokens"],
        usage["cache_creation_input_tokens"],
        usage["input_tokens"],
    )


def test_second_request_reads_what_the_first_wrote(fake: FakeAnthropic) -> None:
    body = ask(block(LONG), block("question", None))
    read, written, fresh = spent(fake, body)
    assert read == 0 and written > 1024 and 0 < fresh < 50
    assert spent(fake, body) == (written, 0, fresh)


def test_a_growing_conversation_reads_its_past_and_writes_its_growth(fake: FakeAnthropic) -> None:
    _, first, _ = spent(fake, ask(block(LONG)))
    read, written, fresh = spent(fake, ask(block(LONG, None), block(LONG + "more")))
    assert read == first
    assert written > 1024
    assert fresh == 0


def test_a_change_in_front_misses(fake: FakeAnthropic) -> None:
    spent(fake, ask(block(LONG), system="one"))
    assert spent(fake, ask(block(LONG), system="two"))[0] == 0


def test_a_change_behind_tools_and_system_keeps_their_entries(fake: FakeAnthropic) -> None:
    marked = {"tools": [TOOLS[0] | {"cache_control": {"type": "ephemeral"}}]}
    _, written, _ = spent(fake, ask(block("a", None), system="one", **marked))
    assert spent(fake, ask(block("b", None), system="two", **marked))[0] == written


def test_effort_and_thinking_change_only_the_conversations_entries(fake: FakeAnthropic) -> None:
    body = ask(block(LONG), system=[block(LONG)])
    _, written, _ = spent(fake, body)
    read, again, _ = spent(fake, body | {"output_config": {"effort": "low"}})
    assert 0 < read < written
    assert read + again == written


def test_short_prompts_are_not_cached(fake: FakeAnthropic) -> None:
    body = ask(block("short"))
    assert spent(fake, body)[:2] == (0, 0)
    assert spent(fake, body)[:2] == (0, 0)


def test_without_a_mark_nothing_is_cached(fake: FakeAnthropic) -> None:
    body = ask(block(LONG, None))
    assert spent(fake, body)[:2] == spent(fake, body)[:2] == (0, 0)


def test_a_mark_at_the_top_level_stands_for_one_on_the_last_block(fake: FakeAnthropic) -> None:
    body = asking(LONG, cache_control={"type": "ephemeral"})
    _, written, fresh = spent(fake, body)
    assert written > 1024 and fresh == 0
    assert spent(fake, body)[0] == written


@pytest.mark.parametrize(("between", "hit"), [(19, True), (20, False)])
def test_look_back_reaches_twenty_blocks(fake: FakeAnthropic, between: int, hit: bool) -> None:
    _, written, _ = spent(fake, ask(block(LONG)))
    filler = [block(f"filler {n}", None) for n in range(between - 1)]
    read, *_ = spent(fake, ask(block(LONG, None), *filler, block("end")))
    assert read == (written if hit else 0)


@pytest.mark.parametrize(("ttl", "lives"), [("5m", 299), ("1h", 3599)])
def test_entries_age_and_a_read_makes_them_young(
    fake: FakeAnthropic, clock: Clock, ttl: str, lives: float
) -> None:
    body = ask(block(LONG, ttl))
    spent(fake, body)
    for wait, hit in ((lives, True), (lives, True), (lives + 2, False)):
        clock.now += wait
        assert (spent(fake, body)[0] > 0) is hit


def test_writes_are_split_by_ttl(fake: FakeAnthropic) -> None:
    message = answered(fake, ask(block(LONG, "5m"), system=[block(LONG, "1h")]))
    split = message["usage"]["cache_creation"]
    assert split["ephemeral_1h_input_tokens"] > 1024
    assert split["ephemeral_5m_input_tokens"] > 1024


def test_entries_belong_to_a_model_and_an_account(fake: FakeAnthropic) -> None:
    body = ask(block(LONG), system=LINE)
    spent(fake, body)
    assert spent(fake, body | {"model": "claude-opus-4-7"})[0] == 0
    assert spent(fake, body, BY_TOKEN)[0] == 0
    assert spent(fake, body, BY_TOKEN)[0] > 0


def test_a_refused_request_writes_nothing(fake: FakeAnthropic) -> None:
    body = ask(block(LONG))
    with pytest.raises(AssertionError, match="max_tokens"):
        answered(fake, body | {"max_tokens": -1})
    assert spent(fake, body)[0] == 0
