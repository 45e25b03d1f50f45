"""What to answer: scripted answers of a test, and directives that a client writes into its last message.

Directives, in the text of the last user message, make the demo and SDK tests drive the fake from the client's side:

    [[text Hello there]]            say this
    [[tool NAME {"a": 1}]]          call a tool; several make parallel calls
    [[loop 10 NAME {"a": 1}]]       call the tool again after each result, ten times in all
    [[think Hm.]]                   think this (when thinking is on)
    [[deltas 50 every 20ms]]        stream every text in so many deltas, so far apart
    [[stop refusal]]                end with this stop_reason
    [[fail oauth 429]]              answer this credential kind with a status (429: its windows are exhausted)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.credential import Kind, kind_of
from tests.fakes.delivery import Delivery
from tests.fakes.limits import windows
from tests.fakes.record import JsonObject, Received
from tests.fakes.stream import Turn, text, thinking, tool_use

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


@dataclass(frozen=True, slots=True, kw_only=True)
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


_DIRECTIVE = re.compile(r"\[\[(text|tool|loop|think|deltas|stop|fail)\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """What the client wrote into its last message."""

    said: tuple[str, ...] = ()
    calls: tuple[JsonObject, ...] = ()
    thought: str | None = None
    deltas: int | None = None
    every: float = 0.0
    stop_reason: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    """Statuses by credential kind."""


def directives(body: JsonObject) -> Directives:
    """Read the last user message that has text. Calls are only made where its results are not in yet."""
    asked, steps = _last_request(body)
    found: dict[str, list[str]] = {}
    for verb, rest in _found(asked):
        found.setdefault(verb, []).append(rest)
    count, every = _deltas_of(found.get("deltas", [""])[0])
    return Directives(
        said=tuple(found.get("text", ())),
        calls=tuple(_calls(found, steps)),
        thought=found.get("think", [None])[0],
        deltas=count,
        every=every,
        stop_reason=found.get("stop", [None])[0],
        failures={kind: int(status) for kind, status in map(str.split, found.get("fail", ()))},
    )


def _calls(found: Mapping[str, Sequence[str]], steps: int) -> Iterator[JsonObject]:
    for call in found.get("tool", ()):
        if steps == 0:
            yield _call(call)
    for loop in found.get("loop", ()):
        count, _, call = loop.partition(" ")
        if steps < int(count):
            yield _call(call)


def _call(written: str) -> JsonObject:
    name, _, input = written.partition(" ")
    return tool_use(name, json.loads(input) if input.strip() else {})


def _found(asked: str) -> Iterator[tuple[str, str]]:
    for start in _DIRECTIVE.finditer(asked):
        rest = asked[start.end() :]
        # The last `]]` before the next directive ends this one, so that JSON may hold brackets.
        following = _DIRECTIVE.search(rest)
        rest = rest[: following.start()] if following else rest
        yield start[1], rest.rpartition("]]")[0]


def _deltas_of(written: str) -> tuple[int | None, float]:
    match = re.fullmatch(r"(\d+)(?: every (\d+)ms)?", written)
    return (int(match[1]), int(match[2] or 0) / 1000) if match else (None, 0.0)


def _last_request(body: JsonObject) -> tuple[str, int]:
    """Text of the last user message that holds any, and how many assistant turns with calls came after it."""
    steps = 0
    for message in reversed(body["messages"]):
        blocks = blocks_of(message)
        if message["role"] == "assistant":
            steps += any(block.get("type") == "tool_use" for block in blocks)
        elif written := "\n".join(b["text"] for b in blocks if b.get("type") == "text"):
            return written, steps
    return "", steps


def blocks_of(message: JsonObject) -> list[JsonObject]:
    content = message["content"]
    return [text(content)] if isinstance(content, str) else content


def made_turn(body: JsonObject, thinks: bool) -> Turn:
    """The turn the fake makes by itself from the request and its directives."""
    asked = directives(body)
    blocks: list[JsonObject] = []
    if thinks:
        blocks.append(thinking(asked.thought or "Let me see what is asked here."))
    calls = _allowed(asked.calls, body)
    if asked.said or not calls:
        blocks.append(text("".join(asked.said) or _said(body)))
    return Turn(blocks=(*blocks, *calls), stop_reason=asked.stop_reason, deltas=asked.deltas)


def _allowed(calls: Sequence[JsonObject], body: JsonObject) -> Sequence[JsonObject]:
    """What `tool_choice` leaves of the calls, or the one it forces."""
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice["type"] == "none" or not body.get("tools"):
        return ()
    if choice["type"] in ("any", "tool") and not calls:
        calls = (tool_use(choice.get("name") or body["tools"][0]["name"], {}),)
    return calls[:1] if choice.get("disable_parallel_tool_use") else calls


def _said(body: JsonObject) -> str:
    results = [b for b in blocks_of(body["messages"][-1]) if b.get("type") == "tool_result"]
    if results:
        return "The tools said: " + "; ".join(_quoted(result) for result in results)
    wanted = body.get("output_config", {}).get("format")
    return json.dumps(instance(wanted["schema"])) if wanted else "Hello from the fake Claude."


_EXAMPLES = {
    "string": "x",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
    "array": [],
}


def instance(schema: JsonObject) -> Any:
    """A value that fits a closed schema (local references apart)."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    if schema.get("type") != "object":
        return _EXAMPLES.get(str(schema.get("type")), "x")
    return {name: instance(inner) for name, inner in schema.get("properties", {}).items()}


def _quoted(result: JsonObject) -> str:
    content = result.get("content") or "(nothing)"
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", f"({block['type']})") for block in content)
