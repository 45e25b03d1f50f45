"""What to answer, as a test scripts it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from addon.core.frozen import frozen
from addon.stand_in.access import Kind, kind_of
from addon.stand_in.delivery import Delivery
from addon.stand_in.limits import windows
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.stream import Turn, text

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error type of a status, as the API documents them."""


@frozen(kw_only=True)
class Answer:
    """One scripted answer. The default is the one the fake makes from the request by itself.

    With a `turn` or without, status 200 means that credentials and rules were checked first; any other status and any
    `body` are sent as they are.
    """

    turn: Turn | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    error_event: JsonObject | None = None
    """An `error` event that ends the stream..."""
    error_after: int = 0
    """...after this many content_block_delta events (0: it is the very first event)."""
    gzip: bool = False
    """Compress when the request allows it."""
    how: Delivery = field(default_factory=Delivery)

    @property
    def raw(self) -> bool:
        return self.body is not None or self.status != 200


def say(*blocks: str | JsonObject, stop_reason: str | None = None, **turn: Any) -> Answer:
    """An assistant turn; a string is a text block. Further keywords are those of `Turn`."""
    made = tuple(text(block) if isinstance(block, str) else block for block in blocks)
    return Answer(turn=Turn(blocks=made, stop_reason=stop_reason, **turn))


def fail(
    status: int,
    message: str | None = None,
    *,
    type: str | None = None,
    headers: Mapping[str, str] | None = None,
    error_code: str | None = None,
) -> Answer:
    """An error in Anthropic's shape."""
    error = error_object(status, message or f"Scripted {status}", type, error_code)
    return Answer(
        status=status,
        headers={"content-type": "application/json", **(headers or {})},
        body=json.dumps(error).encode(),
    )


def exhausted(resets: Mapping[str, float], rejected: str = "5h") -> Answer:
    """The 429 of a subscription whose window is full; `resets` in unix seconds by window (`5h`, `7d`, `7d_oi`)."""
    headers = windows(resets, frozenset({rejected}))
    return fail(429, "This request would exceed your account's rate limit.", headers=headers)


def error_object(
    status: int, message: str, type: str | None = None, error_code: str | None = None
) -> JsonObject:
    error: JsonObject = {"type": type or ERROR_TYPES.get(status, "api_error"), "message": message}
    if error_code is not None:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": "req_fake"}


def html(
    status: int = 502, body: str = "<html><h1>502 Bad Gateway</h1>cloudflare</html>"
) -> Answer:
    """What a gateway in front of the API answers."""
    headers = {"content-type": "text/html", "server": "cloudflare"}
    return Answer(status=status, headers=headers, body=body.encode())


def sse(recorded: bytes, status: int = 200) -> Answer:
    """Recorded stream bytes, sent as they are."""
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    return Answer(status=status, headers=headers, body=recorded)


def json_answer(body: Any, status: int = 200) -> Answer:
    return Answer(
        status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode()
    )


def broken(
    type: str = "overloaded_error", message: str = "Overloaded", *, after: int = 0
) -> Answer:
    """A 200 whose stream ends in an `error` event, after so many content deltas."""
    event = {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_fake"}
    return Answer(error_event=event, error_after=after)


def delivered(answer: Answer | None = None, **how: Any) -> Answer:
    """The answer (default: the usual one) delivered in another way; keywords are those of `Delivery`."""
    return replace(answer or Answer(), how=Delivery(**how))


type When = Kind | str | Callable[[Received], bool] | None
"""`oauth` or `api_key` (the credential), a path (`/v1/...`), a predicate, or None for every messages request."""


@dataclass(slots=True)
class Rule:
    when: When
    answers: list[Answer]
    forever: bool

    def take(self, request: Received) -> Answer | None:
        if not self.answers or not _matches(self.when, request):
            return None
        return self.answers[0] if self.forever else self.answers.pop(0)


class Script:
    """Scripted answers; the oldest rule that matches and has an answer left is asked."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, then: Answer | Sequence[Answer], when: When) -> None:
        if isinstance(then, Answer):
            self._rules.append(Rule(when, [then], forever=True))
        else:
            self._rules.append(Rule(when, list(then), forever=False))

    def clear(self) -> None:
        self._rules.clear()

    def take(self, request: Received) -> Answer:
        taken = (rule.take(request) for rule in self._rules)
        return next((answer for answer in taken if answer is not None), Answer())


def _matches(when: When, request: Received) -> bool:
    if callable(when):
        return when(request)
    if when is not None and when.startswith("/"):
        return request.path == when
    if request.path != "/v1/messages":
        return False
    return when is None or kind_of(request) == when
