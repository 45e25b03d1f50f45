"""The wire formats: pure translation between OpenAI's and Anthropic's APIs. No I/O, no clock, no logging."""
