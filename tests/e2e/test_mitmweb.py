"""mitmweb, as `./start.sh web` starts it: settings as options, commands, and flows as conversations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, chat
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
