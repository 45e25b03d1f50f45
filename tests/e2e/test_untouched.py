"""Whatever request the anthropic SDK's types allow: what the client sent is what reaches Anthropic.

By API key with nothing switched on, byte for byte; by default, once what `x-ccproxy-changed` names is undone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.script import sse
from tests.e2e.conftest import World
from tests.e2e.proxy import TLS, Proxy
from tests.stand_in import sdk_types

ANSWER = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"claude-opus-5","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":1}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
"""Nothing in these requests is judged, so that nothing is refused."""
MODELS = ("claude-opus-5", "claude-sonnet-4-6", "claude-haiku-4-5", "claude-fable-5-2")
STYLES: tuple[Mapping[str, Any], ...] = (
    {},
    {"indent": 2, "ensure_ascii": False},
    {"separators": (",", ":"), "ensure_ascii": False},
)
REQUEST = sdk_types.requests(MODELS)
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def by_key() -> Iterator[World]:
    plain = {"CLAUDE_CODE_OAUTH_TOKEN": None, "PROMPT_CACHE": "off", "CONTEXT_STRATEGY": "none"}
    yield from answering(plain)


@pytest.fixture(scope="module")
def by_default() -> Iterator[World]:
    yield from answering({})


def answering(options: Mapping[str, str | None]) -> Iterator[World]:
    with FakeAnthropic() as fake, Proxy(fake.url, **options) as proxy:
        fake.script(sse(ANSWER))
        yield World(fake, proxy)


def ask(world: World, body: bytes) -> tuple[httpx.Response, Received]:
    world.fake.log.clear()
    headers = {"anthropic-version": "2023-06-01", "content-type": "application/json"}
    response = httpx.post(
        f"{world.proxy.url}/v1/messages", content=body, headers=headers, verify=TLS
    )
    assert response.status_code == 200, response.text
    (arrived,) = world.fake.messages()
    return response, arrived


@EXAMPLES
@given(body=REQUEST, style=st.sampled_from(STYLES))
def test_by_key_every_byte_arrives(
    by_key: World, body: JsonObject, style: Mapping[str, Any]
) -> None:
    sent = json.dumps(body | {"stream": True}, **style).encode()
    response, arrived = ask(by_key, sent)
    assert arrived.body == sent
    assert "x-ccproxy-changed" not in response.headers


@EXAMPLES
@given(body=REQUEST, style=st.sampled_from(STYLES))
def test_a_plain_request_is_streamed_and_else_as_it_came(
    by_key: World, body: JsonObject, style: Mapping[str, Any]
) -> None:
    sent = json.dumps(body, **style).encode()
    _, arrived = ask(by_key, sent)
    assert arrived.body.replace(b',"stream":true', b"") == sent


@EXAMPLES
@given(body=sdk_types.any_bodies(MODELS))
def test_whatever_a_body_holds_is_for_anthropic_to_judge(
    by_default: World, by_key: World, body: JsonObject
) -> None:
    body |= {"stream": True}
    sent = json.dumps(body).encode()
    assert ask(by_key, sent)[1].body == sent
    ask(by_default, sent)


@EXAMPLES
@given(body=REQUEST)
def test_by_default_only_what_is_named_is_changed(by_default: World, body: JsonObject) -> None:
    body |= {"stream": True}
    sent = json.dumps(body).encode()
    response, arrived = ask(by_default, sent)
    names = set(filter(None, response.headers.get("x-ccproxy-changed", "").split(",")))
    assert names <= {"system", "cache_control"}
    if not names:
        assert arrived.body == sent
    assert undone(arrived.json, body, names) == body


def undone(arrived: JsonObject, sent: JsonObject, names: set[str]) -> JsonObject:
    """What arrived without the changes that are named."""
    if "system" in names:
        own = sent.get("system") or []
        given = [{"type": "text", "text": own}] if isinstance(own, str) else list(own)
        count = len(arrived["system"]) - len(given)
        assert 1 <= count <= 2, "the system line, and the extra instruction"
        rest = arrived["system"][count:]
        assert (unmarked(rest, given) if "cache_control" in names else rest) == given
        arrived = {key: value for key, value in arrived.items() if key != "system"}
        arrived |= {"system": sent["system"]} if "system" in sent else {}
    return unmarked(arrived, sent) if "cache_control" in names else arrived


def unmarked(arrived: Any, sent: Any) -> Any:
    """Without the marks that were set. A text that is marked has become a block."""
    if isinstance(sent, str) and isinstance(arrived, list) and len(arrived) == 1:
        block = {key: value for key, value in arrived[0].items() if key != "cache_control"}
        return sent if block == {"type": "text", "text": sent} else arrived
    if isinstance(arrived, dict) and isinstance(sent, dict):
        mark = {key: sent[key] for key in ("cache_control",) if key in sent}
        kept = {key: value for key, value in arrived.items() if key != "cache_control"}
        return {key: unmarked(value, sent.get(key)) for key, value in kept.items()} | mark
    if isinstance(arrived, list) and isinstance(sent, list) and len(arrived) == len(sent):
        return [unmarked(*pair) for pair in zip(arrived, sent, strict=True)]
    return arrived
