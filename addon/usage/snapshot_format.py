"""Converts the usage snapshot to JSON and back. Every value that is read is checked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import astuple, fields
from operator import attrgetter
from typing import Any, get_args

import orjson

from addon.claude.pricing import Tokens
from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.core.json_codec import JsonError, loads
from addon.core.types import Dialect, JsonObject
from addon.usage.budget import BudgetSettings, Reservation
from addon.usage.ledger import ZERO, Key, LedgerState, TotalsByKey, columns, from_columns
from addon.usage.record import RecordSource, RequestRecord

FORMAT = "ccproxy-usage"
VERSION = 3
READABLE = (1, 2, VERSION)
AT_ONCE = 8
"""Rows that are encoded without a break: some 20 µs. A break after each took five times as long as the encoding."""

RECORD_TYPES: dict[str, tuple[type, ...]] = {
    "id": (int,),
    "time": (int, float),
    "model": (str,),
    "source": (str,),
    "dialect": (str, type(None)),
    "stream": (bool,),
    "status": (int,),
    "reason": (str, type(None)),
    "cost": (int,),
    "latency_ms": (int, type(None)),
    "ttft_ms": (int, type(None)),
    "error": (str, type(None)),
    "conversation": (str, type(None)),
    "request_id": (str, type(None)),
    "session": (str,),
    "agent": (str,),
    "parent_agent": (str,),
    "miss": (str,),
    "miss_cost": (int,),
    "client": (str,),
    "name": (str,),
    "exchange": (str,),
}
"""The columns of a record except its tokens, in their order in the file."""

LATER: list[Any] = ["", "", "", "", 0, "", "", ""]
"""The values of the last columns in a file of a version that does not have them."""

record_columns = attrgetter(*RECORD_TYPES)
token_columns = attrgetter(*(f.name for f in fields(Tokens)))

CHOICES = {
    "source": get_args(RecordSource.__value__),
    "dialect": (*get_args(Dialect.__value__), None),
}


class Unreadable(Exception):
    """This version can't read the snapshot; the message says why."""


@frozen
class Snapshot:
    """What survives a restart."""

    ledger: LedgerState
    settings: BudgetSettings
    known: bool
    """See `Budget.known`."""
    held: tuple[Reservation, ...] = ()
    """Of the requests that were running."""
    plan: JsonObject | None = None
    """The plan's windows, see `SubscriptionState.saved`."""
    last_reservation: int = 0
    """The ledger has what became of all others up to this id."""


def encode(snapshot: Snapshot, *, saved_at: float) -> bytes:
    ledger = snapshot.ledger
    document = {
        "format": FORMAT,
        "version": VERSION,
        "savedAt": saved_at,
        "budget": {"settings": snapshot.settings.to_json(), "known": snapshot.known},
        "plan": snapshot.plan,
        "held": [astuple(each) for each in snapshot.held],
        "lastReservation": snapshot.last_reservation,
        "lastId": ledger.last_id,
        "evictedUntil": ledger.evicted_until,
        "buckets": {
            str(width): _array([at, _sums_json(sums)] for at, sums in slices)
            for width, slices in ledger.buckets.items()
        },
        "records": _array(
            [*record_columns(record), token_columns(record.tokens)] for record in ledger.records
        ),
    }
    return orjson.dumps(document)


def _array(rows: Iterable[list[Any]]) -> orjson.Fragment:
    # Row by row, and the GIL is released after a few: otherwise other threads, the one that serves streams among them,
    # would wait for Python's switch interval of 5 ms at a time.
    texts = []
    for row in rows:
        texts.append(_dumps(row))
        if len(texts) % AT_ONCE == 0:
            time.sleep(0)
    return orjson.Fragment(b"[%b]" % b",".join(texts))


def _dumps(row: list[Any]) -> bytes:
    try:
        return orjson.dumps(row)
    # orjson supports neither integers beyond 64 bits nor lone surrogates; both must be read back unchanged.
    except TypeError:
        return json.dumps(row, separators=(",", ":")).encode()


def _sums_json(sums: TotalsByKey) -> list[list[Any]]:
    return [[*key, *columns(totals)] for key, totals in sums.items()]


def decode(raw: bytes) -> Snapshot:
    """Raises `Unreadable`."""
    try:
        document = loads(raw)
    except JsonError as error:
        raise Unreadable(f"it is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Unreadable("it was not written by ccproxy")
    if document.get("version") not in READABLE:
        raise Unreadable(
            f"it has version {document.get('version')!r}, and this ccproxy reads {VERSION}"
        )
    try:
        return _snapshot(document)
    except (KeyError, TypeError, ValueError, AttributeError, BadRequest) as error:
        raise Unreadable(f"its content is damaged: {error!r}") from error


def _snapshot(document: JsonObject) -> Snapshot:
    return Snapshot(
        ledger=LedgerState(
            records=tuple(_record(row) for row in document["records"]),
            last_id=_count(document["lastId"]),
            evicted_until=_typed(document["evictedUntil"], (int, float, type(None))),
            buckets={
                int(width): tuple((_typed(at, (int,)), _sums(rows)) for at, rows in slices)
                for width, slices in document["buckets"].items()
            },
        ),
        settings=BudgetSettings().changed(document["budget"]["settings"]),
        known=_typed(document["budget"]["known"], (bool,)),
        held=tuple(_reservation(*row) for row in document.get("held", [])),
        plan=_typed(document.get("plan"), (dict, type(None))),
        last_reservation=_count(document.get("lastReservation", 0)),
    )


def _reservation(id: Any, amount: Any, model: Any, time: Any) -> Reservation:
    return Reservation(
        _count(id), _count(amount), _typed(model, (str,)), _typed(time, (int, float))
    )


def _record(row: list[Any]) -> RequestRecord:
    *values, tokens = row
    missing = len(RECORD_TYPES) - len(values)
    values += LATER[-missing:] if 0 < missing <= len(LATER) else []
    named = dict(zip(RECORD_TYPES, values, strict=True))
    for name, value in named.items():
        _typed(value, RECORD_TYPES[name])
        if value not in CHOICES.get(name, (value,)):
            raise ValueError(f"{name} {value!r}")
    return RequestRecord(**named, tokens=_tokens(tokens))


def _sums(rows: list[list[Any]]) -> TotalsByKey:
    return {
        Key(*(_typed(word, (str,)) for word in words)): from_columns(map(_count, numbers))
        for words, numbers in map(_split, rows)
    }


def _split(row: list[Any]) -> tuple[list[Any], list[Any]]:
    """The words of a row's key, of which earlier versions had two, and its numbers."""
    words = len(Key._fields) if len(row) == len(Key._fields) + len(columns(ZERO)) else 2
    return row[:words], row[words:]


def _tokens(counts: list[Any]) -> Tokens:
    return Tokens(*map(_count, counts))


def _count(value: Any) -> int:
    if _typed(value, (int,)) < 0:
        raise ValueError(f"{value} is no count")
    return int(value)


def _typed(value: Any, types: tuple[type, ...]) -> Any:
    # In Python, unlike in JSON, true is an integer.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise TypeError(f"{value!r} is not {' or '.join(each.__name__ for each in types)}")
    return value
