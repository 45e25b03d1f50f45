"""After Anthropic refused a request by name: the same request without what it refused, once more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from addon.claude.refused_features import Feature, RefusedFeatures, refused_features
from addon.claude.subscription_request import SUBSCRIPTION_BETAS, betas_in
from addon.claude.thinking import ThinkingOptions
from addon.exchange.attempt import Attempt
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchange
from addon.fallback.policy import Outcome
from addon.translation.to_anthropic.native import Mended, Refused, mended
from addon.translation.to_anthropic.refused_images import without_refused_images

MOST = 3
"""Times that one request is mended with one credential: a message may name one fault of several."""
REFUSALS = (400, 403)


class Mending:
    def __init__(self, refused: RefusedFeatures, options: ThinkingOptions) -> None:
        self.refused = refused
        self.options = options

    def find(
        self, exchange: Exchange, claude: ClaudeRequest, outcome: Outcome
    ) -> Callable[[], None] | None:
        """What to do so that the next attempt goes without what Anthropic refused by name; None: nothing is named, or
        the client mends by itself."""
        attempt, message = exchange.attempt, outcome.error.message
        if attempt is None or not outcome.answered or outcome.error.status not in REFUSALS:
            return None
        if exchange.tried.mended >= MOST or attempt.source == "openai":
            return None
        betas = [b for b in betas_in(attempt.headers) if b not in SUBSCRIPTION_BETAS]
        features = refused_features(message, attempt.request, betas, passes=claude.passes)
        if features:
            return partial(self.learn, claude, attempt, features)
        if claude.opaque or outcome.error.status != 400:
            return None
        made = None
        if claude.native is not None:
            given = frozenset(betas_in(claude.headers))
            made = mended(Refused(claude.request, claude.model, message, given), self.options)
        if made is None:
            every = exchange.tried.mended > 0
            told = without_refused_images(claude.request, attempt.request, message, every=every)
            made = Mended(told, frozenset(), ("messages",)) if told else None
        return partial(self.take, claude, made) if made else None

    def learn(self, claude: ClaudeRequest, attempt: Attempt, features: tuple[Feature, ...]) -> None:
        self.refused.note(attempt.login, claude.model.id, features)

    def take(self, claude: ClaudeRequest, made: Mended) -> None:
        claude.request = made.request
        claude.betas |= made.betas
        claude.thinking_change = claude.thinking_change or made.thinking_change
        claude.repaired += [name for name in made.names if name not in claude.repaired]
