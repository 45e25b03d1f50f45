"""Translates Chat Completions, Responses and native request bodies into Anthropic Messages requests."""
