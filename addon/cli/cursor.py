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
    own = [name for name, _ in settings.model_aliases if not collides(name)]
    return own + [SAFE_PREFIX + model_id for model_id in newest(catalogue)]


def newest(catalogue: Catalogue) -> list[str]:
    """The newest model of each family."""
    found: dict[str, str] = {}
    for model_id in catalogue.ids:
        found.setdefault(catalogue.get(model_id).family, model_id)
    return [found[family] for family in FAMILIES if family in found]


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


def azure(url: str, key: str, names: Sequence[str]) -> list[str]:
    """The lines for a Cursor without the override: it sends `/openai/deployments/<name>/chat/completions`, as
    https://docs.litellm.ai/docs/tutorials/cursor_integration says of builds since mid-2026."""
    return [
        "If your Cursor does not show the override, switch Azure OpenAI on instead:",
        f"  Base URL                   {url}",
        f"  Deployment Name            {names[0]}",
        f"  API Key                    {key}",
        "  Add that name as a custom model. The deployment decides which model responds.",
    ]
