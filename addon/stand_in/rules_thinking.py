"""Which `thinking` and `effort` a model takes."""

from __future__ import annotations

from collections.abc import Collection

from addon.stand_in.models import ALL_EFFORTS, FakeModel
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import invalid
from addon.stand_in.thinking import BINDING_BETA, INTERLEAVED_BETA

KINDS = ("adaptive", "enabled", "disabled", "between_tools")
KEYS = {
    "adaptive": {"type", "display", "block_binding"},
    "enabled": {"type", "display", "budget_tokens"},
    "disabled": {"type"},
    "between_tools": {"type"},
}
NOT_SUPPORTED = {
    "enabled": '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
    '"output_config.effort" to control thinking behavior.',
    "adaptive": "adaptive thinking is not supported on this model",
    "disabled": '"thinking.type.disabled" is not supported for this model.',
    "between_tools": '"thinking.type.between_tools" is not supported for this model.',
}


def check_thinking(body: JsonObject, model: FakeModel, betas: Collection[str]) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    if kind not in KINDS:
        raise invalid(
            f"Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            + ", ".join(f"'{known}'" for known in KINDS),
            "thinking",
        )
    if kind not in model.types:
        raise invalid(NOT_SUPPORTED[kind])
    for key in thinking:
        if key not in KEYS[kind] or (key == "block_binding" and BINDING_BETA not in betas):
            raise invalid("Extra inputs are not permitted", f"thinking.{kind}.{key}")
    _check_choices(thinking, kind)
    if kind == "enabled":
        _check_budget(body, model, betas)


def _check_choices(thinking: JsonObject, kind: str) -> None:
    if thinking.get("display") not in (None, "summarized", "omitted"):
        raise invalid("Input should be 'summarized' or 'omitted'", f"thinking.{kind}.display")
    behaviour = (thinking.get("block_binding") or {}).get("prefix_mismatch_behavior")
    if behaviour not in (None, "error", "drop_block"):
        raise invalid(
            "Input should be 'error' or 'drop_block'",
            f"thinking.{kind}.block_binding.prefix_mismatch_behavior",
        )


def _check_budget(body: JsonObject, model: FakeModel, betas: Collection[str]) -> None:
    budget = body["thinking"].get("budget_tokens")
    where = "thinking.enabled.budget_tokens"
    if budget is None:
        raise invalid("Field required", where)
    if budget < 1024:
        raise invalid("Input should be greater than or equal to 1024", where)
    # With interleaved thinking the budget is for the whole turn, so it may exceed one answer.
    interleaved = model.interleaved == "beta" and INTERLEAVED_BETA in betas
    if budget >= body.get("max_tokens", budget + 1) and not interleaved:
        raise invalid(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size"
        )


def check_effort(body: JsonObject, model: FakeModel) -> None:
    effort = body.get("output_config", {}).get("effort")
    if effort is None:
        return
    if effort not in ALL_EFFORTS:
        raise invalid(
            "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'", "output_config.effort"
        )
    if not model.efforts:
        raise invalid("This model does not support the effort parameter.")
    if effort not in model.efforts:
        levels = ", ".join(model.efforts)
        raise invalid(
            f"This model does not support effort level '{effort}'. Supported levels: {levels}."
        )
    off = (body.get("thinking") or {}).get("type") in ("disabled", "between_tools")
    if off and effort in ("xhigh", "max") and model.thinks_by_default:
        raise invalid(
            f"effort level '{effort}' is not supported when thinking is turned off. Use 'high' or lower."
        )
