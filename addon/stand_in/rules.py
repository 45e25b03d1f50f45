"""What the Messages API refuses, in its own words. `check` looks at every request body.

Sources: the anthropic SDK's `message_create_params`, stable and beta, for the fields that exist; Anthropic's pages on
each model for sampling, thinking and prefill ("what's new" and migration guides); quoted refusals, named at their rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from addon.core.frozen import frozen
from addon.stand_in.models import FakeModel
from addon.stand_in.prompt_cache import is_thought
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import invalid
from addon.stand_in.rules_content import check_content
from addon.stand_in.rules_thinking import check_effort, check_thinking
from addon.stand_in.rules_tools import check_tool_choice, check_tools
from addon.stand_in.tokens import parts_of

MOST_MARKS = 4


def check_marks(body: JsonObject, long_ttl: bool) -> None:
    shortest_seen = "1h"
    marks = list(_marks(body))
    for path, mark in marks:
        _check_mark(path, mark, long_ttl)
        ttl = mark.get("ttl") or "5m"
        if ttl == "1h" and shortest_seen == "5m":  # anthropics/claude-code#39599
            raise invalid(
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
                "blocks are processed in the following order: `tools`, `system`, `messages`.",
                f"{path}.cache_control.ttl",
            )
        shortest_seen = ttl
    if len(marks) > MOST_MARKS:  # tghamm/Anthropic.SDK#50
        raise invalid(
            f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {len(marks)}."
        )


def _check_mark(path: str, mark: JsonObject, long_ttl: bool) -> None:
    where = f"{path}.cache_control".lstrip(".")
    if mark.get("type") != "ephemeral":
        raise invalid("Input should be 'ephemeral'", f"{where}.type")
    for key in mark:
        if key not in ("type", "ttl"):
            raise invalid("Extra inputs are not permitted", f"{where}.ephemeral.{key}")
    if mark.get("ttl") not in (None, "5m", "1h"):
        raise invalid("Input should be '5m' or '1h'", f"{where}.ephemeral.ttl")
    if mark.get("ttl") == "1h" and not long_ttl:
        raise invalid("Extra inputs are not permitted", f"{where}.ephemeral.ttl")


def _marks(body: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Every mark with its path, in the order the cache sees the blocks."""
    for place, blocks in _places(body):
        for index, block in enumerate(blocks):
            for inner, part in enumerate(parts_of(block.get("content"))):
                if part.get("cache_control"):
                    yield f"{place}.{index}.content.{inner}", part["cache_control"]
            if block.get("cache_control"):
                if is_thought(block):
                    raise invalid(
                        "Extra inputs are not permitted",
                        f"{place}.{index}.{block['type']}.cache_control",
                    )
                yield f"{place}.{index}", block["cache_control"]
    if body.get("cache_control"):
        yield "", body["cache_control"]


def _places(body: JsonObject) -> Iterator[tuple[str, list[JsonObject]]]:
    yield "tools", body.get("tools", [])
    yield "system", parts_of(body.get("system"))
    for index, message in enumerate(body["messages"]):
        yield f"messages.{index}.content", parts_of(message.get("content"))


NEW_VERSION = "2026-10-21"
VERSIONS = ("2023-06-01", NEW_VERSION)
FAST_BETA = "fast-mode-2026-02-01"
EXTRA = "Extra inputs are not permitted"

COUNTED_KEYS = {
    "messages", "model", "cache_control", "output_config", "speed", "system", "thinking",
    "tool_choice", "tools",
}  # fmt: skip
"""Fields of count_tokens."""
KEYS = COUNTED_KEYS | {
    "max_tokens", "container", "diagnostics", "inference_geo", "metadata", "service_tier",
    "stop_sequences", "stream", "temperature", "top_k", "top_p", "user_profile_id", "workspace_id",
}  # fmt: skip
BETA_KEYS = {
    "context_management": "context-management-",
    "mcp_servers": "mcp-client-",
    "compaction": "compact-",
    "fallbacks": "server-side-fallback-",
    "fallback_credit_token": "fallback-credit-",
    "thread": "message-threads-",
    "billing_policy": "user-profiles-billing-",
    "output_format": "structured-outputs-",
}
"""Fields that exist only under a beta flag, by how the flag begins. `output_format` is what `output_config.format` was
called in its beta; it is still taken."""
NULLABLE = {
    "cache_control", "speed", "container", "inference_geo", "diagnostics", "billing_policy", "thread",
    "compaction", "context_management", "fallback_credit_token", "fallbacks",
}  # fmt: skip
"""Fields that may be null."""


@frozen(kw_only=True)
class Asked:
    """A request, as far as the rules look at it."""

    body: JsonObject
    model: FakeModel
    betas: frozenset[str] = frozenset()
    version: str = "2023-06-01"
    counting: bool = False
    """It is for /v1/messages/count_tokens."""
    long_ttl: bool = True
    """The account may keep cache entries for an hour."""


def check(asked: Asked) -> None:
    """Raise the `Refusal` that the API would answer; return when it accepts the body."""
    for rule in RULES:
        rule(asked)


def _check_keys(asked: Asked) -> None:
    for key, value in asked.body.items():
        beta = BETA_KEYS.get(key)
        known = key in (COUNTED_KEYS if asked.counting else KEYS)
        if not known and not (beta and any(flag.startswith(beta) for flag in asked.betas)):
            raise invalid(EXTRA, key)
        if value is None and key not in NULLABLE:
            raise invalid("Input should not be null", key)


def _check_max_tokens(asked: Asked) -> None:
    if asked.counting:
        return
    most, given = asked.model.max_output, asked.body.get("max_tokens")
    if given is None:
        raise invalid("Field required", "max_tokens")
    if not _is_int(given):
        raise invalid("Input should be a valid integer", "max_tokens")
    if given < 0:
        raise invalid("Input should be greater than or equal to 0", "max_tokens")
    if given > most:
        raise invalid(
            f"{given} > {most}, which is the maximum allowed number of output tokens for {asked.model.id}",
            "max_tokens",
        )


def _check_sampling(asked: Asked) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if name in asked.body]
    for name in given:
        if asked.version == NEW_VERSION:
            raise invalid(EXTRA, name)
        if not _sampling_allowed(asked.model, name, asked.body[name]):
            raise invalid(f"`{name}` is deprecated for this model.")
    if asked.model.sampling != "accepted":
        return
    if {"temperature", "top_p"} <= set(given):  # Vali-98/ChatterUI#564
        raise invalid(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )
    if not 0 <= asked.body.get("temperature", 0) <= 1:
        raise invalid("range: 0..1", "temperature")
    _check_sampling_with_thinking(asked.body)


def _sampling_allowed(model: FakeModel, name: str, value: Any) -> bool:
    default = name in ("temperature", "top_p") and value == 1
    return model.sampling == "accepted" or (model.sampling == "default_only" and default)


def _check_sampling_with_thinking(body: JsonObject) -> None:
    if (body.get("thinking") or {}).get("type") not in ("enabled", "adaptive"):
        return
    if body.get("temperature", 1) != 1:
        raise invalid(
            "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our "
            "documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
        )
    if body.get("top_p", 1) < 0.95:
        raise invalid(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
        )
    if "top_k" in body:
        raise invalid("`top_k` must be unset when thinking is enabled.")


def _check_settings(asked: Asked) -> None:
    for stop in asked.body.get("stop_sequences", ()):
        if not stop.strip():
            raise invalid("each stop sequence must contain non-whitespace", "stop_sequences")
    for key in asked.body.get("metadata", {}):
        if key != "user_id":
            raise invalid(EXTRA, f"metadata.{key}")
    tier = asked.body.get("service_tier", "auto")
    if tier not in ("auto", "standard_only"):
        raise invalid("Input should be 'auto' or 'standard_only'", "service_tier")
    if asked.body.get("speed") == "fast":
        _check_fast(asked)


def _check_fast(asked: Asked) -> None:
    if asked.model.fast == "no":
        raise invalid(f"`speed: fast` is not supported for {asked.model.id}")
    if asked.model.fast == "beta" and FAST_BETA not in asked.betas:
        raise invalid(EXTRA, "speed")


def _check_format(asked: Asked) -> None:
    config = asked.body.get("output_config", {})
    for key in config:
        if key not in ("effort", "format", "task_budget"):
            raise invalid(EXTRA, f"output_config.{key}")
    wanted = config.get("format")
    if wanted is None:
        return
    if wanted.get("type") != "json_schema":
        raise invalid("Input should be 'json_schema'", "output_config.format.type")
    if "schema" not in wanted:
        raise invalid("Field required", "output_config.format.schema")
    for key in wanted:
        if key not in ("type", "schema"):
            raise invalid(EXTRA, f"output_config.format.{key}")
    check_closed(wanted["schema"], "output_config.format.schema")


UNSUPPORTED = {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "maxItems", "uniqueItems", "oneOf", "patternProperties",
}  # fmt: skip


def check_closed(schema: Any, at: str) -> None:
    """Structured outputs take closed objects and no numeric or length limits."""
    if isinstance(schema, list):
        for item in schema:
            check_closed(item, at)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise invalid(
            "For 'object' type, 'additionalProperties' must be explicitly set to false", at
        )
    if found := sorted(UNSUPPORTED & schema.keys()):
        raise invalid(
            f"For '{schema.get('type')}' type, properties {', '.join(found)} are not supported", at
        )
    for key, value in schema.items():
        # Under `properties` and `$defs` the keys are names, not keywords.
        named = key in ("properties", "$defs", "definitions") and isinstance(value, dict)
        if key not in ("enum", "const", "default"):
            check_closed(list(value.values()) if named else value, at)


def _check_system(asked: Asked) -> None:
    for index, block in enumerate(parts_of(asked.body.get("system"))):
        if block.get("type") != "text":
            raise invalid("Input should be 'text'", f"system.{index}.type")
        if not block.get("text"):
            raise invalid("text content blocks must be non-empty", "system")


def _check_prefill(asked: Asked) -> None:
    last = asked.body["messages"][-1]
    if last["role"] != "assistant" or _is_paused(last):
        return
    if asked.body.get("compaction") or asked.body.get("fallback_credit_token"):
        return  # a request for a summary, or one that a fallback goes on with, may end in an answer
    if not asked.model.prefill:  # smallmain/vscode-unify-chat-provider#249
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if asked.body.get("output_config", {}).get("format"):
        raise invalid("Prefilling assistant messages is not supported with `output_config.format`.")
    blocks = parts_of(last.get("content"))
    if (
        blocks
        and blocks[-1]["type"] == "text"
        and blocks[-1]["text"] != blocks[-1]["text"].rstrip()
    ):
        raise invalid("final assistant content cannot end with trailing whitespace", "messages")


PAUSED = ("server_tool_use", "mcp_tool_use", "container_upload", "compaction")


def _is_paused(message: JsonObject) -> bool:
    """After `pause_turn` the answer so far is sent back as it is, and the model goes on with it."""
    blocks = parts_of(message.get("content"))
    kind = str(blocks[-1]["type"]) if blocks else ""
    results = kind != "tool_result" and kind.endswith("_tool_result")
    return results or kind in PAUSED


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


RULES: tuple[Callable[[Asked], None], ...] = (
    _check_keys,
    _check_max_tokens,
    _check_sampling,
    _check_settings,
    _check_format,
    lambda asked: check_thinking(asked.body, asked.model, asked.betas),
    lambda asked: check_effort(asked.body, asked.model),
    lambda asked: check_tools(asked.body),
    lambda asked: check_tool_choice(asked.body, asked.model),
    _check_system,
    lambda asked: check_content(asked.body, asked.model, asked.version == NEW_VERSION),
    _check_prefill,
    lambda asked: check_marks(asked.body, asked.long_ttl),
)
