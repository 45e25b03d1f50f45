"""Closed by default: whatever breaks in an addon, nothing goes upstream unguarded and no client hangs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from addon.stand_in.script import fail, say
from tests.e2e.conftest import World
from tests.e2e.proxy import OWN_PORT, chat, message
from tests.e2e.saboteur import PLAN, hooks_of_addons

SABOTEUR = Path(__file__).with_name("saboteur.py")
FLOW_HOOKS = (
    "requestheaders",
    "request",
    "upstream_failed",
    "responseheaders",
    "response",
    "error",
)
# The gate only adds to what the others hold: it refuses flows that are none of theirs.
PAIRS = [(cls.__name__, hook) for cls, hook in hooks_of_addons() if cls.__name__ != "Gate"]
WATCHING = [pair for pair in PAIRS if pair[0] == "Telemetry" and pair[1] in FLOW_HOOKS]
"""Behind the approval: what breaks there changes nothing."""
STEPS = [pair for pair in PAIRS if pair not in WATCHING]
BEFORE = [pair for pair in STEPS if pair[1] in ("requestheaders", "request", "next_layer")]
AFTER = [pair for pair in STEPS if pair[1] in FLOW_HOOKS and pair not in BEFORE]
HOW = ("raise", "cancel", "exit")


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    nobody = "http://127.0.0.1:9"  # with it, Telemetry is there
    return {
        "launch": False,
        "first": ["-s", str(SABOTEUR)],
        "mode": OWN_PORT,
        "OTEL_EXPORTER_OTLP_ENDPOINT": nobody,
    }


@pytest.fixture
def world(world: World) -> Iterator[World]:
    yield world
    (world.proxy.home / PLAN).unlink(missing_ok=True)


def sabotage(world: World, pair: tuple[str, str], how: str) -> None:
    plan = {"addon": pair[0], "hook": pair[1], "how": how}
    (world.proxy.home / PLAN).write_text(json.dumps(plan))


def ways(hooks: list[tuple[str, str]]) -> list[Any]:
    # next_layer is no hook of a flow: mitmproxy handles what is raised there
    others = [(pair, how) for pair in hooks for how in HOW[1:] if pair[1] in FLOW_HOOKS]
    return [
        *((pair, HOW[0]) for pair in hooks),
        *(pytest.param(*way, marks=pytest.mark.thorough) for way in others),
    ]


def named(value: object) -> str:
    return ".".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("pair", WATCHING, ids=named)
def test_who_only_watches_breaks_nothing(pair: tuple[str, str], world: World) -> None:
    sabotage(world, pair, "raise")
    world.fake.script(say("one two three"))
    assert "one two three" in world.proxy.post("/v1/chat/completions", chat(), timeout=20).text
    streamed = world.proxy.post("/v1/chat/completions", chat(stream=True), timeout=20).text
    assert "three" in streamed and streamed.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(("pair", "how"), ways(BEFORE), ids=named)
def test_a_hook_that_breaks_before_sending_keeps_all_in(
    pair: tuple[str, str], how: str, world: World
) -> None:
    sabotage(world, pair, how)
    for path, body in (
        ("/v1/chat/completions", chat()),
        ("/v1/chat/completions", chat(stream=True)),
        ("/v1/messages", message(stream=True)),
    ):
        response = world.proxy.post(path, body, timeout=20)
        assert response.status_code >= 500
        error = response.json()["error"]
        assert ("code" in error) == (path != "/v1/messages") or pair[1] == "next_layer"
    assert world.untouched


@pytest.mark.parametrize(("pair", "how"), ways(AFTER), ids=named)
def test_a_hook_that_breaks_after_sending_tells_no_lies(
    pair: tuple[str, str], how: str, world: World
) -> None:
    """The whole right answer, or an error: never half an answer that looks whole, never silence."""
    sabotage(world, pair, how)
    if pair[1] == "upstream_failed":
        world.fake.script(fail(500))
    else:
        world.fake.script(say("one two three four five six seven"))
    plain = world.proxy.post("/v1/chat/completions", chat(), timeout=20)
    streamed = world.proxy.post("/v1/chat/completions", chat(stream=True), timeout=20)
    if plain.status_code == 200:
        assert plain.json()["choices"][0]["message"]["content"].endswith("six seven")
        assert streamed.text.endswith("data: [DONE]\n\n")
    else:
        assert plain.status_code >= 500 and plain.json()["error"]["message"]
        assert "[DONE]" not in streamed.text and '"error"' in streamed.text
    assert len(world.fake.messages()) <= 4  # a lost answer is asked for once more


def test_without_sabotage_the_same_proxy_serves(world: World) -> None:
    assert world.proxy.post("/v1/chat/completions", chat()).status_code == 200


def test_the_hooks_are_found() -> None:
    assert {
        ("AccessControl", "requestheaders"),
        ("Translate", "request"),
        ("Upstream", "request"),
    } < set(BEFORE)
    assert ("Upstream", "upstream_failed") in AFTER
