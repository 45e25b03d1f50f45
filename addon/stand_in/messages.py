"""The Messages endpoint: check a body as the API does, then make the answer, its usage and its signed thinking."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count

from addon.core.frozen import frozen
from addon.stand_in.access import Access, Credential, credential_of
from addon.stand_in.directives import made_turn
from addon.stand_in.models import FakeModel, table
from addon.stand_in.prompt_cache import InputUsage, PromptCache, is_thought, pieces
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.refusal import Refusal, invalid
from addon.stand_in.rules import EXTRA, VERSIONS, Asked, check
from addon.stand_in.rules_shape import check_shape
from addon.stand_in.stream import Reply, Turn, message
from addon.stand_in.thinking import BINDING_BETA, Thinking, takes_thinking
from addon.stand_in.tokens import Counter, thought_tokens

MOST_BYTES = 32 * 1024 * 1024


@frozen
class Accepted:
    """A request that passed every check, as it came and as the model sees it: without the thinking it may not read."""

    body: JsonObject
    seen: JsonObject
    model: FakeModel
    account: str
    betas: frozenset[str]
    transformations: list[JsonObject]


@dataclass(slots=True)
class Messages:
    """`models` may be changed by a test; `strict=False` switches the rules off; `long_ttl` says which credentials may
    use `ttl: 1h`, `refused_fields` which top-level fields are unknown."""

    access: Access
    clock: Callable[[], float]
    models: dict[str, FakeModel] = field(default_factory=table)
    strict: bool = True
    long_ttl: set[str] = field(default_factory=lambda: {"api_key", "oauth"})
    refused_fields: set[str] = field(default_factory=set)
    counter: Counter = field(default_factory=Counter)
    thinking: Thinking = field(default_factory=Thinking)
    cache: PromptCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = PromptCache(self.clock)

    def accept(
        self, request: Received, credential: Credential, *, counting: bool = False
    ) -> Accepted:
        """Raise what the API refuses the request with, or give what it took in."""
        if len(request.body) > MOST_BYTES:
            raise Refusal(413, "Request exceeds the maximum size")
        version = request.header("anthropic-version")
        if version is None:
            raise invalid("header is required", "anthropic-version")
        if version not in VERSIONS:
            raise invalid(f'"{version}" is not a valid version', "anthropic-version")
        body = decoded(request)
        model = self._model(body)
        self.access.check_use(request, credential, body)
        for name in sorted(self.refused_fields & body.keys()):
            raise invalid(EXTRA, name)
        account, betas = self.access.account_of(credential), frozenset(request.betas)
        if not self.strict:
            return Accepted(body, body, model, account, betas, [])
        long_ttl = credential.kind in self.long_ttl
        check(
            Asked(
                body=body,
                model=model,
                betas=betas,
                version=version,
                counting=counting,
                long_ttl=long_ttl,
            )
        )
        checked = self.thinking.check(body, model, account, request.betas)
        return Accepted(body, checked.body, model, account, betas, checked.transformations)

    def count(self, taken: Accepted) -> int:
        return sum(piece.tokens for piece in pieces(taken.seen, taken.model, self.counter))

    def reply(self, taken: Accepted, turn: Turn | None, number: int) -> Reply:
        """The answer to an accepted request; `turn` is a scripted one. Uses the prompt cache."""
        row = pieces(taken.seen, taken.model, self.counter)
        total = sum(piece.tokens for piece in row)
        if total > taken.model.context:
            raise invalid(f"prompt is too long: {total} tokens > {taken.model.context} maximum")
        usage = self.cache.use(row, taken.model, taken.account)
        id = f"msg_{number:024d}"
        thinks = takes_thinking(taken.seen, taken.model, set(taken.betas))
        turn = fitted(turn or made_turn(taken.body, thinks), taken.body)
        turn = with_ids(turn, number)
        turn = self.thinking.seal(turn, taken.seen, taken.model, taken.account, id)
        return Reply(
            id=id,
            model=taken.model.id,
            turn=turn,
            usage=self._usage(usage, turn, taken.model),
            notes=_notes(taken),
        )

    def _model(self, body: JsonObject) -> FakeModel:
        check_shape(body)
        if body["model"] not in self.models:
            raise Refusal(404, f"model: {body['model']}")
        return self.models[body["model"]]

    def _usage(self, used: InputUsage, turn: Turn, model: FakeModel) -> JsonObject:
        thought = sum(thought_tokens(block) for block in turn.blocks if is_thought(block))
        visible = [block for block in turn.blocks if not is_thought(block)]
        said = sum(self.counter.block(block, model) for block in visible)
        return {
            **used.fields(),
            "output_tokens": thought + said + 1,
            "output_tokens_details": {"thinking_tokens": thought},
            "service_tier": "standard",
            "inference_geo": "not_available",
        }


def decoded(request: Received) -> JsonObject:
    body = request.json
    if not isinstance(body, dict):
        raise Refusal(400, "The request body is not valid JSON")
    return body


def _notes(taken: Accepted) -> JsonObject:
    if BINDING_BETA not in taken.betas:
        return {}
    return {"input_transformations": taken.transformations}


def with_ids(turn: Turn, number: int) -> Turn:
    """Ids for calls that have none; they depend on the request's number alone."""

    def named(index: int, block: JsonObject) -> JsonObject:
        if block["type"] != "tool_use" or block["id"] is not None:
            return block
        digest = hashlib.sha256(f"{number}:{index}".encode()).hexdigest()
        return block | {"id": f"toolu_{digest[:24]}"}

    return replace(turn, blocks=tuple(named(*item) for item in enumerate(turn.blocks)))


def fitted(turn: Turn, body: JsonObject) -> Turn:
    """The turn as `stop_sequences` and a very small `max_tokens` let it be."""
    if body.get("max_tokens") == 0:
        return replace(turn, blocks=(), stop_reason="max_tokens")
    for stop in body.get("stop_sequences", ()):
        for index, block in enumerate(turn.blocks):
            if stop in block.get("text", ""):
                return _stopped(turn, index, stop)
    return turn


def _stopped(turn: Turn, index: int, stop: str) -> Turn:
    last = turn.blocks[index]
    kept = last["text"].partition(stop)[0]
    blocks = (*turn.blocks[:index], *([last | {"text": kept}] if kept else []))
    return replace(turn, blocks=blocks, stop_reason="stop_sequence", stop_sequence=stop)


@dataclass(slots=True)
class Judge:
    messages: Messages = field(default_factory=lambda: Messages(Access(), time.time))
    numbers: count[int] = field(default_factory=count)

    def accept(self, headers: Iterable[tuple[str, str]], body: bytes) -> Accepted:
        """Raises the `Refusal` that Anthropic would answer."""
        received = Received(
            number=next(self.numbers),
            connection=0,
            nth=1,
            peer_port=1,
            method="POST",
            target="/v1/messages",
            headers=list(headers),
            body=body,
            time=0,
            wall=0,
        )
        return self.messages.accept(received, credential_of(received))

    def answer(self, taken: Accepted, turn: Turn) -> JsonObject:
        """The Message that answers an accepted request, its thinking signed."""
        return message(self.messages.reply(taken, turn, next(self.numbers)))
