"""What an earlier version saved is read; what a newer one saved is kept."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from addon.claude.catalogue import Catalogue
from addon.claude.digest import fingerprint_of
from addon.claude.pricing import Tokens
from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import VERSION, TokenCounter
from addon.context.tokens.vocabulary import Vocabulary
from addon.core.environment import models_files
from addon.core.secret import stored_secret
from addon.usage.budget import Budget, BudgetSettings
from addon.usage.journal import PaidJournal
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.record import RequestRecord
from addon.usage.snapshot import SnapshotFile
from addon.usage.store import UsageStore

STATE = Path(__file__).parent / "fixtures" / "state"
NOW = 1_790_000_000.0
REQUEST = json.loads((STATE / "request.json").read_text(encoding="utf-8"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STATE, tmp_path / "home"))


def now() -> float:
    return NOW


def counter(home: Path) -> TokenCounter:
    vocabulary = Vocabulary()
    vocabulary.load()
    return TokenCounter(vocabulary, clock=now, state=home / "tokens.json")


def store(home: Path, ledger: UsageLedger, budget: Budget) -> UsageStore:
    return UsageStore(SnapshotFile(home, now), ledger, budget, PaidJournal(home), monotonic=now)


def newer(path: Path) -> None:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "version": 99}), encoding="utf-8")


def test_usage_and_budget(home: Path) -> None:
    ledger = UsageLedger(now)
    budget = Budget(ledger)
    saved = store(home, ledger, budget)
    saved.load()
    saved.close()
    assert budget.known
    assert budget.settings == BudgetSettings(daily=5.5, weekly=0, monthly=100, enabled=True)
    assert (ledger.count(), len(ledger.recent())) == (12, 12)
    assert ledger.recent()[-1] == RequestRecord(
        id=1,
        time=NOW,
        model="claude-opus-4-5",
        source="claude_code",
        dialect="chat",
        stream=True,
        tokens=Tokens(input=100, output=20, cache_read=0),
        cost=1_234_567_890_123,
        latency_ms=1200,
        ttft_ms=300,
    )
    # with the other provider's, which had no price then: this file's was made up
    assert ledger.spent(PERIODS["all"]) == 35 * 1_234_567_890_123


def test_what_was_learnt_of_tokens(home: Path) -> None:
    model = Catalogue.load(*models_files(home)).get("claude-opus-5-5")
    count = counter(home).count(REQUEST, model)
    assert (count.total, count.source) == (5000, "anchored")


async def test_summaries(home: Path) -> None:
    memory = SummaryMemory(home / "summaries", now)
    names = fingerprint_of(REQUEST).prefix_digests
    second, first = await memory.for_prefixes(names)
    assert (first.start, first.end, first.text) == (3, 6, "They renamed the parser.")
    assert (second.previous, second.pins, second.used_at, second.complete) == (
        first.id,
        (4,),
        19,
        False,
    )
    shown = await memory.show(second.id)
    assert shown is not None
    assert shown["replaced"] == REQUEST["messages"][6:8]
    memory.close()


def test_secret_and_models(home: Path) -> None:
    assert stored_secret(home) == (STATE / "secret").read_text(encoding="utf-8").strip()
    catalogue = Catalogue.load(*models_files(home))
    assert catalogue.get("claude-opus-5-5").prices.input == 4.5
    assert catalogue.get("claude-opus-6").context == 2_000_000
    assert catalogue.resolve("claude-opus-4-5") == "claude-opus-5-5"


def test_usage_of_a_newer_version_is_kept_and_told(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer(home / "usage.json")
    content = (home / "usage.json").read_bytes()
    ledger = UsageLedger(now)
    budget = Budget(ledger)
    saved = store(home, ledger, budget)
    saved.load()
    saved.close()
    assert not budget.known
    assert (home / f"usage.json.corrupt-{int(NOW)}").read_bytes() == content
    assert "version 99" in caplog.text


def test_tokens_of_a_newer_version_are_kept_and_told(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    newer(home / "tokens.json")
    content = (home / "tokens.json").read_bytes()
    counter(home).close()
    assert (home / "tokens.json.version-99").read_bytes() == content
    assert "newer ccproxy" in caplog.text
    assert json.loads((home / "tokens.json").read_bytes())["version"] == VERSION


async def test_a_summary_of_a_newer_version_is_kept_and_told(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = next((home / "summaries").iterdir())
    newer(path)
    content = path.read_bytes()
    memory = SummaryMemory(home / "summaries", now)
    found = await memory.for_prefixes(fingerprint_of(REQUEST).prefix_digests)
    assert len(found) == 1
    assert path.with_suffix(".corrupt").read_bytes() == content
    assert "newer" in caplog.text
    memory.close()
