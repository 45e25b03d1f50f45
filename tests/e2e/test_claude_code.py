"""Claude Code through the proxy: what it sent is what Anthropic gets, and what Anthropic says is what it gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, fail, say
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import rejected

ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.197.abc; cc_entrypoint=cli;"
CLI = "You are Claude Code, Anthropic's official CLI for Claude."
IDENTITIES = (
    CLI,
    "You are Claude Code, Anthropic's official CLI for Claude, running within the Claude Agent SDK.",
    "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
)
MARK: dict[str, Any] = {"type": "ephemeral"}
BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14, prompt-caching-scope-2026-01-05"
HEADERS = {
    "Anthropic-Beta": BETAS,
    "anthropic-version": "2023-06-01",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-workspace-id": "wrkspc_1",
    "x-app": "cli",
    "x-stainless-lang": "js",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def request(**more: Any) -> dict[str, Any]:
    return {
        "model": "claude-opus-4-8",
        "max_tokens": 32_000,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi 🚀 é"}]},
        ],
        "system": [
            {"type": "text", "text": ATTRIBUTION},
            {"type": "text", "text": CLI, "cache_control": MARK},
            {"type": "text", "text": "Help with code.", "cache_control": MARK},
        ],
        "thinking": {"type": "adaptive"},
        "metadata": {"user_id": "u"},
        "temperature": 1,
        "stream": True,
        **more,
    }


def written(body: dict[str, Any]) -> bytes:
    """As no library of ours would write it."""
    return (
        json.dumps(body, indent=1, separators=(" , ", ": ")).encode().replace(b'"Hi', b'"\\u0048i')
    )


def send(
    world: World, content: bytes, path: str = "/v1/messages?beta=true&x=%20", **headers: str
) -> httpx.Response:
    return world.proxy.post(path, content=content, headers={**HEADERS, **headers})


def as_written(received: Received) -> list[tuple[str, str]]:
    """The headers that the proxy handed on."""
    return [(k, v) for k, v in received.headers if k.lower().startswith(("anthropic-", "trace"))]


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("attributed", [True, False])
def test_a_request_reaches_anthropic_byte_for_byte(
    identity: str, attributed: bool, world: World
) -> None:
    body = request()
    body["system"][1]["text"] = identity
    if not attributed:
        del body["system"][0]
    response = send(world, written(body))
    (received,) = world.fake.messages()
    assert response.status_code == 200, response.text
    assert received.body == written(body)
    assert received.target == "/v1/messages?beta=true&x=%20"
    assert "x-ccproxy-changed" not in response.headers
    added = f"{BETAS},oauth-2025-04-20"
    given = {k: v for k, v in HEADERS.items() if not k.startswith("x-")}
    assert dict(as_written(received)) == {**given, "Anthropic-Beta": added}


def test_headers_alone_tell_claude_code_and_keep_their_order(world: World) -> None:
    body = request(system="Name this conversation.")
    world.fake.access.need_system_line = False
    headers = [
        *HEADERS.items(),
        ("x-claude-code-session-id", "s-1"),
        ("x-claude-code-agent-id", "a-1"),
    ]
    headers.append(("x-claude-code-parent-agent-id", "a-0"))
    world.proxy.post("/v1/messages", content=written(body), headers=headers)
    world.fake.access.need_system_line = True
    (received,) = world.fake.messages()
    assert received.body == written(body)
    names = [name for name, _ in as_written(received)]
    assert names == [name for name in HEADERS if not name.startswith("x-")]
    record = world.proxy.get("/analytics/requests?limit=1").json()["requests"][0]
    assert (record["session"], record["agent"], record["parentAgent"]) == ("s-1", "a-1", "a-0")


@pytest.mark.parametrize("given", ["false", "null", "missing"])
def test_a_plain_request_has_its_one_field_set(given: str, world: World) -> None:
    body = request()
    text = written({**body, "stream": None if given == "null" else False})
    if given == "missing":
        del body["stream"]
        text = written(body)
    response = send(world, text)
    assert response.json()["type"] == "message"
    (received,) = world.fake.messages()
    if given == "missing":
        assert received.body == text[: text.rindex(b"\n}")] + b',"stream":true\n}'
    else:
        assert received.body == text.replace(b'"stream": ' + given.encode(), b'"stream": true')


def test_counting_passes_through(world: World) -> None:
    body = {name: request()[name] for name in ("model", "messages", "system")}
    response = send(world, written(body), "/v1/messages/count_tokens?beta=true")
    assert response.json()["input_tokens"] > 0
    (received,) = world.fake.requests
    assert (received.body, received.target) == (
        written(body),
        "/v1/messages/count_tokens?beta=true",
    )


def test_an_alias_is_the_only_thing_that_is_changed(world: World) -> None:
    body = request(model="claude-opus-4.8")
    response = send(world, written(body))
    assert response.headers["x-ccproxy-changed"] == "model"
    (received,) = world.fake.messages()
    assert received.body == written(request())


REFUSALS: dict[str, tuple[int, bytes]] = {
    "a signature": (
        400,
        b'{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: Invalid `signature` '
        b'in `thinking` block"},"request_id":"req_1"}',
    ),
    "too long": (
        400,
        b'{"type": "error", "error": {"type": "invalid_request_error",\n "message": "prompt is too long: 210000 tokens > '
        b'200000 maximum", "details": {"a": [1]}}, "request_id": "req_1"}',
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_comes_as_anthropic_said_it(case: str, world: World) -> None:
    status, told = REFUSALS[case]
    headers = {
        "anthropic-ratelimit-unified-5h-utilization": "0.4",
        "anthropic-ratelimit-requests-remaining": "3",
        "x-envoy": "inner",
    }
    world.fake.script(Answer(status=status, headers=headers, body=told))
    response = send(world, written(request()))
    assert (response.status_code, response.content) == (status, told)
    headers.pop("x-envoy")
    assert response.headers["request-id"].startswith("req_")
    assert headers.items() <= dict(response.headers).items()
    assert "x-envoy" not in response.headers
    assert len(world.fake.messages()) == 1


def test_it_falls_back_to_the_key_byte_for_byte(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(fail(429, headers=rejected()), when="oauth")
    response = proxy.post("/v1/messages", content=written(request()), headers=HEADERS)
    assert response.headers["x-ccproxy-source"] == "api_key"
    by_login, by_key = fake.messages()
    assert by_login.body == by_key.body == written(request())
    assert dict(as_written(by_key))["Anthropic-Beta"] == BETAS


@pytest.mark.parametrize(
    ("refusal", "header", "repaired", "left"),
    [
        (
            "The long context beta is not yet available for this subscription.",
            f"context-1m-2025-08-07,{BETAS}",
            "context-1m-2025-08-07",
            {},
        ),
        (
            "system.1.cache_control.ephemeral.ttl: Extra inputs are not permitted",
            BETAS,
            "ttl",
            {"system": request()["system"]},
        ),
        (
            "diagnostics: Extra inputs are not permitted",
            BETAS,
            "diagnostics",
            {"diagnostics": None},
        ),
    ],
)
def test_what_is_refused_by_name_is_left_out_and_remembered(
    refusal: str,
    header: str,
    repaired: str,
    left: Mapping[str, Any],
    fake: FakeAnthropic,
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy()
    hour = {**MARK, "ttl": "1h"}
    system = [
        {**b, "cache_control": hour} if "cache_control" in b else b for b in request()["system"]
    ]
    body = request(system=system, diagnostics={"previous_message_id": None})
    fake.rules.long_ttl.add("oauth")
    fake.script([fail(400, refusal), say("Hi"), say("again")])
    headers = {**HEADERS, "Anthropic-Beta": header}
    for number in range(2):
        response = proxy.post("/v1/messages", content=written(body), headers=headers)
        assert response.status_code == 200, response.text
        assert response.headers["x-ccproxy-repaired"] == repaired, number
    first, second, third = fake.messages()
    assert first.body == written(body)
    assert "context-1m-2025-08-07" not in second.betas | third.betas
    expected = {k: v for k, v in {**body, **left}.items() if v is not None}
    assert second.json == third.json == expected


def test_a_limit_counts_for_it_only_if_asked(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    turns = [
        {"role": ("user", "assistant")[n % 2], "content": f"{n} " + "word " * 2000}
        for n in range(41)
    ]
    body = written(request(messages=turns, thinking={"type": "disabled"}))
    options = {"CONTEXT_MAX_TOKENS": "60000", "CONTEXT_STRATEGY": "trim"}
    proxy = start_proxy(**options)
    proxy.post("/v1/messages", content=body, headers=HEADERS)
    limited = start_proxy(**options, CONTEXT_FOR_CLAUDE_CODE="true")
    response = limited.post("/v1/messages", content=body, headers=HEADERS)
    assert response.headers["x-ccproxy-changed"] == "context"
    as_it_was, shortened = fake.messages()
    assert as_it_was.body == body
    assert len(shortened.json["messages"]) < 41
    assert shortened.json["system"] == request()["system"]


def test_a_probe_at_start_is_answered(world: World) -> None:
    assert httpx.head(f"{world.proxy.url}/api/hello").status_code == 200
    assert world.untouched
