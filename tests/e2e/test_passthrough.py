"""Models that are not Claude's go to OPENAI_BASE_URL, and what comes back is not touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, json_answer, sse
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import chat, message

OPENAI_KEY = "sk-openai-test"
CHAT = "/v1/chat/completions"
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
