"""What Anthropic marks by the text of its refusal alone."""

import pytest

from addon.core.errors import BadRequest
from addon.fallback.causes import cause_of_response


def cause(message: str) -> str:
    return cause_of_response(BadRequest(message), "claude_code", exhausted=False)


@pytest.mark.parametrize(
    "message",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.",
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.3.content.1: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
    ],
)
def test_errors_about_thinking_sent_back_are_recognised(message: str) -> None:
    assert cause(message) == "thinking_refused"


@pytest.mark.parametrize(
    "message",
    [
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
        "prompt is too long: 204826 tokens > 200000 maximum",
        "max_tokens must be greater than thinking.budget_tokens",
        "thinking.block_binding: Extra inputs are not permitted",
        "",
    ],
)
def test_other_errors_are_not(message: str) -> None:
    assert cause(message) != "thinking_refused"
