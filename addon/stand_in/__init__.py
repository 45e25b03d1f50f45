"""Anthropic and OpenAI on a socket, as the demo, the doctor and the tests need them."""
