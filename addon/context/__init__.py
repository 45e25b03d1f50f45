"""Fits long conversations into the context window: counts tokens, summarizes, trims."""
