"""What the anthropic SDK's types allow, the stand-in accepts: each block, tool and field of a request, beta ones too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from anthropic.types.anthropic_beta_param import AnthropicBetaParam

from addon.stand_in.messages import Judge
from addon.stand_in.record import JsonObject
from addon.stand_in.stream import Turn, text
from tests.stand_in import sdk_types
from tests.stand_in.client import BY_KEY, asking

CALL = {"id": "toolu_1", "name": "look", "input": {}}
"""In place of the SDK's shortest values where a rule looks at them."""
PNG = "iVBORw0KGgo="
FILLED: dict[str, JsonObject] = {
    "image": {"source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    "tool_use": CALL,
    "enabled": {"budget_tokens": 1024},
    "tool_result": {"tool_use_id": "toolu_1"},
}
BY_ASSISTANT = {
    "thinking",
    "redacted_thinking",
    "tool_use",
    "compaction",
    "fallback",
    "mcp_tool_use",
}
NAMED = {"name": "x", "input_schema": {"type": "object"}}
MODELS = {"enabled": "claude-opus-4-6", "between_tools": "claude-sonnet-5-5"}
"""Models that take these kinds of thinking, which Opus 5 refuses."""
LOOK = {"name": "look", "input_schema": {"type": "object"}}


def all_betas() -> str:
    """Every beta that the SDK knows by name."""
    names = (choice for choice in sdk_types.choices(AnthropicBetaParam) if choice is not str)
    return ",".join(name for literal in names for name in sdk_types.names(literal))


HEADERS = list((BY_KEY | {"anthropic-beta": all_betas()}).items())


def accept(body: JsonObject, judge: Judge | None = None) -> None:
    """Raises what the stand-in refuses the body with."""
    (judge or Judge()).accept(HEADERS, json.dumps(body).encode())


def variants(kind: Any) -> Iterator[JsonObject]:
    """The smallest value of a TypedDict, and that with each further field alone."""
    smallest = sdk_types.example(kind) | FILLED.get(sdk_types.type_of(kind), {})
    yield smallest
    for name, of in sdk_types.fields(kind).items():
        if name not in smallest:
            yield smallest | {name: sdk_types.example(of)}


def request_fields() -> list[tuple[str, Any]]:
    """Each field of a request with each kind of value that it takes."""
    found: list[tuple[str, Any]] = []
    for name, value in sdk_types.request_fields():
        filled = FILLED.get(value.get("type"), {}) if isinstance(value, dict) else {}
        found.append((name, value | filled if filled else value))
    return found


def kinds(found: Iterable[Any]) -> list[Any]:
    """A test case for each TypedDict."""
    return [pytest.param(kind, id=kind.__name__) for kind in dict.fromkeys(found)]


def messages(block: JsonObject) -> list[JsonObject]:
    """A conversation in which this block may stand."""
    kind = block["type"]
    user = {"role": "user", "content": "Hi"}
    if kind == "tool_use":
        result = {"type": "tool_result", "tool_use_id": block["id"]}
        return [
            user,
            {"role": "assistant", "content": [block]},
            {"role": "user", "content": [result]},
        ]
    if kind == "tool_result":
        call = {"type": "tool_use", **CALL}
        return [
            user,
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [block]},
        ]
    if kind in ("tool_addition", "tool_removal"):
        return [user, {"role": "system", "content": [block]}]
    if kind.endswith("_tool_result"):
        use = "mcp_tool_use" if kind.startswith("mcp") else "server_tool_use"
        call = {"type": use, "id": block["tool_use_id"], "name": "web_search", "input": {}}
        return [user, {"role": "assistant", "content": [call, block]}, user]
    if kind in BY_ASSISTANT:
        return [user, {"role": "assistant", "content": [block, text("Hello.")]}, user]
    if kind == "server_tool_use":
        return [user, {"role": "assistant", "content": [block]}]
    return [{"role": "user", "content": [block]}]


@pytest.mark.parametrize("kind", kinds(kind for _, kind in sdk_types.blocks()))
def test_each_block_is_accepted_with_each_of_its_fields(kind: Any) -> None:
    for block in variants(kind):
        judge = Judge()
        body = asking(model="claude-opus-5", tools=[LOOK]) | {"messages": messages(block)}
        if block["type"] in ("thinking", "redacted_thinking"):
            body["messages"][1]["content"] = signed(judge, block)
        accept(body, judge)


def signed(judge: Judge, block: JsonObject) -> list[JsonObject]:
    """An answer with thinking that the stand-in itself signed."""
    asked = asking("Hi", model="claude-opus-5")
    unsigned = {"signature": None} if block["type"] == "thinking" else {}
    taken = judge.accept(HEADERS, json.dumps(asked).encode())
    return list(judge.answer(taken, Turn(blocks=(block | unsigned, text("Hello."))))["content"])


@pytest.mark.parametrize("kind", kinds(sdk_types.result_parts()))
def test_each_part_of_a_tool_result_is_accepted(kind: Any) -> None:
    for part in variants(kind):
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [part]}
        accept(asking(tools=[LOOK]) | {"messages": messages(result)})


@pytest.mark.parametrize("kind", kinds(sdk_types.tools()))
def test_each_tool_is_accepted_with_each_of_its_fields(kind: Any) -> None:
    for tool in variants(kind):
        accept(asking("Hi", tools=[tool]))


def test_each_field_of_a_request_is_accepted() -> None:
    for field, value in request_fields():
        kind = value.get("type") if field == "thinking" else None
        model = MODELS.get(kind, "claude-opus-5")
        accept(asking("Hi", model=model, tools=[NAMED]) | {field: value})


USER: JsonObject = {"role": "user", "content": "Hi"}
RESULT: JsonObject = {"type": "tool_result", "tool_use_id": "toolu_0"}
SUMMARY: JsonObject = {"type": "compaction", "content": "So far."}


def says(role: str, *blocks: JsonObject) -> JsonObject:
    return {"role": role, "content": list(blocks)}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [says("assistant", text("Hello.")), USER]},
        {"messages": [USER, says("assistant", text(" ")), USER]},
        {"messages": [says("assistant", SUMMARY), USER]},
        {"messages": [USER, says("assistant", SUMMARY)]},
        {
            "messages": [says("user", RESULT)],
            "thread": {"type": "continue", "previous_message_id": "m"},
        },
        {"messages": [USER, says("assistant", text("a"))], "compaction": {"type": "summarize"}},
        {"messages": [USER, says("assistant", text("a"))], "fallback_credit_token": "t"},
        {"messages": [USER, {"role": "system", "output_config": {"effort": "low"}}]},
        {
            "messages": [USER],
            "output_format": {"type": "json_schema", "schema": {"type": "object"}},
        },
    ],
    ids=[
        "an answer first",
        "an answer with blank text",
        "a summary first",
        "a summary last",
        "a result alone in a thread that goes on",
        "a request for a summary",
        "a fallback that goes on",
        "a system message with output_config alone",
        "the older output_format",
    ],
)
def test_conversations_that_look_odd_are_accepted(fields: JsonObject) -> None:
    accept(asking(model="claude-opus-5") | fields)
