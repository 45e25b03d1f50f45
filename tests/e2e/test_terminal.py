"""What a person reads while the proxy runs."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import delivered, fail, say
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import chat, rejected


def limited(fake: FakeAnthropic) -> None:
    fake.script(fail(429, "Used up.", headers=rejected()), when=lambda r: kind_of(r) == "oauth")


def lines(output: str, model: str = "opus-4-8") -> list[str]:
    """The line of each request, without its time."""
    return [line[9:] for line in output.splitlines() if re.match(rf"\d\d:\d\d:\d\d {model} ", line)]


def test_one_line_a_request_with_who_served_it_and_what_it_saved(start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", chat())
    proxy.stop()
    (line,) = lines(proxy.output)
    assert re.fullmatch(
        r"opus-4-8   ● sub 📊 +\d+→\d+ {6}\$0\.\d{4} saved \d\.\ds/\d\.\ds python-httpx", line
    )
    assert len(line) + 9 <= 80 and proxy.output.count("📊") == 1
    assert "\x1b" not in proxy.output


def test_the_reason_is_said_when_something_unusual_happened(
    start_proxy: StartProxy, fake: FakeAnthropic
) -> None:
    limited(fake)
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", chat())
    proxy.stop()
    (line,) = lines(proxy.output)
    assert line.startswith("opus-4-8   ○ key 📊")
    assert line.endswith("python-httpx · sub 429 → key 200 (rate_limited)")


def test_quiet_says_nothing_of_what_went_well(start_proxy: StartProxy, fake: FakeAnthropic) -> None:
    proxy = start_proxy(arguments=["--quiet"])
    proxy.post("/v1/chat/completions", chat())
    limited(fake)
    proxy.post("/v1/chat/completions", chat("again"))
    proxy.stop()
    assert [line.partition(" · ")[2] for line in lines(proxy.output)] == [
        "sub 429 → key 200 (rate_limited)"
    ]
    assert "Ctrl+C ends it" not in proxy.output
    assert len(proxy.output.splitlines()) == 1


def test_an_option_changes_a_running_proxy_and_wins_over_the_environment(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(arguments=["--set", "ccproxy_strict=true"], STRICT="false")
    refused = proxy.post("/v1/chat/completions", chat(seed=1))
    assert refused.status_code == 400


def test_the_banner_says_who_serves_and_keeps_the_secret_out_of_a_file(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy()
    proxy.stop()
    secret = (proxy.home / ".ccproxy" / "secret").read_text().strip()
    assert "CLAUDE_CODE_OAUTH_TOKEN" in proxy.output
    assert secret not in proxy.output
    assert "CCPROXY_HOME/secret" in proxy.output


def test_a_failure_is_told_with_its_reason(start_proxy: StartProxy) -> None:
    proxy = start_proxy("http://127.0.0.1:9", ANTHROPIC_API_KEY=None)
    proxy.post("/v1/chat/completions", chat())
    proxy.stop()
    (line,) = lines(proxy.output)
    assert line.startswith("opus-4-8   ✗ sub 📊")
    assert " · sub upstream_unreachable (3 times) · " in line
    assert line.endswith("Anthropic can't be reached; is this machine online?")


def test_without_credentials_banner_and_answer_say_what_to_do(start_proxy: StartProxy) -> None:
    proxy = start_proxy(CLAUDE_CODE_OAUTH_TOKEN=None, ANTHROPIC_API_KEY=None)
    answer = proxy.post("/v1/chat/completions", chat())
    assert answer.status_code == 401
    message = answer.json()["error"]["message"]
    assert "Run `claude /login`" in message
    assert "ANTHROPIC_API_KEY" in message
    assert "Run `claude /login`" in " ".join(proxy.output.split())


def test_an_expired_login_that_cannot_be_refreshed_says_what_to_do(
    start_proxy: StartProxy, tmp_path: Path
) -> None:
    folder = tmp_path / "claude"
    folder.mkdir()
    login = {"accessToken": "old", "expiresAt": 1_000_000_000_000, "scopes": ["user:inference"]}
    (folder / ".credentials.json").write_text(json.dumps({"claudeAiOauth": login}))
    proxy = start_proxy(
        CLAUDE_CODE_OAUTH_TOKEN=None, ANTHROPIC_API_KEY=None, CLAUDE_CONFIG_DIR=str(folder)
    )
    answer = proxy.post("/v1/chat/completions", chat())
    assert answer.status_code == 401
    assert "claude /login" in answer.json()["error"]["message"]
    assert "expired" in proxy.output


def test_lines_of_requests_that_run_together_are_linked(
    start_proxy: StartProxy, fake: FakeAnthropic
) -> None:
    fake.script(
        delivered(say("One."), pause_after=0, pause=2.0), when=lambda r: "first" in r.body.decode()
    )
    proxy = start_proxy()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(proxy.post, "/v1/chat/completions", chat("first"))
        fake.wait_for_requests(1)
        proxy.post("/v1/chat/completions", chat("second"))
        first.result()
    proxy.post("/v1/chat/completions", chat("alone"))
    proxy.stop()
    tags = [re.findall(r" #([0-9a-f]{3})$", line) for line in lines(proxy.output)]
    assert [len(found) for found in tags] == [1, 1, 0] and tags[0] != tags[1]
    assert "Since the start: 3 requests, " in proxy.output.splitlines()[-1]


def test_ctrl_c_says_what_it_waits_for(start_proxy: StartProxy, fake: FakeAnthropic) -> None:
    fake.script(delivered(say("One."), pause_after=0, pause=2.0))
    proxy = start_proxy()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(proxy.post, "/v1/chat/completions", chat())
        fake.wait_for_requests(1)
        proxy.stop()
        assert running.result().status_code == 200
    assert "Waiting up to 20 s for what is running. Ctrl+C again ends it now." in proxy.output
