"""Faults below the hooks, and hooks that hang (those that raise are in test_closed.py)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import fail, say
from tests.e2e import raw
from tests.e2e.conftest import World
from tests.e2e.proxy import OAUTH_TOKEN, OWN_PORT, Proxy, chat, rejected
from tests.e2e.saboteur import hooks_of_addons
from tests.e2e.steps import AFTER, BEFORE, HANGS, PAYING, STEPS

SCRIPT = Path(__file__).with_name("steps.py")
IN_THE_LAYER = (
    "take_approved", "begin", "show_on", "feed", "close", "render", "finish", "deliver", "Continuity.record",
)  # fmt: skip
"""Not called from a hook: nothing there can be cancelled, and SystemExit would be a wish to end."""
HANGING = [
    (cls.__name__, hook)
    for cls, hook in hooks_of_addons()
    if hook in ("requestheaders", "request", "upstream_failed", "responseheaders", "response")
    and cls.__name__ != "Gate"  # it is no part of the script, and has no reason to wait
]
IDLE_SECONDS = 4.0
COUNTED = "a prompt that is counted " * 50
"""Shorter ones are not, as nothing depends on it."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {
        "launch": False,
        "first": ["-s", str(SCRIPT)],
        "mode": OWN_PORT,
        "UPSTREAM_IDLE_SECONDS": str(IDLE_SECONDS),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",  # for Telemetry, which nobody hears
    }


@pytest.fixture
def world(world: World) -> Iterator[World]:
    yield world
    forget_plans(world)


@pytest.fixture(scope="module")
def running_spent(settings: Mapping[str, Any]) -> Iterator[World]:
    with FakeAnthropic() as server, Proxy(server.url, **settings) as proxy:
        yield World(server, proxy)


@pytest.fixture
def spent(running_spent: World) -> Iterator[World]:
    """Another proxy, for it remembers that its subscription is used up."""
    running_spent.reset()
    yield running_spent
    forget_plans(running_spent)


def forget_plans(world: World) -> None:
    for plan in (STEPS, HANGS):
        (world.proxy.home / plan).unlink(missing_ok=True)


def break_step(world: World, step: str, how: str) -> None:
    (world.proxy.home / STEPS).write_text(json.dumps({"step": step, "how": how}))


def ways(steps: list[str]) -> list[Any]:
    others = [(s, how) for s in steps for how in ("cancel", "exit") if not s.endswith(IN_THE_LAYER)]
    return [
        *((step, "raise") for step in steps),
        *(pytest.param(*way, marks=pytest.mark.thorough) for way in others),
    ]


@pytest.mark.parametrize(("step", "how"), ways(BEFORE))
def test_s16_a_step_that_breaks_before_sending_keeps_all_in(
    step: str, how: str, world: World
) -> None:
    break_step(world, step, how)
    for streaming in (False, True):
        response = world.proxy.post(
            "/v1/chat/completions", chat(COUNTED, stream=streaming), timeout=20
        )
        assert response.status_code >= 500
        assert response.json()["error"]["message"]
        assert OAUTH_TOKEN not in response.text and "sabotage" not in response.text
    assert world.untouched


@pytest.mark.parametrize(("step", "how"), ways(AFTER))
def test_r26_a_step_that_breaks_on_the_way_back_tells_no_lies(
    step: str, how: str, world: World
) -> None:
    world.fake.script(say("one two three four five six seven"))
    break_step(world, step, how)
    plain = world.proxy.post("/v1/chat/completions", chat(COUNTED), timeout=20)
    streamed = world.proxy.post("/v1/chat/completions", chat(COUNTED, stream=True), timeout=20).text
    if plain.status_code == 200:
        assert plain.json()["choices"][0]["message"]["content"].endswith("six seven")
    else:
        assert plain.status_code >= 500 and plain.json()["error"]["message"]
    assert ('"error":' in streamed) != streamed.endswith("data: [DONE]\n\n")
    assert "sabotage" not in plain.text + streamed


@pytest.mark.thorough
@pytest.mark.parametrize(
    "step",
    ["addon.context.window.ContextManager.fit", "addon.credentials.login.StaticLogin.access_token"],
)
def test_r26_a_step_that_hangs_before_sending_is_given_up(step: str, world: World) -> None:
    break_step(world, step, "hang")
    for streaming in (False, True):
        response = world.proxy.post(
            "/v1/chat/completions", chat(COUNTED, stream=streaming), timeout=30
        )
        assert response.status_code == 500 and "took too long" in response.text
    assert world.untouched


def test_r26_no_hook_that_hangs_hangs_the_client(world: World) -> None:
    """All at once: each client calls from a port of its own, which says which hook hangs for it."""
    clients = [
        (pair, socket.create_connection(("127.0.0.1", world.proxy.port), timeout=40))
        for pair in HANGING
    ]
    plan = {client.getsockname()[1]: pair for pair, client in clients}
    (world.proxy.home / HANGS).write_text(json.dumps(plan))
    world.fake.script([fail(500)] * len(HANGING), when=lambda r: b"upstream_failed" in r.body)

    def ask(asked: tuple[tuple[str, str], socket.socket]) -> tuple[tuple[str, str], bytes]:
        pair, client = asked
        with client:
            client.sendall(raw.post(chat(".".join(pair)), "Connection: close"))
            return pair, raw.read_all(client)

    with ThreadPoolExecutor(len(clients)) as pool:
        for (addon, hook), response in pool.map(ask, clients):
            assert raw.status_of(response) == 500, (addon, hook)
            assert "took too long" in raw.json_of(response)["error"]["message"], (addon, hook)
    before = [f"{addon}.{hook}" for addon, hook in HANGING if hook in ("requestheaders", "request")]
    assert not [r for r in world.fake.requests if any(name.encode() in r.body for name in before)]


@pytest.mark.parametrize(("step", "how"), ways(PAYING))
def test_s16_a_step_that_breaks_before_paying_costs_nothing(
    step: str, how: str, spent: World
) -> None:
    spent.fake.script(fail(429, headers=rejected()), when="oauth")
    break_step(spent, step, how)
    for streaming in (False, True):
        response = spent.proxy.post("/v1/chat/completions", chat(stream=streaming), timeout=20)
        assert response.status_code >= 429 and response.json()["error"]["message"]
    assert not spent.fake.messages("api_key")


def test_without_a_fault_the_same_proxy_serves(world: World) -> None:
    assert world.proxy.post("/v1/chat/completions", chat()).status_code == 200
    assert len(BEFORE) + len(AFTER) >= 25
