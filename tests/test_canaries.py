"""What holds a secret does not show it when it is printed, in a log line or a traceback."""

from __future__ import annotations

import pytest
from mitmproxy.test import tflow

from addon.addons.thinking import Continuity
from addon.addons.upstream_request import UpstreamCredential, UpstreamRequestBuilder
from addon.claude.refused_features import RefusedFeatures
from addon.claude.thinking_store import ThinkingStore
from addon.core.errors import CCProxyError
from addon.core.settings import Settings
from addon.exchange.access import Visitor
from addon.exchange.attempt import Attempt, Failure
from addon.exchange.client import Client
from addon.exchange.state import Exchange, Exchanges

CANARY = "sk-ant-canary-00000000"
SETTINGS = Settings.from_env(
    {
        "ANTHROPIC_API_KEY": CANARY,
        "CLAUDE_CODE_OAUTH_TOKEN": CANARY,
        "OPENAI_API_KEY": CANARY,
        "PROXY_SECRET_KEY": CANARY,
    }
)


def attempt() -> Attempt:
    exchange = Exchanges().begin(tflow.tflow())
    attempts = UpstreamRequestBuilder(
        SETTINGS, Continuity(ThinkingStore(lambda: 0.0)), RefusedFeatures()
    )
    return attempts.passthrough(exchange, {"model": "gpt-5"})


def exchange() -> Exchange:
    made = Exchange(id="x", arrived=0, clock=0, client=Client("chat"), client_key=CANARY)
    made.approve(attempt())
    made.attempts.append(attempt())
    made.failure = Failure(attempt=attempt(), phase="connect", error=CCProxyError("oh"))
    return made


@pytest.mark.parametrize(
    "holder",
    [
        SETTINGS,
        UpstreamCredential(
            source="api_key", name="key", header="x-api-key", secret=CANARY, login=CANARY
        ),
        Visitor(peer="::1", method="GET", path="/", authority="", headers={"x-api-key": CANARY}),
        attempt(),
        exchange(),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_s18_t23_its_repr_has_no_secret(holder: object) -> None:
    assert "canary" not in repr(holder) + str(holder)


def test_the_canaries_are_in_there() -> None:
    assert CANARY in attempt().auth[1] and exchange().client_key == CANARY
