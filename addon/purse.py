"""What a paid call may cost, set aside before it is made."""

from __future__ import annotations

from addon.exchange import Call
from addon.usage.budget import Budget, Reservation
from addon.usage.record import Tokens

BYTES_PER_TOKEN = 2.0
"""Prose has four, dense code and JSON not below two on the tokenizer of 2026: never too little is set aside."""


class Purse:
    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def reserve(self, call: Call) -> Reservation:
        """Set aside the most that `call` can cost: its whole prompt written to the cache, and every token of
        `max_tokens`. Raises RateLimited with the budget's message when there is no room for it."""
        prompt = call.prompt_tokens or round(call.size / BYTES_PER_TOKEN)
        most = Tokens(cache_write_1h=prompt, output=call.request.get("max_tokens") or 0)
        return self.budget.reserve(most.cost(call.model.prices))
