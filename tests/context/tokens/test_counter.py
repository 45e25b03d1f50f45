from __future__ import annotations

import asyncio
import functools
import os
import statistics
import threading
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.context.tokens import counter as counter_module
from addon.context.tokens.count import describe, overflow, true_input
from addon.context.tokens.counter import TokenCounter
from addon.context.tokens.measure import Sample
from addon.context.tokens.vocabulary import Vocabulary
from addon.core.files import write_json
from tests.clock import Clock
from tests.context.builders import (
    FORGETFUL,
    NEW,
    OLD,
    Conversation,
    Truth,
    code,
    dice,
    text,
    vocabulary,
)
from tests.context.validator import unhurried


def counter(
    state: Path | None = None, clock: Clock | None = None, words: Vocabulary | None = None
) -> TokenCounter:
    return TokenCounter(words or vocabulary(), clock=clock or Clock(), state=state)


class Slow(Vocabulary):
    """Counts nothing in the worker before it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.release = Event()
        self.load()

    def count(self, text: str) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.release.wait(5)
        return super().count(text)


def conversation(turns: int = 6, kind: str = "code", seed: int = 1) -> Conversation:
    made = Conversation(seed, kind)
    for _ in range(turns):
        made.turn()
    return made


def off(estimate: int, true: int) -> float:
    return abs(estimate / true - 1)


def test_first_count_is_on_the_safe_side():
    request = conversation().request()
    count = counter().count(request, NEW)
    assert count.source == "prior"
    assert Truth().count(request) < count.total < 1.25 * Truth().count(request)


def test_parts_add_up_to_the_total():
    request = conversation().request()
    count = counter().count(request, NEW)
    assert count.total == pytest.approx(
        count.system + count.tools + count.messages, abs=len(count.per_message) + 2
    )


def test_an_answered_request_is_known_exactly():
    subject, request = counter(), conversation().request()
    assert subject.count(request, NEW).source == "prior"
    assert subject.learn(request, NEW, 34_321)
    known = subject.count(request, NEW)
    assert (known.total, known.source) == (34_321, "anchored")
    assert known.margin < 0.01


def test_anchor_ignores_where_cache_control_stands():
    subject, request = counter(), conversation().request()
    subject.count(request, NEW)
    subject.learn(request, NEW, 34_321)
    last = request["messages"][-1]["content"][0]
    request["messages"][-1]["content"] = [{**last, "cache_control": {"type": "ephemeral"}}]
    request["system"] = [
        {"type": "text", "text": request["system"], "cache_control": {"type": "ephemeral"}}
    ]
    assert subject.count(request, NEW).total == 34_321


def test_other_tools_are_added_to_the_anchor_but_make_it_unsure():
    subject, request = counter(), conversation().request()
    true = Truth().count(request)
    subject.count(request, NEW)
    subject.learn(request, NEW, true)
    more = {**request, "tools": [*request["tools"], {**request["tools"][0], "name": "another"}]}
    count = subject.count(more, NEW)
    assert count.source == "calibrated"
    assert 30 < count.total - true < 120


def test_other_tokenizer_family_has_no_use_for_the_anchor():
    subject, request = counter(), conversation().request()
    subject.count(request, NEW)
    subject.learn(request, NEW, 34_321)
    assert subject.count(request, OLD).source == "prior"


@pytest.mark.parametrize("family", ["old", "new"])
def test_anchored_error_over_interleaved_chats_is_below_two_percent(family: str):
    model, truth, subject = {"old": OLD, "new": NEW}[family], Truth(family), counter()
    chats = [
        Conversation(seed, kind) for seed, kind in enumerate(("code", "prose", "json", "code"))
    ]
    for chat in chats:
        chat.turn(
            loops=12
        )  # an agent's first request: prompt, tools and the files it was given, 10K tokens and more
    rng, errors, margins_hold = dice(7), [], []
    for _ in range(80):
        chat = rng.choice(chats)
        chat.turn(loops=rng.randrange(4), lines=rng.randrange(5, 80))
        request = chat.request()
        count, true = subject.count(request, model), truth.count(request)
        if count.source == "anchored":
            errors.append(off(count.total, true))
            margins_hold.append(errors[-1] <= count.margin)
        subject.learn(request, model, true)
    assert len(errors) >= 70
    assert statistics.quantiles(errors, n=20)[-1] <= 0.02
    assert statistics.mean(margins_hold) >= 0.9


def test_calibration_reaches_other_conversations():
    truth, subject = Truth(), counter()
    for seed in range(8):
        chat = conversation(4, seed=seed).request()
        subject.count(chat, NEW)
        subject.learn(chat, NEW, truth.count(chat))
    fresh = conversation(5, seed=99).request()
    count = subject.count(fresh, NEW)
    assert count.source == "calibrated"
    assert off(count.total, truth.count(fresh)) < 0.04


def test_one_freak_answer_does_not_move_the_factor():
    truth, subject = Truth(), counter()
    for seed in range(5):
        chat = conversation(4, seed=seed).request()
        subject.count(chat, NEW)
        subject.learn(chat, NEW, truth.count(chat))
    fresh = conversation(5, seed=99).request()
    before = subject.count(fresh, NEW).total
    freak = conversation(4, seed=77).request()
    subject.count(freak, NEW)
    subject.learn(freak, NEW, 2 * truth.count(freak))
    assert subject.count(fresh, NEW).total == before


@pytest.mark.parametrize("ratio", [0.1, 20])
def test_implausible_totals_are_not_learnt_as_a_factor(ratio: float):
    subject, chat = counter(), conversation().request()
    true = round(subject.count(chat, NEW).total * ratio)
    subject.learn(chat, NEW, true)
    assert subject.count(conversation(seed=5).request(), NEW).source == "prior"


def test_a_restart_keeps_what_was_learnt(tmp_path: Path):
    state, request = tmp_path / "counting.json", conversation().request()
    first = counter(state)
    first.count(request, NEW)
    first.learn(request, NEW, 34_321)
    first.close()
    assert counter(state).count(request, NEW).total == 34_321
    assert state.stat().st_mode & 0o777 == 0o600
    assert "parser" not in state.read_text()


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path):
    orphan = tmp_path / "counting.json.ccproxy-x1"
    orphan.touch()
    os.utime(orphan, (Clock().now - 61,) * 2)
    counter(tmp_path / "counting.json").close()
    assert not orphan.exists()


def test_a_sum_of_prompts_that_an_earlier_version_saved_is_left_out(tmp_path: Path):
    state, request = tmp_path / "counting.json", conversation().request()
    first = counter(state)
    before = first.count(request, NEW)
    first.learn(request, NEW, 950_648, sure=True)
    first.close()
    assert counter(state).count(request, NEW) == before


def test_state_is_saved_every_half_minute_at_most(tmp_path: Path):
    state, clock, request = tmp_path / "counting.json", Clock(), conversation().request()
    subject = counter(state, clock)
    subject.count(request, NEW)
    subject.learn(request, NEW, 40_000)
    assert not state.exists()
    clock.now += 31
    subject.learn(request, NEW, 40_000)
    subject.close()
    assert state.exists()


def test_a_slow_disk_holds_up_nobody_and_the_newest_state_is_what_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    state, clock, request = tmp_path / "counting.json", Clock(), conversation().request()
    ready, threads = threading.Event(), []

    def slowly(path: Path, value: object) -> bool:
        threads.append(threading.current_thread())
        ready.wait(10)
        return write_json(path, value)

    monkeypatch.setattr(counter_module, "write_json", slowly)
    subject = counter(state, clock)
    subject.count(request, NEW)
    for total in (40_000, 41_000):
        clock.now += 31
        subject.learn(request, NEW, total)
    assert not state.exists()
    subject.learn(request, NEW, 42_000)
    threading.Timer(0.1, ready.set).start()
    subject.close()
    assert counter(state, clock).count(request, NEW).total == 42_000
    assert len(threads) == 3 and threading.main_thread() not in threads


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe not json",
        b"[]",
        b'{"version":2}',
        b'{"version":1,"encoding":"cl100k_base","saved":1700000000,"factors":{"new":{"log":0.1}},"anchors":[]}',
        b'{"version":99,"encoding":"cl100k_base","saved":1700000000,"factors":{},"anchors":[]}',
        b'{"version":2,"encoding":"cl100k_base","saved":1700000000,"factors":{"new":{"log":9}},"anchors":[]}',
        b'{"version":2,"encoding":"cl100k_base","saved":1700000000,"factors":{"new":{"x":9}},"anchors":[]}',
        b'{"version":2,"encoding":"cl100k_base","saved":1700000000,"factors":{"new":3},"anchors":[]}',
        b'{"version":2,"encoding":"cl100k_base","saved":1700000000,"factors":{},"anchors":[["zz",1,2,3]]}',
        b'{"version":2,"encoding":"cl100k_base","saved":1700000000,"factors":{},"anchors":[1]}',
        b"[" * 100_000,
        b" " * (17 * 1024 * 1024),
    ],
    ids=[
        "empty",
        "binary",
        "list",
        "partial",
        "older",
        "newer",
        "absurd",
        "unknown",
        "number",
        "hex",
        "row",
        "deep",
        "huge",
    ],
)
def test_a_damaged_state_file_is_ignored(tmp_path: Path, content: bytes):
    state = tmp_path / "counting.json"
    state.write_bytes(content)
    assert counter(state).count(conversation().request(), NEW).source == "prior"


def test_state_older_than_ninety_days_is_ignored(tmp_path: Path):
    state, clock, request = tmp_path / "counting.json", Clock(), conversation().request()
    first = counter(state, clock)
    first.count(request, NEW)
    first.learn(request, NEW, 34_321)
    first.close()
    clock.now += 91 * 86_400
    assert counter(state, clock).count(request, NEW).source == "prior"


def test_an_unwritable_directory_costs_nothing_but_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("in the way")
    subject, request = counter(tmp_path / "file" / "counting.json"), conversation().request()
    subject.count(request, NEW)
    assert subject.learn(request, NEW, 34_321)
    subject.close()
    assert "Could not save" in caplog.text
    assert subject.count(request, NEW).total == 34_321


def test_without_vocabulary_weights_answer_and_say_so(tmp_path: Path):
    missing = Vocabulary(tmp_path / "none.xz")
    missing.load()
    request = conversation().request()
    count = counter(words=missing).count(request, NEW)
    assert (count.source, count.margin) == ("weights", 0.30)
    assert off(count.total, Truth().count(request)) < 0.3


def test_while_the_vocabulary_loads_weights_answer_but_are_not_remembered(tmp_path: Path):
    loading = Vocabulary()
    subject, request = counter(words=loading), conversation().request()
    assert subject.count(request, NEW).source == "weights"
    assert not subject.learn(request, NEW, 34_321)
    loading.load()
    assert subject.count(request, NEW) == counter().count(request, NEW)


async def test_the_vocabulary_is_loaded_for_the_first_long_text():
    words = Vocabulary()
    subject = counter(words=words)
    short = await subject.count_soon({"messages": [text("user", "Hello.")]}, NEW)
    assert (short.source, words.begun) == ("weights", False)
    request = conversation(12).request()
    assert await subject.count_soon(request, NEW, wait=10) == counter().count(request, NEW)
    assert words.begun


async def test_cold_work_goes_to_the_worker_and_gives_the_same_count():
    request = conversation(12).request()
    assert await counter().count_soon(request, NEW) == counter().count(request, NEW)


async def test_more_parts_than_the_cache_holds_are_counted_once(monkeypatch: pytest.MonkeyPatch):
    request = conversation(12).request()
    exact = counter().count(request, NEW)
    monkeypatch.setattr(counter_module, "CACHE_ENTRIES", 4)
    subject = counter()
    assert await subject.count_soon(request, NEW, wait=10) == exact
    assert subject.count(request, NEW) == exact


async def test_a_slow_worker_is_not_waited_for_and_finishes_for_the_next_turn():
    slow = Slow()
    subject, request = counter(words=slow), conversation(12).request()
    rough = await subject.count_soon(request, NEW, wait=0.02)
    assert rough.source == "weights"
    slow.release.set()
    async with asyncio.timeout(5):
        while (await subject.count_soon(request, NEW)).source != "prior":
            pass
    assert subject.count(request, NEW) == counter().count(request, NEW)


async def test_a_request_far_below_the_threshold_is_not_waited_for_and_fills_the_memo_behind():
    slow = Slow()
    subject, request = counter(words=slow), conversation(12).request()
    exact = counter().count(request, NEW)
    # Far enough: of so short a text, a sample is sure only that there is not half as much again.
    sampled = await subject.count_soon(request, NEW, threshold=2 * exact.total)
    assert off(sampled.total, exact.total) < 0.1
    assert sampled.margin > exact.margin
    assert not subject.learn(request, NEW, exact.total), "what was only sampled teaches nothing"
    slow.release.set()
    assert await subject.count_soon(request, NEW) == exact


@pytest.mark.parametrize(("threshold", "room"), [(1.05, None), (1.5, 1.1)])
async def test_what_a_sample_is_not_sure_of_is_counted(threshold: float, room: float | None):
    """Near the threshold, and where a wider margin would leave less room for the response."""
    request = conversation(12).request()
    exact = counter().count(request, NEW)
    count = await counter().count_soon(
        request,
        NEW,
        threshold=round(threshold * exact.total),
        room=round(room * exact.total) if room else None,
    )
    assert count == exact


KINDS = {
    "words": "the quick brown fox ",
    "base64": "aGVsbG8gd29ybGQhIFRoaXMgaXM+/xQ9zKjqVbW1X",
    "digits": "3.1415926535897932384626",
    "chinese": "的一是在不了有和人这中大为上个国",
    "emoji": "👩🏽‍🚀🦾",
    "spaces": " " * 40,
    "lines": "\n\t}\n",
    "half": "\ud83d",
}


@unhurried
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 20_000)), min_size=1, max_size=30
    )
)
def test_a_sample_is_surely_not_too_low(runs: list[tuple[str, int]]):
    texts = [(KINDS[kind] * (size // len(KINDS[kind]) + 1))[:size] for kind, size in runs]
    sample = Sample(sum(map(len, texts)))
    characters = sum(map(sample, texts))
    density, unsure = sample.density(vocabulary().count)
    assert density * characters + unsure >= sum(map(vocabulary().count, texts))


def sprinkled(text: str, piece: str, times: int) -> str:
    """`text` with `piece` in it so often that it counts, and so rarely that a sample may not see it."""
    for at in range(0, len(text), len(text) // times):
        text = text[:at] + piece + text[at + len(piece) :]
    return text


DENSE = "".join(map(chr, range(0x20000, 0x20190)))
"""Rare characters: four tokens each."""
HOSTILE = {
    "a few dense spots in blanks": [sprinkled(" " * 400_000, DENSE, 3)],
    "dense spots in words": [sprinkled(KINDS["words"] * 20_000, DENSE[:100], 30)],
    "secrets in blanks": [sprinkled(" " * 400_000, KINDS["base64"] * 20, 6)],
    "words, and thousands of short dense texts": [KINDS["words"] * 5_000, *[DENSE[:20]] * 5_000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_sample_is_not_too_low_wherever_its_windows_fall(name: str):
    texts, count = HOSTILE[name], functools.cache(vocabulary().count)
    exact, volume = sum(map(count, texts)), sum(map(len, texts))
    for _ in range(200):
        sample = Sample(volume)
        characters = sum(map(sample, texts))
        density, unsure = sample.density(count)
        assert density * characters + unsure >= exact


async def test_a_sample_is_as_unsure_beside_images_that_were_smaller_than_estimated():
    image = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    seen = {"messages": [{"role": "user", "content": [image] * 60}, text("assistant", "b")]}
    subject = counter()
    subject.count(seen, NEW)
    assert subject.learn(seen, NEW, 3_000)
    more = text("user", HOSTILE["a few dense spots in blanks"][0])
    request = {"messages": [*seen["messages"], more]}
    found = await subject.count_soon(request, NEW, threshold=12_000)
    assert found == subject.count(request, NEW)
    subject.close()


def test_needs_count_is_sure_when_it_says_no():
    request = conversation(3).request()
    subject = counter()
    assert not subject.needs_count(request, NEW, 1_000_000)
    assert subject.needs_count(request, NEW, subject.count(request, NEW).total - 1)


def test_needs_count_sees_images_without_reading_them():
    image = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    request = {"messages": [{"role": "user", "content": [image] * 20}]}
    assert counter().needs_count(request, NEW, 90_000)


def thinking(signature: int) -> dict[str, object]:
    return {"type": "thinking", "thinking": "hm", "signature": "S" * signature}


def test_thinking_counts_by_signature_where_the_model_keeps_it():
    plain = {"messages": [text("user", "a"), text("assistant", "b"), text("user", "c")]}
    blocks = [thinking(50_000), {"type": "text", "text": "b"}]
    thought = {
        "messages": [text("user", "a"), {"role": "assistant", "content": blocks}, text("user", "c")]
    }
    assert counter().count(thought, OLD).total - counter().count(plain, OLD).total == 10_000
    assert counter().count(thought, FORGETFUL).total == counter().count(plain, FORGETFUL).total


def test_thinking_of_the_running_tool_loop_counts_for_every_model():
    use = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
    loop = [text("user", "a"), {"role": "assistant", "content": [thinking(50_000), use]}]
    request = {"messages": [*loop, {"role": "user", "content": [answer]}]}
    assert counter().count(request, FORGETFUL).total > 10_000


def test_log_line_reads_as_a_sentence():
    subject, request = counter(), conversation().request()
    subject.count(request, NEW)
    subject.learn(request, NEW, 38_234)
    line = describe(subject.count(request, NEW), 200_000)
    assert line.startswith("📊 38.2K tokens (±1 %) · system ")
    assert "· 35 messages " in line
    assert line.endswith("· limit 200K")


def test_log_line_has_only_the_parts_that_are_there():
    line = describe(counter().count({"messages": [text("user", "hi")]}, NEW), 200_000)
    assert "system" not in line and "tools" not in line and " · 1 message " in line


def test_no_part_is_negative_where_thinking_cost_less_than_assumed():
    subject = counter()
    answer = {"role": "assistant", "content": [thinking(50_000), {"type": "text", "text": "b"}]}
    messages = [text("user", "a"), answer, text("user", "c")]
    request = {"system": "Be brief. " * 50, "messages": messages}
    subject.count(request, OLD)
    subject.learn(request, OLD, 1000)
    count = subject.count(request, OLD)
    assert count.total == 1000 and min(count.system, *count.per_message) >= 0
    assert count.system + count.messages == pytest.approx(1000, abs=10)


@pytest.mark.parametrize(
    ("usage", "total"),
    [
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100},
            115,
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": None}, 5),
        ({"input_tokens": 5, "server_tool_use": {"web_search_requests": 1}}, None),
        ({"input_tokens": 5, "server_tool_use": {"web_search_requests": 0}}, 5),
        ({"input_tokens": 5, "iterations": [{}, {}]}, None),
        ({"input_tokens": 5, "iterations": [{"type": "message"}]}, 5),
        ({}, None),
    ],
    ids=[
        "sums",
        "null",
        "server-tool",
        "unused-server-tool",
        "iterations",
        "one-iteration",
        "empty",
    ],
)
def test_true_input(usage: dict[str, object], total: int | None):
    assert true_input(usage) == total


@pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use"])
def test_the_usage_of_a_response_that_used_server_tools_is_a_sum(kind: str):
    call = {"type": kind, "id": "srvtoolu_1", "name": "bash_code_execution", "input": {}}
    assert true_input({"input_tokens": 320_032}, [call]) is None
    assert true_input({"input_tokens": 5}, [{"type": "text", "text": "a"}]) == 5


@pytest.mark.parametrize("claimed", [320_032, 1_000_000, 10**300])
def test_more_than_a_token_for_each_byte_is_not_learnt(claimed: int):
    subject, request = counter(), conversation().request()
    before = subject.count(request, NEW)
    assert not subject.learn(request, NEW, claimed)
    assert subject.count(request, NEW) == before
    other = conversation(seed=5).request()
    assert subject.count(other, NEW).source == "prior"


def test_what_anthropic_refused_is_believed():
    subject, request = counter(), conversation().request()
    subject.count(request, NEW)
    assert subject.learn(request, NEW, 320_032, sure=True)
    assert subject.count(request, NEW).total == 320_032


SECRET = "Qm9ndXM/" * 30_000
RESULTS = {
    "search": {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "u", "encrypted_content": SECRET}],
    },
    "code": {
        "type": "code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {"type": "encrypted_code_execution_result", "encrypted_stdout": SECRET},
    },
    "citation": {"type": "new_block", "citations": [{"encrypted_index": SECRET}]},
    "signature": {"type": "new_thinking", "signature": SECRET},
    "pdf": {
        "type": "web_fetch_tool_result",
        "content": {
            "type": "web_fetch_result",
            "content": {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": SECRET},
            },
        },
    },
}


@pytest.mark.parametrize("kind", RESULTS)
def test_what_is_opaque_is_not_counted_as_text(kind: str):
    messages = [text("user", "a"), {"role": "assistant", "content": [RESULTS[kind]]}]
    count = counter().count({"messages": messages}, NEW)
    assert len(SECRET) / 30 < count.total < len(SECRET) / 4
    assert counter().needs_count({"messages": messages}, NEW, count.total)


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        ("prompt is too long: 213462 tokens > 200000 maximum", (213_462, 200_000)),
        (
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length",
            (188_240, 200_000),
        ),
        ("messages: at least one message is required", None),
    ],
    ids=["too-long", "with-max-tokens", "another"],
)
def test_a_refusal_tells_both_numbers(message: str, numbers: tuple[int, int] | None):
    assert overflow(message) == numbers


def test_count_of_a_big_text_is_about_its_encoding():
    words = code(dice(3), 4_000)
    direct = vocabulary().count(words)
    request = {"messages": [text("user", words)]}
    assert counter().count(request, NEW).total == pytest.approx(1.6 * direct, rel=0.001)
