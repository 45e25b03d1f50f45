"""Decides which credential a request uses next: causes, rate limits, cooldowns, the decision table. Pure."""
