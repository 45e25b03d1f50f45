"""What people reported of proxies like this one: requests that were refused, stuck or sent as something else.

Each case is a request and what has to reach Anthropic, which the stand-in judges as well.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import httpx
import pytest

from addon.stand_in.script import Answer, fail, say
from tests.e2e.conftest import World
from tests.e2e.proxy import chat, message
from tests.e2e.talk import PIXEL

zstd: Any = pytest.importorskip(
    "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
)

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
PATHS = pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
type JsonObject = dict[str, Any]


def ask(
    world: World, path: str, body: JsonObject, *answers: Answer, **options: Any
) -> tuple[httpx.Response, JsonObject]:
    """The response, which has to be a good one, and the last body that reached Anthropic."""
    world.fake.script(list(answers) or say("done"))
    response = world.proxy.post(path, body, **options)
    assert response.status_code == 200, response.text
    return response, world.fake.messages()[-1].json or {}


def body_for(path: str, **more: Any) -> JsonObject:
    model = more.pop("model", "claude-opus-4-8")
    if path == RESPONSES:
        return {"model": model, "input": "Hi", **more}
    return (message if path == MESSAGES else chat)("Hi", model, **more)


def tool(parameters: Any, name: str = "f") -> JsonObject:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def schema_of(sent: JsonObject) -> JsonObject:
    schema: JsonObject = sent["tools"][0]["input_schema"]
    return schema


# ------------------------------------------------------------------------------------------------------------ tools


@pytest.mark.parametrize(
    "part",
    [
        {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": [{"type": "string"}], "additionalItems": False},
        {"type": "object", "properties": []},
        {"type": "object", "properties": None, "description": None},
        {"type": "string", "enum": None},
        {"type": "array", "items": None},
        {"type": "any"},
        {"type": "STRING"},
        {"type": "object", "properties": {"a": {}}, "required": ["a", "a"]},
    ],
    ids=str,
)
def test_a_schema_of_an_older_draft_is_sent_as_draft_2020_12(world: World, part: Any) -> None:
    ask(world, CHAT, chat(tools=[tool({"type": "object", "properties": {"p": part}})]))


@pytest.mark.parametrize("name", ["filter[id]", "$top", "名前", "x" * 70])
def test_a_property_that_anthropic_rejects_comes_back_under_its_name(
    world: World, name: str
) -> None:
    parameters = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    _, sent = ask(world, CHAT, chat(tools=[tool(parameters)]))
    (upstream,) = schema_of(sent)["properties"]
    assert schema_of(sent)["required"] == [upstream]
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {upstream: "1"}}
    world.fake.api.script.clear()
    response, _ = ask(world, CHAT, chat("again", tools=[tool(parameters)]), say(call))
    (made,) = response.json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {name: "1"}


def doubling(keyword: str, levels: int = 22) -> JsonObject:
    """Each level has the property of the level below twice, once among alternatives."""
    definitions: dict[str, JsonObject] = {
        "d0": {"type": "object", "properties": {"k": {"const": "0"}}}
    }
    for level in range(1, levels):
        below = {"$ref": f"#/$defs/d{level - 1}"}
        own = {"type": "object", "properties": {"k": {"const": str(level)}}}
        definitions[f"d{level}"] = {keyword: [below, {"anyOf": [below, own]}]}
    return {"$ref": f"#/$defs/d{levels - 1}", "$defs": definitions}


def chained(keyword: str, levels: int = 24) -> JsonObject:
    """Each definition names the next one twice."""
    below = [{f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2}} for n in range(levels)]
    last = {"type": "object", "properties": {"a": {"type": "string"}}}
    definitions = {name: part for one in below for name, part in one.items()}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{levels}": last}}


def nested(keyword: str, levels: int = 30) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": {"a": {"type": "string"}}}
    for level in range(levels):
        other = {"type": "object", "properties": {"a": {"type": "integer", "title": str(level)}}}
        schema = {"type": "object", keyword: [schema, other]}
    return schema


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize("build", [doubling, chained, nested])
def test_no_schema_grows_out_of_its_size(
    world: World, build: Callable[[str], JsonObject], keyword: str
) -> None:
    parameters = build(keyword)
    _, sent = ask(world, CHAT, chat(tools=[tool(parameters)]), timeout=8)
    assert len(json.dumps(schema_of(sent))) < 20 * len(json.dumps(parameters))


def test_a_namespaced_call_names_a_tool_that_was_declared(world: World) -> None:
    inner = {"type": "function", "name": "read", "parameters": {"type": "object"}}
    tools = [{"type": "namespace", "name": "files", "tools": [inner]}]
    call = {
        "type": "function_call",
        "call_id": "c1",
        "name": "read",
        "namespace": "files",
        "arguments": "{}",
    }
    result = {"type": "function_call_output", "call_id": "c1", "output": "x"}
    given = [{"role": "user", "content": "Hi"}, call, result]
    _, sent = ask(world, RESPONSES, {"model": "claude-opus-4-8", "input": given, "tools": tools})
    (used,) = [b["name"] for m in sent["messages"] for b in m["content"] if b["type"] == "tool_use"]
    assert used in [t["name"] for t in sent["tools"]]


def test_the_name_of_a_namespace_is_not_doubled(world: World) -> None:
    inner = {"type": "function", "name": "files", "parameters": {"type": "object"}}
    tools = [{"type": "namespace", "name": "files", "tools": [inner]}]
    call = {"type": "function_call", "call_id": "c1", "name": "files", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "x"}
    given = [{"role": "user", "content": "Hi"}, call, result]
    _, sent = ask(world, RESPONSES, {"model": "claude-opus-4-8", "input": given, "tools": tools})
    (used,) = [b["name"] for m in sent["messages"] for b in m["content"] if b["type"] == "tool_use"]
    assert used in [t["name"] for t in sent["tools"]]


def test_the_computer_goes_out_with_its_beta(world: World) -> None:
    computer = {
        "type": "computer_20251124",
        "name": "computer",
        "display_width_px": 1024,
        "display_height_px": 768,
    }
    _, sent = ask(world, CHAT, chat(tools=[computer]))
    assert sent["tools"][0]["type"] == "computer_20251124"
    assert "computer-use-2025-11-24" in (world.fake.messages()[-1].header("anthropic-beta") or "")


def test_no_tool_is_dropped_silently(world: World) -> None:
    advisor = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5"}
    response, sent = ask(world, CHAT, chat(tools=[advisor]))
    named = response.headers.get("x-ccproxy-ignored", "")
    assert "advisor" in named or "advisor" in json.dumps(sent.get("tools"))


# -------------------------------------------------------------------------------------------------------- histories

SEARCH = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "q"},
}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
FUNCTION = tool({"type": "object", "properties": {}})


def talk(*turns: Any) -> list[JsonObject]:
    """Messages, the user's first."""
    roles = ("user", "assistant")
    return [
        {"role": roles[n % 2], "content": [turn] if isinstance(turn, dict) else turn}
        for n, turn in enumerate(turns)
    ]


@pytest.mark.parametrize(
    "messages",
    [
        talk("Hi", SEARCH, "go on"),
        talk("Hi", FOUND, "go on"),
        talk("Hi", [SEARCH, CALL], [RESULT, {"type": "text", "text": "and?"}]),
        talk("Hi", [{"type": "text", "text": "a"}, SEARCH], "b", "c", "d"),
    ],
    ids=["call", "result", "with_a_result", "long_ago"],
)
def test_a_server_tool_without_its_other_half_is_not_sent(
    world: World, messages: list[JsonObject]
) -> None:
    ask(world, CHAT, {"model": "claude-opus-4-8", "messages": messages, "tools": [FUNCTION]})


@pytest.mark.parametrize(
    "messages",
    [talk("Hi", [SEARCH, CALL], RESULT), talk("Hi", [SEARCH, FOUND], "go on")],
    ids=["results_alone", "pair"],
)
def test_a_server_tool_stays_where_it_belongs(world: World, messages: list[JsonObject]) -> None:
    body = {"model": "claude-opus-4-8", "messages": messages, "tools": [FUNCTION]}
    _, sent = ask(world, CHAT, body)
    assert "server_tool_use" in json.dumps(sent["messages"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_paused_turn_is_one_answer(world: World, path: str, stream: bool) -> None:
    paused = say("one ", SEARCH, stop_reason="pause_turn")
    response, _ = ask(world, path, body_for(path, stream=stream), paused, say(FOUND, "two"))
    assert "one " in response.text and "two" in response.text


def test_a_result_as_text_and_as_parts_is_the_same_turn(world: World) -> None:
    """mini-swe-agent by LiteLLM sends a result as parts in one turn and as a string in the next."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    thought = {"type": "thinking", "thinking": "hm", "signature": None}
    tools, model = [FUNCTION], "claude-opus-4-8"
    thinking = {"type": "adaptive"}
    first = {"role": "user", "content": "mini-swe-agent"}
    body = {"model": model, "messages": [first], "tools": tools, "thinking": thinking}
    response, _ = ask(world, CHAT, body, say(thought, call))
    (made,) = response.json()["choices"][0]["message"]["tool_calls"]
    turn = {"role": "assistant", "content": None, "tool_calls": [made]}
    parts = [{"type": "text", "text": "result"}]
    done = {"role": "tool", "tool_call_id": made["id"], "content": parts}
    world.fake.api.script.clear()
    second = {**body, "messages": [first, turn, done]}
    response, _ = ask(world, CHAT, second, say(thought, {**call, "id": "toolu_2"}))
    (again,) = response.json()["choices"][0]["message"]["tool_calls"]
    turn_2 = {"role": "assistant", "content": None, "tool_calls": [again]}
    done_2 = {"role": "tool", "tool_call_id": again["id"], "content": "result 2"}
    world.fake.api.script.clear()
    _, sent = ask(
        world,
        CHAT,
        {**body, "messages": [first, turn, {**done, "content": "result"}, turn_2, done_2]},
    )
    assert json.dumps(sent["messages"]).count('"signature"') == 2


def test_thinking_survives_ids_that_a_client_rewrites(world: World) -> None:
    """agno numbers calls itself."""
    call = {"type": "tool_use", "id": "toolu_9", "name": "f", "input": {}}
    thought = {"type": "thinking", "thinking": "hm", "signature": None}
    first = {"role": "user", "content": "agno"}
    body = {"model": "claude-opus-4-8", "tools": [FUNCTION], "thinking": {"type": "adaptive"}}
    ask(world, CHAT, {**body, "messages": [first]}, say(thought, call))
    function = {"name": "f", "arguments": "{}"}
    made = {"id": "call_0000", "type": "function", "function": function}
    turn = {"role": "assistant", "content": None, "tool_calls": [made]}
    done = {"role": "tool", "tool_call_id": "call_0000", "content": "x"}
    world.fake.api.script.clear()
    _, sent = ask(world, CHAT, {**body, "messages": [first, turn, done]})
    assert '"signature"' in json.dumps(sent["messages"])


def test_thinking_told_as_text_is_not_sent_as_text(world: World) -> None:
    """pydantic-ai hands thinking back as `<think>…</think>`."""
    thought = {"type": "thinking", "thinking": "hm, well", "signature": None}
    first = {"role": "user", "content": "pydantic-ai"}
    body = {"model": "claude-opus-4-8", "thinking": {"type": "adaptive"}}
    ask(world, CHAT, {**body, "messages": [first]}, say(thought, "yes"))
    turn = {"role": "assistant", "content": "<think>\nhm, well\n</think>\n\nyes"}
    world.fake.api.script.clear()
    next_turn = {"role": "user", "content": "and?"}
    _, sent = ask(world, CHAT, {**body, "messages": [first, turn, next_turn]})
    assert "<think>" not in json.dumps(sent["messages"])


def test_responses_keeps_server_tools_between_thinking(world: World) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": None}
    call = {"type": "tool_use", "id": "toolu_7", "name": "f", "input": {}}
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
    asked = [{"role": "user", "content": "look"}]
    body = {"model": "claude-opus-4-8", "tools": tools, "reasoning": {"effort": "high"}}
    response, _ = ask(
        world, RESPONSES, {**body, "input": asked}, say(thought, SEARCH, FOUND, thought, call)
    )
    output = response.json()["output"]
    result = {"type": "function_call_output", "call_id": output[-1]["call_id"], "output": "x"}
    world.fake.api.script.clear()
    _, sent = ask(world, RESPONSES, {**body, "input": [*asked, *output, result]})
    kinds = [block["type"] for block in sent["messages"][1]["content"]]
    assert kinds == [
        *("thinking", "server_tool_use", "web_search_tool_result", "thinking", "tool_use"),
    ]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, "blocks"])
def test_equal_parts_of_a_tool_result_are_all_sent(world: World, path: str) -> None:
    parts = [{"type": "text", "text": text} for text in ("0", "0", "1")]
    if path == RESPONSES:
        output = [{"type": "input_text", "text": part["text"]} for part in parts]
        call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
        result = {"type": "function_call_output", "call_id": "c1", "output": output}
        given = [{"role": "user", "content": "Hi"}, call, result]
        _, sent = ask(world, RESPONSES, {"model": "claude-opus-4-8", "input": given})
    elif path == CHAT:
        function = {"name": "f", "arguments": "{}"}
        call = {"id": "c1", "type": "function", "function": function}
        turn = {"role": "assistant", "tool_calls": [call]}
        done = {"role": "tool", "tool_call_id": "c1", "content": parts}
        messages = [{"role": "user", "content": "Hi"}, turn, done]
        _, sent = ask(world, CHAT, {"model": "claude-opus-4-8", "messages": messages})
    else:
        messages = talk("Hi", CALL, {**RESULT, "content": parts})
        _, sent = ask(world, CHAT, {"model": "claude-opus-4-8", "messages": messages})
    (result,) = [b for b in sent["messages"][-1]["content"] if b["type"] == "tool_result"]
    assert [part["text"] for part in result["content"]] == ["0", "0", "1"]


REASONING = {"type": "reasoning", "text": "hm"}
SVG = "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()
PNG = f"data:image/png;base64,{PIXEL}"


@pytest.mark.parametrize(
    "turn",
    [
        [REASONING, {"type": "text", "text": "yes"}],
        [{"type": "image_url", "image_url": {"url": PNG}}, {"type": "text", "text": "yes"}],
        [{"type": "output_audio", "id": "a"}, {"type": "text", "text": "yes"}],
    ],
    ids=["reasoning", "image", "unknown"],
)
def test_an_old_answer_never_blocks_the_conversation(world: World, turn: Any) -> None:
    ask(world, CHAT, {"model": "claude-opus-4-8", "messages": talk("Hi", turn, "go on")})


def test_an_svg_in_an_old_result_never_blocks_the_conversation(world: World) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = {"role": "assistant", "tool_calls": [call]}
    image = [{"type": "image_url", "image_url": {"url": SVG}}]
    done = {"role": "tool", "tool_call_id": "c1", "content": image}
    answer, go_on = {"role": "assistant", "content": "ok"}, {"role": "user", "content": "go on"}
    messages = [{"role": "user", "content": "Hi"}, turn, done, answer, go_on]
    ask(world, CHAT, {"model": "claude-opus-4-8", "messages": messages})


def test_arguments_that_are_a_list_are_an_object(world: World) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "[]"}}
    turn = {"role": "assistant", "tool_calls": [call]}
    messages = [
        {"role": "user", "content": "Hi"},
        turn,
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    _, sent = ask(world, CHAT, {"model": "claude-opus-4-8", "messages": messages})
    assert sent["messages"][1]["content"][0]["input"] == {}


# ------------------------------------------------------------------------------------------------------------ files


def file_part(data: str, name: str = "a.csv") -> JsonObject:
    return {"type": "file", "file": {"file_data": data, "filename": name}}


def data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def first_block(sent: JsonObject) -> JsonObject:
    block: JsonObject = sent["messages"][0]["content"][0]
    return block


def test_a_file_at_an_address_is_sent_as_its_address(world: World) -> None:
    """OpenRouter's `file_data` may be a URL."""
    _, sent = ask(world, CHAT, chat([file_part("https://example.com/a.pdf", "a.pdf")]))  # type: ignore[arg-type]
    assert first_block(sent)["source"] == {"type": "url", "url": "https://example.com/a.pdf"}


JPEG_LABEL = {"type": "base64", "media_type": "image/jpeg", "data": PIXEL}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("inside", [False, True])
def test_an_image_has_its_true_type(world: World, path: str, inside: bool) -> None:
    image = {"type": "image", "source": JPEG_LABEL}
    turn = talk("Hi", CALL, {**RESULT, "content": [image]}) if inside else talk([image])
    body = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": turn}
    if inside:
        body["tools"] = [{"name": "f", "input_schema": {"type": "object"}}]
    _, sent = ask(world, path, body)
    assert "image/jpeg" not in json.dumps(sent)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (data_url("application/vnd.ms-excel", b"a;b\n1;2\n"), "text"),
        (data_url("application/octet-stream", b"fn main() {}\n"), "text"),
        (data_url("application/octet-stream", base64.b64decode(PIXEL)), "base64"),
        (data_url("application/x-python-code", b"print(1)\n"), "text"),
    ],
    ids=["csv", "code", "image", "python"],
)
def test_a_file_is_what_it_holds(world: World, url: str, kind: str) -> None:
    _, sent = ask(world, CHAT, chat([file_part(url)]))  # type: ignore[arg-type]
    assert first_block(sent)["source"]["type"] == kind


# ------------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "field",
    [{"temperature": 1}, {"top_p": 1}, {"temperature": 1.0, "top_p": 1.0}],
    ids=str,
)
def test_a_neutral_value_is_not_ignored(world: World, field: JsonObject) -> None:
    response, _ = ask(world, CHAT, chat(model="claude-opus-5-5", **field))
    assert "x-ccproxy-ignored" not in response.headers


def test_encrypted_reasoning_is_served(world: World) -> None:
    body = body_for(RESPONSES, include=["reasoning.encrypted_content"])
    response, _ = ask(world, RESPONSES, body)
    assert "include" not in response.headers.get("x-ccproxy-ignored", "")


def test_marks_of_tools_and_results_are_kept(world: World) -> None:
    mark = {"type": "ephemeral"}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    done = {"role": "tool", "tool_call_id": "c1", "content": "x", "cache_control": mark}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]
    tools = [{**FUNCTION, "cache_control": mark}]
    body = {"model": "claude-opus-4-8", "messages": [*messages, done], "tools": tools}
    _, sent = ask(world, CHAT, body)
    assert "cache_control" in sent["tools"][0]
    assert "cache_control" in sent["messages"][-1]["content"][0]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"free": {"type": "object"}}, "required": ["free"]},
        {"type": "object"},
        {
            "type": "object",
            "properties": {
                "rows": {"type": "array", "items": {"type": "object", "properties": {}}},
            },
            "required": ["rows"],
        },
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "object"}, {"type": "null"}]}}},
    ],
    ids=["property", "root", "rows", "union"],
)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_a_free_object_is_asked_for_in_words(world: World, path: str, schema: JsonObject) -> None:
    spec = {"name": "x", "schema": schema}
    form = {"type": "json_schema", "json_schema": spec}
    asked = {"response_format": form}
    if path == RESPONSES:
        asked = {"text": {"format": {"type": "json_schema", **spec}}}
    _, sent = ask(world, path, body_for(path, **asked))
    assert "format" not in sent.get("output_config", {})
    assert "JSON Schema" in json.dumps(sent["system"])


@PATHS
@pytest.mark.parametrize(
    "name", ["claude-haiku-4-5-20251001", "anthropic.claude-haiku-4-5-20251001-v1:0"]
)
def test_a_pinned_snapshot_is_asked_for(world: World, path: str, name: str) -> None:
    _, sent = ask(world, path, body_for(path, model=name))
    assert sent["model"] == "claude-haiku-4-5-20251001"


@pytest.mark.parametrize("stream", [False, True])
def test_more_tokens_than_the_model_has_are_brought_down(world: World, stream: bool) -> None:
    body = message(max_tokens=999_999, stream=stream)
    _, sent = ask(world, MESSAGES, body)
    assert sent["max_tokens"] == 128_000
    assert len(world.fake.messages()) == 2


def test_max_tokens_are_brought_down_once(world: World) -> None:
    words = "max_tokens: 999999 > 5000, which is the maximum allowed number of output tokens for x"
    world.fake.script(fail(400, words))
    response = world.proxy.post(MESSAGES, message(max_tokens=999_999))
    assert response.status_code == 400
    assert len(world.fake.messages()) == 2


@pytest.mark.parametrize(
    "name",
    [
        "us-gov.anthropic.claude-haiku-4-5",
        "us-gov.anthropic.claude-haiku-4-5-20251001-v1:0",
        "global.anthropic.claude-haiku-4-5-v1:0",
        "anthropic/claude-haiku-4.5:beta",
        "anthropic/claude-haiku-4.5:online",
        "openrouter/anthropic/claude-haiku-4.5:nitro",
        "claude-haiku-4-5@20251001",
    ],
)
def test_clouds_names_are_known(world: World, name: str) -> None:
    _, sent = ask(world, CHAT, chat(model=name))
    assert sent["model"] in ("claude-haiku-4-5", "claude-haiku-4-5-20251001")


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat//completions//",
        "//v1//v1/chat/completions",
    ],
)
def test_doubled_slashes_are_one(world: World, path: str) -> None:
    ask(world, path, chat())


# ----------------------------------------------------------------------------------------------------------- bodies

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.compress,
    "br": brotli.compress,
    "deflate": zlib.compress,
    "gzip": lambda raw: zlib.compress(raw, wbits=31),
}


@pytest.mark.parametrize("encoding", PACKED)
def test_a_packed_body_is_read(world: World, encoding: str) -> None:
    raw = PACKED[encoding](json.dumps(chat("packed")).encode())
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    _, sent = ask(world, CHAT, {}, content=raw, headers=headers)
    assert "packed" in json.dumps(sent)


@pytest.mark.parametrize("encoding", PACKED)
def test_a_packed_body_is_bounded(world: World, encoding: str) -> None:
    raw = PACKED[encoding](b" " * (40 << 20))
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    response = world.proxy.post(CHAT, content=raw, headers=headers)
    assert response.status_code == 413
    assert world.untouched


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("spoilt", ["cut", "other"])
def test_a_body_that_is_not_what_it_says_is_a_400(world: World, encoding: str, spoilt: str) -> None:
    raw = PACKED[encoding](json.dumps(chat("packed")).encode())[:-4]
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    content = raw if spoilt == "cut" else b"\x00no such thing"
    response = world.proxy.post(CHAT, content=content, headers=headers)
    assert response.status_code == 400
