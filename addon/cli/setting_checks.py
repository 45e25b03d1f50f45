"""Settings that are allowed and can't work: misspelt names, other vendors' keys, unknown and retired models."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator

from addon.claude.catalogue import Catalogue
from addon.claude.names import parse
from addon.core.setting_names import misspelt
from addon.core.settings import Settings
from addon.core.suggestions import did_you_mean

API_KEY, TOKEN, ANTHROPICS = "sk-ant-api", "sk-ant-oat", "sk-ant-"
"""How they begin: an API key, a subscription's token, either (docs.claude.com, and `claude setup-token`'s output)."""
ANTHROPIC = "https://api.anthropic.com"
"""A gateway in its place may have keys of its own."""
CONSOLE = "https://console.anthropic.com/settings/keys"


def doubts(
    settings: Settings, catalogue: Catalogue, in_env_file: Iterable[str], today: str
) -> list[str]:
    """A sentence for each; `in_env_file`: the names that `.env` sets; `today`: an ISO date."""
    found = [*misspelt(in_env_file), *_keys(settings), *_models(settings, catalogue.on(today))]
    program = settings.notify_command[0] if settings.notify_command else None
    if program and shutil.which(program) is None:
        found.append("NOTIFY_COMMAND: its program is not found.")
    return found


def _keys(settings: Settings) -> Iterator[str]:
    key, token, other = settings.api_key, settings.oauth_token, settings.openai_api_key
    if key and key.startswith(TOKEN):
        yield (
            "ANTHROPIC_API_KEY holds a subscription's token, which Anthropic takes for no API key."
            " Did you mean CLAUDE_CODE_OAUTH_TOKEN?"
        )
    elif key and settings.upstream_url == ANTHROPIC and not key.startswith(API_KEY):
        yield f"ANTHROPIC_API_KEY holds no key of Anthropic's: those begin with {API_KEY}. See {CONSOLE}."
    if token and token.startswith(API_KEY):
        yield "CLAUDE_CODE_OAUTH_TOKEN holds an API key. Did you mean ANTHROPIC_API_KEY?"
    if other and other.startswith(ANTHROPICS):
        yield "OPENAI_API_KEY holds a key of Anthropic's. Did you mean ANTHROPIC_API_KEY?"


def _models(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    named = [(f"MODEL_ALIASES: {name}={model}", model) for name, model in settings.model_aliases]
    for where, model in [
        *named,
        (f"DEFAULT_MODEL={settings.default_model}", settings.default_model),
    ]:
        choice = parse(model)
        if choice is None:
            if settings.openai_api_key is None:
                yield f"{where}: that is no Claude model, and others need OPENAI_API_KEY."
        elif (served := catalogue.resolve(choice.id)) != choice.id:
            yield f"{where}: Anthropic has retired that model; {served} is asked in its place."
        elif not catalogue.knows(served):
            yield f"{where}: no such model is known.{did_you_mean(choice.id, catalogue.ids)}"
