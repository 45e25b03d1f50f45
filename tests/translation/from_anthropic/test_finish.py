from __future__ import annotations

import pytest

from addon.translation.from_anthropic.usage import DEFAULT_REFUSAL, finish_reason, refusal


@pytest.mark.parametrize(
    ("stop_reason", "called", "legacy", "expected"),
    [
        pytest.param("tool_use", True, False, "tool_calls", id="call"),
        pytest.param("tool_use", True, True, "function_call", id="legacy-call"),
        pytest.param("tool_use", False, False, "stop", id="server-tools-only"),
        pytest.param("max_tokens", True, False, "length", id="cut-call"),
        pytest.param("end_turn", True, False, "tool_calls", id="call-without-tool-use"),
        pytest.param("brand_new", False, False, "stop", id="unknown"),
        pytest.param(None, True, False, "tool_calls", id="null-with-call"),
    ],
)
def test_what_the_client_was_given_decides(
    stop_reason: str | None, called: bool, legacy: bool, expected: str
) -> None:
    assert finish_reason(stop_reason, called=called, legacy=legacy) == expected


def test_a_refusal_always_has_a_text() -> None:
    assert refusal("refusal", {"explanation": "No."}) == "No."
    assert refusal("refusal", {"explanation": None}) == refusal("refusal", None) == DEFAULT_REFUSAL
    assert refusal("end_turn", {"explanation": "No."}) is None
