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


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
            "`web_search_tool_result` block",
            "server_tools_refused",
        ),
        (
            "messages.1.content.0: unexpected `tool_use_id` found in `web_search_tool_result` blocks: x.",
            "server_tools_refused",
        ),
        (
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: x. Each "
            "`tool_use` block must have a corresponding `tool_result` block in the next message.",
            "refused",
        ),
    ],
)
def test_errors_about_server_tools_are_recognised(message: str, named: str) -> None:
    assert cause(message) == named
