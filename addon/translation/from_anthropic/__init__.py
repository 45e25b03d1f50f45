"""Translates Anthropic's responses into each client dialect."""
