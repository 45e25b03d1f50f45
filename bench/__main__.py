"""`python -m bench`: every scenario."""

from __future__ import annotations

from bench import burst, conversation, first_content, idle, large_body, startup, streams, tiny
from bench.run import main

main(
    [
        tiny.SCENARIO,
        tiny.NATIVE,
        first_content.SCENARIO,
        *streams.SCENARIOS,
        burst.SCENARIO,
        conversation.SCENARIO,
        large_body.SCENARIO,
        idle.SCENARIO,
        startup.SCENARIO,
    ]
)
