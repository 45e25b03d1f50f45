"""FALLBACK_CHAIN: who serves when the subscription can't, and how each step is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.limits import windows
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, delivered, exhausted, fail, say
from tests.e2e.conftest import StartProxy
from tests.e2e.hurry import HURRY
from tests.e2e.proxy import OWN_PORT, Proxy, chat, message, rejected

OPENAI = {"OPENAI_API_KEY": "sk-openai-test", "OPENAI_BASE_URL": "UPSTREAM"}
OF_CLAUDE_CODE = {
    "x-claude-code-session-id": "c0ffee00-0000-4000-8000-000000000000",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
}
IDENTITY = "You are Claude Code, Anthropic's official CLI for Claude."


def family_used_up(window: str = "7d_opus", hours: float = 2.0) -> Answer:
    reset = time.time() + hours * 3600
    return exhausted({"5h": reset - 1800, window: reset}, rejected=window)


def of_model(family: str) -> Callable[[Received], bool]:
    return lambda request: request.path == "/v1/messages" and family in request.json["model"]


def asked(fake: FakeAnthropic) -> list[str]:
    return [str(r.json["model"]) for r in fake.requests if r.method == "POST"]


def told(response: httpx.Response) -> dict[str, str]:
    names = ("source", "reason", "step", "skipped", "model")
    found = {name: response.headers.get(f"x-ccproxy-{name}") for name in names}
    return {name: value for name, value in found.items() if value is not None}


def says(proxy: Proxy, text: str) -> bool:
    """In its terminal, soon."""
    until = time.monotonic() + 10
    while text not in proxy.output and time.monotonic() < until:
        time.sleep(0.05)
    return text in proxy.output


# ---- another family


def test_another_family_serves_when_only_opuss_week_is_used_up(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="claude-haiku-5-5,api_key")
    fake.script(family_used_up(), when=of_model("opus"))
    for _ in range(2):
        response = proxy.post("/v1/chat/completions", chat(reasoning_effort="high"))
        assert response.status_code == 200
        assert told(response) == {
            "source": "claude_code",
            "reason": "rate_limited",
            "step": "claude-haiku-5-5",
            "model": "claude-haiku-5-5",
        }
    assert asked(fake) == ["claude-opus-4-8", "claude-haiku-5-5", "claude-haiku-5-5"]
    assert all(r.header("x-api-key") is None for r in fake.messages())
    assert says(proxy, "sub 429 → haiku-5-5 200 (rate_limited)")


def test_another_family_is_no_help_when_the_account_is_used_up(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="claude-haiku-5-5,api_key")
    fake.script(fail(429, headers=rejected()), when="oauth")
    response = proxy.post("/v1/chat/completions", chat())
    assert told(response) == {
        "source": "api_key",
        "reason": "rate_limited",
        "skipped": "claude-haiku-5-5=family_limited",
    }
    assert asked(fake) == ["claude-opus-4-8"] * 2


@pytest.mark.parametrize("haiku", ["claude-haiku-4-5", "claude-haiku-5-5"])
def test_claude_codes_own_request_is_fitted_to_the_other_model(
    fake: FakeAnthropic, start_proxy: StartProxy, haiku: str
) -> None:
    """The stand-in refuses what the model would: adaptive thinking and an effort on Haiku 4.5, or sampling."""
    proxy = start_proxy(FALLBACK_CHAIN=haiku, FALLBACK="off")
    fake.script(family_used_up(), when=of_model("opus"))
    body = message(
        model="claude-opus-5-5",
        system=[{"type": "text", "text": IDENTITY}],
        max_tokens=128_000,
        thinking={"type": "adaptive"},
        output_config={"effort": "xhigh"},
        stream=True,
    )
    response = proxy.post("/v1/messages", body, headers=OF_CLAUDE_CODE)
    assert response.status_code == 200 and "message_stop" in response.text
    changed = response.headers["x-ccproxy-changed"].split(",")
    assert "model" in changed
    sent = fake.messages()[-1]
    assert sent.json["model"] == haiku
    assert sent.json["messages"] == body["messages"]
    assert set(OF_CLAUDE_CODE["anthropic-beta"].split(",")) <= sent.betas
    if haiku == "claude-haiku-4-5":
        assert sent.json["thinking"]["type"] == "enabled"
        assert "output_config" not in sent.json and sent.json["max_tokens"] == 64_000
    else:
        assert sent.json["thinking"] == body["thinking"]


def test_after_the_other_model_the_key_is_asked_for_the_first_one(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="claude-haiku-4-5,api_key")
    fake.script(family_used_up(), when="oauth")
    fake.script(say("paid"), when="api_key")
    response = proxy.post("/v1/chat/completions", chat(model="claude-opus-5-5"))
    assert "paid" in response.text
    assert told(response)["skipped"] == "claude-haiku-4-5=rate_limited"
    assert asked(fake) == ["claude-opus-5-5", "claude-haiku-4-5", "claude-opus-5-5"]


# ---- another API's model


def test_an_openai_clients_own_body_goes_on_with_another_model(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="openai:gpt-5", **OPENAI)
    fake.script(fail(429, headers=rejected()), when="oauth")
    body = chat(temperature=0.3, seed=7)
    response = proxy.post("/v1/chat/completions", body)
    assert response.json()["choices"][0]["message"]["content"] == "Hello from the fake OpenAI."
    assert told(response) == {
        "source": "openai",
        "reason": "rate_limited",
        "step": "openai:gpt-5",
        "model": "gpt-5",
    }
    assert fake.requests[-1].json == {**body, "model": "gpt-5"}
    answered = proxy.post("/v1/responses", {"model": "claude-opus-4-8", "input": "Hi"})
    assert answered.json()["object"] == "response" and told(answered)["source"] == "openai"
    streamed = proxy.post("/v1/chat/completions", chat(stream=True))
    assert "[DONE]" in streamed.text and '"prompt_tokens"' not in streamed.text
    assert fake.requests[-1].json["stream_options"] == {"include_usage": True}


def test_the_openai_step_is_skipped_and_named_for_anthropic_clients(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="openai:gpt-5", **OPENAI)
    fake.script(fail(429, "Limit reached.", headers=rejected()), when="oauth")
    response = proxy.post("/v1/messages", message())
    assert response.status_code == 429
    assert told(response)["skipped"] == "openai:gpt-5=messages_only"
    assert response.json()["error"]["message"] == "Limit reached."


def priced(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "models.toml").write_text('[prices."gpt-5"]\ninput = 100_000\noutput = 100_000\n')


def test_a_priced_openai_step_counts_in_the_budget(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    priced(tmp_path)
    proxy = start_proxy(FALLBACK_CHAIN="openai:gpt-5", CCPROXY_HOME=str(tmp_path), **OPENAI)
    proxy.post("/budget", {"dailyLimit": 1, "enabled": True})
    fake.script(fail(429, headers=rejected()), when="oauth")
    first = proxy.post("/v1/chat/completions", chat(stream=True))
    assert "[DONE]" in first.text
    assert proxy.get("/dashboard/data").json()["budget"]["spent"]["day"] == pytest.approx(1.6)
    second = proxy.post("/v1/chat/completions", chat())
    assert second.status_code == 429 and "Daily budget exceeded" in second.text


def test_with_a_budget_an_openai_step_without_a_price_is_skipped(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="openai:gpt-5,api_key", **OPENAI)
    proxy.post("/budget", {"dailyLimit": 1, "enabled": True})
    fake.script(fail(429, headers=rejected()), when="oauth")
    response = proxy.post("/v1/chat/completions", chat())
    assert told(response)["skipped"] == "openai:gpt-5=no_price"
    assert told(response)["source"] == "api_key"


def ends(fake: FakeAnthropic, **options: str) -> str:
    """What a proxy says that refuses to run, a moment after it was up."""
    try:
        with Proxy(fake.url, **options) as proxy:
            assert proxy.process and proxy.process.wait(20) == 1
            return proxy.output
    except AssertionError as never_up:
        return str(never_up)


def test_a_saved_budget_and_a_step_without_a_price_stop_the_start(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    home = {"CCPROXY_HOME": str(tmp_path)}
    before = start_proxy(**home)
    before.post("/budget", {"dailyLimit": 1, "enabled": True})
    before.stop()
    told = ends(fake, FALLBACK_CHAIN="openai:gpt-5", **home, **OPENAI)
    assert "FALLBACK_CHAIN openai:gpt-5 needs a price in" in told
    priced(tmp_path)
    start_proxy(FALLBACK_CHAIN="openai:gpt-5", **home, **OPENAI)


# ---- what is paid, and what is not


def test_fallback_off_leaves_the_steps_that_cost_nothing(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    chain = "api_key,openai:gpt-5,claude-haiku-5-5"
    proxy = start_proxy(FALLBACK_CHAIN=chain, FALLBACK="off", **OPENAI)
    fake.script(family_used_up(), when=of_model("opus"))
    response = proxy.post("/v1/chat/completions", chat())
    assert told(response)["step"] == "claude-haiku-5-5"
    skipped = "api_key=fallback_off,openai:gpt-5=fallback_off"
    assert told(response)["skipped"] == skipped
    assert asked(fake) == ["claude-opus-4-8", "claude-haiku-5-5"]


def test_a_spent_budget_goes_on_to_what_is_free(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="api_key,claude-haiku-5-5")
    proxy.post("/budget", {"dailyLimit": 0, "enabled": True})
    fake.script(family_used_up(), when=of_model("opus"))
    response = proxy.post("/v1/chat/completions", chat())
    assert told(response)["step"] == "claude-haiku-5-5"
    assert told(response)["skipped"] == "api_key=over_budget"


def test_with_the_key_first_neither_fallback_nor_the_free_steps_count(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    chain = {"FALLBACK_CHAIN": "claude-haiku-5-5,wait,openai:gpt-5", "FALLBACK": "off"}
    proxy = start_proxy(CLAUDE_CODE_FIRST="false", **chain, **OPENAI)
    assert told(proxy.post("/v1/chat/completions", chat())) == {"source": "api_key"}
    fake.script(fail(403, "Not for you"), when="api_key")
    response = proxy.post("/v1/chat/completions", chat())
    assert told(response)["step"] == "openai:gpt-5"


# ---- waiting


def reads(proxy: Proxy, body: dict[str, Any], path: str = "/v1/chat/completions") -> str:
    with httpx.stream("POST", f"{proxy.url}{path}", json=body, timeout=30) as response:
        return response.read().decode()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_stream_is_held_until_the_reset_and_told_until_when(
    fake: FakeAnthropic, start_proxy: StartProxy, path: str
) -> None:
    times = {"FIRST_BYTE_SECONDS": "0.2", "KEEPALIVE_SECONDS": "0.3"}
    proxy = start_proxy(FALLBACK_CHAIN="wait", FALLBACK="off", **times)
    fake.script([fail(429, headers=rejected(2 / 3600))], when="oauth")
    body = chat(stream=True) if "chat" in path else message(stream=True)
    text = reads(proxy, body, path)
    assert ": waiting until " in text
    assert '"finish_reason":"stop"' in text or "message_stop" in text
    assert "step=wait" in text
    assert len(fake.messages()) == 2


def test_a_held_stream_ends_with_the_proxy(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    waiting = {"FALLBACK_CHAIN": "wait", "FIRST_BYTE_SECONDS": "0.2", "KEEPALIVE_SECONDS": "0.3"}
    proxy = start_proxy(launch=False, first=HURRY, mode=OWN_PORT, **waiting)
    fake.script(fail(429, headers=rejected(1)), when="oauth")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(reads, proxy, chat(stream=True))
        assert fake.wait_until(lambda: len(fake.messages()) == 1, 20)
        time.sleep(1)
        began = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - began < 30
        assert '"error"' in held.result(30) and "[DONE]" not in held.result()


def test_a_held_request_holds_no_money(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="api_key,wait", FIRST_BYTE_SECONDS="0.2")
    proxy.post("/budget", {"hourlyLimit": 0.06, "enabled": True})
    fake.script([fail(429, headers=rejected(3 / 3600))], when="oauth")
    fake.script([fail(403, "Not for you")], when="api_key")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(reads, proxy, message(stream=True, max_tokens=2000), "/v1/messages")
        assert fake.wait_until(lambda: len(fake.messages()) == 2, 20)
        time.sleep(0.3)
        other = proxy.post("/v1/messages", message(max_tokens=2000))
        assert told(other)["source"] == "api_key"
        assert "message_stop" in held.result(30)


def test_an_openai_stream_that_breaks_off_counts_with_the_most_it_can_cost(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    priced(tmp_path)
    proxy = start_proxy(FALLBACK_CHAIN="openai:gpt-5", CCPROXY_HOME=str(tmp_path), **OPENAI)
    fake.script(fail(429, headers=rejected()), when="oauth")
    fake.script(delivered(cut="fin", after_events=2), when="/v1/chat/completions")
    reads(proxy, chat(stream=True, max_tokens=10))
    spent = proxy.get("/dashboard/data").json()["budget"]["spent"]["day"]
    assert spent >= 1  # ten tokens of output alone


def test_what_is_not_streamed_or_resets_too_late_is_not_held(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FALLBACK_CHAIN="wait", HOLD_SECONDS="3600")
    fake.script(fail(429, "Limit reached.", headers=rejected()), when="oauth")
    plain = proxy.post("/v1/chat/completions", chat())
    assert plain.status_code == 429 and told(plain)["skipped"] == "wait=not_streamed"
    assert int(plain.headers["retry-after"]) > 7000
    late = proxy.post("/v1/chat/completions", chat(stream=True))
    assert late.status_code == 429 and told(late)["skipped"] == "wait=reset_too_late"
    assert "HOLD_SECONDS" in late.text


# ---- within the plan


def used(share: float, hours: float = 2.0, **more: str) -> dict[str, str]:
    """Headers of a response that the plan has served."""
    reset = time.time() + hours * 3600
    return windows({"5h": reset, "7d": reset + 86_400}, utilization=share) | more


OVERAGE = {"anthropic-ratelimit-unified-representative-claim": "overage"}


@pytest.mark.parametrize("headers", [used(1.0), used(0.99, **OVERAGE)], ids=["full", "overage"])
def test_plan_only_goes_on_with_the_chain_before_extra_usage_is_drawn(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path, headers: dict[str, str]
) -> None:
    settings = {"PLAN_ONLY": "true", "CCPROXY_HOME": str(tmp_path)}
    proxy = start_proxy(**settings)
    fake.script(Answer(headers=headers), when="oauth")
    first, second = (proxy.post("/v1/chat/completions", chat()) for _ in range(2))
    assert told(first) == {"source": "claude_code"}
    assert told(second) == {"source": "api_key", "reason": "plan_only"}
    assert proxy.get("/health").json()["cooldowns"][0]["reason"] == "plan_only"
    analytics = proxy.get("/analytics").json()
    drawn = OVERAGE.items() <= headers.items()
    assert analytics["extraUsageRequests"] == drawn
    assert (analytics["estimatedExtraUsageCost"] > 0) is drawn
    assert (analytics["estimatedSavings"] > 0) is not drawn
    proxy.stop()
    # the plan's windows are known after a restart, and so is the limit
    again = start_proxy(**settings)
    shown = again.get("/health").json()["subscription"]["windows"]
    assert [window["name"] for window in shown] == ["5h", "7d"]
    assert told(again.post("/v1/chat/completions", chat()))["reason"] == "plan_only"


def test_without_plan_only_the_plan_is_used_as_far_as_anthropic_lets_it(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(Answer(headers=used(1.0)), when="oauth")
    for _ in range(2):
        assert told(proxy.post("/v1/chat/completions", chat())) == {"source": "claude_code"}


def test_a_rest_ends_when_another_familys_response_says_so(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([family_used_up()], when=of_model("opus"))
    assert told(proxy.post("/v1/chat/completions", chat()))["source"] == "api_key"
    reset = time.time() + 7200
    room = windows({"5h": reset, "7d_opus": reset}, utilization=0.0)
    fake.script(Answer(headers=room), when=of_model("haiku"))
    proxy.post("/v1/chat/completions", chat(model="claude-haiku-5-5"))
    assert told(proxy.post("/v1/chat/completions", chat())) == {"source": "claude_code"}


# ---- what start refuses


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        ("api_kye", "Did you mean api_key?"),
        ("claude-hiaku-5-5", "Did you mean claude-haiku-5-5?"),
        ("openai:gpt-5", "OPENAI_API_KEY"),
        ("wait,wait", "each of them once"),
    ],
)
def test_a_chain_that_can_not_work_stops_the_start(
    fake: FakeAnthropic, start_proxy: StartProxy, chain: str, told: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        start_proxy(FALLBACK_CHAIN=chain)
    assert told in str(caught.value)
