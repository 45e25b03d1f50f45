"""Translates requests and responses between OpenAI's APIs and Anthropic's. Pure: no I/O, no clock, no logging."""
