"""The signature of a thinking block.

It is an opaque text that holds, under a MAC: what was thought (as shown), the model, the account, the hash of the
conversation before the block, the thinking blocks that were present in it, and the block's place among its siblings.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from addon.stand_in.models import FakeModel
from addon.stand_in.record import JsonObject
from addon.stand_in.tokens import parts_of

_KEY = b"only this fake knows it"


@dataclass(frozen=True, slots=True, kw_only=True)
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
        fields = [getattr(self, name) for name in self.__slots__]
        data = json.dumps(fields, separators=(",", ":")).encode()
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
    fields = dict(zip(Seal.__slots__, json.loads(data), strict=True))
    return Seal(**fields | {"before": tuple(fields["before"])})


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
