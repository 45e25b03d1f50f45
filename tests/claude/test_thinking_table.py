"""Every model with every way of asking for thinking → the exact fields, compared with golden/thinking.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from addon.claude.names import parse
from addon.claude.thinking import ThinkingOptions, apply_thinking
from addon.claude.thinking_request import ThinkingRequest
from tests.claude.support import CATALOGUE, user

GOLDEN = Path(__file__).parent / "golden" / "thinking.json"

# way → (suffix of the name, wish, fields of the request)
WAYS: dict[str, tuple[str, ThinkingRequest, dict[str, Any]]] = {
    "nothing": ("", ThinkingRequest(), {}),
    **{
        f"name -{s}": (f"-{s}", ThinkingRequest(), {})
        for s in ("thinking", "high-thinking", "thinking-low", "max", "none", "fast")
    },
    **{
        f"effort {level}": ("", ThinkingRequest(effort=level), {})
        for level in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    },
    **{
        f"thinking {kind}": ("", ThinkingRequest(thinking={"type": kind}), {})
        for kind in ("enabled", "adaptive", "disabled", "between_tools")
    },
    **{
        f"thinking budget {budget}": (
            "",
            ThinkingRequest(thinking={"type": "enabled", "budget_tokens": budget}),
            {},
        )
        for budget in (1024, 20_000, 200_000)
    },
    "reasoning enabled": ("", ThinkingRequest(enabled=True), {}),
    "reasoning disabled": ("", ThinkingRequest(enabled=False), {}),
    "reasoning budget 8000": ("", ThinkingRequest(budget=8000), {}),
    "reasoning excluded": ("", ThinkingRequest(effort="low", display="omitted"), {}),
    "output_config effort max": ("", ThinkingRequest(), {"output_config": {"effort": "max"}}),
    "max_tokens 16": ("", ThinkingRequest(), {"max_tokens": 16}),
    "max_tokens 500, effort high": ("", ThinkingRequest(effort="high"), {"max_tokens": 500}),
    "max_tokens 200000, effort high": ("", ThinkingRequest(effort="high"), {"max_tokens": 200_000}),
    "forced tool, effort high": (
        "",
        ThinkingRequest(effort="high"),
        {"tool_choice": {"type": "any"}},
    ),
    "temperature 0": ("", ThinkingRequest(), {"temperature": 0}),
}


def fields(model_id: str, way: str) -> dict[str, Any]:
    suffix, thinking_request, extra = WAYS[way]
    choice = parse(model_id + suffix)
    assert choice is not None
    request = {"messages": [user("hi")], "tools": [{"name": "read"}], **extra}
    prepared = apply_thinking(
        request,
        thinking_request,
        CATALOGUE.get(choice.id),
        ThinkingOptions(allow_fast=True),
        max_tokens_given="max_tokens" in extra,
        choice=choice,
    )
    sent = {k: v for k, v in prepared.request.items() if k not in ("messages", "tools")}
    return {**sent, "betas": sorted(prepared.betas)}


def table() -> dict[str, dict[str, Any]]:
    return {model_id: {way: fields(model_id, way) for way in WAYS} for model_id in CATALOGUE.ids}


def render(rows: dict[str, dict[str, Any]]) -> str:
    """One line a cell, so that a change reads as one."""
    models = []
    for model_id, ways in rows.items():
        cells = ",\n".join(
            f"    {json.dumps(way)}: {json.dumps(sent)}" for way, sent in ways.items()
        )
        models.append(f"  {json.dumps(model_id)}: {{\n{cells}\n  }}")
    return "{\n" + ",\n".join(models) + "\n}\n"


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    if request.config.getoption("--update-golden", default=False):
        GOLDEN.write_text(render(table()))
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("model_id", CATALOGUE.ids)
def test_model_gets_exactly_these_fields(model_id: str, golden: dict[str, dict[str, Any]]) -> None:
    assert {way: fields(model_id, way) for way in WAYS} == golden[model_id]


def test_table_has_no_other_rows(golden: dict[str, dict[str, Any]]) -> None:
    assert list(golden) == list(CATALOGUE.ids)
    assert all(list(ways) == list(WAYS) for ways in golden.values())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=CATALOGUE.ids)
def test_no_cell_is_refused(model, way: str) -> None:
    """The rules of Anthropic's pages on thinking, effort and tool use, each as one line."""
    sent = fields(model.id, way)
    thinking = sent.get("thinking", {})
    kind = thinking.get("type")
    effort = sent.get("output_config", {}).get("effort")
    assert kind in (None, *accepted_kinds(model))
    assert sent["max_tokens"] <= model.max_output
    assert effort is None or effort in model.efforts
    assert kind not in ("disabled", "between_tools") or effort not in ("xhigh", "max")
    if kind == "enabled":
        assert 1024 <= thinking["budget_tokens"] < sent["max_tokens"]
    if kind == "enabled" or not model.forced_tool_choice:
        assert sent.get("tool_choice", {}).get("type") != "any"
    if kind == "enabled" or not model.sampling:
        assert "temperature" not in sent
    assert "display" not in thinking or kind in ("enabled", "adaptive")
    assert ("block_binding" in thinking) == (
        "thinking-binding-controls-2026-08-01" in sent["betas"]
    )


def accepted_kinds(model) -> set[str]:
    kinds = {model.thinking_off} & {"disabled", "between_tools"}
    return kinds | ({"adaptive"} if model.thinking == "adaptive" else {"enabled"})
