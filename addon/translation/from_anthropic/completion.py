"""A whole Anthropic message as a `chat.completion`."""

from __future__ import annotations

import re

from addon.core.types import STDLIB, Codec, JsonObject, Reply
from addon.translation.from_anthropic.citations import url_citations
from addon.translation.from_anthropic.finish import finish_reason, refusal
from addon.translation.from_anthropic.tool_calls import arguments_text, tool_reply
from addon.translation.from_anthropic.usage import chat_usage, service_tier

REASONING_SEPARATOR = "\n\n"
_FENCED = re.compile(r"\s*```[a-zA-Z]*[ \t]*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)


def chat_completion(
    message: JsonObject, reply: Reply, created: int, codec: Codec = STDLIB
) -> JsonObject:
    """`message` as the answer to a chat request that did not stream. `created`: Unix seconds."""
    content = message["content"]
    calls = [block for block in content if block.get("type") == "tool_use"]
    usage = message.get("usage") or {}
    choice = {
        "index": 0,
        "message": _assistant_message(message, calls, reply, codec),
        "logprobs": None,
        "finish_reason": finish_reason(
            message.get("stop_reason"), called=bool(calls), legacy=reply.legacy_functions
        ),
    }
    return {
        "id": completion_id(message),
        "object": "chat.completion",
        "created": created,
        "model": reply.model,
        "choices": [choice],
        "usage": chat_usage(usage),
        **service_tier(usage),
    }


def completion_id(message: JsonObject) -> str:
    """The same id for the same upstream message, in OpenAI's form."""
    return f"chatcmpl-{id_tail(message)}"


def id_tail(message: JsonObject) -> str:
    """What distinguishes the ids of `message`: the part behind `msg_`."""
    return str(message.get("id") or "").removeprefix("msg_")


def strip_fence(text: str) -> str:
    """`text` without one code fence around all of it: who asked for a JSON object gives the answer to a parser."""
    fenced = _FENCED.fullmatch(text)
    # JSON holds no raw line end within a string, so a fence inside starts a second block.
    return fenced[1] if fenced and "\n```" not in fenced[1] else text


def _assistant_message(
    message: JsonObject, calls: list[JsonObject], reply: Reply, codec: Codec
) -> JsonObject:
    texts = [block for block in message["content"] if block.get("type") == "text"]
    text = "".join(block.get("text") or "" for block in texts)
    declined = refusal(message.get("stop_reason"), message.get("stop_details"))
    answer: JsonObject = {"role": "assistant", "content": text, "refusal": declined}
    if reply.json_object:
        answer["content"] = strip_fence(text)
    if not text:
        # Many clients choke on null without calls; Cursor shows `content` only, so a refusal must be there too.
        answer["content"] = declined or (None if calls else "")
    if reasoning := _reasoning(message):
        answer |= dict.fromkeys(reply.reasoning_fields, reasoning)
    if annotations := _annotations(texts):
        answer["annotations"] = annotations
    return answer | _calls(calls, reply, codec)


def _reasoning(message: JsonObject) -> str:
    thoughts = (b.get("thinking") for b in message["content"] if b.get("type") == "thinking")
    return REASONING_SEPARATOR.join(thought for thought in thoughts if thought)


def _annotations(texts: list[JsonObject]) -> list[JsonObject]:
    annotations = []
    end = 0
    for block in texts:
        start, end = end, end + len(block.get("text") or "")
        annotations += [
            chat_annotation(c) for c in url_citations(block.get("citations"), start, end)
        ]
    return annotations


def chat_annotation(citation: JsonObject) -> JsonObject:
    return {"type": "url_citation", "url_citation": citation}


def _calls(calls: list[JsonObject], reply: Reply, codec: Codec) -> JsonObject:
    if not calls:
        return {}
    if reply.legacy_functions:
        # The old form has room for one call; with `functions` the request asks upstream for no more.
        return {"function_call": _tool_call(calls[0], reply, codec)["function"]}
    return {"tool_calls": [_tool_call(block, reply, codec) for block in calls]}


def _tool_call(block: JsonObject, reply: Reply, codec: Codec) -> JsonObject:
    how = tool_reply(reply, block["name"])
    arguments = arguments_text(block.get("input"), how, codec)
    if how.custom:
        return {
            "id": block["id"],
            "type": "custom",
            "custom": {"name": how.name, "input": arguments},
        }
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": how.name, "arguments": arguments},
    }
