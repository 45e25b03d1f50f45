"""`./start.sh demo`: its example traffic shows what it says it shows, and Ctrl+C ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from addon.cli.demo_traffic import LIMIT_TOKENS, Traffic, is_summary
from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from tests.documents import ROOT
from tests.e2e.conftest import StartProxy


def test_the_traffic_shows_a_fallback_a_cache_miss_and_a_summary(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(CONTEXT_MAX_TOKENS=str(LIMIT_TOKENS), CONTEXT_TARGET_TOKENS="15000")
    said: list[str] = []
    with Traffic(fake, proxy.url, say=said.append, pace=0) as traffic:
        traffic.run()
    assert len(said) == 7
    statuses = [(kind_of(r), r.status) for r in fake.messages()]
    assert statuses.count(("oauth", 429)) == 1
    assert all(status in (200, 429) for _, status in statuses)
    assert any(is_summary(r) for r in fake.messages())
    assert "cache missed: system changed ($" in proxy.output
    assert "summarized" in proxy.output and "(rate_limited)" in proxy.output


def test_it_stays_open_with_links_until_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "addon" / "cli"), "demo"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    links = {}
    for line in process.stdout:
        name, _, link = line.strip().partition("   ")
        links[name] = link.strip()
        if name == "Ctrl+C ends the demo.":
            break
    for name in ("Dashboard", "mitmweb"):
        assert httpx.get(links[name], timeout=20).status_code == 200
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert rest.endswith("The demo has ended.\n"), rest
    assert process.returncode == 0
