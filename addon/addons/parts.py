"""How the larger objects are put together from the settings."""

from __future__ import annotations

import getpass
import sys
import time
from pathlib import Path
from typing import Protocol

import httpx

from addon.addons.summary_call import SummaryCall
from addon.claude.catalogue import Catalogue
from addon.context.summarizer import Summarizer, SummaryTasks
from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import TokenCounter
from addon.context.tokens.vocabulary import Vocabulary
from addon.context.window import ContextManager, KnownCuts
from addon.core.environment import ROOT
from addon.core.settings import Settings
from addon.credentials.login import Login
from addon.credentials.open import LoginLocations, open_login
from addon.usage.budget import PaidCalls
from addon.usage.ledger import UsageLedger


def load_catalogue(settings: Settings) -> Catalogue:
    """The built-in models with the user's `models.toml` on top. Raises CatalogueError."""
    builtin = (ROOT / "addon" / "claude" / "models.toml").read_text(encoding="utf-8")
    catalogue = Catalogue.load(builtin)
    override = settings.home / "models.toml"
    if not override.is_file():
        return catalogue
    return catalogue.with_overrides(override.read_text(encoding="utf-8"))


def make_login(settings: Settings, http: httpx.AsyncClient) -> Login:
    return open_login(make_places(settings), token_url=settings.oauth_token_url, http=http)


def make_places(settings: Settings) -> LoginLocations:
    return LoginLocations(
        home=settings.home,
        user_home=Path.home(),
        platform=sys.platform,
        account=_user(),
        token=settings.oauth_token,
        config_dir=settings.claude_config_dir,
        credentials_dir=settings.claude_credentials_dir,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a container may have no name for its user
        return ""


class Services(Protocol):
    """What a context manager is made from, besides the settings."""

    catalogue: Catalogue
    counter: TokenCounter
    memory: SummaryMemory
    http: httpx.AsyncClient
    ledger: UsageLedger
    summary_tasks: SummaryTasks
    cuts: KnownCuts


def make_counter(settings: Settings) -> TokenCounter:
    vocabulary = Vocabulary()
    vocabulary.start()
    return TokenCounter(vocabulary, clock=time.time, state=settings.home / "tokens.json")


def make_manager(settings: Settings, services: Services, paid: PaidCalls) -> ContextManager:
    model = services.catalogue.get(settings.context_summarization_model)
    call = make_summary_call(settings, services, paid)
    summarizer = Summarizer(
        call,
        services.memory,
        services.counter,
        model=model,
        clock=time.time,
        tasks=services.summary_tasks,
    )
    return ContextManager(
        services.counter,
        summarizer,
        strategy=settings.context_strategy,
        limit=settings.context_max_tokens,
        target=settings.context_target_tokens or "auto",
        cuts=services.cuts,
    )


def make_summary_call(
    settings: Settings, services: Services, paid: PaidCalls
) -> SummaryCall | None:
    """None when there is no API key that may be used: then conversations are trimmed."""
    if settings.api_key is None or paid.hindrance(settings.api_key):
        return None
    return SummaryCall(
        settings.upstream_url,
        settings.api_key,
        services.http,
        catalogue=services.catalogue,
        paid=paid,
        ledger=services.ledger,
    )
