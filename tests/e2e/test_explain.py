"""`/explain`, the content views and saved flows."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.net import encoding

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import fail
from tests.budget import thorough_after
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import API_KEY, OAUTH_TOKEN, ROOT, Proxy, chat, message, rejected

CANARY = "sk-ant-api03-canary-in-the-text"


def newest(proxy: Proxy) -> dict[str, Any]:
    listed = proxy.get("/explain").json()["requests"]
    return dict(proxy.get(f"/explain/{listed[0]['id']}").json())


def test_a_request_is_explained_from_both_sides(
    start_proxy: StartProxy, fake: FakeAnthropic
) -> None:
    fake.script(fail(429, "Used up.", headers=rejected()), when=lambda r: kind_of(r) == "oauth")
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", chat("Explain me", stream=True))
    entry = newest(proxy)
    assert entry["client"]["body"] == chat("Explain me", stream=True)
    assert [(a["source"], a["outcome"], a["reason"]) for a in entry["upstream"]] == [
        ("claude_code", "429", None),
        ("api_key", "200", "rate_limited"),
    ]
    assert entry["upstream"][1]["body"] == fake.messages()[1].json
    assert entry["answer"]["content"][0]["type"] == "text"
    assert (entry["status"], entry["model"], entry["error"]) == (200, "claude-opus-4-8", None)


def test_a_refused_request_is_explained(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", {"model": "claude-opus-4-8", "messages": 3})
    entry = newest(proxy)
    assert (entry["status"], entry["upstream"]) == (400, [])
    assert "messages" in entry["error"]


@pytest.mark.parametrize("name", ["messages", "system", "tools"])
@pytest.mark.parametrize("value", [5, [5], {"a": 1}], ids=["number", "numbers", "object"])
def test_a_request_of_no_known_shape_is_explained(
    start_proxy: StartProxy, name: str, value: object
) -> None:
    proxy = start_proxy()
    assert proxy.post("/v1/messages", message() | {name: value}).status_code == 400
    entry = newest(proxy)
    assert (entry["status"], entry["client"]["body"][name]) == (400, value)
    assert "Traceback" not in proxy.output


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
def test_a_compressed_request_is_shown_as_it_was_meant(
    start_proxy: StartProxy, coding: str
) -> None:
    proxy, body = start_proxy(), chat(f"Packed, and my key is {CANARY}")
    headers = {"content-encoding": coding, "content-type": "application/json"}
    packed = encoding.encode(json.dumps(body).encode(), coding)
    proxy.post("/v1/chat/completions", content=packed, headers=headers)
    entry = newest(proxy)
    assert entry["client"]["body"] == chat("Packed, and my key is [hidden]")
    assert any(change["what"] == "max_tokens" for change in entry["onTheWay"])


def test_no_secret_is_kept(start_proxy: StartProxy) -> None:
    proxy = start_proxy(PROXY_SECRET_KEY="my-own-secret-word")
    headers = {"authorization": f"Bearer {API_KEY}", "cookie": "a=my-own-secret-word"}
    proxy.post(
        "/v1/chat/completions", chat(f"My key is {CANARY}, my-own-secret-word"), headers=headers
    )
    kept = json.dumps(newest(proxy))
    assert not any(s in kept for s in (CANARY, API_KEY, OAUTH_TOKEN, "my-own-secret-word"))
    assert "[hidden]" in kept


def test_it_can_be_switched_off(start_proxy: StartProxy) -> None:
    proxy = start_proxy(EXPLAIN="false")
    proxy.post("/v1/chat/completions", chat())
    answer = proxy.get("/explain")
    assert (answer.status_code, "EXPLAIN=false" in answer.text) == (404, True)


def test_it_can_be_switched_on_by_option(start_proxy: StartProxy) -> None:
    proxy = start_proxy(arguments=["--set", "ccproxy_explain=true"], EXPLAIN="false")
    proxy.post("/v1/chat/completions", chat())
    assert len(proxy.get("/explain").json()["requests"]) == 1


def test_a_tunnels_client_sees_nothing(start_proxy: StartProxy) -> None:
    proxy = start_proxy(PROXY_SECRET_KEY="a-secret")
    headers = {"cf-connecting-ip": "203.0.113.7", "authorization": "Bearer a-secret"}
    assert proxy.get("/explain", headers=headers).status_code == 403
    assert proxy.get("/explain/0123456789abcdef", headers=headers).status_code == 403


def test_an_unknown_request_is_not_found(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    assert proxy.get("/explain/0123456789abcdef").status_code == 404


def read_flows(file: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a saved flow file as a person would, with the addon and without a proxy."""
    mitmdump = Path(sys.executable).with_name("mitmdump")
    return subprocess.run(
        [str(mitmdump), "-n", "-r", str(file), "-s", str(ROOT / "ccproxy_addon.py"), *arguments],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "CCPROXY_HOME": str(home / "state"),
            "CCPROXY_ENV_FILE": "",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("stream", thorough_after(1, [False, True]), ids=["whole", "streamed"])
def test_a_saved_flow_can_be_opened_and_read_as_a_conversation(
    start_proxy: StartProxy, tmp_path: Path, stream: bool
) -> None:
    flows = tmp_path / "flows"
    proxy = start_proxy(arguments=["-w", str(flows), "--set", "store_streamed_bodies=true"])
    proxy.post("/v1/chat/completions", chat("Read me later", stream=stream))
    proxy.stop()
    shown = read_flows(flows, tmp_path, "--set", "flow_detail=3")
    output = shown.stdout + shown.stderr
    assert shown.returncode == 0
    assert "Traceback" not in output
    assert "── user ─" in output
    assert "Read me later" in output
    assert "── usage ─" in output
    assert not list((tmp_path / "state").glob("usage.json"))


SECRET = "tulips-and-roses-1234567"
TUNNEL = {"cf-connecting-ip": "203.0.113.9"}


def test_each_route_of_details_is_closed_to_a_tunnel_with_the_right_secret(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(PROXY_SECRET_KEY=SECRET)
    proxy.post("/v1/chat/completions", chat("first words"), headers={"user-agent": "=1+1"})
    headers = {**TUNNEL, "authorization": f"Bearer {SECRET}"}
    newest = proxy.get("/explain").json()["requests"][0]["id"]
    for path in ("/explain", f"/explain/{newest}", "/context/0123456789abcdef"):
        assert proxy.get(path, headers=headers).status_code == 403
    for path in ("/dashboard/data", "/analytics", "/analytics?by=session", "/analytics/requests"):
        told = proxy.get(path, headers=headers)
        assert told.status_code == 200 and "first words" not in told.text


def test_tables_for_a_spreadsheet_hold_no_formulas(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", {**chat(), "model": "=1+1"})
    proxy.post("/v1/chat/completions", chat())
    for path in (
        "/analytics?by=session&format=csv",
        "/analytics/requests?format=csv",
        "/analytics?by=day&format=csv",
    ):
        told = proxy.get(path)
        assert told.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(told.text.splitlines()))
        assert rows and not any(v.startswith(("=", "+", "@")) for row in rows for v in row.values())
    assert proxy.get("/analytics?by=day&format=xml").status_code == 400


def test_a_person_in_a_browser_is_led_to_the_dashboard(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    led = proxy.get("/", headers={"accept": "text/html,*/*"})
    assert (led.status_code, led.headers["location"]) == (302, "/dashboard")
    assert proxy.get("/").json()["name"] == "ccproxy"
