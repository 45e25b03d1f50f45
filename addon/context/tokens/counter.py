"""Counts requests: memo, factor and anchors together, off the event loop when there is much to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from addon.claude.digest import Fingerprint, fingerprint_of
from addon.claude.model import Model
from addon.context.tokens.count import Count, CountSource
from addon.context.tokens.estimate import Anchor, Anchors, Calibration, Found, Sizes, estimate
from addon.context.tokens.measure import (
    CountText,
    Size,
    measure_message,
    measure_system,
    measure_tools,
    request_fixed,
    thinking_tokens,
    upper_bound,
)
from addon.context.tokens.vocabulary import Vocabulary, weigh
from addon.core.files import read_json, write_json
from addon.core.lru import Lru
from addon.core.settings import Settings
from addon.core.types import JsonObject

log = logging.getLogger(__name__)

MEMO_ENTRIES = 10_000
INLINE_BYTES = 16 * 1024  # 2 ms of encoding: cheaper than a trip to the worker
WAIT_SECONDS = 1.5
LOAD_SECONDS = 10  # far more than loading takes; a vocabulary that nobody started must not hold the worker for ever
SAVE_SECONDS = 30
STALE_SECONDS = 90 * 86_400
VERSION = 2
"""Of the state file; 2: other names for anchors."""
ENCODING = "cl100k_base"

# Below this much text, a ratio says more of the framing than of the tokenizer.
_LEAST_DELTA = 1_000
_LEAST_WHOLE = 2_000
_MOST_FIXED_SHARE = 0.2

type _Job = tuple[bytes, Callable[[CountText], Size], int]
"""Memo key, how to measure it, and about how many bytes that reads."""


class TokenCounter:
    """Counts Anthropic requests for a model and learns from their answers.

    `vocabulary`: started by the caller; `clock`: seconds since the epoch; `state`: JSON file for what was learnt
    (None: nothing is kept). Use from one event loop; the file is written in a thread. `close()` saves and waits for it.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, clock: Callable[[], float], state: Path | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._clock = clock
        self._state = state
        self._memo: Lru[bytes, Size] = Lru(MEMO_ENTRIES)
        self._anchors = Anchors()
        self._calibration = Calibration()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="count")
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens.json")
        self._saved = clock()
        self._load()

    @property
    def problem(self) -> str | None:
        """Why counts are rougher than they need be, for `/health`; None when they are not."""
        return self._vocabulary.problem

    def count(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint | None = None,
        *,
        factor: float | None = None,
    ) -> Count:
        """Count here and now, in any thread: a request never seen takes about 1 ms per 1,000 tokens.

        `factor`: that of the conversation which the request was made from, where there is one.
        """
        fingerprint = fingerprint or fingerprint_of(request)
        jobs = list(self._missing(request, fingerprint))
        if self._vocabulary.settled:
            self._measure(jobs)
        return self._estimate(
            model, self._sizes(request, model, fingerprint, jobs), fingerprint, factor
        )

    async def count_soon(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint | None = None,
        *,
        factor: float | None = None,
        wait: float = WAIT_SECONDS,
        threshold: int = 0,
    ) -> Count:
        """Count without holding up the event loop.

        Much unknown text goes to the worker thread; after `wait` seconds what it has not done yet is estimated by
        class weights, and the worker finishes for the next turn. A request that can't have more than `threshold`
        tokens isn't waited for at all.
        """
        fingerprint = fingerprint or fingerprint_of(request)
        jobs = list(self._missing(request, fingerprint))
        volume = sum(size for _, _, size in jobs)
        if volume <= INLINE_BYTES and self._vocabulary.settled:
            self._measure(jobs)
        elif jobs:
            work = self._worker.submit(self._measure_later, jobs)
            # That much text needs no exact bound, and an image that seems as much is measured in no time.
            if volume > threshold or self.needs_count(request, model, threshold):
                await asyncio.wait([asyncio.wrap_future(work)], timeout=wait)
        return self._estimate(
            model, self._sizes(request, model, fingerprint, jobs), fingerprint, factor
        )

    def needs_count(self, request: JsonObject, model: Model, threshold: int) -> bool:
        """Whether the request could have more than `threshold` tokens, from its bytes alone."""
        return upper_bound(request, model) > threshold

    def learn(
        self,
        request: JsonObject,
        model: Model,
        true_total: int,
        fingerprint: Fingerprint | None = None,
    ) -> bool:
        """Take in what `request`, as it was sent, really cost (`count.true_input`, or N of "prompt is too long").

        False when it isn't counted yet (the worker was too slow): nothing is learnt then.
        """
        fingerprint = fingerprint or fingerprint_of(request)
        if not self._vocabulary.settled or None in self._memo.many(_keys(fingerprint)):
            return False
        sizes = self._sizes(request, model, fingerprint, [])
        now = Anchor(true_total, sizes.text, sizes.fixed)
        self._calibrate(model, now, self._anchors.find(fingerprint, model.tokenizer))
        self._anchors.put(fingerprint, model.tokenizer, now)
        if self._clock() - self._saved >= SAVE_SECONDS:
            self.save()
        return True

    def save(self) -> None:
        """Have written what was learnt, unless by weights; a disk that refuses is logged and costs nothing else."""
        self._saved = self._clock()
        if self._state and self._vocabulary.exact:
            self._disk.submit(write_json, self._state, self._dump())

    def close(self) -> None:
        """Save, let the worker go, and wait for the file."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self.save()
        self._disk.shutdown()

    def _missing(self, request: JsonObject, fingerprint: Fingerprint) -> Iterator[_Job]:
        """What the memo lacks."""
        keys = _keys(fingerprint)
        for at, size in enumerate(self._memo.many(keys)):
            if size is None:
                yield keys[at], *_part(request, at)

    def _measure_later(self, jobs: list[_Job]) -> None:
        self._vocabulary.wait(LOAD_SECONDS)
        self._measure(jobs)

    def _measure(self, jobs: list[_Job]) -> None:
        for key, measure, _ in jobs:
            if self._memo.get(key) is None:
                self._memo.put(key, measure(self._vocabulary.count))

    def _sizes(
        self, request: JsonObject, model: Model, fingerprint: Fingerprint, jobs: list[_Job]
    ) -> Sizes:
        """Sizes from the memo; by class weights where a job for it isn't done."""
        rough = {key: work(weigh) for key, work, _ in jobs if self._memo.get(key) is None}
        keys = _keys(fingerprint)
        sizes = [
            size or rough.get(key) or Size()
            for key, size in zip(keys, self._memo.many(keys), strict=True)
        ]
        return Sizes(
            system=sizes[0],
            tools=sizes[1],
            messages=sizes[2:],
            thinking=thinking_tokens(request["messages"], model),
            overhead=request_fixed(request, model),
            family=model.tokenizer,
            rough=bool(rough) or not self._vocabulary.exact,
        )

    def _estimate(
        self, model: Model, sizes: Sizes, fingerprint: Fingerprint, factor: float | None
    ) -> Count:
        learnt, basis = self._calibration.factor(model)
        source: CountSource = "weights" if sizes.rough else "calibrated" if factor else basis
        found = self._anchors.find(fingerprint, model.tokenizer)
        return estimate(sizes, factor or learnt, source, found)

    def _calibrate(self, model: Model, now: Anchor, found: Found | None) -> None:
        """Growth since the last answer tells the factor best: everything unknown is on both sides of it."""
        before = found.anchor if found and found.exact else None
        if before and now.text - before.text >= _LEAST_DELTA:
            claude = now.total - before.total - (now.fixed - before.fixed)
            self._calibration.observe(model, claude, now.text - before.text)
        elif not before and now.text >= _LEAST_WHOLE and now.fixed <= _MOST_FIXED_SHARE * now.total:
            self._calibration.observe(model, now.total - now.fixed, now.text)

    def _dump(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "encoding": ENCODING,
            "saved": self._saved,
            "factors": self._calibration.dump(),
            "anchors": self._anchors.dump(),
        }

    def _load(self) -> None:
        """Take up an earlier run's state; anything odd in it is as good as none, but a newer version's file is kept."""
        if self._state is None:
            return
        state = read_json(self._state)
        anchors, calibration = Anchors(), Calibration()
        try:
            if state is None or not self._is_current(self._state, state):
                return
            calibration.load(state["factors"])
            anchors.load(state["anchors"])
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError, OSError):
            return
        self._anchors, self._calibration = anchors, calibration

    def _is_current(self, path: Path, state: Any) -> bool:
        if state["version"] > VERSION:
            kept = path.with_name(f"{path.name}.version-{state['version']}")
            log.warning("A newer ccproxy wrote %s: it is kept as %s.", path, kept.name)
            path.replace(kept)
        made_by_us = (state["version"], state["encoding"]) == (VERSION, ENCODING)
        return made_by_us and self._clock() - state["saved"] < STALE_SECONDS


def _keys(fingerprint: Fingerprint) -> list[bytes]:
    """The memo's keys for a request: system, tools, messages."""
    return [fingerprint.system, fingerprint.tools, *fingerprint.messages]


def _part(request: JsonObject, at: int) -> tuple[Callable[[CountText], Size], int]:
    """How to measure the part of `_keys(...)[at]`, and about how many bytes that reads."""
    if at == 0:
        system = request.get("system") or ""
        return partial(measure_system, system), _volume(system)
    if at == 1:
        tools = request.get("tools") or []
        return partial(measure_tools, tools), _volume(tools)
    message = request["messages"][at - 2]
    return partial(measure_message, message), _volume(message.get("content"))


def _volume(content: Any) -> int:
    """About how many characters have to be read; enough to tell a little from much."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        return sum(map(_volume, content.values()))
    return sum(map(_volume, content)) if isinstance(content, list) else 8


def make_counter(settings: Settings) -> TokenCounter:
    vocabulary = Vocabulary()
    vocabulary.start()
    return TokenCounter(vocabulary, clock=time.time, state=settings.home / "tokens.json")
