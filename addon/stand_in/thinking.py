"""Signed thinking: made with every answer, checked with every request, as strictly as the API does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from itertools import groupby

from addon.core.frozen import frozen
from addon.stand_in.models import FakeModel, thinks
from addon.stand_in.prompt_cache import is_thought, last_turn
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import invalid
from addon.stand_in.stream import Turn
from addon.stand_in.tokens import parts_of

_KEY = b"only this fake knows it"


@frozen(kw_only=True)
class Seal:
    """What a signature says."""

    text: str
    """Hash of the thinking as shown."""
    model: str
    account: str
    prefix: str
    before: tuple[str, ...]
    """The thinking blocks before it in its conversation, by the start of their hash."""
    message: str
    place: int
    """Place among the thinking blocks of its message..."""
    count: int
    """...which holds so many..."""
    leads: bool
    """...and whether nothing visible stood before it."""

    @property
    def name(self) -> str:
        return short(self.message + str(self.place))

    def sign(self) -> str:
        data = json.dumps(astuple(self), separators=(",", ":")).encode()
        mac = hmac.new(_KEY, data, hashlib.sha256).digest()
        return base64.b64encode(mac + data).decode()


def unseal(signature: object) -> Seal | None:
    """What a signature holds; None when the fake never made it."""
    try:
        raw = base64.b64decode(str(signature), validate=True)
    except ValueError:
        return None
    mac, data = raw[:32], raw[32:]
    if not hmac.compare_digest(mac, hmac.new(_KEY, data, hashlib.sha256).digest()):
        return None
    named = dict(zip((each.name for each in fields(Seal)), json.loads(data), strict=True))
    return Seal(**named | {"before": tuple(named["before"])})


def short(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class Chain:
    """The running hash of a conversation: system, tools, then each visible block. Marks and thinking are left aside.

    Only models with preserved thinking look at it, so it stays empty for the others.
    """

    def __init__(self, body: JsonObject, model: FakeModel) -> None:
        self._hash = hashlib.sha256() if model.preserved else None
        self._update([parts_of(body.get("system")), body.get("tools") or []])

    @property
    def name(self) -> str:
        return self._hash.hexdigest()[:16] if self._hash else ""

    def add(self, role: str, block: JsonObject) -> None:
        self._update([role, block])

    def _update(self, value: object) -> None:
        if self._hash:
            self._hash.update(json.dumps(_unmarked(value), sort_keys=True).encode())


def _unmarked(value: object) -> object:
    """Without cache marks, and without nulls, which mean the same as absence."""
    if isinstance(value, dict):
        kept = ((key, item) for key, item in value.items() if key != "cache_control")
        return {key: _unmarked(item) for key, item in kept if item is not None}
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    return value


BINDING_BETA = "thinking-binding-controls-2026-08-01"
INTERLEAVED_BETA = "interleaved-thinking-2025-05-14"

EXPECTED = (
    "Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, a final `assistant` "
    "message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). "
    "We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. "
    "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)
MODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)
FORGED = "Invalid `signature` in `thinking` block"
OTHER_CONVERSATION = (
    "Invalid `signature` in `thinking` block. The block is bound to a different conversation. Send the conversation "
    "unchanged, leave the block out, or set `thinking.block_binding.prefix_mismatch_behavior` to `drop_block`."
)


@frozen
class Found:
    """A thinking block of a request: where it stands, after what, and what its signature says."""

    path: str
    turn: int
    index: int
    prefix: str
    seal: Seal


@frozen
class Checked:
    """The request as the model sees it, and what the API reports that it took away."""

    body: JsonObject
    transformations: list[JsonObject]


class Thinking:
    """Checks and makes the thinking of one fake."""

    def __init__(self) -> None:
        self._thoughtless: set[str] = set()
        """Calls made with thinking on by a turn that did not think: nothing can be missing before them."""

    # -- checking a request

    def check(self, body: JsonObject, model: FakeModel, account: str, betas: set[str]) -> Checked:
        """Raise the 400 of the API, or tell what the model gets to see."""
        found, _ = _walk(body, model)
        _check_latest(body, found)
        dropped = dict(_dropped(found, model, account))
        if model.preserved:
            dropped |= _mismatches(body, [f for f in found if f.path not in dropped], betas)
        if model.interleaved != "always" and thinks(model, body):
            self._check_leading(body)
        return Checked(_without(body, dropped), [_note(*item) for item in dropped.items()])

    def _check_leading(self, body: JsonObject) -> None:
        """Manual thinking: each step of the tool loop in work must begin with its thinking, back to one that does."""
        messages = body["messages"]
        for index in range(len(messages) - 1, last_turn(messages), -1):
            if messages[index]["role"] != "assistant":
                continue
            blocks = parts_of(messages[index].get("content"))
            if is_thought(blocks[0]):
                return
            calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if not calls or not self._thoughtless.issuperset(calls):
                where = f"messages.{index}.content.0.type"
                raise invalid(EXPECTED.format(found=blocks[0]["type"]), where)

    # -- making an answer

    def seal(self, turn: Turn, body: JsonObject, model: FakeModel, account: str, id: str) -> Turn:
        """The turn with its thinking signed, and hidden when the request does not ask to see it."""
        thoughts = [block for block in turn.blocks if is_thought(block)]
        if not thoughts and thinks(model, body):
            self._thoughtless |= {b["id"] for b in turn.blocks if b["type"] == "tool_use"}
        found, chain = _walk(body, model)
        seal = Seal(
            text="",
            model=model.id,
            account=account,
            prefix=chain.name,
            before=tuple(thought.seal.name for thought in found),
            message=id,
            place=0,
            count=len(thoughts),
            leads=True,
        )
        shown = _display(body, model) == "summarized"
        return replace(turn, blocks=tuple(_sealed(turn.blocks, seal, chain, shown)))


def _sealed(
    blocks: Sequence[JsonObject], seal: Seal, chain: Chain, shown: bool
) -> Iterator[JsonObject]:
    for block in blocks:
        if not is_thought(block):
            chain.add("assistant", block)
            seal = replace(seal, prefix=chain.name, leads=False)
            yield block
            continue
        yield _signed(block, seal, shown) if block.get("signature") is None else block
        seal = replace(seal, before=(*seal.before, seal.name), place=seal.place + 1)


def _signed(block: JsonObject, seal: Seal, shown: bool) -> JsonObject:
    text = block.get("thinking", "") if shown else ""
    signature = replace(seal, text=short(text)).sign()
    if block["type"] == "redacted_thinking":
        return block | {"data": signature}
    return block | {"thinking": text, "signature": signature}


def _display(body: JsonObject, model: FakeModel) -> str:
    return str((body.get("thinking") or {}).get("display") or model.display)


def _walk(body: JsonObject, model: FakeModel) -> tuple[list[Found], Chain]:
    """Every thinking block of a request, and the hash of its whole conversation."""
    chain = Chain(body, model)
    found: list[Found] = []
    for i, message in enumerate(body["messages"]):
        for j, block in enumerate(parts_of(message.get("content"))):
            if is_thought(block):
                found.append(_verified(block, i, j, chain.name))
            else:
                chain.add(message["role"], block)
    return found, chain


def _verified(block: JsonObject, turn: int, index: int, prefix: str) -> Found:
    path = f"messages.{turn}.content.{index}"
    seal = unseal(block.get("signature") or block.get("data"))
    if seal is None or seal.text != short(block.get("thinking", "")):
        raise invalid(FORGED, path)
    return Found(path, turn, index, prefix, seal)


def _check_latest(body: JsonObject, found: Sequence[Found]) -> None:
    """The thinking of the latest assistant message comes back whole, in order, at its place; or not at all. After
    `pause_turn` that message is made of several responses, each of them whole (docs, "Handling stop reasons")."""
    roles = [message["role"] for message in body["messages"]]
    if "assistant" not in roles:
        return
    latest = len(roles) - 1 - roles[::-1].index("assistant")
    kept = [f for f in found if f.turn == latest]
    blocks = parts_of(body["messages"][latest].get("content"))
    for _, group in groupby(kept, lambda thought: thought.seal.message):
        part = list(group)
        for place, thought in enumerate(part):
            seal = thought.seal
            leads = all(is_thought(block) for block in blocks[: thought.index])
            moved = part[0] is kept[0] and seal.leads != leads
            if seal.count != len(part) or seal.place != place or moved:
                raise invalid(MODIFIED, thought.path)


def _dropped(found: Sequence[Found], model: FakeModel, account: str) -> Iterator[tuple[str, str]]:
    """Blocks that the model may not read are left out without an error, by path and reason."""
    for thought in found:
        if model.account_bound and thought.seal.account != account:
            yield thought.path, "organization_binding_mismatch"
        elif not same_model(thought.seal.model, model.id):
            yield thought.path, "model_binding_mismatch"


def same_model(a: str, b: str) -> bool:
    """Equal but for the date suffix."""
    return a == b or a.startswith(b + "-2") or b.startswith(a + "-2")


def _mismatches(body: JsonObject, found: Sequence[Found], betas: set[str]) -> dict[str, str]:
    """Blocks whose conversation changed: a 400, unless the request asks to drop them."""
    bad: dict[str, str] = {}
    present: list[str] = []
    for thought in found:
        if not _fits(thought, present):
            bad[thought.path] = "prefix_binding_mismatch"
        present.append(thought.seal.name)
    binding = (body.get("thinking") or {}).get("block_binding") or {}
    dropping = binding.get("prefix_mismatch_behavior") == "drop_block" and BINDING_BETA in betas
    if bad and not dropping:
        raise invalid(OTHER_CONVERSATION, next(iter(bad)))
    return bad


def _fits(thought: Found, present: Sequence[str]) -> bool:
    """The oldest blocks may be left out; a hole, or a block put back, makes the later ones invalid."""
    before = thought.seal.before
    same = thought.prefix == thought.seal.prefix
    return same and tuple(present) == before[max(0, len(before) - len(present)) :]


def _without(body: JsonObject, dropped: dict[str, str]) -> JsonObject:
    if not dropped:
        return body
    messages = []
    for i, message in enumerate(body["messages"]):
        blocks = parts_of(message.get("content"))
        kept = [b for j, b in enumerate(blocks) if f"messages.{i}.content.{j}" not in dropped]
        messages.append(message | {"content": kept})
    return body | {"messages": messages}


def _note(path: str, reason: str) -> JsonObject:
    return {"type": "thinking_dropped", "path": path, "reason": reason}


def takes_thinking(body: JsonObject, model: FakeModel, betas: set[str]) -> bool:
    """Whether the answer to this request will hold thinking."""
    if not thinks(model, body) or (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        return False
    if model.interleaved == "always" or not _in_loop(body):
        return True
    return model.interleaved == "beta" and INTERLEAVED_BETA in betas


def _in_loop(body: JsonObject) -> bool:
    blocks = parts_of(body["messages"][-1].get("content"))
    return any(block["type"] == "tool_result" for block in blocks)
