"""A conversation is never stuck: whatever stands in its history, the next turn goes out, or the 400 names the new turn."""

from __future__ import annotations

from typing import Any

import pytest

from addon.stand_in.script import fail
from tests.e2e.conftest import World
from tests.e2e.proxy import chat, message

BROKEN = "data:image/png;base64,AAAAAAAA"
CHAT = {"type": "image_url", "image_url": {"url": BROKEN}}
RESPONSES = {"type": "input_image", "image_url": BROKEN}
ANTHROPIC = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "AAAAAAAA"},
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {**chat(), "messages": [CHAT]},
    "/v1/responses": {"model": "claude-opus-4-8", "input": [RESPONSES]},
    "/v1/messages": {**message(), "messages": [ANTHROPIC]},
}


def with_history(path: str, *, new: bool) -> dict[str, Any]:
    """The body with its image in the first turn, or in the last."""
    body = BODIES[path]
    field = "input" if path == "/v1/responses" else "messages"
    [image] = body[field]
    shown, plain = {"role": "user", "content": [image]}, {"role": "user", "content": "b"}
    turns = [plain, shown] if new else [shown, plain]
    return {**body, field: [turns[0], {"role": "assistant", "content": "a"}, turns[1]]}


@pytest.mark.parametrize("path", BODIES)
def test_an_image_that_anthropic_refuses_blocks_no_later_turn(path: str, world: World) -> None:
    first = world.proxy.post(path, with_history(path, new=True))
    assert first.status_code == 400 and "process image" in first.json()["error"]["message"]
    later = world.proxy.post(path, with_history(path, new=False))
    assert (later.status_code, later.headers["x-ccproxy-repaired"]) == (200, "messages")
    *_, refused, sent = world.fake.messages()
    assert (refused.status, sent.status) == (400, 200)
    told = sent.json["messages"][0]["content"]
    assert told == [{"type": "text", "text": "[image that could not be processed]"}]


def test_strict_tools_that_anthropic_cannot_compile_are_sent_as_others(world: World) -> None:
    words = "The compiled grammar is too large, which would cause performance issues."
    world.fake.script([fail(400, words)])
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    function = {"name": "f", "strict": True, "parameters": schema}
    body = {**chat(), "tools": [{"type": "function", "function": function}]}
    first, second = (world.proxy.post("/v1/chat/completions", body) for _ in range(2))
    assert [first.status_code, second.status_code] == [200, 200]
    assert first.headers["x-ccproxy-repaired"] == second.headers["x-ccproxy-repaired"]
    assert first.headers["x-ccproxy-repaired"] == "tools.*.strict"
    sent = [request.json["tools"][0].get("strict") for request in world.fake.messages()]
    assert sent == [True, None, None]


def test_many_refused_images_go_together(world: World) -> None:
    place = "messages.{}.content.0.image.source.base64.data: image exceeds 10 MB maximum"
    world.fake.script([fail(400, place.format(0)), fail(400, place.format(2))])
    messages: list[dict[str, Any]] = []
    for letter in "BCDE":
        shown = {"type": "image_url", "image_url": {"url": BROKEN.replace("AAAA", letter * 4)}}
        messages += [{"role": "user", "content": [shown]}, {"role": "assistant", "content": "a"}]
    messages.append({"role": "user", "content": "b"})
    response = world.proxy.post("/v1/chat/completions", {**chat(), "messages": messages})
    assert response.status_code == 200
    assert len(world.fake.messages()) == 3
