"""Ways past the addons that mitmproxy itself opens: replay, eager connections, reloads. None of them reaches upstream."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import httpx
from mitmproxy.test import tflow, tutils

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e import raw
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import OWN_PORT, ROOT, chat


def write_script(folder: Path, text: str) -> list[str]:
    script = folder / "watch.py"
    script.write_text(text)
    return ["-s", str(script)]


def appears(file: Path, seconds: float = 10.0) -> str:
    """The text of a file that is written soon."""
    deadline = time.monotonic() + seconds
    while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return file.read_text()


def test_mitmproxys_replay_of_a_flow_is_refused(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    request = tutils.treq(
        method=b"POST", host="127.0.0.1", port=fake.port, path=b"/v1/messages", content=b"{}"
    )
    saved = tmp_path / "saved.flows"
    with warnings.catch_warnings(), saved.open("wb") as file:
        warnings.simplefilter("ignore")  # of the parser that mitmproxy imports
        from mitmproxy import io

        io.FlowWriter(file).add(tflow.tflow(req=request, resp=True))
    result = tmp_path / "result"
    watch = f"""
def response(flow):
    if flow.is_replay:
        open({str(result)!r}, "w").write(str(flow.response.status_code))
"""
    options = ["--set", f"client_replay={saved}", "--set", "keepserving=true"]
    start_proxy(arguments=[*options, *write_script(tmp_path, watch)])
    assert appears(result) == "503"
    assert not fake.connections


def test_eager_connections_are_set_back(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(arguments=["--set", "connection_strategy=eager"])
    with raw.connected(proxy) as client:
        client.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n")
        assert proxy.get("/health").status_code == 200
        assert proxy.get("/unknown").status_code == 404
    assert not fake.connections


def test_dangerous_options_are_set_back(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    given = ["keep_host_header=false", "ssl_insecure=true", "validate_inbound_headers=false"]
    given += ["proxy_debug=true", "http2=true", "websocket=true", "stream_large_bodies=1k"]
    proxy = start_proxy(arguments=[word for option in given for word in ("--set", option)])
    assert proxy.post("/v1/chat/completions", chat("long " * 2000)).status_code == 200
    assert proxy.get("/health", headers={"host": "evil.example"}).status_code == 421
    assert "ssl_insecure=False" in proxy.output  # and it is said


def test_an_unloaded_script_leaves_nothing_open(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    unload = """
from mitmproxy import ctx
def requestheaders(flow):
    if flow.request.path == "/unload":
        ctx.options.update(scripts=[])
"""
    proxy = start_proxy(arguments=write_script(tmp_path, unload))
    with httpx.Client(base_url=proxy.url, timeout=10) as kept_alive:
        assert kept_alive.get("/health").status_code == 200
        kept_alive.get("/unload")
        responses = [
            client.post(f"{proxy.url}/v1/chat/completions", json=chat(), headers={"x-canary": "1"})
            for client in (kept_alive, httpx)
        ]
    assert all(r.status_code >= 500 or "x-ccproxy-source" in r.headers for r in responses)
    assert all(request.header("x-canary") is None for request in fake.requests)


def own_copy(folder: Path) -> Path:
    """The script with a file of its own, beside the same package."""
    script = folder / "ccproxy_addon.py"
    script.write_text((ROOT / "ccproxy_addon.py").read_text())
    (folder / "addon").symlink_to(ROOT / "addon")
    return script


def test_a_script_that_breaks_while_it_runs_changes_nothing(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    script = own_copy(tmp_path)
    proxy = start_proxy(launch=False, script=script, mode=OWN_PORT)
    script.write_text("def broken(:\n")
    os.utime(script, (time.time() + 5, time.time() + 5))
    time.sleep(1.3)  # mitmproxy looks once a second
    response = proxy.post("/v1/chat/completions", chat(), headers={"x-canary": "1"})
    assert response.status_code == 200
    assert [r.header("x-canary") for r in fake.requests] == [None]
    assert fake.messages("oauth")


def test_a_script_that_is_broken_from_the_start_ends_the_proxy(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    script = own_copy(tmp_path)
    script.write_text("def broken(:\n")
    try:
        start_proxy(launch=False, script=script, mode=OWN_PORT)
    except AssertionError as error:
        assert "SyntaxError" in str(error)
    else:
        raise AssertionError("it runs without its addons")
    assert not fake.bytes_in
