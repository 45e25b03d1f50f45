"""A request that was made for one model, asked of another: the fake Anthropic, which knows each model's rules, takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.addons.fallback_chain import for_model
from addon.claude.model import Model
from addon.claude.names import ModelChoice
from addon.claude.subscription_request import with_betas
from addon.claude.thinking import (
    BINDING_BETA,
    FAST_BETA,
    INTERLEAVED_BETA,
    ThinkingOptions,
    apply_thinking,
)
from addon.core.types import JsonObject
from addon.exchange.claude_request import ClaudeRequest, NativeRequest
from addon.stand_in.access import API_KEY
from addon.stand_in.messages import Judge
from addon.stand_in.refusal import Refusal
from addon.translation.to_anthropic.native import native_translation
from addon.translation.to_anthropic.request import translate_chat
from addon.translation.types import RequestOptions, Translation
from tests.claude.support import CATALOGUE

KINDS = (
    "opus-4-5",
    "opus-4-6",
    "opus-4-8",
    "opus-5-5",
    "sonnet-5-5",
    "haiku-4-5",
    "haiku-5-5",
    "fable-5-2",
)
MODELS = [CATALOGUE.get(f"claude-{kind}") for kind in KINDS]
"""One for each way of thinking, of sampling and of forcing tools."""
TOOL = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
LOOP: list[JsonObject] = [
    {"role": "user", "content": "Read it."},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
]  # fmt: skip
BINDING = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
NATIVE: dict[str, JsonObject] = {
    "plain": {},
    "sampling": {"temperature": 0.5},
    "top_p": {"top_p": 0.97},
    "adaptive": {"thinking": {"type": "adaptive"}},
    "adaptive, xhigh": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
    "binding": {"thinking": BINDING},
    "a budget": {"thinking": {"type": "enabled", "budget_tokens": 4000}},
    "a budget in a loop": {"thinking": {"type": "enabled", "budget_tokens": 4000}, "messages": LOOP, "tools": [TOOL]},
    "adaptive in a loop": {"thinking": {"type": "adaptive"}, "messages": LOOP, "tools": [TOOL]},
    "off": {"thinking": {"type": "disabled"}},
    "between tools": {"thinking": {"type": "between_tools"}, "tools": [TOOL]},
    "max effort, off": {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
    "a forced tool": {"tools": [TOOL], "tool_choice": {"type": "any"}},
    "fast": {"speed": "fast"},
    "all of the output": {"max_tokens": 128_000},
    "little output": {"max_tokens": 500, "thinking": {"type": "adaptive"}},
}  # fmt: skip
BETAS = (INTERLEAVED_BETA, BINDING_BETA, FAST_BETA, "context-1m-2025-08-07")
CHAT: dict[str, JsonObject] = {
    "plain": {},
    "effort": {"reasoning_effort": "high"},
    "none": {"reasoning_effort": "none", "temperature": 0.2},
    "a system message in the middle": {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "c"},
        ]
    },
    "begun": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "a forced tool": {
        "tools": [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}],
        "tool_choice": "required",
    },
}  # fmt: skip


def claude_request(
    model: Model, translation: Translation, native: NativeRequest | None, headers: Any
) -> ClaudeRequest:
    return ClaudeRequest(
        asked=model.id,
        choice=ModelChoice(id=model.id),
        model=model,
        request=translation.request,
        reply=translation.reply,
        thinking_request=translation.thinking_request,
        max_tokens_given=translation.max_tokens_given,
        betas=set(translation.betas),
        headers=headers,
        native=native,
    )


def refusal(claude: ClaudeRequest) -> str | None:
    headers = with_betas([("anthropic-version", "2023-06-01"), *claude.headers], claude.betas)
    body = json.dumps({**claude.request, "stream": True}).encode()
    try:
        Judge().accept([*headers, ("x-api-key", API_KEY)], body)
    except Refusal as refused:
        return refused.message
    return None


@pytest.mark.parametrize("target", MODELS, ids=lambda model: model.id)
@pytest.mark.parametrize("case", NATIVE)
def test_a_request_of_an_anthropic_client_is_taken_by_every_other_model(
    case: str, target: Model
) -> None:
    tried = 0
    for source in MODELS:
        body = {
            "model": source.id,
            "max_tokens": 8000,
            "messages": [{"role": "user", "content": "Hi"}],
            **NATIVE[case],
        }
        native = NativeRequest(body=body, raw=json.dumps(body).encode(), passes=True, opaque=False)
        headers = [("anthropic-beta", ",".join(BETAS))]
        asked = claude_request(source, native_translation(body, source.id), native, headers)
        if refusal(asked) is None:
            tried += 1
            made = for_model(asked, target, ThinkingOptions())
            assert refusal(made) is None, f"{source.id}: {made.request}"
            assert asked.request is body and (target is source or "model" in made.changed)
    assert tried


@pytest.mark.parametrize("target", MODELS, ids=lambda model: model.id)
@pytest.mark.parametrize("case", CHAT)
def test_a_translated_request_is_taken_by_every_other_model(case: str, target: Model) -> None:
    for source in MODELS:
        body = {"model": source.id, "messages": [{"role": "user", "content": "Hi"}], **CHAT[case]}
        translation = translate_chat(body, source, RequestOptions())
        asked = claude_request(source, translation, None, [])
        prepared = apply_thinking(
            asked.request,
            asked.thinking_request,
            source,
            ThinkingOptions(),
            max_tokens_given=asked.max_tokens_given,
            choice=asked.choice,
        )
        asked.request = prepared.request
        asked.betas |= prepared.betas
        assert refusal(asked) is None
        made = for_model(asked, target, ThinkingOptions())
        assert refusal(made) is None, f"{source.id}: {made.request}"
