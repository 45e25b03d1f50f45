"""The bench of pauses, on a small scale."""

from __future__ import annotations

import pytest

from bench import idle_day


def test_auto_costs_little_more_than_knowing_the_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_day, "CONVERSATIONS", 2)
    found = {name: idle_day.bills(mix, range(1)) for name, mix in idle_day.DAYS.items()}
    assert [name for name, ratio, most in idle_day.verdicts(found) if ratio > most] == []
    assert found["none"]["oracle"] == found["none"]["5m"]
