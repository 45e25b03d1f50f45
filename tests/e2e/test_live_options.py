"""Settings that are changed while the proxy runs: they count from the next request on, and nothing is forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from addon.exchange.refusals import WRONG_ALLOWED
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, say
from tests.e2e import live_options
from tests.e2e.conftest import World
from tests.e2e.proxy import OWN_PORT, Proxy, chat
from tests.e2e.talk import SUMMARIZER, Talk, script_summary, summaries
from tests.processes import open_files

SECRET = "sk-ccproxy-long-enough-to-be-one"
KNOWS = {"authorization": f"Bearer {SECRET}"}
OUTSIDE = {"cf-connecting-ip": "8.8.8.8"}


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {
        "launch": False,
        "first": ["-s", str(Path(live_options.__file__))],
        "mode": OWN_PORT,
        "PROXY_SECRET_KEY": SECRET,
        "ALLOWED_IPS": "10.0.0.0/8",
        "VERBOSE_LOGGING": "true",
        "CONTEXT_MAX_TOKENS": "9000",
        "CONTEXT_TARGET_TOKENS": "6000",
        "CONTEXT_AHEAD": "false",
        "CONTEXT_SUMMARIZATION_MODEL": SUMMARIZER,
    }


def change(proxy: Proxy, option: str, value: str) -> None:
    proxy.get(f"/set/ccproxy_{option}/{value}")


def toggle(proxy: Proxy) -> None:
    """Change something that has nothing to do with the test."""
    change(proxy, "strict", "true")
    change(proxy, "strict", "false")


def blocked(proxy: Proxy) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = proxy.get("/security/blocked", headers=KNOWS).json()["blocked"]
    return listed


def test_nothing_that_remembers_is_made_anew(world: World) -> None:
    assert world.proxy.post("/v1/chat/completions", chat()).status_code == 200
    change(world.proxy, "strict", "true")
    lost = json.loads((world.proxy.home / live_options.LOST).read_text())
    change(world.proxy, "strict", "false")
    assert lost == []


def test_refused_callers_stay_listed_and_the_next_ones_get_the_new_line(world: World) -> None:
    ask = {**KNOWS, "cf-connecting-ip": "9.9.9.9"}
    world.proxy.post("/v1/chat/completions", chat(), headers=ask)
    change(world.proxy, "allowed_ips", "10.0.0.0%2F8,11.0.0.0%2F8")
    world.proxy.post("/v1/chat/completions", chat(), headers=ask)
    change(world.proxy, "allowed_ips", "10.0.0.0%2F8")
    lines = [e["allow"] for e in blocked(world.proxy) if e["address"] == "9.9.9.9"]
    assert lines == [
        "ALLOWED_IPS=10.0.0.0/8,11.0.0.0/8,9.9.9.9",
        "ALLOWED_IPS=10.0.0.0/8,9.9.9.9",
    ]


def test_whoever_guesses_the_secret_does_not_begin_anew(world: World) -> None:
    def guess() -> int:
        headers = {"authorization": "Bearer wrong", "cf-connecting-ip": "7.7.7.7"}
        return world.proxy.get("/v1/models", headers=headers).status_code

    assert [guess() for _ in range(WRONG_ALLOWED)] == [401] * WRONG_ALLOWED
    toggle(world.proxy)
    assert guess() == 429


def test_the_log_is_open_once(world: World) -> None:
    toggle(world.proxy)
    world.proxy.post("/v1/chat/completions", chat("after the change"))
    assert world.proxy.process
    opened = [file.name for file in open_files(world.proxy.process.pid)]
    assert opened.count("api.log") == 1
    log = world.proxy.home / ".ccproxy" / "api.log"
    until = time.monotonic() + 10  # its writer collects lines for a moment
    while "after the change" not in log.read_text() and time.monotonic() < until:
        time.sleep(0.02)
    assert "after the change" in log.read_text()


def test_a_summary_under_way_is_waited_for_rather_than_paid_twice(world: World) -> None:
    talk, gate = Talk("changed").grow(8), Gate()
    script_summary(world.fake, delivered(say("It was all read, and it was good. " * 20), hold=gate))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(world.proxy.post, "/v1/chat/completions", talk.body())
        assert gate.reached.wait(10)
        toggle(world.proxy)
        second = pool.submit(world.proxy.post, "/v1/chat/completions", talk.body())
        time.sleep(0.5)  # for it to come in
        gate.open()
        assert [first.result(20).status_code, second.result(20).status_code] == [200, 200]
    assert len(summaries(world.fake)) == 1


def test_the_change_counts_from_the_next_request_on(world: World) -> None:
    asked = chat(top_k=3, logit_bias={"1": 1})
    assert world.proxy.post("/v1/chat/completions", asked).status_code == 200
    change(world.proxy, "strict", "true")
    refused = world.proxy.post("/v1/chat/completions", asked).status_code
    change(world.proxy, "strict", "false")
    assert refused == 400
