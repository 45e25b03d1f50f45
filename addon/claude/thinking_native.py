"""Sets the thinking fields of a native request: changes only what Anthropic would reject."""

from __future__ import annotations

from addon.claude.model import Model
from addon.claude.names import ModelChoice
from addon.claude.thinking import (
    INTERLEAVED_BETA,
    LEVEL_WHEN_SILENT,
    SAMPLING,
    Prepared,
    ThinkingOptions,
    betas_for,
    budget_refused,
    changes,
    fit_effort,
    relax_tool_choice,
    switch_adaptive,
    switch_off,
    taken_off,
)
from addon.claude.thinking_request import (
    FULL_OUTPUT,
    MIN_BUDGET,
    OFF_TYPES,
    ThinkingSource,
    budget_for_level,
    check_level,
    clamp_budget,
)
from addon.claude.turns import in_tool_loop, strip_thinking
from addon.core.errors import BadRequest
from addon.core.types import JsonObject

CLEARING = "clear_thinking"
"""How the types of `context_management.edits` that drop thinking begin (`clear_thinking_20251015`)."""


def fix_native(
    request: JsonObject,
    model: Model,
    options: ThinkingOptions,
    *,
    betas: frozenset[str] = frozenset(),
) -> Prepared:
    """A `/v1/messages` body that Anthropic refused, with what `model` does not accept replaced by the nearest thing
    that it does: kinds of thinking, budgets, efforts, sampling, forced tool use, speed. `betas`: the client's own beta
    headers; the result's are those to add. Nothing in `request` is changed. Raises BadRequest for an invalid level."""
    out = dict(request)
    if isinstance(out.get("thinking"), dict):
        _fix_thinking(out, model, options, betas)
    fit_effort(out, model)
    enabled = (out.get("thinking") or {}).get("type") == "enabled"
    for name in SAMPLING:
        if name in out and _sampling_refused(name, out, model, budgeted=enabled):
            del out[name]
    if enabled or not model.forced_tool_choice:
        out = relax_tool_choice(out)
    if "speed" in out and not model.fast:
        del out["speed"]
    changed = changes(request, out)
    kind = (request.get("thinking") or {}).get("type")
    return Prepared(
        out,
        betas_for(out, model) if "thinking" in changed else frozenset(),
        changed,
        taken_off(kind in ("enabled", "adaptive"), request, out, model),
    )


def fitted_thinking(
    request: JsonObject, model: Model, options: ThinkingOptions, *, betas: frozenset[str]
) -> Prepared:
    """A readable request that was made for another model, as `model` accepts it; unchanged if its level of thinking is
    unknown. As in `fix_native`."""
    if isinstance(request.get("max_tokens"), int) and request["max_tokens"] > model.max_output:
        request = {**request, "max_tokens": model.max_output}
    try:
        prepared = fix_native(request, model, options, betas=betas)
    except BadRequest:
        return Prepared(request, frozenset(), ())
    out = prepared.request
    if _thinks(out) == "enabled" and in_tool_loop(out["messages"]):
        # Another model's thinking blocks are dropped, and with a budget a turn inside a tool loop must begin with one.
        out = strip_thinking(out)
    return prepared._replace(request=_without_clearing(out))


def _thinks(request: JsonObject) -> str | None:
    kind = (request.get("thinking") or {}).get("type")
    return kind if kind in ("enabled", "adaptive") else None


def _without_clearing(request: JsonObject) -> JsonObject:
    """With thinking off, Anthropic rejects `clear_thinking` ("requires `thinking` to be enabled or adaptive")."""
    managed = request.get("context_management")
    edits = managed.get("edits") if isinstance(managed, dict) else None
    if _thinks(request) or not isinstance(managed, dict) or not isinstance(edits, list):
        return request
    kept = [e for e in edits if not str(isinstance(e, dict) and e.get("type")).startswith(CLEARING)]
    if len(kept) == len(edits):
        return request
    return {**request, "context_management": {**managed, "edits": kept}}


def only_the_name_asks(request: JsonObject, choice: ModelChoice) -> bool:
    """Whether thinking is asked for by the model's name and by nothing in the body. With `max_tokens: 0`, which only
    warms the cache, nothing is thought."""
    if request.get("max_tokens") == 0:
        return False
    named = choice.effort is not None or choice.thinking is not None
    effort = (request.get("output_config") or {}).get("effort")
    return named and request.get("thinking") is None and effort is None


def fields_changed(before: JsonObject, after: JsonObject) -> tuple[str, ...]:
    """The fields that are not the same."""
    names = dict.fromkeys((*before, *after))
    return tuple(name for name in names if before.get(name) != after.get(name))


def _fix_thinking(
    out: JsonObject, model: Model, options: ThinkingOptions, betas: frozenset[str]
) -> None:
    thinking = out["thinking"]
    kind = thinking.get("type")
    if kind not in OFF_TYPES and budget_refused(out, model):
        switch_off(out, model)
        return
    level = (out.get("output_config") or {}).get("effort")
    asked = ThinkingSource(
        on=True,
        level=level,
        budget=None if level else thinking.get("budget_tokens"),
        display=thinking.get("display"),
    )
    if kind == "enabled" and not model.budget_tokens:
        switch_adaptive(out, asked, model, options)
    elif kind == "adaptive" and model.thinking == "manual":
        _give_budget(out, asked, options)
        _fix_budget(out, model, betas)
    elif kind == "enabled":
        _fix_budget(out, model, betas)
    elif kind in OFF_TYPES and not _accepts_off(kind, model):
        _fix_off(out, asked, model, options)


def _give_budget(out: JsonObject, asked: ThinkingSource, options: ThinkingOptions) -> None:
    half = out["max_tokens"] // 2 if isinstance(out.get("max_tokens"), int) else FULL_OUTPUT
    level = check_level(asked.level or LEVEL_WHEN_SILENT, "output_config.effort")
    budget = budget_for_level(level, options.budgets, max(half, MIN_BUDGET + 1))
    out["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _fix_budget(out: JsonObject, model: Model, betas: frozenset[str]) -> None:
    budget, max_tokens = out["thinking"].get("budget_tokens"), out.get("max_tokens")
    if not isinstance(budget, int) or not isinstance(max_tokens, int):
        return  # Anthropic's error is more precise
    if model.interleaved_beta and INTERLEAVED_BETA in betas and budget >= MIN_BUDGET:
        return  # with interleaving, the budget is for the whole tool loop and may exceed max_tokens
    if max_tokens <= MIN_BUDGET:
        switch_off(out, model)  # no budget fits, and the client relies on its max_tokens
    elif not MIN_BUDGET <= budget < max_tokens:
        out["thinking"] = {**out["thinking"], "budget_tokens": clamp_budget(budget, max_tokens)}


def _accepts_off(kind: str, model: Model) -> bool:
    if kind == "between_tools":
        return model.thinking_off == "between_tools"
    return model.thinking_off in ("omit", "disabled")


def _fix_off(
    out: JsonObject, asked: ThinkingSource, model: Model, options: ThinkingOptions
) -> None:
    if model.thinking_off == "never":
        switch_adaptive(
            out, ThinkingSource(on=True, level="low", display=asked.display), model, options
        )
    else:
        switch_off(out, model)


def _sampling_refused(name: str, out: JsonObject, model: Model, *, budgeted: bool) -> bool:
    """With a thinking budget only temperature 1 and top_p from 0.95 are accepted (extended thinking page)."""
    if not model.sampling:
        return True
    value = out[name]
    if name == "temperature":
        return budgeted and value != 1
    if name == "top_p":
        number = isinstance(value, int | float)  # Anthropic's error names anything else
        return "temperature" in out or (budgeted and number and not 0.95 <= value <= 1)
    return budgeted
