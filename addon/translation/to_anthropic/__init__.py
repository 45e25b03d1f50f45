"""Requests: OpenAI Chat Completions, Responses and native bodies become Anthropic Messages requests."""
