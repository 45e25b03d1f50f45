"""Where the tool loop begins: one answer for what is sent and for what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from addon.claude.turns import (
    in_tool_loop,
    loop_start,
    with_server_pairs,
    without_server_tools,
)
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


SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
AGAIN = {**SEARCH, "id": "s2"}


def said(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


PAIRED = {
    "in one turn": [ASKED, said(SEARCH, FOUND, text("so")), ASKED],
    "in two messages of one turn": [ASKED, said(SEARCH), said(FOUND), ASKED],
    "a pause at the end": [ASKED, said(text("so"), SEARCH)],
    "results of the client's tools in between": [
        ASKED,
        said(SEARCH, call("a")),
        RESULT,
        said(FOUND, text("so")),
        ASKED,
    ],
    "results of the client's tools at the end": [ASKED, said(SEARCH, call("a")), RESULT],
}


@pytest.mark.parametrize("case", PAIRED)
def test_paired_server_tools_stay(case: str) -> None:
    assert with_server_pairs(PAIRED[case]) is PAIRED[case]


UNPAIRED = {
    "a call before a prompt": (
        [ASKED, said(text("so"), thought("why"), SEARCH), STRING],
        [ASKED, said(text("so")), STRING],
    ),
    "a turn of a call alone": ([ASKED, said(thought("why"), SEARCH), ASKED], [ASKED, ASKED]),
    "a result without a call": ([ASKED, said(FOUND, text("so"))], [ASKED, said(text("so"))]),
    "a result before its call": ([ASKED, said(FOUND, SEARCH)], [ASKED, said(SEARCH)]),
    "a second result": (
        [ASKED, said(SEARCH, FOUND, FOUND), ASKED],
        [ASKED, said(SEARCH, FOUND), ASKED],
    ),
    "text beside the client's results": (
        [ASKED, said(SEARCH, call("a")), BESIDE, said(FOUND, text("so"))],
        [ASKED, said(call("a")), BESIDE, said(text("so"))],
    ),
    "a second call of that id": (
        [ASKED, said(SEARCH, SEARCH, FOUND), ASKED],
        [ASKED, said(SEARCH, FOUND), ASKED],
    ),
    "one call of two": (
        [ASKED, said(SEARCH, AGAIN, FOUND), ASKED],
        [ASKED, said(SEARCH, FOUND), ASKED],
    ),
}


@pytest.mark.parametrize("case", UNPAIRED)
def test_server_tools_without_their_pair_are_left_out(case: str) -> None:
    given, kept = UNPAIRED[case]
    assert with_server_pairs(given) == kept


def test_all_server_tools_can_be_left_out() -> None:
    messages = [ASKED, said(thought("why"), SEARCH, FOUND, text("so")), ASKED]
    assert without_server_tools(messages) == [ASKED, said(thought("why"), text("so")), ASKED]
    assert without_server_tools([ASKED, CALLED]) == [ASKED, CALLED]
