"""The steps of FALLBACK_CHAIN, as they are for one request, and the request for another Claude model."""

from __future__ import annotations

import time
from dataclasses import replace

from addon.claude.catalogue import Catalogue
from addon.claude.model import Model
from addon.claude.names import parse
from addon.claude.subscription_request import betas_in, with_betas
from addon.claude.thinking import FAST_BETA, ThinkingOptions
from addon.claude.thinking_native import fields_changed, fitted_thinking
from addon.core.errors import BadRequest
from addon.core.settings import Settings
from addon.core.suggestions import did_you_mean
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchange
from addon.fallback.cooldowns import LIMITED
from addon.fallback.policy import ChainStep, Hindrance
from addon.translation.to_anthropic.native import is_readable
from addon.translation.to_anthropic.repair import repair
from addon.usage.budget import PaidCalls
from addon.usage.subscription import SUBSCRIPTION, SubscriptionState

LONG_CONTEXT_BETA = "context-1m-"
WHOLE_WINDOW = 1_000_000


class FallbackChain:
    """Raises BadRequest for a Claude model that is not known."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        subscription: SubscriptionState,
        paid: PaidCalls,
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.subscription = subscription
        self.paid = paid
        steps = [self.step(name) for name in settings.fallback_chain]
        if not settings.claude_code_first:  # the key serves, and no subscription is used
            steps = [step for step in steps if step.kind == "openai"]
        self.steps = tuple(steps)

    def step(self, name: str) -> ChainStep:
        kind, _, model = name.partition(":")
        if kind in ("api_key", "wait"):
            return ChainStep(kind="api_key" if kind == "api_key" else "wait", name=name)
        if kind == "openai":
            return ChainStep(kind="openai", name=name, model=model)
        choice = parse(name)
        if choice is None or not self.catalogue.knows(choice.id):
            raise BadRequest(
                f"FALLBACK_CHAIN: no Claude model {name} is known."
                + did_you_mean(name, self.catalogue.ids)
            )
        return ChainStep(kind="claude", name=name, model=self.catalogue.resolve(choice.id))

    def left(
        self, exchange: Exchange, asked: ClaudeRequest, now: float, key: Hindrance | None
    ) -> tuple[ChainStep, ...]:
        """The steps that were not taken yet. `asked`: what the client asked for; `key`: why the API key may not be
        used."""
        names = [step.name for step in self.steps]
        last = exchange.step
        begin = names.index(last.name) + (last.kind != "wait") if last and last.name in names else 0
        return tuple(self.judged(step, exchange, asked, now, key) for step in self.steps[begin:])

    def judged(
        self,
        step: ChainStep,
        exchange: Exchange,
        asked: ClaudeRequest,
        now: float,
        key: Hindrance | None,
    ) -> ChainStep:
        match step.kind:
            case "api_key":
                return replace(step, hindrance=key)
            case "claude":
                return replace(step, hindrance=self.against_model(step, asked, now))
            case "openai":
                return replace(step, hindrance=self.against_openai(step, exchange, asked))
        blocking = self.subscription.cooldowns.blocking(
            SUBSCRIPTION, asked.model.family, now, by=exchange.id
        )
        if blocking is None or blocking.reason not in LIMITED:
            return step
        since = exchange.held_since
        spent = 0.0 if since is None else time.monotonic() - since
        hindrance: Hindrance | None = None
        if not exchange.client.streaming:
            hindrance = "not_streamed"
        elif blocking.until - now > self.settings.hold_seconds - spent:
            hindrance = "reset_too_late"
        return replace(step, hindrance=hindrance, until=blocking.until)

    def against_model(self, step: ChainStep, asked: ClaudeRequest, now: float) -> Hindrance | None:
        model = self.catalogue.get(step.model)
        if model.family == asked.model.family:
            return "same_family"
        if self.subscription.cooldowns.blocking(SUBSCRIPTION, model.family, now):
            return "family_limited"
        return "too_long" if asked.prompt_tokens > model.context else None

    def against_openai(
        self, step: ChainStep, exchange: Exchange, asked: ClaudeRequest
    ) -> Hindrance | None:
        if (
            exchange.dialect == "messages" or exchange.paused
        ):  # half of a turn is in Anthropic's form, too
            return "messages_only"
        if asked.counts_tokens:
            return "free_count"
        if not self.settings.key_allowed:
            return "fallback_off"
        unpriced = step.model not in self.catalogue.others
        return "no_price" if unpriced and self.paid.budget.settings.enabled else None

    def meanwhile(self, family: str | None, now: float) -> ChainStep | None:
        """What serves while the subscription can't, as far as that does not depend on the request. `family`: the only
        one that it can't serve."""
        return next((step for step in self.steps if self.serves(step, family, now)), None)

    def serves(self, step: ChainStep, family: str | None, now: float) -> bool:
        budget, cooldowns = self.paid.budget, self.subscription.cooldowns
        can_pay = self.settings.key_allowed and budget.known and not budget.exhausted
        match step.kind:
            case "api_key":
                return can_pay and self.settings.api_key is not None
            case "openai":
                priced = step.model in self.catalogue.others
                return can_pay and (priced or not budget.settings.enabled)
            case "claude":
                other = self.catalogue.get(step.model).family
                rests = cooldowns.blocking(SUBSCRIPTION, other, now) is not None
                return family not in (None, other) and not rests
        return True

    def priced(self, step: ChainStep, asked: ClaudeRequest) -> Model | None:
        """A model with the prices of an `openai` step; None: they are not known."""
        prices = self.catalogue.others.get(step.model)
        return replace(asked.model, id=step.model, prices=prices, fast=False) if prices else None


def unpriced_steps(settings: Settings, catalogue: Catalogue) -> list[str]:
    """The steps that a budget forbids, because it can't be said what they cost."""
    names = [name.partition(":") for name in settings.fallback_chain if settings.key_allowed]
    return [
        f"openai:{model}"
        for kind, _, model in names
        if kind == "openai" and model not in catalogue.others
    ]


def for_model(asked: ClaudeRequest, model: Model, options: ThinkingOptions) -> ClaudeRequest:
    """The same asked of another model: with what that one does not accept replaced by what comes nearest."""
    request = {**asked.request, "model": model.id}
    betas, change = frozenset[str](), ""
    if is_readable(request):
        prepared = fitted_thinking(
            request, model, options, betas=frozenset(betas_in(asked.headers))
        )
        request, betas, change = prepared.request, prepared.betas, prepared.thinking_change
        if not asked.opaque:
            repair(request, model)
    refused = [beta for beta in betas_in(asked.headers) if _is_too_much(beta, model)]
    made = replace(
        asked,
        model=model,
        request=request,
        betas=asked.betas | betas,
        headers=with_betas(asked.headers, (), refused),
        changed=[*asked.changed],
        repaired=[*asked.repaired],
        thinking_change=change or asked.thinking_change,
    )
    for name in fields_changed(asked.request, request):
        made.note_change(name)
    return made


def _is_too_much(beta: str, model: Model) -> bool:
    """Whether the model has not got what the beta allows."""
    if beta.startswith(LONG_CONTEXT_BETA):
        return model.context < WHOLE_WINDOW
    return beta == FAST_BETA and not model.fast_beta
