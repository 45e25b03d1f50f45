"""Models that are not Claude's go to OPENAI_BASE_URL, and what comes back is not touched."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import openai
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import Answer, broken, delivered, json_answer, say, sse
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import chat, message
from tests.translation.client import read_sse

OPENAI_KEY = "sk-openai-test"
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
VERIFY = [
    {"role": "system", "content": "You are a test assistant."},
    {"role": "user", "content": "Testing. Just say hi and nothing else."},
]
RECORDED = (
    b': a comment\n\ndata: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}],"odd":[1, 2]}\n\n'
    b'event: extra\ndata: {"kept": true}\n\ndata: [DONE]\n\n'
)


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": "UPSTREAM",
        "MODEL_ALIASES": "gpt-4o=claude-haiku-4-5",
    }


def test_plain(world: World) -> None:
    completion = world.proxy.openai().chat.completions.create(**chat(model="gpt-5"))
    assert completion.choices[0].message.content == "Hello from the fake OpenAI."
    assert completion.model == "gpt-5"


def test_streamed(world: World) -> None:
    stream = world.proxy.openai().chat.completions.create(
        **chat(model="gpt-5"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "Hello from the fake OpenAI."
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == 16


@pytest.mark.parametrize("piece", [1, 7, None])
def test_a_streams_events_are_untouched(piece: int | None, world: World) -> None:
    world.fake.script(delivered(sse(RECORDED), piece=piece), when=CHAT)
    response = world.proxy.post(CHAT, chat(model="gpt-5", stream=True))
    events = RECORDED.removeprefix(b": a comment\n\n")
    assert response.content == events
    assert response.headers["x-ccproxy-source"] == "openai"


def test_the_body_goes_out_as_it_came(world: World) -> None:
    body = chat(model="gpt-5", temperature=0.3, seed=7, logit_bias={"1": 2}, unknown={"a": [1]})
    world.proxy.post(CHAT, body, headers={"x-canary": "1", "anthropic-beta": "x"})
    request = world.fake.requests[0]
    assert request.json == body and request.path == CHAT
    assert request.header("authorization") == f"Bearer {OPENAI_KEY}"
    names = {name.lower() for name, _ in request.headers}
    assert not names & {"x-canary", "anthropic-beta", "anthropic-version", "x-api-key"}


def test_silence_is_filled_here_too(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(
        OPENAI_API_KEY=OPENAI_KEY, OPENAI_BASE_URL="UPSTREAM", KEEPALIVE_SECONDS="0.3"
    )
    gate = Gate()
    fake.script(delivered(pause_after=2, pause=gate), when=CHAT)
    with proxy.openai().chat.completions.with_streaming_response.create(
        **chat(model="gpt-5"), stream=True
    ) as response:
        lines = response.iter_lines()
        assert any(line.startswith(": keepalive") for line in lines)
        gate.open()
        assert "data: [DONE]" in list(lines)


def test_a_stream_that_breaks_off_ends_in_an_error(world: World) -> None:
    world.fake.script(delivered(cut="fin", after_events=3), when=CHAT)
    with pytest.raises(openai.APIError):
        list(world.proxy.openai().chat.completions.create(**chat(model="gpt-5"), stream=True))


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_errors_are_told(status: int, world: World) -> None:
    error = {"error": {"message": "In plain words", "type": "x", "param": None, "code": "y"}}
    world.fake.script(json_answer(error, status), when=CHAT)
    with pytest.raises(openai.APIStatusError, match="In plain words") as caught:
        world.proxy.openai().chat.completions.create(**chat(model="gpt-5"))
    assert caught.value.status_code == status
    assert len(world.fake.requests) == 1


def test_an_alias_wins(world: World) -> None:
    completion = world.proxy.openai().chat.completions.create(**chat(model="GPT-4o"))
    assert completion.model == "GPT-4o"
    assert world.fake.messages()[0].json["model"].startswith("claude-haiku-4-5")


def test_claudes_own_endpoint_does_not_pass_on(world: World) -> None:
    response = world.proxy.post("/v1/messages", message(model="gpt-5"))
    assert response.status_code == 404 and response.json()["error"]["type"] == "not_found_error"
    assert world.untouched


def test_responses_are_passed_on_to_their_endpoint(world: World) -> None:
    answer = {"id": "resp_1", "object": "response", "output": [], "status": "completed"}
    world.fake.script(json_answer(answer), when="/v1/responses")
    response = world.proxy.post("/v1/responses", {"model": "gpt-5", "input": "Hi"})
    assert response.json() == answer
    assert world.fake.requests[0].path == "/v1/responses"


ENDS = {
    "completed": (Answer(), "response.completed", 200, None),
    "incomplete": (say(stop_reason="max_tokens"), "response.incomplete", 200, None),
    "failed": (broken("server_error", after=2), "response.failed", 500, "server_error"),
    "limited": (broken("rate_limit_exceeded"), "response.failed", 429, "rate_limit_exceeded"),
    "cut": (
        delivered(cut="fin", after_events=6), "response.failed", 502, "upstream_disconnect",
    ),
    "left open": (
        delivered(pause_after=13, pause=30.0), "response.completed", 200, None,
    ),
}  # fmt: skip
"""How OpenAI ends a Responses stream: the last event that the client gets, the status and error that are recorded."""


@pytest.mark.parametrize(("answer", "last", "status", "error"), ENDS.values(), ids=ENDS)
def test_a_responses_stream_ends_once_and_is_recorded_as_it_ended(
    answer: Answer, last: str, status: int, error: str | None, world: World
) -> None:
    world.fake.script(answer, when=RESPONSES)
    body = {"model": "gpt-5", "input": "Hi", "stream": True}
    events = read_sse(world.proxy.post(RESPONSES, body).content)
    types = [name for name, _ in events]
    ended = [name for name in types if name in ("response.completed", "response.incomplete")]
    assert [*ended, *(name for name in types if name == "response.failed")] == [last]
    assert [json.loads(data)["sequence_number"] for _, data in events] == [*range(len(events))]
    record = newest(world)
    assert (record["status"], record["error"], record["source"]) == (status, error, "openai")
    assert record["outputTokens"] == (5 if status == 200 else 0)


def test_the_sdk_reads_a_passed_on_responses_stream(world: World) -> None:
    with world.proxy.openai().responses.stream(model="gpt-5", input="Hi") as stream:
        whole = stream.get_final_response()
    assert (whole.output_text, whole.status) == ("Hello from the fake OpenAI.", "completed")
    assert newest(world)["inputTokens"] == 7


def test_a_plain_response_is_recorded_with_its_usage(world: World) -> None:
    whole = world.proxy.openai().responses.create(model="gpt-5", input="Hi")
    assert whole.usage and whole.usage.total_tokens == 16
    record = newest(world)
    assert (record["status"], record["inputTokens"], record["outputTokens"]) == (200, 7, 5)


def newest(world: World, seconds: float = 5.0) -> dict[str, Any]:
    """The record of the request that the fake received last, which is made a moment after its end."""
    wanted = f"req_{world.fake.requests[-1].number:024d}"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        (record,) = world.proxy.get("/analytics/requests?limit=1").json()["requests"]
        if record["requestId"] == wanted:
            return dict(record)
    raise AssertionError("it was not recorded")


def test_without_a_key_a_404_says_what_to_set_and_cursors_verify_is_answered(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    """Cursor's Verify button names a model of its own list, whatever is set up."""
    proxy = start_proxy(DEFAULT_MODEL="claude-haiku-4-5")
    response = proxy.post(CHAT, chat(model="gpt-5"))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, "model_not_found")
    assert "OPENAI_API_KEY" in error["message"] and "MODEL_ALIASES" in error["message"]
    assert not fake.connections
    verify = {"model": "gpt-5", "messages": VERIFY, "temperature": 1, "stream": False}
    response = proxy.post(CHAT, verify)
    assert response.status_code == 200 and response.json()["model"] == "gpt-5"
    assert fake.messages()[0].json["model"].startswith("claude-haiku-4-5")


def test_an_alias_of_another_api_s_model_goes_out_under_its_real_name(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(
        OPENAI_API_KEY="sk-openai-test", OPENAI_BASE_URL=fake.url, MODEL_ALIASES="mini=gpt-5.5-mini"
    )
    assert proxy.post("/v1/chat/completions", chat(model="mini")).status_code == 200
    assert fake.requests[-1].json["model"] == "gpt-5.5-mini"


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions"])
def test_what_only_openai_has_is_passed_on(path: str, world: World) -> None:
    given = {"object": "list", "data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    world.fake.script(json_answer(given), when=path)
    body = {"model": "text-embedding-3-small", "input": ["a"], "prompt": "a"}
    response = world.proxy.post(path, body)
    assert (response.status_code, response.json()) == (200, given)
    (request,) = world.fake.requests
    assert (request.path, request.json) == (path, body)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions"])
def test_claude_lacks_them(path: str, world: World) -> None:
    response = world.proxy.post(path, {"model": "claude-opus-4-8", "input": "a", "prompt": "a"})
    assert response.status_code == 404
    assert response.json()["error"]["message"].startswith("Claude ")
    assert world.untouched
