"""Which credential a request uses next: causes, rate limits, cooldowns and the table of decisions. Pure."""
