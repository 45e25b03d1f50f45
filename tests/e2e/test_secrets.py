"""Canary secrets appear nowhere: not in the terminal, not in a flow file or HAR, not in a traceback."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from addon.stand_in.script import broken, delivered, fail
from tests.e2e import raw
from tests.e2e.conftest import World
from tests.e2e.proxy import OWN_PORT, Proxy, chat, message, rejected
from tests.e2e.saboteur import PLAN
from tests.e2e.test_closed import SABOTEUR

TOKEN = "sk-ant-oat01-canaryoauth"
KEY = "sk-ant-api03-canarykey"
CANARY = "canaryproxysecret"
SECRET = f'{CANARY}"\\end'
"""With what JSON escapes."""
CLIENTS = "sk-ant-api03-canaryclient"
OPENAI = "sk-canaryopenai"
CARRIED = [
    {"authorization": f"Bearer {CLIENTS}"},
    {"x-api-key": CLIENTS},
    {"api-key": CLIENTS},
    {"authorization": f"Bearer {SECRET}"},
    {"cookie": f"session={SECRET}"},
    {"proxy-authorization": f"Basic {SECRET}"},
]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {
        "launch": False,
        "mode": OWN_PORT,
        "first": ["-s", str(SABOTEUR)],
        "arguments": [
            *("-w", "flows"),
            *("--set", "hardump=all.har"),
            *("--set", "termlog_verbosity=debug"),
            *("--set", "flow_detail=4"),
            *("--set", "proxy_debug=true"),
        ],
        "CLAUDE_CODE_OAUTH_TOKEN": TOKEN,
        "ANTHROPIC_API_KEY": KEY,
        "PROXY_SECRET_KEY": SECRET,
        "OPENAI_API_KEY": OPENAI,
        "OPENAI_BASE_URL": "UPSTREAM",
        "VERBOSE_LOGGING": "true",
    }


@pytest.fixture(scope="module")
def running(running: World) -> World:
    running.fake.access.oauth_tokens.add(TOKEN)
    running.fake.access.api_keys |= {KEY, CLIENTS}
    return running


def written(proxy: Proxy) -> dict[str, bytes]:
    """Everything that the proxy has put anywhere, by file name."""
    files = [path for path in proxy.home.rglob("*") if path.is_file()]
    return {str(path.relative_to(proxy.home)): path.read_bytes() for path in files}


def ordinary(world: World, headers: dict[str, str]) -> None:
    world.proxy.post("/v1/chat/completions", chat(stream=True), headers=headers)
    world.proxy.post("/v1/messages", message(), headers=headers)
    world.proxy.post("/v1/chat/completions", chat(model="gpt-5"), headers=headers)
    world.proxy.get("/health", headers=headers)
    world.proxy.get("/nowhere", headers=headers)


def failing(world: World, headers: dict[str, str]) -> None:
    world.fake.script(
        [
            fail(401, f"invalid {TOKEN}"),
            fail(400, f"bad {KEY}"),
            broken(after=1),
            delivered(cut="rst"),
        ]
    )
    for _ in range(4):
        world.proxy.post("/v1/chat/completions", chat(stream=True), headers=headers)


def crashing(world: World, headers: dict[str, str]) -> None:
    plan = world.proxy.home / PLAN
    for addon, hook in (("AccessControl", "requestheaders"), ("Upstream", "request")):
        plan.write_text(json.dumps({"addon": addon, "hook": hook, "how": "raise"}))
        world.proxy.post("/v1/messages", message(), headers=headers)
    plan.unlink()


def leaving(world: World, headers: dict[str, str]) -> None:
    """Amid the head, and amid the body."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    for part in (
        raw.head("POST", "/v1/messages", *lines)[:-4],
        raw.head("POST", "/v1/messages", *lines, "Content-Length: 1000") + b"{",
        b"\x00 " + raw.head("POST", "/v1/messages", *lines),
    ):
        with raw.connected(world.proxy) as client:
            client.sendall(part)
            time.sleep(0.05)


def tunnelled(world: World, headers: dict[str, str]) -> None:
    for shown in (headers, {"authorization": f"Bearer {SECRET}"}):
        world.proxy.post(
            "/v1/messages", message(), headers={**shown, "cf-connecting-ip": "1.2.3.4"}
        )


def signing_in(world: World, headers: dict[str, str]) -> None:
    """By the dashboard's form: rightly, and refused for each reason that there is."""
    plain = json.dumps({"secret": SECRET}).encode()
    for content, more in (
        (plain, {}),
        (gzip.compress(plain), {"content-encoding": "gzip"}),
        (plain[:-1], {}),
        (plain, {"origin": "https://elsewhere.example"}),
        (plain, {"host": "elsewhere.example"}),
        (plain, {"content-type": "text/plain", "origin": world.proxy.url}),
    ):
        world.proxy.post(
            "/dashboard/login",
            content=content,
            headers={"content-type": "application/json", **headers, **more},
        )
    with raw.connected(world.proxy) as client:  # who leaves before its end
        head = raw.head("POST", "/dashboard/login", f"Content-Length: {len(plain) + 10}")
        client.sendall(head + plain)
        time.sleep(0.05)


def in_the_address(world: World, headers: dict[str, str]) -> None:
    """Where no credential belongs."""
    for path in ("/v1/messages", "/nowhere", "/analytics", "/health", "/dashboard/login"):
        for name in ("api_key", "key", "secret", "period"):
            for value in (CLIENTS, quote(SECRET), quote(SECRET, safe="")):
                world.proxy.post(f"{path}?beta=true&{name}={value}", message(), headers=headers)
        world.proxy.get(f"{path}?{quote(SECRET)}", headers=headers)


WAYS: list[Callable[[World, dict[str, str]], None]] = [
    ordinary,
    failing,
    crashing,
    leaving,
    tunnelled,
    signing_in,
    in_the_address,
]


def test_no_canary_is_written_anywhere(running: World) -> None:
    for way in WAYS:
        for headers in CARRIED:
            running.reset()
            way(running, headers)
    running.reset()
    running.fake.script(fail(429, headers=rejected()), when="oauth")
    running.proxy.post("/v1/messages", message())  # and once by key
    assert running.fake.messages("api_key")
    answers = [running.proxy.get(path).text for path in ("/health", "/", "/analytics", "/metrics")]
    running.proxy.stop()
    files = written(running.proxy) | {f"answer {n}": a.encode() for n, a in enumerate(answers)}
    assert len(files["flows"]) > 10_000 and "all.har" in files  # it was written at all
    leaks = [
        (name, canary, text[max(0, text.index(canary.encode()) - 200) :][:300])
        for name, text in files.items()
        for canary in (TOKEN, KEY, CANARY, CLIENTS, OPENAI)
        if canary.encode() in text
    ]
    assert leaks == []


def test_files_are_for_their_owner_alone(running: World) -> None:
    state = Path(running.proxy.env["CCPROXY_HOME"])
    assert state.stat().st_mode & 0o077 == 0
    assert [p.name for p in state.rglob("*") if p.is_file() and p.stat().st_mode & 0o077] == []
