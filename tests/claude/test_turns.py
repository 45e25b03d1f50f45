"""Where the tool loop begins: one answer for what is sent and for what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from addon.claude.turns import in_tool_loop, loop_start
from addon.context.tokens.measure import thinking_tokens
from tests.claude.support import CATALOGUE, call, results, text, thought, user

ASKED = user("go")
CALLED = {"role": "assistant", "content": [thought("why"), call("a")]}
RESULT = results("a")
STRING = {"role": "user", "content": "go"}
BESIDE = {"role": "user", "content": [*RESULT["content"], text("and be quick")]}
BEFORE = {"role": "user", "content": [text("and be quick"), *RESULT["content"]]}
PICTURE = {"role": "user", "content": [*RESULT["content"], {"type": "image", "source": {}}]}
NOTE = {"role": "system", "content": "the date has changed"}
PREFILL = {"role": "assistant", "content": [text("So")]}

CASES = [
    pytest.param([], -1, False, id="nothing"),
    pytest.param([ASKED], 0, False, id="a question"),
    pytest.param([STRING, CALLED, RESULT], 0, True, id="a result"),
    pytest.param([ASKED, CALLED, RESULT, CALLED, RESULT], 0, True, id="two results"),
    pytest.param([ASKED, CALLED, BESIDE], 2, False, id="text behind a result"),
    pytest.param([ASKED, CALLED, BEFORE], 2, False, id="text before a result"),
    pytest.param([ASKED, CALLED, PICTURE], 2, False, id="a picture behind a result"),
    pytest.param([ASKED, CALLED, BESIDE, CALLED, RESULT], 2, True, id="a result after that"),
    pytest.param([ASKED, CALLED, RESULT, NOTE], 0, True, id="a system message at the end"),
    pytest.param([ASKED, CALLED, RESULT, PREFILL], 0, True, id="a prefill"),
    pytest.param([CALLED, RESULT], -1, True, id="no question"),
]


@pytest.mark.parametrize(("messages", "start", "looping"), CASES)
def test_the_loop_begins_at_the_last_message_that_is_more_than_results(
    messages: list[dict[str, Any]], start: int, looping: bool
) -> None:
    assert (loop_start(messages), in_tool_loop(messages)) == (start, looping)


@pytest.mark.parametrize(("messages", "start", "_"), CASES)
def test_the_thinking_that_is_counted_is_that_of_the_loop(
    messages: list[dict[str, Any]], start: int, _: bool
) -> None:
    forgetful = CATALOGUE.get("claude-haiku-4-5")
    counted = [at for at, tokens in enumerate(thinking_tokens(messages, forgetful)) if tokens]
    thinking = [at for at, message in enumerate(messages) if message is CALLED]
    assert counted == [at for at in thinking if at > start]
