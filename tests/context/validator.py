"""What Anthropic answers 400 to, as far as messages go."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from tests.context.builders import text

# No deadline: the machine that runs the tests may be busy with other work.
unhurried = settings(max_examples=60, deadline=None)


def problems(request: dict[str, Any]) -> list[str]:
    """Everything wrong with the request's messages; [] when they would be accepted."""
    found: list[str] = []
    messages = request["messages"]
    if not messages or messages[0]["role"] != "user":
        found.append("the first message is not the user's")
    pending: list[str] = []
    for at, message in enumerate(messages):
        if at and message["role"] == messages[at - 1]["role"]:
            found.append(f"{at}: role {message['role']} twice")
        blocks = message["content"]
        if isinstance(blocks, str):
            blocks = [{"type": "text", "text": blocks}]
        if not blocks or any(block["type"] == "text" and not block["text"] for block in blocks):
            found.append(f"{at}: empty content")
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(results) != sorted(pending):
            found.append(f"{at}: results {results} for calls {pending}")
        if any(block["type"] == "tool_result" for block in blocks[len(results) :]):
            found.append(f"{at}: results behind other content")
        pending = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if pending:
        found.append(f"calls without results at the end: {pending}")
    return found


def _turn(number: int, loops: list[tuple[int, int]], size: int) -> list[dict[str, Any]]:
    """A prompt, runs of parallel tool calls with their results, and an answer."""
    made = [text("user", f"prompt {number} " + "please do it " * size)]
    for loop, (parallel, length) in enumerate(loops):
        ids = [f"t{number}_{loop}_{call}" for call in range(parallel)]
        calls = [
            {"type": "tool_use", "id": ident, "name": "read", "input": {"path": ident}}
            for ident in ids
        ]
        results = [
            {
                "type": "tool_result",
                "tool_use_id": ident,
                "content": f"{ident} line of code\n" * length,
            }
            for ident in ids
        ]
        made += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return [*made, text("assistant", f"answer {number} " + "done as told " * size)]


class Messages(list[dict[str, Any]]):
    """A list that shows how it was made; hypothesis warns of a failing example that is too long to read."""

    script: Any = None

    def __repr__(self) -> str:
        return f"<{len(self)} messages of {self.script}>"


@st.composite
def conversations(draw: st.DrawFn, most_turns: int = 12, most_lines: int = 120) -> Messages:
    """Valid conversations of agents, from one prompt to long runs of tool calls, ending with the user."""
    loop = st.tuples(st.integers(1, 3), st.integers(0, most_lines))
    turns = draw(
        st.lists(st.tuples(st.lists(loop, max_size=12), st.integers(0, 200)), max_size=most_turns)
    )
    messages = [
        message
        for number, (loops, size) in enumerate(turns)
        for message in _turn(number, loops, size)
    ]
    last = draw(st.lists(loop, max_size=3))
    made = Messages([*messages, *_turn(len(turns), last, 3)[:-1]])
    made.script = (turns, last)
    return made
