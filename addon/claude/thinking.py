"""Sets the thinking fields of a translated request as its model accepts them.

Precedence: `thinking` > `reasoning.effort`, `reasoning_effort` > the model's name > the configured default > nothing.
Models from 4.6 on think adaptively and accept an effort; Opus, Sonnet and Haiku 4.5 accept a budget of tokens.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

from addon.claude.blocks import blocks_of
from addon.claude.model import Model
from addon.claude.names import ModelChoice
from addon.claude.thinking_request import (
    FULL_OUTPUT,
    OFF_TYPES,
    Budgets,
    ThinkingRequest,
    ThinkingSource,
    budget_for_level,
    check_level,
    clamp_budget,
    clamp_effort,
    effort_for_budget,
    merge_sources,
)
from addon.claude.turns import goes_on_without_thinking
from addon.core.frozen import frozen
from addon.core.types import JsonObject

NUDGE_ANY = "You must call one of the tools."
NUDGE_NAMED = "You must call the tool `{name}`."


def relax_tool_choice(request: JsonObject) -> JsonObject:
    """`request` with `auto` instead of a forced tool_choice (`any`, `tool`), and with a text at the end of the last
    user turn that asks for the tool call. Unchanged if nothing is forced."""
    choice = request.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") not in ("any", "tool"):
        return request
    kept = {k: v for k, v in choice.items() if k == "disable_parallel_tool_use"}
    name = choice.get("name")
    nudge = NUDGE_NAMED.format(name=name) if choice["type"] == "tool" and name else NUDGE_ANY
    return {
        **request,
        "tool_choice": {"type": "auto", **kept},
        "messages": _with_nudge(request.get("messages") or [], nudge),
    }


def _with_nudge(messages: list[JsonObject], text: str) -> list[JsonObject]:
    block = {"type": "text", "text": text}
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user":
            content = blocks_of(messages[index].get("content") or [])
            nudged = {**messages[index], "content": [*content, block]}
            return [*messages[:index], nudged, *messages[index + 1 :]]
    return [*messages, {"role": "user", "content": [block]}]


INTERLEAVED_BETA = "interleaved-thinking-2025-05-14"
BINDING_BETA = "thinking-binding-controls-2026-08-01"
FAST_BETA = "fast-mode-2026-02-01"

SAMPLING = ("temperature", "top_p", "top_k")
LEVEL_WHEN_SILENT = "medium"
"""The level if thinking is on without one and the model needs a budget."""
MIN_OUTPUT = 2048
"""max_tokens includes thinking: with less than this, a model that always thinks stops before it writes any text."""


@frozen(kw_only=True)
class ThinkingOptions:
    """The operator's settings."""

    budgets: Budgets = field(default_factory=Budgets)
    default_effort: str | None = None
    """The level for requests without one."""
    allow_fast: bool = False
    """`speed: fast` costs a multiple; it is removed unless this is set."""


class Prepared(NamedTuple):
    """A request in the form that its model accepts."""

    request: JsonObject
    betas: frozenset[str]
    """Values for the `anthropic-beta` header."""
    notes: tuple[str, ...]
    """Names of the fields that differ from the client's, for logs."""
    thinking_change: str = ""
    """As in `Attempt`."""


def apply_thinking(
    request: JsonObject,
    thinking_request: ThinkingRequest,
    model: Model,
    options: ThinkingOptions,
    *,
    max_tokens_given: bool,
    choice: ModelChoice,
) -> Prepared:
    """A translated request (in the Messages format) with thinking, effort, max_tokens, sampling, tool_choice and speed
    as `model` accepts them. `max_tokens_given`: the client has set it. `request` is not changed; the result shares its
    unchanged parts. Raises BadRequest for an invalid level or thinking object."""
    asked = merge_sources(request, thinking_request, choice, options.default_effort)
    out = dict(request)
    given = request.get("max_tokens") if max_tokens_given else None
    out["max_tokens"] = min(given or FULL_OUTPUT, model.max_output)
    if _is_on(asked, model, out["max_tokens"]) and not budget_refused(request, model):
        switch = switch_manual if model.thinking == "manual" else switch_adaptive
        switch(out, _never_off(asked, model, out), model, options)
    else:
        switch_off(out, model)
    prepared = finish(out, request, model, options, fast=choice.fast)
    return prepared._replace(thinking_change=taken_off(asked.on, request, prepared.request, model))


# ------------------------------------------------------------------------------------------------------- on or off


def _is_on(asked: ThinkingSource, model: Model, max_tokens: int) -> bool:
    if model.thinking_off == "never":
        return True
    if asked.on is None:
        # A title or a completion of a few tokens would consist of thinking only.
        return model.thinking_default and max_tokens >= MIN_OUTPUT
    return asked.on


def budget_refused(request: JsonObject, model: Model) -> bool:
    """A response that the client has started (prefill) can't have a thinking budget."""
    return model.thinking == "manual" and goes_on_without_thinking(request.get("messages") or [])


def taken_off(asked: bool | None, before: JsonObject, after: JsonObject, model: Model) -> str:
    """Why thinking that was asked for is off in `after`; "" if it is on or was not asked for."""
    if not asked or (after.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        return ""
    return "off (prefill)" if budget_refused(before, model) else "off (max_tokens)"


def _never_off(asked: ThinkingSource, model: Model, out: JsonObject) -> ThinkingSource:
    """On models that always think, "off" becomes the lowest effort, and a small max_tokens is raised."""
    if model.thinking_off != "never":
        return asked
    tiny = out["max_tokens"] < MIN_OUTPUT
    out["max_tokens"] = max(out["max_tokens"], MIN_OUTPUT)
    if asked.on is False or (tiny and asked.level is None and asked.budget is None):
        return ThinkingSource(on=True, level="low", display=asked.display)
    return asked


# ----------------------------------------------------------------------------------------- the fields, on our own copy


def switch_adaptive(
    out: JsonObject, asked: ThinkingSource, model: Model, options: ThinkingOptions
) -> None:
    """Sets adaptive thinking on `out`, with an effort if one was asked for. Models that omit the text of thinking by
    default are asked for a summary, since clients show it. Models that bind thinking to its exact prefix are asked to
    drop blocks that no longer fit, instead of rejecting the request."""
    thinking: dict[str, Any] = {"type": "adaptive"}
    if asked.display:
        thinking["display"] = asked.display
    elif model.display_default == "omitted":
        thinking["display"] = "summarized"
    if model.preserved_thinking:
        # blocks that no longer fit are dropped rather than the request rejected
        thinking["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
    out["thinking"] = thinking
    level = asked.level
    if level is None and asked.budget is not None:
        level = effort_for_budget(asked.budget, options.budgets)
    if level is not None:
        set_effort(out, clamp_effort(check_level(level, "output_config.effort"), model.efforts))


def switch_manual(
    out: JsonObject, asked: ThinkingSource, model: Model, options: ThinkingOptions
) -> None:
    """Sets a thinking budget on `out`, and a max_tokens that leaves room for text."""
    out["max_tokens"] = min(max(out["max_tokens"], FULL_OUTPUT), model.max_output)
    if asked.budget is not None:
        budget = clamp_budget(asked.budget, out["max_tokens"])
    else:
        level = check_level(asked.level or options.default_effort or LEVEL_WHEN_SILENT)
        budget = budget_for_level(level, options.budgets, out["max_tokens"])
    out["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if asked.display:
        out["thinking"]["display"] = asked.display
    fit_effort(out, model)


def switch_off(out: JsonObject, model: Model) -> None:
    """Turns thinking off in the way that the model accepts. Not for models that always think."""
    if model.thinking_off == "omit":
        out.pop("thinking", None)
    else:
        out["thinking"] = {"type": model.thinking_off}
    fit_effort(out, model)


def fit_effort(out: JsonObject, model: Model) -> None:
    """Changes `output_config.effort`, if there is one, to a value that the model accepts."""
    effort = (out.get("output_config") or {}).get("effort")
    if effort is None:
        return
    ceiling = model.efforts
    if (out.get("thinking") or {}).get("type") in OFF_TYPES:
        # With thinking off, "xhigh" and "max" are rejected (pages of Opus 5, Sonnet 5.5 and Haiku 5.5).
        ceiling = tuple(e for e in ceiling if e not in ("xhigh", "max"))
    set_effort(out, clamp_effort(check_level(effort, "output_config.effort"), ceiling))


def set_effort(out: JsonObject, effort: str | None) -> None:
    """Sets or (None) removes `output_config.effort`."""
    config = {k: v for k, v in (out.get("output_config") or {}).items() if k != "effort"}
    if effort is not None:
        config["effort"] = effort
    if config:
        out["output_config"] = config
    else:
        out.pop("output_config", None)


def finish(
    out: JsonObject, original: JsonObject, model: Model, options: ThinkingOptions, *, fast: bool
) -> Prepared:
    """Sets the fields that depend on thinking: sampling, tool_choice, speed, betas."""
    kind = (out.get("thinking") or {}).get("type")
    _drop_sampling(out, model, thinks=kind in ("enabled", "adaptive"))
    if not model.forced_tool_choice or kind == "enabled":
        out = relax_tool_choice(out)
    if options.allow_fast and model.fast and (fast or out.get("speed") == "fast"):
        out["speed"] = "fast"
    else:
        out.pop("speed", None)
    return Prepared(out, betas_for(out, model), changes(original, out))


def _drop_sampling(out: JsonObject, model: Model, *, thinks: bool) -> None:
    if thinks or not model.sampling:
        for name in SAMPLING:
            out.pop(name, None)
    elif "temperature" in out:
        out.pop("top_p", None)  # the 4.x models reject both together


def betas_for(out: JsonObject, model: Model) -> frozenset[str]:
    """The beta headers that the fields of `out` need."""
    thinking = out.get("thinking") or {}
    needed = {
        INTERLEAVED_BETA: thinking.get("type") == "enabled"
        and model.interleaved_beta
        and out.get("tools"),
        BINDING_BETA: "block_binding" in thinking,
        FAST_BETA: "speed" in out and model.fast_beta,
    }
    return frozenset(beta for beta, need in needed.items() if need)


def changes(before: JsonObject, after: JsonObject) -> tuple[str, ...]:
    """Names of the client's fields that were removed or changed."""
    names = ("thinking", "output_config", "max_tokens", *SAMPLING, "tool_choice", "speed")
    return tuple(name for name in names if name in before and before[name] != after.get(name))
