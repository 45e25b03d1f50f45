"""`python -m addon.cli.doctor`: with a stand-in for Anthropic, with the proxy running or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import say
from addon.stand_in.stream import tool_use
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import API_KEY, OAUTH_TOKEN, ROOT, chat
from tests.ports import free_port


@pytest.fixture
def env(tmp_path: Path, fake: FakeAnthropic) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CCPROXY_HOME": str(tmp_path / "state"),
        "CCPROXY_ENV_FILE": "",
        "CLAUDE_CODE_OAUTH_TOKEN": OAUTH_TOKEN,
        "ANTHROPIC_API_KEY": API_KEY,
        "ANTHROPIC_UPSTREAM_URL": fake.url,
        "PORT": str(free_port()),
    }


def doctor(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "addon.cli.doctor", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def findings(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {found["check"]: found for found in json.loads(ended.stdout)["findings"]}


@pytest.mark.thorough
def test_a_well_installation_is_all_ok(env: dict[str, str], fake: FakeAnthropic) -> None:
    ended = doctor(env)
    lines = ended.stdout.partition("\n\n")[0].splitlines()
    # the stand-in's Date is always the same
    states = [line.split()[0] for line in lines if line[0] != " " and "clock" not in line]
    assert (ended.returncode, set(states)) == (0, {"ok"}), ended.stdout
    assert "Override OpenAI Base URL" in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80
    assert fake.messages() == []


@pytest.mark.thorough
def test_counts_without_a_vocabulary_are_told_by_log_health_and_doctor(
    env: dict[str, str], start_proxy: StartProxy, tmp_path: Path
) -> None:
    (tmp_path / "tiktoken.py").write_text("raise ImportError('no wheel for this platform')")
    path = f"{tmp_path}:{ROOT}"
    proxy = start_proxy(fork=False, PYTHONPATH=path)
    proxy.post("/v1/chat/completions", chat("A long text, which is counted. " * 1_000))
    (problem,) = proxy.get("/health").json()["problems"]
    assert "no wheel for this platform" in problem and problem in proxy.output
    ended = doctor({**env, "PYTHONPATH": path, "PORT": str(proxy.port)}, "--json")
    assert findings(ended)["token counts"]["state"] == "warn"
    assert "no wheel for this platform" in findings(ended)["token counts"]["text"]


def test_json_is_one_object_and_what_fails_is_the_exit_code(env: dict[str, str]) -> None:
    ended = doctor({**env, "ALLOWED_IPS": "*"}, "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["ok"] is False
    assert findings(ended)["access"]["state"] == "fail"
    assert findings(ended)["round trip"]["state"] == "ok"


def test_a_bad_setting_is_a_finding(env: dict[str, str]) -> None:
    ended = doctor({**env, "FALLBACK": "maybe"}, "--json")
    assert ended.returncode == 1
    assert "FALLBACK: 'maybe' is not allowed" in findings(ended)["settings"]["text"]


def test_no_secret_is_shown_to_a_file(env: dict[str, str]) -> None:
    ended = doctor({**env, "PROXY_SECRET_KEY": "canary-of-a-good-length-1234"})
    output = ended.stdout + ended.stderr
    assert not any(secret in output for secret in ("canary", OAUTH_TOKEN, API_KEY))


def scripted_tool_call(fake: FakeAnthropic) -> None:
    fake.script([say(tool_use("get_weather", {"city": "Oslo"})), say("Seventeen degrees.")])


@pytest.mark.thorough
def test_live_says_its_cost_and_asks_twice(env: dict[str, str], fake: FakeAnthropic) -> None:
    scripted_tool_call(fake)
    ended = doctor(env, "--live")
    assert ended.stdout.startswith("--live sends two requests to Anthropic (claude-haiku-")
    assert "called a tool and used its result" in ended.stdout
    assert [kind_of(request) for request in fake.messages()] == ["oauth", "oauth"]


@pytest.mark.thorough
def test_live_through_the_running_proxy(
    env: dict[str, str], fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    running = start_proxy()
    scripted_tool_call(fake)
    ended = doctor({**env, "PORT": str(running.port)}, "--live", "--json")
    found = findings(ended)
    assert (ended.returncode, found["live"]["state"], found["proxy"]["text"]) == (
        0,
        "ok",
        "running",
    )
    assert "two requests" in ended.stderr


@pytest.mark.thorough
def test_live_tells_why_it_failed(env: dict[str, str], fake: FakeAnthropic) -> None:
    fake.script(say("I would rather not."))
    ended = doctor(env, "--live", "--json")
    assert ended.returncode == 1
    assert findings(ended)["live"]["text"] == "No tool was called: the response ended with stop."


def test_fix_corrects_what_is_safe_and_says_so(env: dict[str, str], tmp_path: Path) -> None:
    lock = tmp_path / ".claude" / ".oauth_refresh.lock"
    lock.mkdir(parents=True)
    os.utime(lock, (1, 1))
    keys = tmp_path / "settings.env"
    keys.write_text("ANTHROPIC_API_KEY=sk-ant-api03-x\n")
    keys.chmod(0o644)
    env |= {"CCPROXY_ENV_FILE": str(keys), "ALLOWED_IPS": "*"}

    before = doctor(env)
    assert "`./start.sh doctor --fix` corrects files, locks, access." in before.stdout
    assert lock.exists() and keys.stat().st_mode & 0o777 == 0o644

    after = doctor(env, "--fix", "--json")
    found = findings(after)
    assert {found[name]["state"] for name in ("files", "locks", "access")} == {"ok"}
    assert f"Fixed: {lock} is removed." in found["locks"]["text"]
    assert not lock.exists() and keys.stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "state" / "secret").read_text().strip()) > 22
    assert {findings(doctor(env, "--json"))[n]["state"] for n in ("files", "locks", "access")} == {
        "ok"
    }


@pytest.mark.thorough
def test_the_report_has_what_anthropic_said_and_no_secret(
    env: dict[str, str], fake: FakeAnthropic, tmp_path: Path
) -> None:
    env |= {"PROXY_SECRET_KEY": "canary-of-a-good-length-1234", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "addon.cli.doctor", "--live", "--report"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert "--report sends three more of one token each, by subscription only." in " ".join(
        ended.stdout.split()
    )

    file = tmp_path / "ccproxy-report.json"
    text = file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    hidden = (OAUTH_TOKEN, API_KEY, "canary", str(tmp_path), "req_", "msg_")
    assert [word for word in hidden if word in text] == []
    report = json.loads(text)
    told = {answer["name"]: answer for answer in report["anthropic"]}
    assert {name: answer["status"] for name, answer in told.items()} == {
        "hello": 200, "limits": 200, "hour": 200, "1M": 400, "refusal": 400,
    }  # fmt: skip
    assert "max_tokens" in told["refusal"]["body"]
    assert any(
        name.startswith("anthropic-ratelimit-unified-") for name in told["limits"]["headers"]
    )
    assert "PORT" in report["settings"] and {f["check"] for f in report["findings"]} >= {
        "login",
        "live",
    }
    assert {kind_of(request) for request in fake.messages()} == {"oauth"}


def test_the_report_never_asks_by_key_or_without_a_word(
    env: dict[str, str], fake: FakeAnthropic
) -> None:
    assert "--report needs --live" in doctor(env, "--report").stderr
    ended = doctor({**env, "CLAUDE_CODE_FIRST": "false"}, "--live", "--report", "--json")
    assert findings(ended)["report"]["todo"] == "Nothing was sent."
