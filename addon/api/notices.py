"""Tells in the terminal, and to open dashboards, what begins and what ends: problems, and rests of the subscription."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mitmproxy import ctx

from addon.core.clock import Ticker
from addon.core.terminal import Terminal
from addon.fallback.messages import Notice
from addon.usage.live import LiveHub

LOOK_EVERY = 1.0


class Notices:
    """`current`: what there is to know; replaced when the settings change."""

    def __init__(self, terminal: Terminal, hub: LiveHub) -> None:
        self.terminal = terminal
        self.hub = hub
        self.current: Callable[[], Sequence[Notice]] = list
        self.told: Sequence[Notice] = ()
        self.ticker = Ticker(LOOK_EVERY, self.look)

    def running(self) -> None:
        """To be added behind what prints the banner."""
        if ctx.options.server:
            self.look()
            self.ticker.start()

    def done(self) -> None:
        self.ticker.stop()

    def look(self) -> None:
        """Tell what has changed since the last time."""
        before, self.told = self.told, self.current()
        if self.told == before:
            return
        for notice in self.told:
            if notice not in before:
                self.say(f"NOT READY: {notice.text}" if notice.bad else notice.text, notice.bad)
        lasting = [notice.over for notice in self.told]
        for notice in before:
            if notice.over not in lasting:
                self.say(notice.over)
        self.hub.publish("totals", {})

    def say(self, text: str, bad: bool = False) -> None:
        self.terminal.line(f"{time.strftime('%H:%M:%S')} {text}", "bad" if bad else "odd")
