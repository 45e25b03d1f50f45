"""Tool calls and results in every disorder that clients send."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.cpu import cpu_below
from tests.translation.asking import (
    NO_RESULT,
    TC,
    A,
    S,
    T,
    U,
    assistant,
    chat,
    finished,
    function,
    text,
    tr,
    tu,
    user,
)

LONG_ID = "x" * 90
SHORTENED = "call_" + hashlib.sha256(LONG_ID.encode()).hexdigest()[:24]
TOOLS = [function(name) for name in ("f", "g", "h")]
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}

PAIRS = {
    "call-and-result": (
        [U("a"), A(None, TC("c1", "f", '{"a":1}')), T("c1", "ok")],
        [user("a"), assistant(tu("c1", a=1)), user(tr("c1", "ok"))],
    ),
    "results-in-the-order-of-the-calls": (
        [U("a"), A("text", TC("c1"), TC("c2")), T("c2", "2"), T("c1", "1"), U("go")],
        [
            user("a"),
            assistant("text", tu("c1"), tu("c2")),
            user(tr("c1", "1"), tr("c2", "2"), "go"),
        ],
    ),
    "a-result-without-a-call-is-text": (
        [U("a"), T("zzz", "x")],
        [user("a", "Tool result for zzz: x")],
    ),
    "a-call-without-a-result-fails": (
        [U("a"), A(None, TC("c1")), U("never mind")],
        [user("a"), assistant(tu("c1")), user(tr("c1", **NO_RESULT), "never mind")],
    ),
    "at-the-end-too": (
        [U("a"), A(None, TC("c1"))],
        [user("a"), assistant(tu("c1")), user(tr("c1", **NO_RESULT))],
    ),
    "what-the-user-said-in-between-comes-after": (
        [U("a"), A(None, TC("c1")), U("hm"), T("c1", "ok")],
        [user("a"), assistant(tu("c1")), user(tr("c1", "ok"), "hm")],
    ),
    "the-last-of-two-results-counts": (
        [U("a"), A(None, TC("c1")), T("c1", "a"), T("c1", "b")],
        [user("a"), assistant(tu("c1")), user(tr("c1", "b"))],
    ),
    "one-id-twice-in-a-turn": (
        [U("a"), A(None, TC("c1", "f"), TC("c1", "g")), T("c1", "x"), T("c1", "y")],
        [
            user("a"),
            assistant(tu("c1", "f"), tu("c1_2", "g")),
            user(tr("c1", "x"), tr("c1_2", "y")),
        ],
    ),
    "one-id-in-two-turns": (
        [U("a"), A(None, TC("c1")), T("c1", "x"), A(None, TC("c1")), T("c1", "y")],
        [
            user("a"),
            assistant(tu("c1")),
            user(tr("c1", "x")),
            assistant(tu("c1_2")),
            user(tr("c1_2", "y")),
        ],
    ),
    "illegal-characters-in-an-id": (
        [U("a"), A(None, TC("call:1|x y")), T("call:1|x y", "ok")],
        [user("a"), assistant(tu("call_1_x_y")), user(tr("call_1_x_y", "ok"))],
    ),
    "a-long-id": (
        [U("a"), A(None, TC(LONG_ID)), T(LONG_ID, "ok")],
        [
            user("a"),
            assistant(tu(SHORTENED)),
            user(tr(SHORTENED, "ok")),
        ],
    ),
    "ids-that-look-alike-once-cleaned": (
        [U("a"), A(None, TC("a b"), TC("a_b", "g")), T("a_b", "2"), T("a b", "1")],
        [
            user("a"),
            assistant(tu("a_b"), tu("a_b_2", "g")),
            user(tr("a_b", "1"), tr("a_b_2", "2")),
        ],
    ),
    "an-empty-result": (
        [U("a"), A(None, TC("c1")), T("c1", "")],
        [user("a"), assistant(tu("c1")), user(tr("c1"))],
    ),
    "no-parts": (
        [U("a"), A(None, TC("c1")), T("c1", [])],
        [user("a"), assistant(tu("c1")), user(tr("c1"))],
    ),
    "only-spaces": (
        [U("a"), A(None, TC("c1")), T("c1", "  \n")],
        [user("a"), assistant(tu("c1")), user(tr("c1"))],
    ),
    "a-result-in-parts": (
        [U("a"), A(None, TC("c1")), T("c1", [text("a"), text("b")])],
        [user("a"), assistant(tu("c1")), user(tr("c1", [text("a"), text("b")]))],
    ),
    "cursor-sends-anthropic-results": (
        [U("a"), A(None, TC("c1")), U([tr("c1", [text("x")]), text("next")])],
        [user("a"), assistant(tu("c1")), user(tr("c1", [text("x")]), "next")],
    ),
    "cursor-mixes-both-forms": (
        [U("a"), A(None, TC("c1")), U([tr("c1", "x")]), T("c1", "x")],
        [user("a"), assistant(tu("c1")), user(tr("c1", "x"))],
    ),
    "a-call-in-both-forms-is-one": (
        [U("a"), A([tu("c1")], TC("c1")), T("c1", "x")],
        [user("a"), assistant(tu("c1")), user(tr("c1", "x"))],
    ),
    "results-go-before-text": (
        [U("a"), A([tu("c1")]), U([text("t"), tr("c1", "x")])],
        [user("a"), assistant(tu("c1")), user(tr("c1", "x"), "t")],
    ),
    "input-as-a-json-string": (
        [U("a"), A([{**tu("c1"), "input": '{"a":1}'}]), T("c1", "x")],
        [user("a"), assistant(tu("c1", a=1)), user(tr("c1", "x"))],
    ),
    "a-function-message-without-a-call": (
        [U("a"), {"role": "function", "name": "f", "content": "r"}],
        [user("a", "Tool result for call_fn: r")],
    ),
    "a-late-result-is-text": (
        [U("a"), A(None, TC("c1")), U("b"), A("c"), T("c1", "x")],
        [
            user("a"),
            assistant(tu("c1")),
            user(tr("c1", **NO_RESULT), "b"),
            assistant("c"),
            user("Tool result for c1: x"),
        ],
    ),
    "an-orphan-keeps-its-image": (
        [U("a"), U([tr("c9", [text("x"), {"type": "image", "source": PNG}])])],
        [user("a", "Tool result for c9: x", {"type": "image", "source": PNG})],
    ),
    "ids-that-are-missing": (
        [U("a"), A(None, TC(None, "f"), TC("", "g")), T(None, "1"), T("", "2")],
        [
            user("a"),
            assistant(tu("call_2_0", "f"), tu("call_2_1", "g")),
            user(tr("call_2_0", "1"), tr("call_2_1", "2")),
        ],
    ),
    "an-error-stays-an-error": (
        [U("a"), A([tu("c1")]), U([tr("c1", "x", is_error=True)])],
        [user("a"), assistant(tu("c1")), user(tr("c1", "x", is_error=True))],
    ),
    "a-call-then-system-without-result": (
        [U("a"), A(None, TC("c1")), S("late")],
        [
            user("a"),
            assistant(tu("c1")),
            user(tr("c1", **NO_RESULT), "<system-reminder>late</system-reminder>"),
        ],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), PAIRS.values(), ids=PAIRS)
def test_pairs(messages: list, expected: list) -> None:
    translation = chat(*messages, tools=TOOLS)
    assert translation.request["messages"] == expected
    finished(translation)


def test_an_image_within_a_result() -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG['data']}"}}
    messages = chat(U("a"), A(None, TC("c1")), T("c1", [part]), tools=TOOLS).request["messages"]
    assert messages[2] == user(tr("c1", [{"type": "image", "source": PNG}]))


def test_legacy_functions() -> None:
    translation = chat(
        U("a"),
        A(None, function_call={"name": "f", "arguments": "{}"}),
        {"role": "function", "name": "f", "content": "r"},
        A(None, function_call={"name": "f", "arguments": '{"a":1}'}),
        {"role": "function", "name": "f", "content": "s"},
        functions=[{"name": "f", "parameters": {}}],
    )
    assert translation.request["messages"] == [
        user("a"),
        assistant(tu("call_fn")),
        user(tr("call_fn", "r")),
        assistant(tu("call_fn_2", a=1)),
        user(tr("call_fn_2", "s")),
    ]
    assert translation.reply.legacy_functions
    assert translation.request["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    finished(translation)


def test_a_history_with_calls_needs_tools() -> None:
    translation = chat(U("a"), A(None, TC("c1", "g"), TC("c2", "g")), T("c1", "x"))
    assert translation.request["tools"] == [{"name": "g", "input_schema": {"type": "object"}}]
    assert translation.request["tool_choice"] == {"type": "none"}
    finished(translation)


def test_sixty_parallel_calls() -> None:
    calls = [TC(f"c{i}") for i in range(60)]
    results = [T(f"c{i}", str(i)) for i in reversed(range(60))]
    messages = chat(U("a"), A(None, *calls), *results, tools=TOOLS).request["messages"]
    assert messages[1:] == [
        assistant(*(tu(f"c{i}") for i in range(60))),
        user(*(tr(f"c{i}", str(i)) for i in range(60))),
    ]


@pytest.mark.parametrize("call_id", ["c1", "", "x" * 64], ids=["short", "missing", "longest"])
def test_thousands_of_calls_with_one_id_in_a_second(call_id: str) -> None:
    history = [m for _ in range(3000) for m in (A(None, TC(call_id)), T(call_id, "x"))]
    with cpu_below():
        request = chat(U("a"), *history, tools=TOOLS).request
    ids = [b["id"] for m in request["messages"] for b in m["content"] if b["type"] == "tool_use"]
    assert len(set(ids)) == 3000
    assert max(map(len, ids)) <= 64


def test_a_longer_history_keeps_the_ids() -> None:
    history = [
        m for i in range(6) for m in (U(str(i)), A(None, TC("c1")), T("c1", str(i)), A("ok"))
    ]
    whole = chat(*history, tools=TOOLS).request["messages"]
    for end in (4, 8, 12, 16, 20):
        shorter = chat(*history[: end - 1], tools=TOOLS).request["messages"]
        assert json.dumps(whole).startswith(json.dumps(shorter)[:-1])
