"""Counts requests, with a cache, and learns from true counts. Long texts are counted outside of the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from addon.claude.digest import Fingerprint, fingerprint_of
from addon.claude.model import Model
from addon.context.tokens.count import Count, CountSource
from addon.context.tokens.estimate import Anchor, Anchors, Calibration, Found, Sizes, estimate
from addon.context.tokens.measure import (
    CountText,
    Sample,
    Size,
    measure_message,
    measure_system,
    measure_tools,
    request_fixed,
    thinking_tokens,
    upper_bound,
)
from addon.context.tokens.vocabulary import Vocabulary, weigh
from addon.core.files import read_json, sweep_orphans, write_json
from addon.core.lru import Lru
from addon.core.settings import Settings
from addon.core.types import JsonObject

log = logging.getLogger(__name__)

CACHE_ENTRIES = 10_000
INLINE_BYTES = 16 * 1024  # 2 ms of encoding, which is cheaper than using the worker thread
WAIT_SECONDS = 1.5
LOAD_SECONDS = 10  # much more than loading takes, so that the worker can't wait for ever
SAVE_SECONDS = 30
STALE_SECONDS = 90 * 86_400
VERSION = 2
"""Version of the state file. 2: other digests for anchors."""
ENCODING = "cl100k_base"

# With less text, the ratio depends more on the framing than on the tokenizer.
_LEAST_DELTA = 1_000
_LEAST_WHOLE = 2_000
_MOST_FIXED_SHARE = 0.2

type _Job = tuple[bytes, Callable[[CountText], Size], int]
"""Key in the cache, how to measure the part, and about how many characters it has."""
type _Measured = dict[bytes, Size]


class _Parts(NamedTuple):
    """A request's system, tools and messages."""

    known: dict[bytes, Size]
    """By their keys; taken from the cache once, since counting others may displace them there."""
    jobs: list[_Job]
    """For those that are not known."""


class TokenCounter:
    """Counts requests for a model and learns from the true counts in the responses.

    `vocabulary`: started when the first long text comes (many users never send one); until then, `weigh` is good
    enough. `clock`: unix seconds; `state`: JSON file for what was learnt (None: it is not
    saved). Use from one event loop; the file is written in a thread. `close()` saves and waits for it.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, clock: Callable[[], float], state: Path | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._clock = clock
        self._state = state
        self._cache: Lru[bytes, Size] = Lru(CACHE_ENTRIES)
        self._anchors = Anchors()
        self._calibration = Calibration()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="count")
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens.json")
        self._saved = clock()
        self._load()

    @property
    def problem(self) -> str | None:
        """Why counts are less exact than they could be, for `/health`; None if they are not."""
        return self._vocabulary.problem

    def count(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint | None = None,
        *,
        factor: float | None = None,
    ) -> Count:
        """Count now, in any thread. An unknown request takes about 1 ms per 1,000 tokens.

        `factor`: that of the conversation from which the request was made, if there is one.
        """
        fingerprint = fingerprint or fingerprint_of(request)
        parts = self._parts(request, fingerprint)
        measured = self._measure(parts.jobs) if self._vocabulary.settled else None
        sizes = self._sizes(request, model, fingerprint, parts, measured)
        return self._estimate(model, sizes, fingerprint, factor)

    async def count_soon(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint | None = None,
        *,
        factor: float | None = None,
        wait: float = WAIT_SECONDS,
        threshold: int = 0,
        room: int | None = None,
        sure: bool = True,
    ) -> Count:
        """Count without blocking the event loop.

        Long unknown text is counted in the worker thread. What it has not counted after `wait` seconds is estimated by
        weights of character classes, and the worker continues for the next turn. There is no waiting if a sample of
        the text, or the number of its bytes, is sure that the request has not more than `threshold` tokens, and with
        its margin not more than `room`. Without `sure`, texts that were made to deceive a sample may do so.
        """
        fingerprint = fingerprint or fingerprint_of(request)
        parts = self._parts(request, fingerprint)
        jobs = parts.jobs
        volume = sum(size for _, _, size in jobs)
        measured = None
        if volume <= INLINE_BYTES and self._vocabulary.settled:
            measured = self._measure(jobs)
        elif volume > INLINE_BYTES or (jobs and self._vocabulary.begun):
            self._vocabulary.start()
            sizes = (
                self._sampled(request, model, fingerprint, parts, volume, sure)
                if threshold
                else None
            )
            count = self._estimate(model, sizes, fingerprint, factor) if sizes else None
            work = self._worker.submit(self._measure_later, jobs)
            if sizes and count and _is_enough(count, sizes, threshold, room):
                return count
            # For more text than that, no bound is needed; if it is base64, measuring takes no time.
            if volume > threshold or self.needs_count(request, model, threshold):
                await asyncio.wait([asyncio.wrap_future(work)], timeout=wait)
                measured = work.result() if _has_succeeded(work) else None
        sizes = self._sizes(request, model, fingerprint, parts, measured)
        return self._estimate(model, sizes, fingerprint, factor)

    def needs_count(self, request: JsonObject, model: Model, threshold: int) -> bool:
        """Whether the request could have more than `threshold` tokens, by its number of bytes."""
        return upper_bound(request, model) > threshold

    def learn(
        self,
        request: JsonObject,
        model: Model,
        true_total: int,
        fingerprint: Fingerprint | None = None,
        *,
        sure: bool = False,
    ) -> bool:
        """Learn the true count of `request` as it was sent (from `true_input` or, which is `sure`, from `overflow`).

        Returns False, and learns nothing, if the request isn't counted yet because the worker was too slow, or can't
        have that many tokens: then several prompts were summed up.
        """
        if not self._vocabulary.settled:
            return False
        fingerprint = fingerprint or fingerprint_of(request)
        parts = self._parts(request, fingerprint)
        if parts.jobs:
            return False
        sizes = self._sizes(request, model, fingerprint, parts, {})
        if not sure and not sizes.can_be(true_total):
            return False
        now = Anchor(true_total, sizes.text, sizes.fixed)
        self._calibrate(model, now, self._anchors.find(fingerprint, model.tokenizer))
        self._anchors.put(fingerprint, model.tokenizer, now)
        if self._clock() - self._saved >= SAVE_SECONDS:
            self.save()
        return True

    def save(self) -> None:
        """Save what was learnt, unless the vocabulary is missing. If that fails, it is only logged."""
        self._saved = self._clock()
        if self._state and self._vocabulary.exact:
            self._disk.submit(write_json, self._state, self._dump())

    def close(self) -> None:
        """Save, stop the worker, and wait until the file is written."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self.save()
        self._disk.shutdown()

    def _parts(self, request: JsonObject, fingerprint: Fingerprint) -> _Parts:
        keys = _keys(fingerprint)
        known: dict[bytes, Size] = {}
        jobs: list[_Job] = []
        for at, (key, size) in enumerate(zip(keys, self._cache.many(keys), strict=True)):
            if size is None:
                jobs.append((key, *_part(request, at)))
            else:
                known[key] = size
        return _Parts(known, jobs)

    def _measure_later(self, jobs: list[_Job]) -> _Measured:
        self._vocabulary.wait(LOAD_SECONDS)
        return self._measure(jobs)

    def _measure(self, jobs: list[_Job]) -> _Measured:
        """All of them, also where they are more than the cache holds."""
        measured: _Measured = {}
        for key, measure, _ in jobs:
            size = measured.get(key) or self._cache.get(key)
            if size is None:
                size = measure(self._vocabulary.count)
                self._cache.put(key, size)
            measured[key] = size
        return measured

    def _sampled(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint,
        parts: _Parts,
        volume: int,
        sure: bool,
    ) -> Sizes | None:
        """The sizes from the cache; those that are missing are estimated by a sample of their texts."""
        if not self._vocabulary.exact:
            return None
        sample = Sample(volume)
        measured = [(key, work(sample)) for key, work, _ in parts.jobs]
        density, unsure = sample.density(self._vocabulary.count, sure=sure)
        rough = {
            key: Size(round(density * s.text), s.fixed, s.images, s.pages, s.bytes, s.documents)
            for key, s in measured
        }
        sizes = self._put_together(request, model, fingerprint, parts.known | rough)
        return replace(sizes, unsure=unsure)

    def _sizes(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint,
        parts: _Parts,
        measured: _Measured | None,
    ) -> Sizes:
        """`measured`: what was not known; None: it is estimated by weights, but for what is in the cache by now."""
        rough = False
        if measured is None:
            found = {key: self._cache.get(key) for key, _, _ in parts.jobs}
            measured = {key: found[key] or work(weigh) for key, work, _ in parts.jobs}
            rough = None in found.values()
        return self._put_together(request, model, fingerprint, parts.known | measured, rough=rough)

    def _put_together(
        self,
        request: JsonObject,
        model: Model,
        fingerprint: Fingerprint,
        sizes: _Measured,
        *,
        rough: bool = False,
    ) -> Sizes:
        system, tools, *messages = [sizes[key] for key in _keys(fingerprint)]
        return Sizes(
            system=system,
            tools=tools,
            messages=messages,
            thinking=thinking_tokens(request["messages"], model),
            overhead=request_fixed(request, model),
            family=model.tokenizer,
            rough=rough or not self._vocabulary.exact,
        )

    def _estimate(
        self, model: Model, sizes: Sizes, fingerprint: Fingerprint, factor: float | None
    ) -> Count:
        learnt, basis = self._calibration.factor(model)
        source: CountSource = "weights" if sizes.rough else "calibrated" if factor else basis
        found = self._anchors.find(fingerprint, model.tokenizer)
        return estimate(sizes, factor or learnt, source, found)

    def _calibrate(self, model: Model, now: Anchor, found: Found | None) -> None:
        """The growth since the last response is the best measure of the factor, since unknown costs cancel out."""
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
        """Load an earlier state. An invalid one is ignored, but the file of a newer version is kept under another
        name."""
        if self._state is None:
            return
        sweep_orphans(self._state, self._clock())
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


def _has_succeeded(work: Future[_Measured]) -> bool:
    return work.done() and not work.cancelled() and work.exception() is None


def _is_enough(count: Count, sizes: Sizes, threshold: int, room: int | None) -> bool:
    most = count.total + sizes.unsure_for(count.factor)
    return most <= threshold and (room is None or count.upper <= room)


def _keys(fingerprint: Fingerprint) -> list[bytes]:
    """The keys of a request's parts in the cache: system, tools, messages."""
    return [fingerprint.system, fingerprint.tools, *fingerprint.messages]


def _part(request: JsonObject, at: int) -> tuple[Callable[[CountText], Size], int]:
    """How to measure the part of `_keys(...)[at]`, and about how many characters it has."""
    if at == 0:
        system = request.get("system") or ""
        return partial(measure_system, system), _volume(system)
    if at == 1:
        tools = request.get("tools") or []
        return partial(measure_tools, tools), _volume(tools)
    message = request["messages"][at - 2]
    return partial(measure_message, message), _volume(message.get("content"))


def _volume(content: Any) -> int:
    """About how many characters there are, to tell short from long."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        return sum(map(_volume, content.values()))
    return sum(map(_volume, content)) if isinstance(content, list) else 8


def make_counter(settings: Settings) -> TokenCounter:
    return TokenCounter(Vocabulary(), clock=time.time, state=settings.home / "tokens.json")
