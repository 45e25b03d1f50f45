"""Request records for tests: arbitrary but valid."""

from __future__ import annotations

import random
from typing import Any, get_args

from addon.claude.pricing import Tokens
from addon.usage.record import PICO, RecordSource, RequestRecord
from tests.clock import NOW

SOURCES: tuple[RecordSource, ...] = get_args(RecordSource.__value__)
MODELS = ("claude-opus-4-5", "claude-haiku-4-5", "gpt-5")


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable, not secret


def record(source: RecordSource = "api_key", *, dollars: float = 0, **fields: Any) -> RequestRecord:
    usual: dict[str, Any] = {
        "time": NOW,
        "model": "claude-opus-4-5",
        "cost": round(dollars * PICO),
    }
    return RequestRecord(source=source, **usual | fields)


def worth(tokens: Tokens) -> int:
    """Pico-dollars at 5 and 25 USD a million."""
    return tokens.input * 5_000_000 + tokens.output * 25_000_000 + tokens.cache_read * 500_000


def random_record(rng: random.Random, time: float) -> RequestRecord:
    tokens = Tokens(*(rng.randrange(200_000) for _ in range(6)))
    return record(
        rng.choice(SOURCES),
        time=time,
        model=rng.choice(MODELS),
        tokens=tokens,
        cost=worth(tokens),
        stream=rng.random() < 0.8,
        dialect=rng.choice(("chat", "messages", "responses")),
        status=rng.choice((200, 200, 429, 529)),
        error=rng.choice((None, None, "client_closed")),
        latency_ms=rng.randrange(60_000),
        ttft_ms=rng.choice((None, rng.randrange(5_000))),
        conversation=rng.choice((None, "c1", "c2")),
        client=rng.choice(("", "cursor", "claude-code")),
        name=rng.choice(("", "work")),
        miss=rng.choice(("", "", "tools changed")),
        miss_cost=rng.randrange(10**9),
    )
