"""Shows in the terminal what a slow request is waiting for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from addon.core.clock import Ticker
from addon.core.terminal import Terminal
from addon.exchange.state import Exchange, Exchanges

SHOWN_AT = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds of waiting."""
LOOK_EVERY = 1.0


class Progress:
    def __init__(
        self,
        exchanges: Exchanges,
        terminal: Terminal,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.exchanges = exchanges
        self.terminal = terminal
        self.monotonic = monotonic
        self.looked = monotonic()
        self.ticker = Ticker(LOOK_EVERY, self.say)

    def running(self) -> None:
        self.ticker.start()

    def done(self) -> None:
        self.ticker.stop()

    def say(self) -> None:
        for line in self.look():
            self.terminal.line(line)

    def look(self) -> Iterator[str]:
        """A line for each request whose waiting time has passed one of `SHOWN_AT` since the last call."""
        before, self.looked = self.looked, self.monotonic()
        for exchange in self.exchanges.waiting():
            waited = self.looked - exchange.clock
            if any(before - exchange.clock < mark <= waited for mark in SHOWN_AT):
                who = " ".join(filter(None, [exchange.who.client, self.exchanges.tag(exchange)]))
                told = f"{_model(exchange):<10} {waited:.0f} s: {_what_for(exchange)} {who}"
                yield f"{time.strftime('%H:%M:%S')} {told.rstrip()}"


def _model(exchange: Exchange) -> str:
    return exchange.claude.model.id.removeprefix("claude-") if exchange.claude else "-"


def _what_for(exchange: Exchange) -> str:
    if exchange.doing:
        return exchange.doing
    return "Anthropic has not responded yet" if exchange.attempts else "not sent yet"
