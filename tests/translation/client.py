"""The client's side, for tests: strict readers of the streams that we write."""

from __future__ import annotations

import json
import re
from typing import Any

from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from addon.translation.decisions import FIELDS
from tests.open_responses import check_event

JsonObject = dict[str, Any]

_RESPONSE_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def read_sse(stream: bytes) -> list[tuple[str | None, str]]:
    """(event, data) of each event, after the standard's own rules; comments are skipped."""
    assert not stream or stream.endswith(b"\n\n"), "a stream must end with a whole event"
    found = []
    for block in re.split(r"(?:\r\n|\n|\r){2}", stream.decode())[:-1]:
        fields = [
            line.partition(": ")
            for line in re.split(r"\r\n|\n|\r", block)
            if line and line[0] != ":"
        ]
        if fields:
            data = "\n".join(value for name, _, value in fields if name == "data")
            found.append((next((v for n, _, v in fields if n == "event"), None), data))
    return found


def chat_chunks(stream: bytes) -> list[JsonObject]:
    """The chunks of a chat stream that ended well; asserts what every client relies on."""
    events = read_sse(stream)
    assert {event for event, _ in events} == {None}
    assert [data for _, data in events].index("[DONE]") == len(events) - 1, "[DONE] once and last"
    chunks = [json.loads(data) for _, data in events[:-1]]
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    for chunk in chunks:
        check_sent("chat.chunk", chunk)
        for choice in chunk["choices"]:
            check_sent("chat.delta", choice["delta"])
    reasons = [choice["finish_reason"] for c in chunks for choice in c["choices"]]
    assert [r for r in reasons if r] == reasons[-1:], "one finish_reason, in the last choice"
    return chunks


def check_sent(section: str, value: JsonObject) -> None:
    """The table of decisions says of each field that it is sent."""
    unsaid = {name for name in value if FIELDS[section].get(name) != "sent"}
    assert not unsaid, f"{section}: {unsaid}"


def deltas(stream: bytes) -> list[JsonObject]:
    return [choice["delta"] for chunk in chat_chunks(stream) for choice in chunk["choices"]]


def assembled_chat(stream: bytes) -> JsonObject:
    """A chat stream as the openai SDK puts it together."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chat_chunks(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
    return state.current_completion_snapshot.model_dump(
        warnings=False
    )  # the helper builds its own, unlisted, classes


def response_events(stream: bytes, *, ours: bool = True) -> list[JsonObject]:
    """The events of a Responses stream, each valid after the openai SDK's types, ours also after Open Responses, and
    numbered without gaps."""
    events = []
    for number, (name, data) in enumerate(read_sse(stream)):
        event = json.loads(data)
        _RESPONSE_EVENTS.validate_python(_with_known_code(event), strict=True)
        if ours:
            check_event(event)
            assert FIELDS["responses.events"][event["type"]] == "sent"
            check_sent("responses.response", event.get("response") or {})
        assert (event["type"], event["sequence_number"]) == (name, number)
        events.append(event)
    return events


def _with_known_code(event: JsonObject) -> JsonObject:
    """OpenAI's servers send more codes (`context_length_exceeded`) than its SDK's type lists."""
    if event["type"] != "response.failed":
        return event
    error = {**event["response"]["error"], "code": "server_error"}
    return {**event, "response": {**event["response"], "error": error}}


def assembled_response(stream: bytes) -> JsonObject:
    """A Responses stream as the openai SDK puts it together, from its deltas alone."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    snapshot: Any = None
    for event in response_events(stream, ours=False):
        state.handle_event(_RESPONSE_EVENTS.validate_python(event))
        snapshot = state._ResponseStreamState__current_snapshot  # type: ignore[attr-defined]
    dumped: JsonObject = snapshot.model_dump(
        warnings=False
    )  # the helper builds its own, unlisted, classes
    return dumped
