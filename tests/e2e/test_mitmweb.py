"""mitmweb, as `./start.sh web` starts it: settings as options, commands, and flows as conversations."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import say
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, chat, message
from tests.ports import free_port

PASSWORD = "only-for-this-test"


class Web:
    """mitmweb's own interface."""

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {PASSWORD}"},
            trust_env=False,
            timeout=30,
        )

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def web(start_proxy: StartProxy) -> Iterator[Web]:
    port = free_port()
    arguments = ["--set", f"web_password={PASSWORD}", "--web-port", str(port)]
    shown = Web(start_proxy(program="mitmweb", arguments=arguments, CONTEXT_STRATEGY="trim"), port)
    yield shown
    shown.http.close()


def test_a_person_sees_settings_commands_and_conversations(web: Web) -> None:
    options = web.get("/options")
    assert options["ccproxy_context_strategy"]["value"] == "trim"
    assert "ccproxy_api_key" not in options
    assert {"ccproxy.analytics", "ccproxy.budget", "ccproxy.doctor"} <= web.get("/commands").keys()

    web.proxy.post("/v1/chat/completions", chat("Show me", stream=True))
    (flow,) = [f for f in web.get("/flows") if "messages" in f["request"]["path"]]
    assert re.match(
        r"opus-4-8 · sub · \d+→\d+ · \$0.00 saved \$0\.\d+ · python-httpx", flow["comment"]
    )
    assert options["web_columns"]["value"][2] == "comment"
    for side, said in (("request", "── user ─"), ("response", "── usage ─")):
        view = web.get(f"/flows/{flow['id']}/{side}/content/auto.json")
        assert (view["view_name"], said in view["text"]) == ("ccproxy conversation", True)
    assert "Show me" in web.get(f"/flows/{flow['id']}/request/content/auto.json")["text"]


def test_a_flow_has_an_anatomy_and_what_changed(web: Web) -> None:
    tool = {
        "type": "function",
        "function": {"name": "never_used", "parameters": {"type": "object"}},
    }
    web.proxy.post("/v1/chat/completions", chat("First", tools=[tool]))
    turns = [
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "Second"},
    ]
    for more in ({}, {"temperature": 0.5}):
        web.proxy.post(
            "/v1/chat/completions", {**chat(), "messages": turns, "prompt_cache_key": "k", **more}
        )
    flows = [f for f in web.get("/flows") if "messages" in f["request"]["path"]]

    def view(flow: Any, name: str) -> str:
        return str(web.get(f"/flows/{flow['id']}/request/content/{name}.json")["text"])

    anatomy = view(flows[0], "ccproxy%20anatomy")
    assert "tokens in, as Anthropic counted" in anatomy and "never_used  (never called)" in anatomy
    changed = view(flows[2], "ccproxy%20what%20changed")
    assert "model" not in changed.partition("SINCE")[2]
    assert "temperature removed by Translate" in changed
    assert "SINCE THE LAST TURN\n  nothing" in changed


def run(web: Web, command: str, *arguments: str) -> str:
    web.http.cookies.set("_mitmproxy_xsrf", "token")
    answer = web.http.post(
        f"/commands/{command}",
        json={"arguments": list(arguments)},
        headers={"x-xsrftoken": "token"},
    )
    told = answer.json()
    return str(told.get("value", told.get("error")))


def test_a_request_is_sent_again_and_compared(web: Web, fake: FakeAnthropic) -> None:
    fake.script([say("The first time."), say("The second time.")])
    web.proxy.post("/v1/chat/completions", chat("Again, please"))
    assert "on its way" in run(web, "ccproxy.resend", "~comment opus-4-8", "model=claude-haiku-5-5")
    fake.wait_for_requests(2)
    events = told(web, "NOW")
    assert "The first time." in events and "The second time." in events
    assert fake.messages()[1].json["model"] == "claude-haiku-5-5"
    assert "Again, please" in fake.messages()[1].body.decode()
    assert "resend-1" in repr(web.proxy.get("/analytics/requests").json())

    run(web, "ccproxy.resend", "~comment opus-4-8", "against=stand_in")
    assert told(web, "NOW", 2).rpartition("NOW")[2].strip()
    assert len(fake.messages()) == 2
    for arguments in (("~comment opus-4-8", "effort=high"), ("@all",), ("~comment nothing",)):
        assert "on its way" not in run(web, "ccproxy.resend", *arguments)


def told(web: Web, words: str, times: int = 1) -> str:
    """The event log, once it has these words so often."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        text = "\n".join(event["message"] for event in web.get("/events"))
        if text.count(words) >= times:
            return text
        time.sleep(0.1)
    raise AssertionError(text)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_response_that_is_held_and_killed_ends(web: Web, stream: bool) -> None:
    web.http.cookies.set("_mitmproxy_xsrf", "token")
    headers = {"x-xsrftoken": "token"}
    web.http.put("/options", json={"intercept": "~s ~bq hold"}, headers=headers).raise_for_status()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(web.proxy.post, "/v1/messages", message("hold", stream=stream))
        for _ in range(400):
            if held := [each for each in web.get("/flows") if each["intercepted"]]:
                break
            time.sleep(0.05)
        web.http.post(f"/flows/{held[0]['id']}/kill", headers=headers).raise_for_status()
        told = asked.result(20)
    assert ("killed in mitmproxy" in told.text) != ("message_stop" in told.text)


def test_a_conversation_is_taken_elsewhere(web: Web, tmp_path: Path) -> None:
    for words in ("One", "Two"):
        web.proxy.post("/v1/chat/completions", chat(words, prompt_cache_key="k", stream=True))
    web.proxy.post("/v1/chat/completions", chat("Different sk-ant-api03-canary-canary"))
    chosen = "~bq One"
    har, lines = tmp_path / "talk.har", tmp_path / "talk.jsonl"
    assert "2 flows of" in run(web, "ccproxy.export", chosen, str(har))
    entries = json.loads(har.read_text())["log"]["entries"]
    assert [entry["response"]["status"] for entry in entries] == [200, 200]
    assert all("data:" in entry["response"]["content"]["text"] for entry in entries)
    read = list(FlowReader(io.BytesIO(har.read_bytes())).stream())  # as mitmproxy opens it
    assert [
        flow.response.status_code for flow in read if isinstance(flow, HTTPFlow) and flow.response
    ] == [200, 200]

    assert "2 requests of" in run(web, "ccproxy.export", chosen, str(lines))
    kept = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [turn["client"]["body"]["messages"][0]["content"] for turn in kept] == ["One", "Two"]
    assert "1 request of" in run(web, "ccproxy.export", "~bq Different", str(lines))
    text = lines.read_text()
    assert "canary" not in text and "[hidden]" in text
    assert "Name the file" in run(web, "ccproxy.export", chosen, str(tmp_path / "talk.txt"))
    assert "No such file" in run(web, "ccproxy.export", chosen, str(tmp_path / "no" / "a.jsonl"))
