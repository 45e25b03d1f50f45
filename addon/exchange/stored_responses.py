"""The Responses that clients may refer to later, in memory: `previous_response_id`, `item_reference`, and reading them.

Each response keeps what it added to its conversation: its new input items, its output, and the id of the response
before it. Everything else is found by walking back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from addon.core.content_encoding import MAX_BODY
from addon.core.errors import BadRequest, NotFound, TooLarge
from addon.core.frozen import frozen
from addon.core.json_codec import dumps, dumps_to_keep, loads
from addon.core.types import JsonObject

MOST = 1000
"""Responses that are kept; the oldest go first."""
ROOM = 16 * 1024 * 1024
"""Bytes of JSON that are kept."""
LIFETIME = 24 * 3600.0
"""Seconds."""

_READ_HERE = ("previous_response_id", "store")
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}
"""Of item ids, by the item's type."""
_INPUT = "in"
"""Marks ids of input items: `msg_<response>_in0` is the first item of that response's input."""


@frozen
class _Stored:
    owner: str
    response: bytes
    items: bytes
    parent: str | None
    stored: float

    @property
    def size(self) -> int:
        return len(self.response) + len(self.items)


@frozen
class ResolvedRequest:
    """A request with everything in it that it referred to."""

    body: JsonObject
    """With the whole input, without `previous_response_id` and `store`."""
    items: list[Any] = field(default_factory=list)
    """The input items that are new with this request."""
    parent: str | None = None
    store: bool = False
    """Whether the client wants the response to be kept, as it does by default."""
    added: int = 0
    """Bytes of JSON that the references stood for."""


class StoredResponses:
    """What one owner stores is never found by another."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of JSON."""
        return self._held

    def __len__(self) -> int:
        return len(self._stored)

    def resolve(self, owner: str, body: JsonObject, connection: str = "") -> ResolvedRequest:
        """`body` is not changed. `connection`: the WebSocket that it came by, which owns responses, too.

        Raises NotFound for what is not kept, BadRequest and TooLarge.
        """
        parent, store = body.get("previous_response_id"), body.get("store")
        if not isinstance(parent, str | None):
            raise BadRequest("expected a string", param="previous_response_id")
        if not isinstance(store, bool | None):
            raise BadRequest("expected true or false", param="store")
        items = _items(body.get("input"))
        rest = {name: value for name, value in body.items() if name not in _READ_HERE}
        reader = _Reader(self, (owner, connection))
        if parent or any(map(is_reference, items)):
            earlier = reader.conversation(parent) if parent else []
            new = [reader.followed(item, f"input[{index}].id") for index, item in enumerate(items)]
            rest["input"] = [item for item in (*earlier, *new) if item is not None]
        return ResolvedRequest(rest, items, parent or None, store is not False, reader.read)

    def keep(self, owner: str, resolved: ResolvedRequest, response: JsonObject) -> None:
        """Keep a complete `response` to the request that was `resolved`."""
        items = dumps_to_keep(resolved.items)
        stored = _Stored(owner, dumps_to_keep(response), items, resolved.parent, self._clock())
        self._drop(response["id"])
        if stored.size > ROOM:
            return
        self._stored[response["id"]] = stored
        self._held += stored.size
        while self._held > ROOM or len(self._stored) > MOST:
            self._drop(next(iter(self._stored)))

    def response(self, owner: str, response_id: str) -> JsonObject:
        """The response object as its client got it. Raises NotFound."""
        found: JsonObject = loads(self._find((owner,), response_id, "response_id").response)
        return found

    def input_items(self, owner: str, response_id: str) -> list[JsonObject]:
        """All that the response answered, oldest first, each item with an id. Raises NotFound."""
        reader = _Reader(self, (owner,))
        stored = self._find((owner,), response_id, "response_id")
        earlier = reader.conversation(stored.parent) if stored.parent else []
        followed = [reader.followed(item, "input") for item in reader.own_items(response_id)]
        return [item for item in (*earlier, *followed) if isinstance(item, dict)]

    def delete(self, owner: str, response_id: str) -> None:
        """Raises NotFound."""
        self._find((owner,), response_id, "response_id")
        self._drop(response_id)

    def evict(self, owner: str, response_id: str) -> None:
        stored = self._stored.get(response_id)
        if stored is not None and stored.owner == owner:
            self._drop(response_id)

    def forget(self, owner: str) -> None:
        """Drop all that the owner has stored."""
        for response_id in [i for i, stored in self._stored.items() if stored.owner == owner]:
            self._drop(response_id)

    def _find(self, owners: tuple[str, ...], response_id: str, param: str) -> _Stored:
        while self._stored and self._is_over(next(iter(self._stored.values()))):
            self._drop(next(iter(self._stored)))
        stored = self._stored.get(response_id)
        if stored is None or stored.owner not in owners:
            raise NotFound(
                f"The response {response_id[:100]} is not stored, or has expired; send the whole input.",
                param=param,
                code="previous_response_not_found",
            )
        return stored

    def _is_over(self, stored: _Stored) -> bool:
        return self._clock() - stored.stored > LIFETIME

    def _drop(self, response_id: str) -> None:
        stored = self._stored.pop(response_id, None)
        if stored is not None:
            self._held -= stored.size


class _Parsed(NamedTuple):
    """A stored response, with its items by their ids: a request may refer to each of them."""

    items: list[JsonObject]
    output: list[JsonObject]
    items_by_id: dict[str, JsonObject]
    output_by_id: dict[str, JsonObject]


@dataclass(eq=False, repr=False, slots=True)
class _Reader:
    """Reads what one request refers to: each response once, and no more than a body may hold."""

    store: StoredResponses
    owners: tuple[str, ...]
    read: int = 0
    _parsed: dict[str, _Parsed] = field(default_factory=dict)

    def conversation(self, response_id: str) -> list[Any]:
        """The input and the output of the response and of all before it, oldest first. Raises NotFound."""
        turns = []
        next_id: str | None = response_id
        while next_id:
            stored = self.store._find(self.owners, next_id, "previous_response_id")
            parsed = self._response(next_id)
            self._count(stored.size)
            followed = [self.followed(item, "previous_response_id") for item in parsed.items]
            turns.append([*followed, *parsed.output])
            next_id = stored.parent
        return [item for turn in reversed(turns) for item in turn]

    def own_items(self, response_id: str) -> list[JsonObject]:
        return self._response(response_id).items

    def followed(self, item: Any, param: str) -> Any:
        """`item`, or what it refers to; None for reasoning that is not kept: it may be left out of any request."""
        while is_reference(item):
            item_id = item["id"]
            try:
                item = self._item(item_id, param)
            except NotFound:
                if item_id.startswith("rs_"):
                    return None
                raise
            self._count(len(dumps(item)))
        return item

    def _item(self, item_id: str, param: str) -> JsonObject:
        owned, _, place = item_id.partition("_")[2].rpartition("_")
        lost = NotFound(
            f"The item {item_id[:100]} is not stored, or has expired; send the whole input.",
            param=param,
            code="item_not_found",
        )
        try:
            parsed = self._response(f"resp_{owned}")
        except NotFound:
            raise lost from None
        among = parsed.items_by_id if place.startswith(_INPUT) else parsed.output_by_id
        found = among.get(item_id)
        if found is None:
            raise lost
        return found

    def _response(self, response_id: str) -> _Parsed:
        if response_id not in self._parsed:
            stored = self.store._find(self.owners, response_id, "previous_response_id")
            items = list(_with_ids(loads(stored.items), response_id.removeprefix("resp_")))
            output = loads(stored.response)["output"]
            self._parsed[response_id] = _Parsed(items, output, _by_id(items), _by_id(output))
        return self._parsed[response_id]

    def _count(self, size: int) -> None:
        self.read += size
        if self.read > MAX_BODY:
            raise TooLarge(f"With what it refers to, the request is over {MAX_BODY // 2**20} MB.")


def is_reference(item: Any) -> bool:
    """`{type: item_reference, id}`; the type may be left out, or null."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and item.keys() <= {"id", "type"})


def _items(given: Any) -> list[Any]:
    """A request's `input` as a list of items."""
    if isinstance(given, list):
        return given
    if given is not None and not isinstance(given, str):
        raise BadRequest("expected a string or a list with at least one item", param="input")
    text = {"type": "input_text", "text": given}
    return [{"type": "message", "role": "user", "content": [text]}] if given else []


def _by_id(items: list[JsonObject]) -> dict[str, JsonObject]:
    """The first item of each id; a client's own id may be anything."""
    return {item["id"]: item for item in reversed(items) if isinstance(item.get("id"), str)}


def _with_ids(items: list[Any], tail: str) -> Iterator[JsonObject]:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            continue
        kind = item.get("type") or ("message" if "role" in item else None)
        prefix = _PREFIXES.get(str(kind), "item")
        yield {"id": f"{prefix}_{tail}_{_INPUT}{index}", **item} if item.get("id") is None else item
