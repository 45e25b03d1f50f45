"""What a paid call may cost, set aside before it is made."""

from __future__ import annotations

from addon.claude.model import Model
from addon.claude.pricing import Tokens, cost
from addon.exchange.claude_request import ClaudeRequest
from addon.usage.budget import Budget, Reservation
from addon.usage.record import picodollars

BYTES_PER_TOKEN = 2.0
"""Prose has four, dense code and JSON not below two on the tokenizer of 2026: never too little is set aside."""


class Purse:
    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def reserve(self, call: ClaudeRequest) -> Reservation:
        """Set aside the most that `call` can cost. Raises RateLimited with the budget's message when there is no
        room for it."""
        most = call.request.get("max_tokens") or 0
        return self.set_aside(call.model, call.size, most, call.prompt_tokens)

    def set_aside(
        self, model: Model, size: int, max_tokens: int, prompt_tokens: int = 0
    ) -> Reservation:
        """For a body of `size` bytes: all of it written to the cache, and every token of `max_tokens`."""
        prompt = prompt_tokens or round(size / BYTES_PER_TOKEN)
        most = Tokens(cache_write_1h=prompt, output=max_tokens)
        return self.budget.reserve(picodollars(cost(model, most)))
