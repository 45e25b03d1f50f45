"""Responses bodies, at their own address and (Cursor) at that of Chat Completions."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from addon.core.errors import BadRequest
from addon.translation.sealed_thinking import encode_summary, encode_thinking
from addon.translation.to_anthropic.hosted_tools import HOSTED_CALLS, HOSTED_OUTPUTS
from addon.translation.to_anthropic.request import translate_responses
from addon.translation.types import RequestOptions, Translation
from tests.translation.asking import (
    CATALOGUE,
    NO_RESULT,
    OPUS,
    TC,
    A,
    S,
    T,
    U,
    assistant,
    chat,
    finished,
    responses,
    text,
    tr,
    translated,
    tu,
    user,
)

FLAT = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
APPLY_PATCH = {"type": "custom", "name": "ApplyPatch", "format": {"type": "text"}}
PATCH = "*** Begin Patch"
THINKING = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "redacted_thinking", "data": "d"},
]


def said(role: str, words: str, **fields: Any) -> dict:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"role": role, "content": [{"type": kind, "text": words}], **fields}


def call(call_id: str, **fields: Any) -> dict:
    return {
        "type": "function_call",
        "id": "fc_1",
        "call_id": call_id,
        "name": "f",
        "arguments": "{}",
    } | fields


def output(call_id: str, given: Any) -> dict:
    return {"type": "function_call_output", "call_id": call_id, "output": given}


def reasoning(encrypted: Any) -> dict:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": encrypted}


SEALED = encode_thinking(THINKING)

ITEMS: dict[str, tuple[Any, list]] = {
    "input-text": ([said("user", "hi")], [user("hi")]),
    "a-message-with-its-type": ([said("user", "hi", type="message")], [user("hi")]),
    "parallel-calls": (
        [said("user", "a"), call("c1"), call("c2"), output("c2", "2"), output("c1", "1")],
        [user("a"), assistant(tu("c1"), tu("c2")), user(tr("c1", "1"), tr("c2", "2"))],
    ),
    "text-and-calls-are-one-turn": (
        [said("user", "a"), said("assistant", "b"), call("c1"), output("c1", "1")],
        [user("a"), assistant("b", tu("c1")), user(tr("c1", "1"))],
    ),
    "openais-reasoning-is-dropped": (
        [
            said("user", "a"),
            call("c1"),
            reasoning("gAAAA"),
            call("c2"),
            output("c1", "1"),
            output("c2", "2"),
        ],
        [user("a"), assistant(tu("c1"), tu("c2")), user(tr("c1", "1"), tr("c2", "2"))],
    ),
    "reasoning-of-claude-comes-back": (
        [said("user", "a"), reasoning(SEALED), said("assistant", "b"), said("user", "c")],
        [user("a"), assistant(*THINKING, "b"), user("c")],
    ),
    "reasoning-with-nothing-after-it-vanishes": (
        [said("user", "a"), reasoning(SEALED), said("user", "c")],
        [user("a", "c")],
    ),
    "custom-calls": (
        [
            said("user", "a"),
            {"type": "custom_tool_call", "call_id": "c1", "name": "ApplyPatch", "input": PATCH},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        ],
        [user("a"), assistant(tu("c1", "ApplyPatch", input=PATCH)), user(tr("c1", "ok"))],
    ),
    "a-string": ("x", [user("x")]),
    "an-empty-string": ("", [user("Begin.")]),
    "an-output-in-parts": (
        [
            said("user", "a"),
            call("c1"),
            output(
                "c1",
                [
                    {"type": "input_text", "text": "x"},
                    {"type": "input_image", "image_url": "https://x/y"},
                ],
            ),
        ],
        [
            user("a"),
            assistant(tu("c1")),
            user(
                tr(
                    "c1",
                    [text("x"), {"type": "image", "source": {"type": "url", "url": "https://x/y"}}],
                )
            ),
        ],
    ),
    "an-output-that-is-an-object": (
        [said("user", "a"), call("c1"), output("c1", {"a": 1})],
        [user("a"), assistant(tu("c1")), user(tr("c1", '{"a": 1}'))],
    ),
    "an-output-that-is-null": (
        [said("user", "a"), call("c1"), output("c1", None)],
        [user("a"), assistant(tu("c1")), user(tr("c1"))],
    ),
    "a-call-without-output": (
        [said("user", "a"), call("c1")],
        [user("a"), assistant(tu("c1")), user(tr("c1", **NO_RESULT))],
    ),
    "chat-messages-among-the-items": (
        [U("a"), A(None, TC("c1")), T("c1", "x")],
        [user("a"), assistant(tu("c1")), user(tr("c1", "x"))],
    ),
}


@pytest.mark.parametrize(("given", "messages"), ITEMS.values(), ids=ITEMS)
def test_items(given: Any, messages: list) -> None:
    own = responses(given, tools=[FLAT, APPLY_PATCH])
    assert own.request["messages"] == messages
    finished(own)
    at_chat = chat(model=OPUS, input=given, tools=[FLAT, APPLY_PATCH])
    assert at_chat.request == own.request
    assert at_chat.reply.echo == {}


NOT_OURS: dict[str, Any] = {
    "another-vendors": "gAAAA",
    "null": None,
    "no-base64": "ccp1:%%%",
    "no-json": "ccp1:" + base64.b64encode(b"{").decode(),
    "too-deep": "ccp1:" + base64.b64encode(b"[" * 5000 + b"]" * 5000).decode(),
    "no-list": "ccp1:" + base64.b64encode(b"{}").decode(),
    "a-list-of-numbers": "ccp1:" + base64.b64encode(b"[1]").decode(),
    "other-blocks": "ccp1:" + base64.b64encode(json.dumps([text("x")]).encode()).decode(),
    "no-signature": "ccp1:"
    + base64.b64encode(json.dumps([{"type": "thinking"}]).encode()).decode(),
    "not-ascii": "ccp1:é",
}


@pytest.mark.parametrize("encrypted", NOT_OURS.values(), ids=NOT_OURS)
def test_reasoning_that_is_not_claudes_is_dropped(encrypted: Any) -> None:
    items = [said("user", "a"), reasoning(encrypted), said("assistant", "b"), said("user", "c")]
    assert responses(items).request["messages"] == [user("a"), assistant("b"), user("c")]


def test_cursors_body() -> None:
    body = {
        "model": "gpt-5.5",
        "messages": [],
        "input": [said("system", "s"), said("user", "hi")],
        "tools": [FLAT, APPLY_PATCH],
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "prompt_cache_retention": "24h",
        "metadata": {"cursorRequestId": "x"},
    }
    translation = translated(body)
    assert translation.request["messages"] == [user("hi")]
    assert translation.request["system"] == [text("s")]
    assert translation.reply.include_usage
    assert (translation.thinking_request.effort, translation.thinking_request.display) == (
        "high",
        "summarized",
    )
    assert translation.ignored == ["text.verbosity", "metadata"]
    finished(translation)


def test_instructions_come_first() -> None:
    translation = responses([said("developer", "d"), said("user", "x")], instructions="i")
    assert translation.request["system"] == [text("i"), text("d")]
    assert translation.request["messages"] == [user("x")]


def test_messages_win_over_input() -> None:
    translation = chat(U("m"), input="i")
    assert translation.request["messages"] == [user("m")]
    assert translation.ignored == ["input"]


def test_system_at_both_places() -> None:
    translation = chat(S("b"), U("x"), system=[text("a")], instructions="i")
    assert translation.request["system"] == [text("i"), text("a"), text("b")]


def test_cursors_verify_button() -> None:
    messages = [S("You are a test assistant."), U("Testing. Just say hi and nothing else.")]
    translation = translated({"model": "gpt-4o", "messages": messages})
    assert translation.reply.model == "gpt-4o"
    assert translation.request["model"] == OPUS
    finished(translation)


REFUSED: dict[str, tuple[dict, str]] = {
    "conversation": ({"input": "x", "conversation": "conv_1"}, "conversation"),
    "stored-prompt": ({"input": "x", "prompt": {"id": "p"}}, "prompt"),
    "background": ({"input": "x", "background": True}, "background"),
    "no-input": ({}, "input"),
    "empty-input": ({"input": []}, "input"),
    "input-a-number": ({"input": 5}, "input"),
    "a-reference": ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    "a-reference-without-type": ({"input": [{"id": "x"}]}, "input[0].type"),
    "unknown-item": ({"input": [said("user", "a"), {"type": "hologram"}]}, "input[1].type"),
    "item-no-object": ({"input": ["x"]}, "input[0]"),
    "call-without-name": ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
    "bad-output": ({"input": [call("c1"), output("c1", [5])]}, "input[1].output[0]"),
    "instructions-a-list": ({"input": "x", "instructions": ["a"]}, "instructions"),
}


@pytest.mark.parametrize(("body", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(body: dict, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        responses(
            **{"given": None, **{("given" if k == "input" else k): v for k, v in body.items()}}
        )
    assert error.value.param == param


def test_a_previous_response_is_ignored_at_the_chat_address() -> None:
    translation = chat(model=OPUS, input="x", previous_response_id="resp_1")
    assert translation.ignored == ["previous_response_id"]


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SHOWN = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
}
HOSTED: dict[str, tuple[dict, dict]] = {
    "shell": (
        {"type": "shell_call", "id": "i", "call_id": "s1", "action": {"commands": ["ls", "pwd"]}},
        assistant(
            "[shell_call of a hosted tool]\ncall_id: s1\ncommands: ls\ncommands: pwd",
        ),
    ),
    "what-the-shell-printed": (
        {
            "type": "shell_call_output",
            "call_id": "s1",
            "output": [
                {"stdout": "a\nb", "stderr": "", "outcome": {"type": "exit", "exit_code": 1}}
            ],
        },
        user(
            "[shell_call_output of a hosted tool]\ncall_id: s1\nstdout: a\nb\ntype: exit\nexit_code: 1"
        ),
    ),
    "a-patch-that-failed": (
        {
            "type": "apply_patch_call_output",
            "call_id": "p1",
            "status": "failed",
            "output": "no file",
        },
        user(
            "[apply_patch_call_output of a hosted tool]\ncall_id: p1\nstatus: failed\noutput: no file"
        ),
    ),
    "a-screenshot": (
        {
            "type": "computer_call_output",
            "call_id": "c1",
            "output": {
                "type": "computer_screenshot",
                "image_url": f"data:image/png;base64,{PIXEL}",
            },
        },
        user("[computer_call_output of a hosted tool]\ncall_id: c1", SHOWN),
    ),
    "a-screenshot-that-is-not-here": (
        {
            "type": "computer_call_output",
            "call_id": "c1",
            "output": {"type": "computer_screenshot", "file_id": "f"},
        },
        user("[computer_call_output of a hosted tool]\ncall_id: c1\ntype: computer_screenshot"),
    ),
    "an-image": (
        {
            "type": "image_generation_call",
            "id": "i",
            "status": "completed",
            "result": PIXEL,
            "revised_prompt": "a dot",
        },
        user("[image_generation_call of a hosted tool]\nrevised_prompt: a dot", SHOWN),
    ),
    "an-mcp-call": (
        {
            "type": "mcp_call",
            "id": "m",
            "server_label": "dice",
            "name": "roll",
            "arguments": "{}",
            "output": "4",
        },
        assistant(
            "[mcp_call of a hosted tool]\nserver_label: dice\nname: roll\narguments: {}\noutput: 4"
        ),
    ),
    "mcp-tools": (
        {
            "type": "mcp_list_tools",
            "id": "m",
            "server_label": "dice",
            "tools": [{"name": "roll", "input_schema": {}}],
        },
        assistant("[mcp_list_tools of a hosted tool]\nserver_label: dice\ntools: roll"),
    ),
    "an-approval": (
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        user(
            "[mcp_approval_response of a hosted tool]\napproval_request_id: m\napprove: true",
        ),
    ),
    "code-with-an-image": (
        {
            "type": "code_interpreter_call",
            "id": "i",
            "code": "plot()",
            "outputs": [
                {"type": "logs", "logs": "ok"},
                {"type": "image", "url": f"data:image/png;base64,{PIXEL}"},
            ],
        },
        user(
            "[code_interpreter_call of a hosted tool]\ncode: plot()\ntype: logs\nlogs: ok",
            SHOWN,
        ),
    ),
}


@pytest.mark.parametrize("case", HOSTED)
def test_hosted_tools_are_told_in_their_place(case: str) -> None:
    item, told = HOSTED[case]
    translation = responses([said("user", "a"), said("assistant", "b"), item, said("user", "c")])
    blocks = [b for message in translation.request["messages"] for b in message["content"]]
    first, second, *middle, last = blocks
    assert (first, second, middle, last) == (text("a"), text("b"), told["content"], text("c"))
    roles = [m["role"] for m in translation.request["messages"] if middle[0] in m["content"]]
    assert roles == [told["role"]]
    assert (translation.ignored, translation.notes) == ([], [])


def test_every_item_of_a_hosted_tool_is_told() -> None:
    for kind in sorted(HOSTED_CALLS | HOSTED_OUTPUTS):
        [_, *messages] = responses([said("user", "a"), {"type": kind}]).request["messages"]
        told = json.dumps([*messages, responses([{"type": kind}]).request["messages"][-1]])
        assert f"[{kind} of a hosted tool]" in told


def test_additional_tools() -> None:
    items = [said("user", "a"), {"type": "additional_tools", "role": "developer", "tools": [FLAT]}]
    translation = responses(items, tools=[APPLY_PATCH])
    assert [tool["name"] for tool in translation.request["tools"]] == ["ApplyPatch", "f"]
    assert translation.notes == []


def test_what_the_response_may_repeat_is_kept() -> None:
    fields = {
        "instructions": "i",
        "tools": [FLAT],
        "tool_choice": "auto",
        "metadata": {"a": "b"},
        "text": {"verbosity": "low"},
        "user": "u",
        "max_output_tokens": 9,
        "reasoning": {"effort": "low"},
    }
    given = {**fields, "temperature": 0.5, "store": False, "truncation": "auto", "stream": True}
    assert responses("x", **given).reply.echo == fields


def test_a_configuration_update_holds_until_the_next() -> None:
    form = {"type": "json_object"}
    items = [
        said("user", "a"),
        {"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {"format": form}},
        {"type": "configuration_update", "reasoning": {"effort": "high"}},
    ]
    translation = responses(items, reasoning={"effort": "medium", "summary": "auto"})
    assert translation.thinking_request.effort == "high"
    assert translation.reply.json_object
    assert translation.reply.echo["reasoning"] == {"effort": "high", "summary": "auto"}
    assert translation.request["messages"] == [user("a")]


def test_a_summary_made_here_is_told() -> None:
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": encode_summary("Grüße")}
    (message,) = responses([compaction, said("user", "b")]).request["messages"]
    assert message == user("Summary of the conversation before:\n\nGrüße", "b")


@pytest.mark.parametrize("sealed", [None, "gAAAA", "ccps1:%", "ccps1:/w=="])
def test_a_summary_made_elsewhere_is_refused(sealed: str | None) -> None:
    with pytest.raises(BadRequest, match="was not created by this proxy") as refusal:
        responses([said("user", "a"), {"type": "compaction", "encrypted_content": sealed}])
    assert refusal.value.param == "input[1].encrypted_content"


def test_a_summary_that_was_cut_is_refused() -> None:
    sealed = encode_summary("Grüße, wie es war")
    for length in range(len(sealed)):
        with pytest.raises(BadRequest, match="not whole") as refusal:
            responses([{"type": "compaction", "encrypted_content": sealed[:length]}])
        assert refusal.value.param == "input[0].encrypted_content"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [{"type": "compaction_trigger"}]}, "input[0].type"),
        ({"generate": False}, "generate"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm"),
        ({"input": [{"type": "configuration_update", "text": []}]}, "input[0].text"),
    ],
)
def test_what_would_cost_a_response_is_refused_by_name(fields: dict, param: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        translated_responses({"model": OPUS, "input": "x", **fields})
    assert refusal.value.param == param


def test_tools_that_openai_runs_are_named_as_ignored() -> None:
    tools = [FLAT, {"type": "file_search"}, {"type": "file_search"}, {"type": "mcp", "a": 1}]
    assert responses("x", tools=tools).ignored == ["tools.file_search", "tools.mcp"]
    with pytest.raises(BadRequest, match="file_search: has no counterpart") as refusal:
        translated_responses({"model": OPUS, "input": "x", "tools": tools}, strict=True)
    assert refusal.value.param == "tools.file_search"
    assert responses("x", tools=[FLAT], generate=True).ignored == []


def translated_responses(body: dict, *, strict: bool = False) -> Translation:
    return translate_responses(body, CATALOGUE.get(OPUS), RequestOptions(strict=strict))
