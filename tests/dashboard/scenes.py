"""Usage as a busy day leaves it behind, for the tests and for the pictures."""

from __future__ import annotations

import math
import time
from random import Random

from addon.claude.pricing import Tokens
from addon.usage.budget import post_budget
from addon.usage.conversations import RecentConversation
from addon.usage.ledger import UsageLedger
from addon.usage.record import RecordSource, RequestRecord
from addon.usage.subscription import SubscriptionWindow
from tests.dashboard.stand_in import StandIn
from tests.usage.records import seeded, worth

MODELS = ("claude-opus-4-5", "claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
REASONS: dict[RecordSource, str | None] = {
    "claude_code": None,
    "api_key": "subscription limit reached",
    "summary": "conversation over 200,000 tokens",
    "error": "upstream overloaded",
    "refused": "address is not on the allow-list",
}


def busy_record(rng: Random, when: float, source: RecordSource) -> RequestRecord:
    answered = source in {"claude_code", "api_key", "summary"}
    tokens = Tokens()
    if answered:
        read = rng.randrange(20_000, 120_000)
        out = rng.randrange(80, 2_500)
        tokens = Tokens(rng.randrange(2_000), out, rng.randrange(6_000), 0, read, out // 3)
    cut = answered and rng.random() < 0.03
    ttft = round(rng.lognormvariate(7.1, 0.6)) if answered else None
    return RequestRecord(
        time=when,
        model=rng.choice(MODELS),
        source=source,
        dialect="chat",
        stream=True,
        status={"error": 529, "refused": 403}.get(source, 200),
        reason=REASONS[source],
        tokens=tokens,
        cost=worth(tokens),
        latency_ms=(ttft or 200) + rng.randrange(500, 20_000),
        ttft_ms=ttft,
        error="client_closed"
        if cut
        else {"error": "overloaded_error", "refused": "permission_error"}.get(source),
        conversation=rng.choice(("6f1a09c2b7", "b07be2214d", "93c0ffee11")),
    )


def busy_day(now: float | None = None) -> StandIn:
    """A stand-in whose last day has some hundred requests of every kind."""
    now = now or time.time()
    rng = seeded(4)
    server = StandIn(UsageLedger(time.time))
    sources: tuple[RecordSource, ...] = (
        ("claude_code",) * 16 + ("api_key",) * 3 + ("summary", "error", "refused")
    )
    for minute in range(1_435, 0, -1):
        busy = max(0.0, math.sin((minute - 60) / 1_440 * 2 * math.pi * 1.5)) * 0.7
        if rng.random() < busy:
            server.ledger.add(busy_record(rng, now - minute * 60, rng.choice(sources)))
    windows = [
        SubscriptionWindow(
            name="5h", label="5 hours", utilization=0.62, resets_at=now + 8_000, status="allowed"
        ),
        SubscriptionWindow(
            name="7d",
            label="7 days",
            utilization=0.87,
            resets_at=now + 200_000,
            status="allowed_warning",
        ),
    ]
    conversations = [
        RecentConversation(
            id="6f1a09c2b7",
            model="claude-opus-4-5",
            tokens=178_200,
            limit=200_000,
            last_seen=now - 20,
            summarized=True,
        ),
        RecentConversation(
            id="b07be2214d",
            model="claude-sonnet-4-5",
            tokens=64_000,
            limit=200_000,
            last_seen=now - 900,
        ),
        RecentConversation(
            id="93c0ffee11",
            model="claude-haiku-4-5",
            tokens=9_100,
            limit=200_000,
            last_seen=now - 7_300,
        ),
    ]
    server.change(windows=windows, conversations=conversations)
    post_budget(server.budget, {"dailyLimit": 15, "monthlyLimit": 100, "enabled": True})
    return server
