"""What is remembered of a response, and when."""

from __future__ import annotations

import time
from typing import Any

from addon.addons.thinking import Continued, Continuity
from addon.claude.thinking_store import ThinkingStore
from addon.core.types import Tried
from tests.addons.test_upstream import OPUS, a_call

ASKED = {"role": "user", "content": "What is in a.py?"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.py"}}
THOUGHT = {"type": "thinking", "thinking": "I have to read it.", "signature": "c2lnbmVk"}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x = 1"}


def prepared(continuity: Continuity, *messages: dict[str, Any]) -> Continued:
    request = {"model": OPUS.id, "thinking": {"type": "adaptive"}, "messages": list(messages)}
    return continuity.prepare(a_call(), request, "me", "subscription", tried=Tried())


async def test_a_response_is_recorded_before_the_next_turn_is_looked_through() -> None:
    continuity = Continuity(ThinkingStore(time.monotonic))
    first = prepared(continuity, ASKED)
    continuity.record(first.ticket, 100, {"content": [THOUGHT, CALL]})
    assert len(continuity.store) == 0  # it waits for others
    answered = {"role": "assistant", "content": [CALL]}
    second = prepared(continuity, ASKED, answered, {"role": "user", "content": [RESULT]})
    assert second.restored
    assert second.request["messages"][1]["content"] == [THOUGHT, CALL]
