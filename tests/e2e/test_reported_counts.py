"""What people reported of counts: conversations that a guess refused, and refusals in words that no client knows."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from addon.stand_in.script import fail, say, sse
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import chat, message
from tests.translation.upstream import message as answer
from tests.translation.upstream import stream_of
from tests.translation.upstream import text as said

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
PATHS = pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
SECRET = "Qm9ndXM/" * 150_000
"""1.2 MB, of which a guess by text makes 800K tokens."""
CALL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}


def pdf(content: bytes) -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source}


def scanned(pages: int) -> bytes:
    """Pages in a compressed object stream, each a picture of a megabyte."""
    objects = zlib.compress(b"<< /Type /Page >> " * pages)
    head = b"<< /Type /ObjStm /N %d /First 9 /Filter /FlateDecode >>\nstream\n" % pages
    return b"%PDF-1.7\n" + head + objects + b"\nendstream\n" + b"\xff" * (pages << 20)


def result(kind: str, content: Any) -> list[dict[str, Any]]:
    name = kind.removesuffix("_tool_result")
    return [{**CALL, "name": name}, {"type": kind, "tool_use_id": "srvtoolu_1", "content": content}]


OPAQUE: dict[str, list[dict[str, Any]]] = {
    "search": result(
        "web_search_tool_result",
        [
            {
                "type": "web_search_result",
                "url": "https://a.example",
                "title": "a",
                "encrypted_content": SECRET,
            }
        ],
    ),
    "fetched-pdf": result(
        "web_fetch_tool_result",
        {
            "type": "web_fetch_result",
            "url": "https://a.example/a.pdf",
            "content": pdf(b"%PDF-1.7 /Type /Page " + b"\xff" * 900_000),
        },
    ),
    "code": result(
        "bash_code_execution_tool_result",
        {"type": "encrypted_bash_code_execution_result", "encrypted_stdout": SECRET, "content": []},
    ),
}


@pytest.mark.parametrize("kind", OPAQUE)
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_opaque_results_shorten_nothing(world: World, path: str, kind: str) -> None:
    world.fake.rules.strict = False
    world.fake.script(say("done"))
    answer = {"role": "assistant", "content": [*OPAQUE[kind], {"type": "text", "text": "so"}]}
    turns = [
        {"role": "user", "content": f"look for {kind} by {path}"},
        answer,
        {"role": "user", "content": "and?"},
    ]
    response = world.proxy.post(path, message() | {"messages": turns})
    world.fake.rules.strict = True
    assert response.status_code == 200, response.text
    sent = world.fake.messages()[-1].json or {}
    assert len(json.dumps(sent)) > 800_000


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_scanned_pdf_is_sent(world: World, path: str) -> None:
    world.fake.script(say("done"))
    body = message() | {"messages": [{"role": "user", "content": [pdf(scanned(10))]}]}
    response = world.proxy.post(path, body)
    assert response.status_code == 200, response.text
    assert len(world.fake.messages()[-1].body) > 10 << 20


def test_many_image_addresses_are_sent(world: World) -> None:
    world.fake.script(say("done"))
    url = {"url": "https://a.example/a.png"}
    images = [{"type": "image_url", "image_url": url}] * 45
    body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": images}]}
    response = world.proxy.post(CHAT, body)
    assert response.status_code == 200, response.text
    assert world.fake.messages()[-1].body.count(b"a.example") == 45


def test_a_guess_above_the_window_is_left_to_anthropic(world: World) -> None:
    world.fake.script(say("done"))
    body = message("word " * 600_000, model="claude-haiku-4-5")
    response = world.proxy.post(MESSAGES, body)
    assert response.status_code == 200, response.text
    assert len(world.fake.messages()) == 1


REFUSAL = "prompt is too long: 213462 tokens > 200000 maximum"


@PATHS
@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_is_told_in_anthropics_words(
    start_proxy: StartProxy, world: World, path: str, stream: bool
) -> None:
    world.fake.script(fail(400, REFUSAL))
    body: dict[str, Any] = (message if path == MESSAGES else chat)(stream=stream)
    if path == RESPONSES:
        body = {"model": "claude-opus-4-8", "input": "Hi", "stream": stream}
    response = world.proxy.post(path, body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["message"].startswith(REFUSAL)
    if path == MESSAGES:
        assert error["type"] == "invalid_request_error"
    else:
        assert error["code"] == "context_length_exceeded"


@PATHS
def test_sums_of_several_prompts_refuse_nothing(world: World, path: str) -> None:
    """Code execution: 320,032 input tokens for a prompt of a third of that, and no count of tools in the usage."""
    result = {"type": "bash_code_execution_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    usage = {"input_tokens": 320_032, "output_tokens": 5}
    call = {**CALL, "name": "bash_code_execution"}
    world.fake.script(sse(stream_of(answer(call, result, said("done"), usage=usage))))
    text = f"run it, {path}. " * 8_000
    body: dict[str, Any] = (message if path == MESSAGES else chat)(text)
    if path == RESPONSES:
        body = {"model": "claude-opus-4-8", "input": text}
    for _ in range(3):
        response = world.proxy.post(path, body)
        assert response.status_code == 200, response.text
        assert len(world.fake.messages()[-1].body) > len(text)
