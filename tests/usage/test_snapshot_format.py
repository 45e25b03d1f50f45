"""The snapshot document: what goes in comes out, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.usage.budget import BudgetSettings
from addon.usage.ledger import Key, UsageLedger
from addon.usage.record import RequestRecord
from addon.usage.snapshot_format import RECORD_TYPES, Snapshot, Unreadable, decode, encode
from tests.clock import NOW, Clock
from tests.usage.records import random_record, record, seeded


def snapshot(seed: int = 1, size: int = 20) -> Snapshot:
    rng, ledger = seeded(seed), UsageLedger(Clock(), ring_size=10)
    for _ in range(size):
        ledger.add(random_record(rng, NOW - rng.random() * 1e6))
    return Snapshot(ledger.state(), BudgetSettings(daily=2.5, enabled=True), known=True)


@given(seed=st.integers(0, 2**32), size=st.integers(0, 30))
def test_a_snapshot_comes_back_whole(seed: int, size: int) -> None:
    before = snapshot(seed, size)
    assert decode(encode(before, saved_at=NOW)) == before


def test_the_plans_windows_come_back() -> None:
    plan = {"seenAt": NOW, "status": "allowed", "windows": {"5h": {"utilization": 0.5}}}
    before = replace(snapshot(), plan=plan)
    assert decode(encode(before, saved_at=NOW)) == before


def test_sums_of_an_earlier_version_have_no_client() -> None:
    document = json.loads(encode(snapshot(), saved_at=NOW))
    rows = document["buckets"]["86400"][0][1]
    wanted = decode(json.dumps(document).encode()).ledger.buckets[86400][0][1]
    document["buckets"]["86400"][0][1] = [[*row[:2], *row[4:]] for row in rows[:1]]
    read = decode(json.dumps(document).encode()).ledger.buckets[86400][0][1]
    key, totals = next(iter(wanted.items()))
    assert read == {Key(key.source, key.model): totals}


def test_every_field_of_a_record_has_a_column() -> None:
    assert {*RECORD_TYPES, "tokens"} == {item.name for item in fields(RequestRecord)}


DOCUMENT: dict[str, Any] = json.loads(encode(snapshot(), saved_at=NOW))

NOT_OURS = [
    pytest.param(b"", "no JSON", id="empty"),
    pytest.param(b"\0" * 4096, "no JSON", id="zeros-after-a-power-cut"),
    pytest.param(encode(snapshot(), saved_at=NOW)[:-40], "no JSON", id="cut-short"),
    pytest.param(b"\xff\xfe\xfd", "no JSON", id="no-text"),
    pytest.param(b"[" * 200_000, "no JSON", id="nested-too-deep"),
    pytest.param(b"9" * 10_000, "no JSON", id="a-number-too-long"),
    pytest.param(b'{"x": 1e999}', "no JSON", id="a-number-without-end"),
    pytest.param(b'{"x": NaN}', "NaN is not JSON", id="nan"),
    pytest.param(b"null", "not written by ccproxy", id="null"),
    pytest.param(b'{"numStartups": 3}', "not written by ccproxy", id="another-programs-file"),
    pytest.param(
        json.dumps(DOCUMENT | {"version": 4}).encode(), "version 4", id="from-a-newer-ccproxy"
    ),
]


@pytest.mark.parametrize(("raw", "reason"), NOT_OURS)
def test_what_is_not_a_snapshot_says_why(raw: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        decode(raw)


def _set_record(column: str, value: Any) -> Callable[[dict[str, Any]], None]:
    position = [*RECORD_TYPES].index(column)
    return lambda document: document["records"][0].__setitem__(position, value)


DAMAGE = [
    pytest.param(lambda d: d.pop("records"), id="a-part-is-missing"),
    pytest.param(lambda d: d.update(records={}) or d.update(lastId=-1), id="a-negative-count"),
    pytest.param(lambda d: d.update(lastId=True), id="true-is-no-count"),
    pytest.param(
        lambda d: d["buckets"].update({"60": [[0, [["api_key", "m", 1]]]]}), id="a-short-row"
    ),
    pytest.param(lambda d: d["buckets"]["60"][0][1][0].__setitem__(4, "1"), id="a-count-as-text"),
    pytest.param(lambda d: d["buckets"]["60"][0][1][0].append(1), id="a-long-row"),
    pytest.param(lambda d: d.update(buckets=[]), id="buckets-are-a-list"),
    pytest.param(lambda d: d.update(buckets={"x": []}), id="a-width-that-is-no-number"),
    pytest.param(lambda d: d["records"][0].pop(0), id="a-record-without-a-column"),
    pytest.param(_set_record("source", "stolen"), id="an-unknown-source"),
    pytest.param(_set_record("dialect", ["chat"]), id="a-list-as-dialect"),
    pytest.param(_set_record("time", "now"), id="a-time-as-text"),
    pytest.param(_set_record("status", None), id="no-status"),
    pytest.param(lambda d: d["budget"]["settings"].update(dailyLimit=-1), id="a-negative-limit"),
    pytest.param(lambda d: d["budget"].update(known=1), id="known-is-no-boolean"),
    pytest.param(lambda d: d.update(budget=None), id="no-budget"),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_content_is_not_believed(damage: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    damage(document)
    with pytest.raises(Unreadable, match="damaged"):
        decode(json.dumps(document).encode())


def test_an_empty_ledger_is_a_snapshot_too() -> None:
    empty = Snapshot(UsageLedger(Clock()).state(), BudgetSettings(), known=False)
    assert decode(encode(empty, saved_at=NOW)) == empty


def test_a_name_that_is_no_text_survives() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record(model="\ud800 ☃ \u2028"))
    state = Snapshot(ledger.state(), BudgetSettings(), known=True)
    assert decode(encode(state, saved_at=NOW)) == state


def test_numbers_beyond_64_bits_survive() -> None:
    ledger = UsageLedger(Clock())
    for _ in range(2):
        ledger.add(record(cost=2**63 + 1))
    state = Snapshot(ledger.state(), BudgetSettings(), known=True)
    assert decode(encode(state, saved_at=NOW)) == state
