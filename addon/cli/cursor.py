"""The values to enter in Cursor's settings, and the model names that work there."""

from __future__ import annotations

from collections.abc import Sequence

from addon.claude.catalogue import Catalogue
from addon.core.settings import Settings

SAFE_PREFIX = "ak-"
"""Cursor may serve a model name that it knows by itself, ignoring the override; it knows no name with this prefix."""
BUILT_IN = ("claude-", "gpt-", "gemini-", "o1", "o3", "o4", "grok-", "deepseek-", "cursor-")
"""Prefixes of Cursor's own model names. `gpt-` also makes Cursor send another request format."""
FAMILIES = ("opus", "sonnet", "haiku", "fable")
"""The families that every account can use."""
ADVICE = "Add the prefix `ak-`, or choose another name in MODEL_ALIASES."


def names_that_work(settings: Settings, catalogue: Catalogue) -> list[str]:
    """Names to add as custom models: the user's own first, then the newest model of each family."""
    newest: dict[str, str] = {}
    for model_id in catalogue.ids:
        newest.setdefault(catalogue.get(model_id).family, model_id)
    own = [name for name, _ in settings.model_aliases if not collides(name)]
    return own + [SAFE_PREFIX + newest[family] for family in FAMILIES if family in newest]


def collides(name: str) -> bool:
    """Whether Cursor may treat `name` as one of its own models."""
    return name.lower().startswith(BUILT_IN)


def to_paste(url: str, key: str, names: Sequence[str]) -> list[str]:
    """The lines to show. `url`: the tunnel's address without /v1."""
    return [
        "Paste into Cursor (Settings > Models > API Keys):",
        f"  Override OpenAI Base URL   {url}/v1",
        f"  OpenAI API Key             {key}",
        "  Add these as custom models, and switch the Anthropic API key off:",
        *(f"    {name}" for name in names),
    ]
