"""What the proxy asks for itself: a new token, the list of models, a summary."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN
from addon.stand_in.anthropic import FakeAnthropic
from tests.credentials.samples import document, write
from tests.e2e.conftest import StartProxy
from tests.e2e.talk import Talk, script_summary

TOKEN_PATH = "/v1/oauth/token"
PATHS = {TOKEN_PATH, "/v1/models", "/v1/messages"}


def test_each_calls_itself_ccproxy(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    write(tmp_path / ".credentials.json", document(OAUTH_TOKEN, REFRESH_TOKEN, time.time() - 1))
    fake.models["claude-x-9"] = replace(fake.models["claude-opus-4-8"], id="claude-x-9")
    script_summary(fake)
    proxy = start_proxy(
        CLAUDE_CODE_OAUTH_TOKEN=None,
        CLAUDE_CONFIG_DIR=str(tmp_path),
        CLAUDE_OAUTH_TOKEN_URL=fake.url + TOKEN_PATH,
        CONTEXT_MAX_TOKENS="9000",
        CONTEXT_TARGET_TOKENS="7000",
    )
    long = Talk("long", model="claude-x-9").grow(10)
    assert proxy.post("/v1/chat/completions", long.body()).status_code == 200
    assert {request.path for request in fake.requests} == PATHS
    assert len(fake.messages("api_key")) == 1
    assert {request.header("user-agent") for request in fake.requests} == {"ccproxy/0.1.0"}
