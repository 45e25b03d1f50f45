"""Random Anthropic messages, and random ways to cut bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from tests.translation.upstream import JsonObject, message, text, thinking, tool, web_citation

# Characters that have broken stream parsers: line ends of every kind, controls, an emoji, a combining mark.
AWKWARD = st.sampled_from('\n\r\u2028\u2029\u0085\x00\x1c😀é\u0301:"\\{} adt')
texts = st.text(AWKWARD | st.characters(exclude_categories=["Cs"]), max_size=30)
words = st.text("abcdefghij", min_size=1, max_size=8)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
inputs = st.dictionaries(texts, json_values, max_size=4)

_text_blocks = st.builds(text, texts) | st.builds(
    lambda value, url: text(value, citations=[web_citation(f"https://{url}.example", url)]),
    texts.filter(bool),
    words,
)
_server_tools = st.just(
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
) | st.just({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []})
_blocks = (
    _text_blocks
    | st.builds(thinking, texts, words)
    | st.builds(lambda data: {"type": "redacted_thinking", "data": data}, words)
    | st.builds(tool, st.just(""), words, inputs)
    | _server_tools
)
stop_reasons = st.sampled_from(
    [
        "end_turn",
        "tool_use",
        "max_tokens",
        "stop_sequence",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ]
)


@st.composite
def messages(draw: st.DrawFn) -> JsonObject:
    content = draw(st.lists(_blocks, max_size=6))
    for place, block in enumerate(content):
        if block["type"] == "tool_use":
            block["id"] = f"toolu_{place}"
    return message(*content, stop_reason=draw(stop_reasons))


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in pairwise(edges)]
