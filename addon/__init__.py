"""ccproxy: mitmproxy addons that let OpenAI and Anthropic clients talk to Claude."""
