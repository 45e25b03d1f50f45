"""Events for open dashboards: in order, bounded, and never silent for long."""

from __future__ import annotations

import asyncio
import json

import pytest

from addon.core.errors import RateLimited
from addon.usage.live import COMMENT, MAX_SUBSCRIBERS, QUEUE_SIZE, LiveHub


def events(frames: bytes) -> list[tuple[str, object]]:
    blocks = [block.split("\n") for block in frames.decode().split("\n\n") if block]
    return [(name[7:], json.loads(data[6:])) for name, data in blocks]


def test_every_page_gets_every_event_in_order() -> None:
    hub = LiveHub()
    assert not hub.watched
    first, second = hub.subscribe(), hub.subscribe()
    assert hub.watched
    hub.publish("request", {"id": 1, "reason": "a\nb\u2028"})
    hub.publish("totals", {})
    expected = [("request", {"id": 1, "reason": "a\nb\u2028"}), ("totals", {})]
    assert events(first.pending()) == events(second.pending()) == expected
    assert first.pending() == b""


def test_a_slow_page_is_told_to_fetch_anew() -> None:
    hub = LiveHub()
    page = hub.subscribe()
    for n in range(QUEUE_SIZE + 2):
        hub.publish("request", {"id": n})
    assert events(page.pending()) == [("resync", {}), ("request", {"id": QUEUE_SIZE + 1})]


def test_a_closed_page_gets_nothing_and_makes_room() -> None:
    hub = LiveHub()
    pages = [hub.subscribe() for _ in range(MAX_SUBSCRIBERS)]
    with pytest.raises(RateLimited, match="Close one"):
        hub.subscribe()
    pages[0].close()
    pages[0].close()
    hub.publish("totals", {})
    assert pages[0].pending() == b""
    hub.subscribe()


async def test_frames_come_at_once_comments_in_silence_and_end_with_the_hub() -> None:
    hub = LiveHub()
    page = hub.subscribe()
    silent = page.frames(keepalive=0.02)
    assert await anext(silent) == COMMENT
    await silent.aclose()
    stream = page.frames()
    asyncio.get_running_loop().call_later(0.005, hub.publish, "totals", {})
    assert events(await anext(stream)) == [("totals", {})]
    asyncio.get_running_loop().call_later(0.005, hub.close)
    assert [frame async for frame in stream] == []
    assert not hub.watched


async def test_what_came_before_the_close_is_still_delivered() -> None:
    hub = LiveHub()
    page = hub.subscribe()
    hub.publish("totals", {})
    stream = page.frames()
    assert events(await anext(stream)) == [("totals", {})]
    hub.publish("budget", {"known": True})
    page.close()
    assert [events(frame) async for frame in stream] == [[("budget", {"known": True})]]
