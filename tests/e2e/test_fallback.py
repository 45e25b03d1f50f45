"""Which credential a request goes out with, what is tried next, and what it may cost."""

from __future__ import annotations

import time
from typing import Any

import httpx
import openai
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import delivered, fail, say
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import API_KEY, Proxy, chat, message, rejected

OWN_KEY = "sk-ant-api03-the-clients-own"


def kinds(fake: FakeAnthropic) -> list[str]:
    return ["api_key" if r.header("x-api-key") else "oauth" for r in fake.messages()]


def ask(proxy: Proxy, **options: Any) -> httpx.Response:
    return proxy.post("/v1/chat/completions", chat(), **options)


def test_exhausted_subscription_falls_back_and_rests(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(fail(429, headers=rejected()), when="oauth")
    first, second = ask(proxy), ask(proxy)
    assert [first.status_code, second.status_code] == [200, 200]
    assert kinds(fake) == ["oauth", "api_key", "api_key"]
    for response in (first, second):
        assert response.headers["x-ccproxy-source"] == "api_key"
        assert response.headers["x-ccproxy-reason"] == "rate_limited"
    cooldown = proxy.get("/health").json()["cooldowns"][0]
    assert 7000 < cooldown["seconds"] <= 7200


def test_forbidden_falls_back_and_is_remembered_for_its_family(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([fail(403, "Not for you")], when="oauth")
    assert ask(proxy).headers["x-ccproxy-reason"] == "forbidden"
    assert ask(proxy).headers["x-ccproxy-source"] == "api_key"
    other = proxy.post("/v1/chat/completions", chat(model="claude-haiku-4-5"))
    assert other.headers["x-ccproxy-source"] == "claude_code"
    assert kinds(fake) == ["oauth", "api_key", "api_key", "oauth"]


def test_a_refused_static_token_falls_back(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    fake.access.oauth_tokens.clear()
    assert ask(proxy).status_code == 200
    assert kinds(fake) == ["oauth", "api_key"]


def test_fallback_off_never_pays(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(FALLBACK="off")
    fake.script(
        fail(
            429,
            "This request would exceed your limit",
            headers={**rejected(), "retry-after": "7200"},
        ),
        when="oauth",
    )
    with pytest.raises(openai.RateLimitError, match=r"would exceed.*FALLBACK=off") as caught:
        proxy.openai().chat.completions.create(**chat())
    assert int(caught.value.response.headers["retry-after"]) > 7000
    assert ask(proxy).status_code == 429
    assert kinds(fake) == ["oauth"]


def test_fallback_off_uses_the_key_for_nothing(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    """Not for what costs nothing either: counts, and the list of models."""
    proxy = start_proxy(FALLBACK="off", CLAUDE_CODE_OAUTH_TOKEN=None)
    counted = proxy.post("/v1/messages/count_tokens", message(model="claude-x-9"))
    assert (counted.status_code, fake.requests) == (401, [])


def test_without_a_key_the_error_says_how_to_set_one(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(ANTHROPIC_API_KEY=None)
    fake.script(fail(403, "Not for you"), when="oauth")
    response = ask(proxy)
    assert response.status_code == 403
    told = response.json()["error"]["message"]
    assert told.startswith("Not for you") and "ANTHROPIC_API_KEY" in told
    assert kinds(fake) == ["oauth"]


def test_api_key_only(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(CLAUDE_CODE_FIRST="false")
    body = message(
        system=[
            {
                "type": "text",
                "text": "Mine",
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
            }
        ]
    )
    response = proxy.post("/v1/messages", body)
    assert response.headers["x-ccproxy-source"] == "api_key"
    request = fake.messages()[0]
    # no system line, no extra instruction, the ttl kept, no beta of the subscription's, and streamed all the same
    assert request.json["system"] == body["system"]
    assert not request.betas & {"oauth-2025-04-20", "claude-code-20250219"}
    assert request.json["stream"] is True
    assert request.header("authorization") is None and request.header("x-api-key") == API_KEY


def test_api_key_only_without_a_key_says_so(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(CLAUDE_CODE_FIRST="false", ANTHROPIC_API_KEY=None)
    response = ask(proxy)
    assert response.status_code == 401
    assert "ANTHROPIC_API_KEY" in response.json()["error"]["message"]
    assert not fake.connections


def test_the_clients_own_key_is_preferred_for_the_fallback(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.api_keys.add(OWN_KEY)
    fake.script(fail(429, headers=rejected()), when="oauth")
    assert ask(proxy, headers={"authorization": f"Bearer {OWN_KEY}"}).status_code == 200
    assert proxy.post("/v1/messages", message(), headers={"x-api-key": OWN_KEY}).status_code == 200
    assert [r.header("x-api-key") for r in fake.messages("api_key")] == [OWN_KEY, OWN_KEY]


def test_a_clients_subscription_token_is_never_forwarded(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    theirs = "sk-ant-oat01-somebody-elses"
    fake.oauth_tokens.add(theirs)
    fake.script(fail(429, headers=rejected()), when="oauth")
    for headers in ({"authorization": f"Bearer {theirs}"}, {"x-api-key": theirs}):
        assert ask(proxy, headers=headers).headers["x-ccproxy-source"] == "api_key"
    assert [r.header("x-api-key") for r in fake.messages("api_key")] == [API_KEY, API_KEY]
    assert not any(theirs in value for r in fake.requests for _, value in r.headers)


def test_r11_when_both_fail_one_error_names_both(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FIRST_BYTE_SECONDS="0.5")
    fake.script(fail(429, "Your limit is reached", headers=rejected()), when="oauth")
    fake.script(fail(401, "invalid x-api-key"), when="api_key")
    response = ask(proxy)
    told = response.json()["error"]["message"]
    assert response.status_code == 429 and int(response.headers["retry-after"]) > 7000
    assert "Your limit is reached" in told and "invalid x-api-key" in told
    assert "subscription" in told and "API key" in told
    assert kinds(fake) == ["oauth", "api_key"]


def test_after_both_failed_on_a_stream_there_is_one_error_event(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FIRST_BYTE_SECONDS="0.2")
    fake.script(delivered(fail(429, "Limit", headers=rejected()), hold=0.6), when="oauth")
    fake.script(fail(401, "invalid x-api-key"), when="api_key")
    with httpx.stream(
        "POST", f"{proxy.url}/v1/chat/completions", json=chat(stream=True)
    ) as response:
        text = response.read().decode()
    assert text.count('"error":{') == 1 and "invalid x-api-key" in text and "[DONE]" not in text


def test_an_ordinary_400_is_relayed_at_once(world: World) -> None:
    fake, proxy = world.fake, world.proxy
    fake.script(fail(400, "messages.0: wrong"))
    response = ask(proxy)
    assert (response.status_code, response.json()["error"]["message"]) == (400, "messages.0: wrong")
    assert kinds(fake) == ["oauth"]


def test_r7_overload_is_tried_again_on_the_same_credential(world: World) -> None:
    fake, proxy = world.fake, world.proxy
    fake.script([fail(529), fail(529), say("third time")])
    assert "third time" in ask(proxy).text
    assert kinds(fake) == ["oauth"] * 3


def test_r10_a_passing_429_is_waited_out_once(world: World) -> None:
    fake, proxy = world.fake, world.proxy
    fake.script([fail(429, headers={"retry-after": "1"}), say("fine")])
    started = time.monotonic()
    assert "fine" in ask(proxy).text
    assert time.monotonic() - started >= 1
    assert kinds(fake) == ["oauth"] * 2


def test_a_429_that_does_not_pass_falls_back_in_the_end(world: World) -> None:
    fake, proxy = world.fake, world.proxy
    fake.script(fail(429, headers={"retry-after": "1"}), when="oauth")
    assert ask(proxy).headers["x-ccproxy-reason"] == "busy"
    assert kinds(fake) == ["oauth", "oauth", "api_key"]


BREAKS = [
    delivered(cut="fin"),
    delivered(cut="rst"),
    delivered(say("a long enough answer"), cut="fin", after_events=1),
    delivered(say("a long enough answer"), cut="rst", after_events=5),
    delivered(say("a long enough answer"), cut="end", after_events=5),
]


def test_a_paid_answer_that_breaks_off_is_never_asked_for_again(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(CLAUDE_CODE_FIRST="false")
    fake.script(BREAKS)
    plain = [ask(proxy).status_code for _ in BREAKS]
    assert plain == [502] * len(BREAKS)
    assert kinds(fake) == ["api_key"] * len(BREAKS)
    fake.log.clear()
    fake.script(BREAKS)
    streamed = [proxy.post("/v1/chat/completions", chat(stream=True)) for _ in BREAKS]
    assert [response.status_code for response in streamed] == [502, 502, 502, 200, 200]
    assert all(response.text.count('"error"') == 1 for response in streamed)
    assert kinds(fake) == ["api_key"] * len(BREAKS)


def test_r29_an_outage_costs_few_calls_however_often_the_client_tries(world: World) -> None:
    fake, proxy = world.fake, world.proxy
    fake.script(fail(529))
    with pytest.raises(openai.InternalServerError) as caught:
        proxy.openai(max_retries=2).chat.completions.create(**chat())
    # we have tried three times ourselves, and say so: the SDK obeys
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert kinds(fake) == ["oauth"] * 3


def test_an_outage_of_the_network_is_not_retried_by_the_client_either(world: World) -> None:
    fake, proxy = world.fake, world.proxy
    fake.script(delivered(cut="rst"))
    with pytest.raises(openai.InternalServerError):
        proxy.openai(max_retries=2).chat.completions.create(**chat())
    assert kinds(fake) == ["oauth"] * 2
