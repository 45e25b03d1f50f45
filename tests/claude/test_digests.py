from __future__ import annotations

import cProfile
from typing import Any

import pytest

from addon.claude.digest import (
    LONG,
    DigestMemory,
    chain,
    digest_json,
    fingerprint_of,
    message_digest,
)
from tests.context.builders import call, result, text

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "abc"}
TEXT = {"type": "text", "text": "a"}
CACHED = {"cache_control": {"type": "ephemeral"}}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


SAME = {
    "string-and-text-block": (text("user", "hi"), user({"type": "text", "text": "hi"})),
    "cache-control": (user(IMAGE), user({**IMAGE, **CACHED})),
    "cache-control-inside-a-result": (result("t", [IMAGE]), result("t", [{**IMAGE, **CACHED}])),
    "a-results-only-text": (
        result("t", "a"),
        result("t", [{"type": "text", "text": "a", **CACHED}]),
    ),
    "thinking": (
        user({"type": "text", "text": "hi"}),
        user(THINKING, {"type": "text", "text": "hi"}),
    ),
    "key-order": (user({"type": "x", "a": 1, "b": 2}), user({"b": 2, "a": 1, "type": "x"})),
}
OTHER = {
    "role": (text("user", "hi"), text("assistant", "hi")),
    "text": (text("user", "hi"), text("user", "hi ")),
    "one-text-or-two": (
        user({"type": "text", "text": "ab"}),
        user(*({"type": "text", "text": t} for t in "ab")),
    ),
    "result-content": (result("t", "a"), result("t", "b")),
    "a-results-texts": (result("t", "ab"), result("t", [TEXT, {"type": "text", "text": "b"}])),
    "a-results-cited-text": (result("t", "a"), result("t", [{**TEXT, "citations": []}])),
    "call-id": (call("a"), call("b")),
    "image": (user(IMAGE), user({**IMAGE, "source": {**IMAGE["source"], "data": "BBBB"}})),
    "tool-input-of-that-name": (
        user({"type": "tool_use", "id": "a", "name": "n", "input": {"cache_control": 1}}),
        user({"type": "tool_use", "id": "a", "name": "n", "input": {"cache_control": 2}}),
    ),
    "lone-surrogate": (text("user", "\ud800"), text("user", "\ud801")),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_same_message(one: dict[str, Any], other: dict[str, Any]):
    assert message_digest(one) == message_digest(other)


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_another_message(one: dict[str, Any], other: dict[str, Any]):
    assert message_digest(one) != message_digest(other)


def test_precomputed_digests_are_taken_over():
    request = {"messages": [text("user", "a"), text("assistant", "b")]}
    own = fingerprint_of(request)
    assert fingerprint_of(request, own.messages) == own
    assert fingerprint_of(request, [b"x", b"y"]).messages == (b"x", b"y")


def test_chain_names_every_prefix():
    names = chain(b"seed", [b"a", b"b"])
    assert len(set(names)) == 3
    assert chain(b"seed", [b"a"]) == names[:2]
    assert chain(b"other", [b"a"])[1] != names[1]


def test_json_digest_ignores_cache_control_of_tools():
    tool = {"name": "a", "input_schema": {}}
    assert digest_json([tool]) == digest_json([{**tool, **CACHED}])


def test_messages_of_the_same_blocks_are_hashed_once() -> None:
    blocks = [{"type": "text", "text": f"{n}"} for n in range(2 * LONG)]
    messages = [user(block) for block in blocks]
    memory = DigestMemory()
    memory.of([user(block) for block in blocks])
    with cProfile.Profile() as profile:
        grown = memory.of([*messages, text("user", "new")])
    hashed = sum(each.callcount for each in profile.getstats() if each.code is message_digest.__code__)  # fmt: skip
    assert hashed == 1
    assert grown == [message_digest(message) for message in [*messages, text("user", "new")]]


@pytest.mark.parametrize("at", [0, LONG, 2 * LONG - 1])
@pytest.mark.parametrize(
    "other", [text("user", "0"), user(TEXT), user(), user(TEXT, TEXT), text("assistant", "a"), {"role": "assistant", "content": [TEXT]}]
)  # fmt: skip
def test_another_message_is_hashed_anew(at: int, other: dict[str, Any]) -> None:
    messages = [user({"type": "text", "text": f"{n}"}) for n in range(2 * LONG)]
    messages[at] = user(TEXT)
    memory = DigestMemory()
    for changed in (messages, [*messages[:at], other, *messages[at + 1 :]], messages[: at + 1]):
        assert memory.of(changed) == [message_digest(message) for message in changed]
