"""Conversations over the limit, through the real proxy."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, fail, say
from tests.e2e.conftest import StartProxy, World
from tests.e2e.evenly import EVENLY
from tests.e2e.proxy import API_KEY, Proxy
from tests.e2e.talk import (
    PIXEL,
    SUMMARIZER,
    Talk,
    asks_for_summary,
    marks,
    script_summary,
    summaries,
    turns,
    unmarked,
)
from tests.e2e.test_streams import read_past

CHAT = "/v1/chat/completions"
SMALL = {"CONTEXT_MAX_TOKENS": "9000", "CONTEXT_TARGET_TOKENS": "7000"}
NOT_AHEAD = {**SMALL, "CONTEXT_AHEAD": "false"}
SECRET = "hush-hush-hush-hush-hush"
OVER = 10
"""Turns that take a conversation over the limit."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {**NOT_AHEAD, "PROXY_SECRET_KEY": SECRET, "ALLOWED_IPS": "*"}


@pytest.fixture
def world(world: World) -> World:
    script_summary(world.fake)
    return world


def ask(proxy: Proxy, talk: Talk, **more: Any) -> dict[str, Any]:
    answer = proxy.post(CHAT, talk.body(**more))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def prompt_of(request: Any) -> str:
    return str(request.json["messages"][0]["content"])


def last_messages(fake: FakeAnthropic) -> list[Any]:
    return list(unmarked(turns(fake)[-1].json["messages"]))


def has_summary(messages: list[Any]) -> bool:
    return "[Context Summary - " in str(messages)


# ---------------------------------------------------------------------------------------------------- summarizing


def test_the_summary_is_asked_for_once_by_api_key_with_all_that_it_replaces(world: World) -> None:
    talk = Talk("all").grow(OVER).show()
    ask(world.proxy, talk)
    [asked] = summaries(world.fake)
    assert asked.json["model"] == SUMMARIZER
    assert asked.header("x-api-key") == API_KEY and asked.header("authorization") is None
    prompt, sent = prompt_of(asked), str(last_messages(world.fake))
    every = re.findall(r"\w+-\d+-of-all", str(talk.messages))
    replaced = [mark for mark in every if mark not in sent]
    assert len(replaced) > 10
    assert [mark for mark in replaced if mark not in prompt] == []
    assert PIXEL not in prompt and "[image]" in prompt


def test_the_next_turn_sends_the_same_again_and_pays_for_no_summary(world: World) -> None:
    talk = Talk("again").grow(OVER)
    ask(world.proxy, talk)
    before = last_messages(world.fake)
    answer = ask(world.proxy, talk.grow())
    after = last_messages(world.fake)
    assert has_summary(before) and after[: len(before)] == before and len(after) > len(before)
    assert len(summaries(world.fake)) == 1
    usage = answer["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0.7 * usage["prompt_tokens"]


def test_growth_is_merged_and_only_what_is_new_is_read(world: World) -> None:
    talk = Talk("merged").grow(OVER)
    ask(world.proxy, talk)
    while len(summaries(world.fake)) < 2:
        ask(world.proxy, talk.grow(2))
    first, second = map(prompt_of, summaries(world.fake))
    assert "<earlier_summary>" in second and "nothing in it was changed" in second
    read = set(re.findall(r"result-\d+-of-merged", first))
    assert read and not read & set(re.findall(r"result-\d+-of-merged", second))


def test_requests_in_parallel_share_one_summary(world: World) -> None:
    talk, gate = Talk("parallel").grow(OVER), Gate()
    world.fake.api.script.clear()
    script_summary(world.fake, delivered(say("It was all read, and it was good. " * 20), hold=gate))
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, world.proxy, talk) for _ in range(3)]
        assert gate.reached.wait(10)
        time.sleep(0.3)  # for the others to come in
        gate.open()
        for one in asking:
            one.result(20)
    assert len(summaries(world.fake)) == 1
    sent = [unmarked(request.json["messages"]) for request in turns(world.fake)]
    assert len(sent) == 3 and sent[0] == sent[1] == sent[2]


def test_the_log_says_what_was_counted_and_what_the_summary_cost(world: World) -> None:
    talk = Talk("lines").grow(OVER)
    start = len(world.proxy.output)
    ask(world.proxy, talk)
    said = world.proxy.output[start:]
    assert re.search(
        r"📊 [\d.]+K tokens \(±\d+ %\) · system .* messages .* tools .* limit 9K", said
    )
    assert re.search(
        r"🔄 \d+ messages summarized: .* tokens for \$0\.\d+ · /context/[0-9a-f]{32}", said
    )


def test_what_was_replaced_is_shown_on_this_machine_only(world: World) -> None:
    talk = Talk("shown").grow(OVER)
    ask(world.proxy, talk)
    path = re.findall(r"/context/[0-9a-f]{32}", world.proxy.output)[-1]
    secret = {"authorization": f"Bearer {SECRET}"}
    shown = world.proxy.get(path, headers=secret)
    assert shown.status_code == 200
    assert "result-6-of-shown" in shown.text and "nothing in it was changed" in shown.text
    outside = world.proxy.get(path, headers={**secret, "cf-connecting-ip": "52.44.113.131"})
    assert outside.status_code == 403 and "of-shown" not in outside.text


def test_an_anthropic_client_keeps_its_own_marks(world: World) -> None:
    talk = native(Talk("native").grow(OVER))
    assert world.proxy.post("/v1/messages", talk).status_code == 200
    assert len(summaries(world.fake)) == 1
    sent = turns(world.fake)[-1].json
    assert has_summary(sent["messages"])
    assert marks(sent) == 2
    assert "cache_control" in sent["system"][-1]
    assert "cache_control" in sent["messages"][-1]["content"][-1]


def native(talk: Talk) -> dict[str, Any]:
    """The same conversation as an Anthropic client sends it, with two marks."""
    mark = {"cache_control": {"type": "ephemeral"}}
    messages: list[dict[str, Any]] = []
    for message in talk.messages:
        content: list[dict[str, Any]] = [{"type": "text", "text": message["content"]}]
        if message["role"] == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
            content = [{**result, "content": message["content"]}]
        for call in message.get("tool_calls", ()):
            use = {"type": "tool_use", "id": call["id"], "name": "read_file"}
            content = [{**use, "input": {"path": call["function"]["arguments"]}}]
        role = "assistant" if message["role"] == "assistant" else "user"
        messages.append({"role": role, "content": content})
    messages[-1]["content"][-1] |= mark
    return {
        "model": talk.model,
        "max_tokens": 1000,
        "system": [{"type": "text", "text": talk.system, **mark}],
        "messages": messages,
        "tools": [{"name": "read_file", "input_schema": {"type": "object"}}],
    }


def test_a_restart_pays_nothing_again(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    script_summary(fake)
    proxy = start_proxy(**NOT_AHEAD)
    talk = Talk("restart").grow(OVER)
    ask(proxy, talk)
    before = last_messages(fake)
    proxy.stop()
    proxy.__enter__()
    ask(proxy, talk.grow())
    assert len(summaries(fake)) == 1
    assert last_messages(fake)[: len(before)] == before and has_summary(before)


def test_made_ahead_no_turn_waits_for_it(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy, talk, gate = start_proxy(**SMALL), Talk("ahead").grow(4), Gate()
    script_summary(fake, delivered(say("It was all read, and it was good. " * 20), hold=gate))
    for _ in range(4):
        ask(proxy, talk.grow())
    assert gate.reached.wait(20)
    ask(proxy, talk.grow())  # would not return if it waited for the gate
    assert not has_summary(last_messages(fake))
    gate.open()
    assert fake.wait_until(lambda: summaries(fake)[0].outcome == "answered")
    assert fake.wait_until(lambda: "messages summarized" in proxy.output)
    for _ in range(3):
        ask(proxy, talk.grow())
    assert has_summary(last_messages(fake))
    first = summaries(fake)[0]
    assert all(asked.time - first.time > 0 for asked in turns(fake)[-3:])
    assert turns(fake)[-1].header("authorization")


def test_a_summary_under_way_is_not_lost_when_the_proxy_ends(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy, talk = start_proxy(**SMALL), Talk("ending").grow(4)
    script_summary(fake, delivered(say("It was all read, and it was good. " * 20), hold=1.0))
    while not fake.wait_until(lambda: bool(summaries(fake)), 0.3):
        ask(proxy, talk.grow())
    proxy.stop()
    proxy.__enter__()
    while not has_summary(last_messages(fake)):
        ask(proxy, talk.grow())
    assert len(summaries(fake)) == 1


def test_a_streaming_client_hears_from_us_while_a_summary_is_made(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(**NOT_AHEAD, FIRST_BYTE_SECONDS="0.3", KEEPALIVE_SECONDS="0.3")
    gate = Gate()
    script_summary(fake, delivered(say("It was all read, and it was good. " * 20), hold=gate))
    text = read_past(gate, ": keepalive", proxy, Talk("slow").grow(OVER).body())
    assert text.endswith("data: [DONE]\n\n")
    assert has_summary(last_messages(fake))


# ------------------------------------------------------------------------------------------------------- trimming


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        pytest.param(
            {"ANTHROPIC_API_KEY": None}, 0, id="there is no key", marks=pytest.mark.thorough
        ),
        pytest.param({"FALLBACK": "off"}, 0, id="the key may not be used"),
        pytest.param(
            {"CONTEXT_STRATEGY": "trim"},
            0,
            id="trimming is what was asked for",
            marks=pytest.mark.thorough,
        ),
        pytest.param({}, 1, id="the summary fails"),
    ],
)
def test_it_is_trimmed_when(
    settings: dict[str, Any], asked: int, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    script_summary(fake, fail(500))
    proxy = start_proxy(**NOT_AHEAD, **settings)
    talk = Talk("trimmed").grow(OVER)
    ask(proxy, talk)
    before = last_messages(fake)
    ask(proxy, talk.grow())
    assert len(summaries(fake)) == asked
    assert "[Context Trimmed - " in str(before) and "✂️ trimmed" in proxy.output
    assert last_messages(fake)[: len(before)] == before


def test_fallback_off_has_no_say_where_the_key_is_the_first_choice(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    script_summary(fake)
    proxy = start_proxy(**NOT_AHEAD, FALLBACK="off", CLAUDE_CODE_FIRST="false")
    ask(proxy, Talk("paid").grow(OVER))
    assert len(summaries(fake)) == 1 and has_summary(last_messages(fake))


def test_it_is_trimmed_when_the_budget_has_no_room(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    script_summary(fake)
    proxy = start_proxy(**NOT_AHEAD)
    proxy.post("/budget", {"hourlyLimit": 0, "enabled": True}).raise_for_status()
    ask(proxy, Talk("poor").grow(OVER))
    assert not summaries(fake)
    assert "✂️ trimmed" in proxy.output and "budget" in proxy.output.lower()


def test_strategy_none_sends_all_of_it(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(**NOT_AHEAD, CONTEXT_STRATEGY="none")
    ask(proxy, Talk("whole").grow(OVER))
    assert not summaries(fake)
    assert len(last_messages(fake)) == 4 * OVER - 1


# ------------------------------------------------------------------------------------------------ short requests


def test_a_request_too_short_to_be_counted_is_shown_with_what_anthropic_counted(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(**SMALL)
    first = [{"role": "user", "content": "Say hello."}]
    for requests in (1, 2):  # of one conversation
        answer = proxy.post(CHAT, {"model": "claude-sonnet-4-5", "messages": first}).json()
        [shown] = proxy.get("/dashboard/data").json()["conversations"]
        assert shown["tokens"] == answer["usage"]["prompt_tokens"] > 0
        assert (shown["limit"], shown["requests"]) == (9_000, requests)


# ----------------------------------------------------------------------------------------- what upstream finds long


def too_long(tokens: int, maximum: int) -> Any:
    return fail(400, f"prompt is too long: {tokens} tokens > {maximum} maximum")


def test_a_prompt_that_upstream_finds_too_long_is_trimmed_and_sent_once_more(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([too_long(12_000, 9_000)], when="oauth")
    talk = Talk("learnt").grow(OVER)
    ask(proxy, talk)
    whole, cut = turns(fake)
    assert len(cut.body) < 0.8 * len(whole.body)
    assert "✂️ trimmed" in proxy.output
    assert not fake.messages("api_key")


def deceiving(messages: int = 54, size: int = 9_000) -> list[dict[str, Any]]:
    """Words of 120,000 tokens, and 100,000 more in rare characters where the windows of `evenly` don't look."""
    dense, stride = "".join(map(chr, range(0x20000, 0x200AA))), messages * size // 192
    text = ("one word of the file " * (messages * size // 21 + 1))[: messages * size]
    for at in range(stride // 2, len(text) - stride, stride):
        text = text[:at] + dense + text[at + len(dense) :]
    texts = (text[at : at + size] for at in range(0, len(text), size))
    return [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]


@pytest.mark.parametrize(
    ("settings", "budget", "tries"),
    [
        pytest.param({}, False, 2, id="learns from the refusal"),
        pytest.param({"CONTEXT_MAX_TOKENS": "200000"}, False, 1, id="keeps the user's limit"),
        pytest.param({}, True, 1, id="keeps the budget"),
    ],
)
def test_text_that_deceives_a_sample(
    settings: dict[str, str],
    budget: bool,
    tries: int,
    fake: FakeAnthropic,
    start_proxy: StartProxy,
) -> None:
    """Anthropic's refusal costs nothing and says how long the prompt is; what the user has forbidden is not tried."""
    proxy = start_proxy(launch=False, first=EVENLY, CONTEXT_STRATEGY="trim", **settings)
    if budget:
        proxy.post("/budget", {"dailyLimit": 100, "enabled": True}).raise_for_status()
    body = {"model": "claude-sonnet-4-5", "max_tokens": 1000}
    ask_for = [{"role": "user", "content": "Hello. " * 5_000}]
    proxy.post(CHAT, {**body, "messages": ask_for}).raise_for_status()  # loads the vocabulary
    fake.log.clear()
    talk = [*deceiving(), {"role": "user", "content": "Go on."}]
    answer = proxy.post(CHAT, {**body, "messages": talk})
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"]
    assert len(fake.messages()) == tries and "✂️ trimmed" in proxy.output
    assert 120_000 < answer.json()["usage"]["prompt_tokens"] < 200_000
    proxy.post(CHAT, {**body, "messages": talk}).raise_for_status()
    assert len(fake.messages()) == tries + 1, "the second time it is known"


def test_the_reservation_fits_the_request_that_is_sent_once_more(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    """Anthropic counts twice what is counted here, of the shorter request as well."""
    proxy = start_proxy(CLAUDE_CODE_FIRST="false", CONTEXT_MAX_TOKENS="20000")
    talk = Talk("dear").grow(OVER)
    fake.script([too_long(24_000, 20_000)])
    ask(proxy, talk, max_tokens=1000)
    lines = (proxy.home / ".ccproxy" / "paid.journal").read_text().split()
    first, second = (json.loads(line)[3] * 1e-12 for line in lines[:2])
    output = 1000 * 25e-6
    assert first - output == pytest.approx(12_000 * 10e-6, rel=0.2)
    assert second - output == pytest.approx(0.9 * 20_000 * 10e-6, rel=0.15)


def test_still_too_long_is_one_error_with_both_numbers(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(too_long(12_000, 9_000))
    answer = proxy.post(CHAT, Talk("hopeless").grow(OVER).body())
    assert answer.status_code == 400 and len(turns(fake)) == 2
    message = answer.json()["error"]["message"]
    assert "12000" in message and "9000" in message


# ---------------------------------------------------------------------------------------------------- limit auto


def test_with_limit_auto_nothing_is_summarized_below_the_window(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    script_summary(fake)
    proxy = start_proxy(CONTEXT_MAX_TOKENS="auto", CONTEXT_AHEAD="false")
    talk = Talk("large", words=15_000).grow(14)
    answer = ask(proxy, talk)
    assert answer["usage"]["prompt_tokens"] > 205_000
    assert not summaries(fake) and len(last_messages(fake)) == 4 * 14 - 1
    talk.model = "claude-sonnet-4-5"  # its window has 200,000
    answer = ask(proxy, talk)
    assert answer["usage"]["prompt_tokens"] < 200_000
    assert len(summaries(fake)) == 1 and has_summary(last_messages(fake))


def test_asks_for_summary_is_not_the_conversation_itself(world: World) -> None:
    ask(world.proxy, Talk("short").grow(1))
    assert not any(map(asks_for_summary, world.fake.messages()))


def test_an_unknown_model_for_summaries_stops_the_start(start_proxy: StartProxy) -> None:
    with pytest.raises(AssertionError) as caught:
        start_proxy(CONTEXT_SUMMARIZATION_MODEL="cluade-opus-4-5")
    said = "CONTEXT_SUMMARIZATION_MODEL: no Claude model cluade-opus-4-5 is known. Did you mean"
    assert said in str(caught.value)
