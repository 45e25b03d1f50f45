"""Each refusal has a body that must be refused, with the API's own words, and a neighbour that must pass."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.stand_in.models import table
from addon.stand_in.refusal import Refusal
from addon.stand_in.rules import BETA_KEYS, KEYS, Asked, check
from addon.stand_in.rules_shape import check_shape

MODELS = table()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(40)).decode()
OBJECT = {"type": "object", "properties": {}}
CALL = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "ok"}
CHOICE = {"type": "any"}
MANUAL = {"type": "enabled", "budget_tokens": 1024}
INTERLEAVED = "interleaved-thinking-2025-05-14"
BINDING = "thinking-binding-controls-2026-08-01"


def body(**fields: Any) -> dict[str, Any]:
    """A minimal body; a field given as `...` is left out."""
    made = {"model": "claude-opus-4-8", "max_tokens": 4096, "messages": [user("hi")], **fields}
    return {key: value for key, value in made.items() if value is not ...}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": _blocks(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": _blocks(content)}


def system(content: str) -> dict[str, Any]:
    return {"role": "system", "content": content}


def text(content: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": content, **fields}


def tool(name: str | None = "f", **fields: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": OBJECT, **fields}


def image(media_type: str = "image/png", data: Any = PNG) -> dict[str, Any]:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": media_type, "data": data},
    }


def linked(url: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "url", "url": url}}


def marked(content: str, ttl: str | None = None) -> dict[str, Any]:
    mark = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
    return text(content, cache_control=mark)


def says(*messages: Any, **fields: Any) -> dict[str, Any]:
    return body(messages=list(messages), **fields)


def looped(call: Any = CALL, result: Any = RESULT, **fields: Any) -> dict[str, Any]:
    return says(user("hi"), assistant(call), user(result), tools=[tool()], **fields)


def on(model: str, **fields: Any) -> dict[str, Any]:
    return body(model=model, **fields)


def wants(schema: Any, **fields: Any) -> dict[str, Any]:
    return body(output_config={"format": {"type": "json_schema", "schema": schema}}, **fields)


def _blocks(content: Any) -> Any:
    return content[0] if len(content) == 1 and isinstance(content[0], str) else list(content)


def refusal_of(given: dict[str, Any], **asked: Any) -> str | None:
    """What the rules say to this body; None when they accept it."""
    try:
        check_shape(given)
        check(Asked(body=given, model=MODELS[given["model"]], **asked))
    except Refusal as refusal:
        return refusal.message
    return None


FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
SERVER_CALL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}

REFUSED: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    # name, refused body, words of the refusal, accepted neighbour
    ("no model", body(model=...), "model: Field required", body()),
    ("messages no list", body(messages="hi"), "messages: Input should be a valid list", body()),
    ("unknown key", body(foo=1), "foo: Extra inputs are not permitted", body(stream=True)),
    (
        "retired output_format",
        body(output_format={}),
        "output_format: Extra",
        body(output_config={}),
    ),
    ("a null", body(tools=None), "tools: Input should not be null", body(tools=[])),
    ("no max_tokens", body(max_tokens=...), "max_tokens: Field required", body(max_tokens=0)),
    ("max_tokens as text", body(max_tokens="9"), "valid integer", body(max_tokens=9)),
    ("max_tokens negative", body(max_tokens=-1), "greater than or equal to 0", body(max_tokens=1)),
    (
        "max_tokens over the model's",
        on("claude-opus-4-5", max_tokens=64_001),
        "64001 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5",
        on("claude-opus-4-5", max_tokens=64_000),
    ),
    # sampling
    (
        "temperature on 5.x",
        on("claude-opus-5-5", temperature=1),
        "`temperature` is deprecated",
        on("claude-opus-5-5"),
    ),
    (
        "temperature 0 on 4.8",
        body(temperature=0),
        "`temperature` is deprecated",
        body(temperature=1),
    ),
    ("top_k on 4.8", body(top_k=5), "`top_k` is deprecated", on("claude-opus-4-6", top_k=5)),
    (
        "temperature with top_p",
        on("claude-sonnet-4-5", temperature=0.5, top_p=0.5),
        "cannot both be specified",
        on("claude-sonnet-4-5", temperature=0.5),
    ),
    (
        "temperature of 2",
        on("claude-opus-4-6", temperature=2),
        "range: 0..1",
        on("claude-opus-4-6", temperature=0),
    ),
    (
        "temperature with manual thinking",
        on("claude-opus-4-5", temperature=0.5, thinking=MANUAL),
        "`temperature` may only be set to 1 when thinking is enabled",
        on("claude-opus-4-5", temperature=1, thinking=MANUAL),
    ),
    (
        "top_p with manual thinking",
        on("claude-opus-4-5", top_p=0.9, thinking=MANUAL),
        "`top_p` must be greater than or equal to 0.95",
        on("claude-opus-4-5", top_p=0.95, thinking=MANUAL),
    ),
    (
        "top_k with manual thinking",
        on("claude-opus-4-5", top_k=5, thinking=MANUAL),
        "`top_k` must be unset",
        on("claude-opus-4-5", top_k=5),
    ),
    # settings
    (
        "whitespace stop",
        body(stop_sequences=["\n"]),
        "non-whitespace",
        body(stop_sequences=["END"]),
    ),
    ("metadata key", body(metadata={"a": 1}), "metadata.a: Extra", body(metadata={"user_id": "x"})),
    ("service tier", body(service_tier="flex"), "service_tier", body(service_tier="standard_only")),
    (
        "fast on a slow model",
        on("claude-sonnet-5", speed="fast"),
        "not supported",
        on("claude-opus-5-5", speed="fast"),
    ),
    # thinking
    (
        "thinking unknown",
        body(thinking={"type": "on"}),
        "Input tag 'on'",
        body(thinking={"type": "adaptive"}),
    ),
    (
        "manual thinking on an adaptive model",
        on("claude-opus-5", thinking=MANUAL),
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
        on("claude-opus-4-5", thinking=MANUAL),
    ),
    (
        "adaptive thinking on a manual model",
        on("claude-haiku-4-5", thinking={"type": "adaptive"}),
        "adaptive thinking is not supported on this model",
        on("claude-sonnet-4-6", thinking={"type": "adaptive"}),
    ),
    (
        "disabled on an always-thinking model",
        on("claude-opus-5-5", thinking={"type": "disabled"}),
        '"thinking.type.disabled" is not supported',
        on("claude-haiku-5-5", thinking={"type": "disabled"}),
    ),
    (
        "between_tools elsewhere than on Sonnet 5.5",
        on("claude-opus-5-5", thinking={"type": "between_tools"}),
        '"thinking.type.between_tools" is not supported',
        on("claude-sonnet-5-5", thinking={"type": "between_tools"}),
    ),
    (
        "disabled on Sonnet 5.5",
        on("claude-sonnet-5-5", thinking={"type": "disabled"}),
        '"thinking.type.disabled" is not supported',
        on("claude-sonnet-5", thinking={"type": "disabled"}),
    ),
    (
        "display with between_tools",
        on("claude-sonnet-5-5", thinking={"type": "between_tools", "display": "summarized"}),
        "thinking.between_tools.display: Extra inputs",
        on("claude-sonnet-5-5", thinking={"type": "adaptive", "display": "summarized"}),
    ),
    (
        "display unknown",
        body(thinking={"type": "adaptive", "display": "all"}),
        "thinking.adaptive.display",
        body(thinking={"type": "adaptive", "display": "omitted"}),
    ),
    (
        "budget with adaptive",
        body(thinking={"type": "adaptive", "budget_tokens": 2000}),
        "thinking.adaptive.budget_tokens: Extra inputs",
        body(thinking={"type": "adaptive"}),
    ),
    (
        "no budget",
        on("claude-opus-4-5", thinking={"type": "enabled"}),
        "thinking.enabled.budget_tokens: Field required",
        on("claude-opus-4-5", thinking=MANUAL),
    ),
    (
        "budget under 1024",
        on("claude-opus-4-5", thinking=MANUAL | {"budget_tokens": 1023}),
        "greater than or equal to 1024",
        on("claude-opus-4-5", thinking=MANUAL),
    ),
    (
        "budget not under max_tokens",
        on("claude-opus-4-5", max_tokens=2000, thinking=MANUAL | {"budget_tokens": 2000}),
        "`max_tokens` must be greater than `thinking.budget_tokens`",
        on("claude-opus-4-5", max_tokens=2001, thinking=MANUAL | {"budget_tokens": 2000}),
    ),
    # effort
    (
        "effort unknown",
        body(output_config={"effort": "ultra"}),
        "output_config.effort",
        body(output_config={"effort": "max"}),
    ),
    (
        "effort on Sonnet 4.5",
        on("claude-sonnet-4-5", output_config={"effort": "low"}),
        "does not support the effort parameter",
        on("claude-opus-4-5", output_config={"effort": "low"}),
    ),
    (
        "xhigh on 4.6",
        on("claude-opus-4-6", output_config={"effort": "xhigh"}),
        "does not support effort level 'xhigh'",
        on("claude-opus-4-6", output_config={"effort": "max"}),
    ),
    (
        "max with thinking off",
        on("claude-opus-5", thinking={"type": "disabled"}, output_config={"effort": "max"}),
        "not supported when thinking is turned off",
        on("claude-opus-5", thinking={"type": "disabled"}, output_config={"effort": "high"}),
    ),
    # structured outputs
    (
        "output_config key",
        body(output_config={"a": 1}),
        "output_config.a: Extra",
        body(output_config={"effort": "low"}),
    ),
    (
        "format type",
        body(output_config={"format": {"type": "json_object"}}),
        "output_config.format.type",
        wants({"type": "string"}),
    ),
    (
        "format without schema",
        body(output_config={"format": {"type": "json_schema"}}),
        "output_config.format.schema: Field required",
        wants({"type": "string"}),
    ),
    (
        "format with OpenAI's name",
        body(output_config={"format": {"type": "json_schema", "schema": {}, "name": "x"}}),
        "output_config.format.name: Extra",
        wants({}),
    ),
    (
        "open object",
        wants({"type": "object"}),
        "'additionalProperties' must",
        wants({"type": "object", "additionalProperties": False}),
    ),
    (
        "open object inside",
        wants({"type": "array", "items": {"type": "object"}}),
        "'additionalProperties' must",
        wants({"type": "array", "items": {"type": "string"}}),
    ),
    (
        "numeric limit",
        wants({"type": "integer", "minimum": 1}),
        "For 'integer' type, properties minimum are not supported",
        wants(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {"minimum": {"type": "integer"}},
            }
        ),
    ),
    # tools
    (
        "tool type",
        body(tools=[tool(type="function")]),
        "tools.0: Input tag 'function'",
        body(tools=[tool(type="custom")]),
    ),
    (
        "tool key",
        body(tools=[tool(parameters={})]),
        "tools.0.custom.parameters: Extra",
        body(tools=[tool(strict=True)]),
    ),
    (
        "tool without name",
        body(tools=[tool(name=None)]),
        "tools.0.custom.name: Field required",
        body(tools=[tool()]),
    ),
    (
        "illegal tool name",
        body(tools=[tool("a b")]),
        "tools.0.custom.name: String should match",
        body(tools=[tool("a-b_C1")]),
    ),
    ("tool name of 129", body(tools=[tool("x" * 129)]), "{1,128}", body(tools=[tool("x" * 128)])),
    (
        "tools of one name",
        body(tools=[tool(), tool()]),
        "Tool names must be unique",
        body(tools=[tool("f"), tool("g")]),
    ),
    (
        "null description",
        body(tools=[tool(description=None)]),
        "description",
        body(tools=[tool(description="d")]),
    ),
    (
        "no schema",
        body(tools=[{"name": "f"}]),
        "input_schema: Field required",
        body(tools=[tool()]),
    ),
    (
        "schema without type",
        body(tools=[tool(input_schema={})]),
        "input_schema.type: Field required",
        body(tools=[tool()]),
    ),
    (
        "schema of an array",
        body(tools=[tool(input_schema={"type": "array"})]),
        "input_schema.type: Input should be 'object'",
        body(tools=[tool(input_schema={"type": "object"})]),
    ),
    (
        "root anyOf",
        body(tools=[tool(input_schema={"type": "object", "anyOf": []})]),
        "does not support oneOf, allOf, or anyOf at the top level",
        body(
            tools=[
                tool(input_schema=OBJECT | {"properties": {"a": {"anyOf": [{"type": "string"}]}}})
            ]
        ),
    ),
    (
        "draft-04 exclusiveMinimum",
        body(tools=[tool(input_schema=OBJECT | {"properties": {"a": {"exclusiveMinimum": True}}})]),
        "draft 2020-12",
        body(tools=[tool(input_schema=OBJECT | {"properties": {"a": {"exclusiveMinimum": 1}}})]),
    ),
    # tool_choice
    (
        "tool_choice as text",
        body(tools=[tool()], tool_choice="auto"),
        "tool_choice",
        body(tools=[tool()], tool_choice={"type": "auto"}),
    ),
    (
        "tool_choice with a parallel flag on none",
        body(tools=[tool()], tool_choice={"type": "none", "disable_parallel_tool_use": True}),
        "tool_choice.none.disable_parallel_tool_use: Extra",
        body(tools=[tool()], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    ),
    (
        "tool_choice without tools",
        body(tool_choice={"type": "auto"}),
        "only be specified while providing tools",
        body(tool_choice={"type": "none"}),
    ),
    (
        "forced choice on a model that refuses it",
        on("claude-opus-5-5", tools=[tool()], tool_choice=CHOICE),
        'tool_choice: type "tool" and "any" are not supported for this model.',
        on("claude-opus-5", tools=[tool()], tool_choice=CHOICE),
    ),
    (
        "forced choice with manual thinking",
        on("claude-opus-4-5", tools=[tool()], tool_choice=CHOICE, thinking=MANUAL),
        "Thinking may not be enabled when tool_choice forces tool use",
        on("claude-opus-4-6", tools=[tool()], tool_choice=CHOICE, thinking={"type": "adaptive"}),
    ),
    (
        "choice of an unknown tool",
        body(tools=[tool()], tool_choice={"type": "tool", "name": "g"}),
        "Tool 'g' not found",
        body(tools=[tool()], tool_choice={"type": "tool", "name": "f"}),
    ),
    # system
    (
        "empty system text",
        body(system=[text("")]),
        "system: text content blocks must be non-empty",
        body(system=[text("a")]),
    ),
    (
        "empty system text",
        body(system=[text("")]),
        "system: text content blocks must be non-empty",
        body(system=[text(" ")]),
    ),
    ("image in system", body(system=[image()]), "system.0.type", body(system=[text("a")])),
    # messages
    ("no messages", body(messages=[]), "at least one message is required", body()),
    ("message key", says(user("a") | {"name": "x"}), "messages.0.name: Extra", says(user("a"))),
    (
        "a system message first",
        says(system("a"), user("b")),
        "messages.0: a `system` message must follow a `user` message",
        says(assistant("a"), user("b"), system("c")),
    ),
    (
        "unknown role",
        says({"role": "tool", "content": "a"}),
        "messages.0.role: Input should be",
        says(user("a")),
    ),
    ("empty content", says(user("")), "all messages must have non-empty content", says(user("a"))),
    (
        "null content",
        says({"role": "user", "content": None}),
        "messages.0.content",
        says(user("a")),
    ),
    (
        "empty text block",
        says(user(text("a"), text(""))),
        "text content blocks must be non-empty",
        says(user(text("a"), text("b"))),
    ),
    (
        "blank text block",
        says(user(text(" \n"))),
        "must contain non-whitespace text",
        says(user("a"), assistant(text(" \n")), user("b")),
    ),
    (
        "system role on a model without it",
        says(user("a"), system("s"), model="claude-sonnet-5"),
        'Unexpected role "system"',
        says(user("a"), system("s"), model="claude-opus-4-8"),
    ),
    (
        "system before a user turn",
        says(user("a"), system("s"), user("b")),
        "messages.1: a `system` message must follow",
        says(user("a"), system("s"), assistant("b"), user("c")),
    ),
    (
        "system after an assistant turn",
        says(user("a"), assistant("b"), system("s")),
        "messages.2: a `system` message must follow",
        says(user("a"), assistant("b"), user("c"), system("s")),
    ),
    (
        "prefill on 4.6 and later",
        says(user("a"), assistant("b"), model="claude-opus-4-6"),
        "This model does not support assistant message prefill.",
        says(user("a"), assistant("b"), model="claude-opus-4-5"),
    ),
    (
        "prefill that only looks paused",
        says(user("a"), assistant(SERVER_CALL, text("b"))),
        "This model does not support assistant message prefill.",
        says(user("a"), assistant(text("b"), SERVER_CALL)),
    ),
    (
        "prefill that ends in a space",
        says(user("a"), assistant("b "), model="claude-opus-4-5"),
        "cannot end with trailing whitespace",
        says(user("a"), assistant(" b"), model="claude-opus-4-5"),
    ),
    (
        "prefill with a format",
        wants({}, messages=[user("a"), assistant("b")], model="claude-opus-4-5"),
        "not supported with `output_config.format`",
        wants({}, messages=[user("a")], model="claude-opus-4-5"),
    ),
    # blocks
    (
        "unknown block",
        says(user({"type": "image_url"})),
        "Input tag 'image_url'",
        says(user(image())),
    ),
    (
        "unknown block key",
        says(user(text("a", foo=1))),
        "messages.0.content.0.text.foo: Extra",
        says(user(text("a"))),
    ),
    (
        "call by the user",
        says(user(CALL)),
        "`tool_use` blocks can only be in `assistant`",
        looped(),
    ),
    (
        "result by the assistant",
        says(user("a"), assistant(RESULT)),
        "`tool_result` blocks can only be in `user`",
        looped(),
    ),
    (
        "illegal call id",
        looped(CALL | {"id": "a|b"}),
        "tool_use.id: String should match",
        looped(CALL | {"id": "a-b"}, RESULT | {"tool_use_id": "a-b"}),
    ),
    (
        "illegal name in a call",
        looped(CALL | {"name": "a b"}),
        "tool_use.name: String",
        looped(CALL | {"name": "a_b"}),
    ),
    (
        "call input as text",
        looped(CALL | {"input": "{}"}),
        "tool_use.input: Input should be a valid dict",
        looped(CALL | {"input": {"a": 1}}),
    ),
    (
        "illegal result id",
        looped(result=RESULT | {"tool_use_id": "a|b"}),
        "tool_result.tool_use_id",
        looped(),
    ),
    (
        "empty text in a result",
        looped(result=RESULT | {"content": [text("")]}),
        "non-empty",
        looped(result=RESULT | {"content": []}),
    ),
    # pairing
    (
        "call without result",
        says(user("a"), assistant(CALL), user("b")),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: c1",
        looped(),
    ),
    (
        "call at the end",
        says(user("a"), assistant(CALL), model="claude-opus-4-5"),
        "`tool_use` ids were found without",
        looped(model="claude-opus-4-5"),
    ),
    (
        "one of two calls without result",
        says(user("a"), assistant(CALL, CALL | {"id": "c2"}), user(RESULT)),
        "immediately after: c2",
        says(
            user("a"),
            assistant(CALL, CALL | {"id": "c2"}),
            user(RESULT, RESULT | {"tool_use_id": "c2"}),
        ),
    ),
    (
        "result without call",
        says(user("a"), assistant("b"), user(RESULT)),
        "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: c1",
        looped(),
    ),
    (
        "result in the first message",
        says(user(RESULT)),
        "messages.0.content.0: unexpected `tool_use_id`",
        looped(),
    ),
    (
        "result after text",
        says(user("a"), assistant(CALL), user(text("b"), RESULT)),
        "without `tool_result` blocks immediately after",
        says(user("a"), assistant(CALL), user(RESULT, text("b"))),
    ),
    (
        "system between call and result",
        says(user("a"), assistant(CALL), system("s"), user(RESULT)),
        "a `system` message must follow",
        says(user("a"), assistant(CALL), user(RESULT), system("s")),
    ),
    (
        "two results of one call",
        says(user("a"), assistant(CALL), user(RESULT, RESULT)),
        "each tool_use must have a single result",
        looped(),
    ),
    (
        "two calls of one id",
        says(user("a"), assistant(CALL, CALL), user(RESULT)),
        "`tool_use` ids must be unique",
        says(user("a"), assistant(CALL), user(RESULT), assistant(CALL), user(RESULT)),
    ),
    (
        "a server tool without its result",
        says(user("a"), assistant(SERVER_CALL), user("b")),
        "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
        "`web_search_tool_result` block",
        says(user("a"), assistant(SERVER_CALL, FOUND), user("b")),
    ),
    (
        "a server tool without its result beside a call with one",
        says(user("a"), assistant(SERVER_CALL, CALL), user(RESULT, text("b"))),
        "`web_search` tool use with id `srvtoolu_1` was found without",
        says(user("a"), assistant(SERVER_CALL, CALL), user(RESULT), assistant(FOUND), user("b")),
    ),
    (
        "a server tool's result without its call",
        says(user("a"), assistant(FOUND), user("b")),
        "messages.1.content.0: unexpected `tool_use_id` found in `web_search_tool_result` blocks: srvtoolu_1",
        says(user("a"), assistant(SERVER_CALL, FOUND), user("b")),
    ),
    # images
    ("svg", says(user(image("image/svg+xml"))), "media_type: Input should be", says(user(image()))),
    (
        "jpeg called png",
        says(user(image(data=JPEG))),
        "appears to be a image/jpeg",
        says(user(image("image/jpeg", JPEG))),
    ),
    (
        "no image at all",
        says(user(image(data="AAAA"))),
        "Could not process image",
        says(user(image())),
    ),
    ("broken base64", says(user(image(data="%%%"))), "Invalid base64", says(user(image()))),
    (
        "null for base64",
        says(user(image(data=None))),
        "base64.data: Input should be a valid string",
        says(user(image())),
    ),
    (
        "no base64",
        says(user({"type": "image", "source": {"type": "base64", "media_type": "image/png"}})),
        "base64.data: Field required",
        says(user(image())),
    ),
    (
        "http image",
        says(user(linked("http://a/b.png"))),
        "Only HTTPS",
        says(user(linked("https://a/b.png"))),
    ),
    (
        "101 images in a 200K window",
        says(user(*[image()] * 101), model="claude-haiku-4-5"),
        "too many images and documents: 101 + 0 > 100",
        says(user(*[image()] * 101), model="claude-opus-5"),
    ),
    (
        "101 images, one of them in a result",
        looped(result=RESULT | {"content": [image()] * 101}, model="claude-haiku-4-5"),
        "too many images and documents: 101",
        looped(result=RESULT | {"content": [image()] * 100}, model="claude-haiku-4-5"),
    ),
    # cache marks
    (
        "five marks",
        says(user(*[marked("a")] * 5)),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        says(user(*[marked("a")] * 4)),
    ),
    (
        "five marks with the top-level one",
        says(user(*[marked("a")] * 4), cache_control={"type": "ephemeral"}),
        "Found 5.",
        says(user(*[marked("a")] * 3), cache_control={"type": "ephemeral"}),
    ),
    (
        "an hour after five minutes",
        says(user(marked("a", "1h")), system=[marked("s", "5m")]),
        "ttl='1h' cache_control block must not come after a ttl='5m'",
        says(user(marked("a", "5m")), system=[marked("s", "1h")]),
    ),
    (
        "another ttl",
        says(user(marked("a", "30m"))),
        "messages.0.content.0.cache_control.ephemeral.ttl: Input should be",
        says(user(marked("a", "1h"))),
    ),
    (
        "another kind of mark",
        says(user(text("a", cache_control={"type": "forever"}))),
        "cache_control.type: Input should be 'ephemeral'",
        says(user(marked("a"))),
    ),
    (
        "mark on a thinking block",
        says(
            user("a"),
            assistant(
                {
                    "type": "thinking",
                    "thinking": "",
                    "signature": "s",
                    "cache_control": {"type": "ephemeral"},
                },
                text("b"),
            ),
            user("c"),
        ),
        "thinking.cache_control: Extra inputs",
        says(
            user("a"),
            assistant({"type": "thinking", "thinking": "", "signature": "s"}, marked("b")),
            user("c"),
        ),
    ),
]


@pytest.mark.parametrize(
    ("refused", "words", "accepted"),
    [pytest.param(refused, words, accepted, id=name) for name, refused, words, accepted in REFUSED],
)
def test_refused_with_the_apis_words_and_its_neighbour_accepted(
    refused: dict[str, Any], words: str, accepted: dict[str, Any]
) -> None:
    assert words in (refusal_of(refused) or "accepted")
    assert refusal_of(accepted) is None


CIRCUMSTANCES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    # name, body, refused when, accepted when, words
    (
        "beta field without its flag",
        body(context_management={}),
        {},
        {"betas": frozenset({"context-management-2025-06-27"})},
        "context_management: Extra inputs",
    ),
    (
        "fast mode in preview without its flag",
        on("claude-opus-5", speed="fast"),
        {},
        {"betas": frozenset({"fast-mode-2026-02-01"})},
        "speed: Extra inputs",
    ),
    (
        "block_binding without its flag",
        on(
            "claude-opus-5-5",
            thinking={
                "type": "adaptive",
                "block_binding": {"prefix_mismatch_behavior": "drop_block"},
            },
        ),
        {},
        {"betas": frozenset({BINDING})},
        "thinking.adaptive.block_binding: Extra inputs",
    ),
    (
        "budget over max_tokens without interleaving",
        on("claude-sonnet-4-5", max_tokens=2000, thinking=MANUAL | {"budget_tokens": 9000}),
        {},
        {"betas": frozenset({INTERLEAVED})},
        "`max_tokens` must be greater",
    ),
    (
        "sampling under the new version",
        on("claude-opus-4-6", temperature=1),
        {"version": "2026-10-21"},
        {"version": "2023-06-01"},
        "temperature: Extra inputs",
    ),
    (
        "citations in user text under the new version",
        says(user(text("a", citations=[{"type": "char_location"}]))),
        {"version": "2026-10-21"},
        {"version": "2023-06-01"},
        "citations: Extra inputs",
    ),
    (
        "document of the assistant under the new version",
        says(user("a"), assistant({"type": "document", "source": {}}), user("b")),
        {"version": "2026-10-21"},
        {"version": "2023-06-01"},
        "`document` blocks can only be in `user` messages",
    ),
    (
        "an hour on a subscription",
        says(user(marked("a", "1h"))),
        {"long_ttl": False},
        {"long_ttl": True},
        "ttl: Extra inputs",
    ),
    (
        "max_tokens in count_tokens",
        body(),
        {"counting": True},
        {"counting": False},
        "max_tokens: Extra inputs",
    ),
    (
        "no max_tokens",
        body(max_tokens=...),
        {"counting": False},
        {"counting": True},
        "max_tokens: Field required",
    ),
]


@pytest.mark.parametrize(
    ("given", "refused", "accepted", "words"),
    [pytest.param(*case, id=name) for name, *case in CIRCUMSTANCES],
)
def test_the_same_body_is_refused_or_accepted_by_circumstance(
    given: dict[str, Any], refused: dict[str, Any], accepted: dict[str, Any], words: str
) -> None:
    assert words in (refusal_of(given, **refused) or "accepted")
    assert refusal_of(given, **accepted) is None


def test_haiku_4_5_has_no_interleaving_so_its_budget_stays_under_max_tokens() -> None:
    given = on("claude-haiku-4-5", max_tokens=2000, thinking=MANUAL | {"budget_tokens": 9000})
    assert "`max_tokens` must be greater" in str(refusal_of(given, betas=frozenset({INTERLEAVED})))


def takes(**properties: Any) -> dict[str, Any]:
    """A body whose tool has these properties."""
    return body(tools=[tool(input_schema=OBJECT | {"properties": properties})])


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ({"items": [{"type": "string"}]}, {"prefixItems": [{"type": "string"}]}),
        ({"properties": []}, {"properties": {}}),
        ({"properties": None}, {"additionalItems": [1]}),
        ({"description": None}, {"description": ""}),
        ({"enum": None}, {"enum": [None]}),
        ({"type": "any"}, {"type": ["string", "null"]}),
        ({"type": "STRING"}, {"type": "string"}),
        ({"required": ["a", "a"]}, {"required": []}),
        ({"anyOf": []}, {"anyOf": [True]}),
        ({"minLength": -1}, {"minLength": 1.0}),
        ({"not": {"items": {"maximum": "1"}}}, {"not": {"items": {"maximum": 1.5}}}),
    ],
)
def test_a_schema_must_be_one_of_draft_2020_12_at_every_level(bad: Any, good: Any) -> None:
    said = refusal_of(takes(a={"type": "array", "items": bad}))
    assert said is not None
    assert said.startswith("tools.0.custom.input_schema: JSON schema is invalid")
    assert refusal_of(takes(a={"type": "array", "items": good})) is None


@pytest.mark.parametrize("name", ["filter[id]", "$top", "名前", "a" * 65, "a b", ""])
def test_the_names_of_a_tools_own_arguments_are_plain(name: str) -> None:
    words = "properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"
    assert words in (refusal_of(takes(**{name: {}})) or "accepted")
    assert refusal_of(takes(a={"properties": {name: {}}})) is None


@pytest.mark.parametrize("model", MODELS)
def test_every_model_accepts_a_plain_request(model: str) -> None:
    assert refusal_of(on(model)) is None


NAMES = ["type", "text", "content", "id", "name", "source", "cache_control", "ttl", "input", "data"]
KINDS = ["text", "image", "tool_use", "tool_result", "thinking", "document", "base64", "ephemeral"]
KINDS += ["search_result", "server_tool_use", "web_search_tool_result", "compaction"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", " ", "user", *KINDS]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=10,
)
BLOCK = st.builds(
    lambda kind, rest: rest | {"type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4),
)
SOURCE = st.fixed_dictionaries(
    {"type": st.sampled_from(["base64", "url", "file"]) | ANYTHING},
    optional={
        "media_type": st.just("image/png") | ANYTHING,
        "data": st.sampled_from([PNG, JPEG, "é", None]) | ANYTHING,
        "url": ANYTHING,
    },
)
IMAGE = st.builds(lambda source: {"type": "image", "source": source}, SOURCE)
FIELDS = st.sampled_from(sorted((KEYS | BETA_KEYS.keys()) - {"model", "stream"}))


@given(model=st.sampled_from(sorted(MODELS)), field=FIELDS, value=ANYTHING)
def test_whatever_a_field_holds_is_judged(model: str, field: str, value: Any) -> None:
    # Anything but a Refusal fails the test.
    betas = frozenset(BETA_KEYS.values())
    assert refusal_of(on(model, **{field: value}), betas=betas) != ""


@given(role=st.sampled_from(["user", "assistant"]), content=st.lists(BLOCK | IMAGE, max_size=2))
def test_whatever_a_message_holds_is_judged(role: str, content: Any) -> None:
    assert refusal_of(says(user("a"), {"role": role, "content": content}, user("b"))) != ""
