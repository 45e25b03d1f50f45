"""Judges Responses objects and events by Open Responses, the public specification (openresponses.org)."""

from __future__ import annotations

import json
from typing import Any

from openresponses_types import types
from pydantic import BaseModel

type JsonObject = dict[str, Any]

VERSION = "2026-04-24"
_OF_OPENAI_ALONE = ("custom_tool_call", "namespace")
"""Items and tools that OpenAI's API has and the specification does not."""


def _events() -> dict[str, type[BaseModel]]:
    found = {}
    for name, model in vars(types).items():
        if name.endswith("StreamingEvent"):
            (kind,) = model.model_fields["type"].annotation
            found[str(kind)] = model
    return found


EVENTS = _events()


def check_response(response: JsonObject) -> None:
    """Raises a ValidationError of pydantic's."""
    types.ResponseResource.model_validate_json(json.dumps(_of_the_standard(response)), strict=True)


def check_event(event: JsonObject) -> None:
    """Raises a ValidationError of pydantic's, or an AssertionError for an event that the specification doesn't know."""
    if event["type"].startswith("response.custom_tool_call_input."):
        return
    if "response" in event:
        event = {**event, "response": _of_the_standard(event["response"])}
    if event.get("item", {}).get("type") in _OF_OPENAI_ALONE:
        return
    assert event["type"] in EVENTS, f"{event['type']} is not an event"
    EVENTS[event["type"]].model_validate_json(json.dumps(event), strict=True)


def _of_the_standard(response: JsonObject) -> JsonObject:
    output = [item for item in response["output"] if item["type"] not in _OF_OPENAI_ALONE]
    tools = [tool for tool in response["tools"] if tool["type"] == "function"]
    text = response["text"]
    if "schema" in text["format"]:
        # The package allows null only. The specification says "object or null":
        # github.com/openresponses/openresponses, schema/components/schemas/JsonSchemaResponseFormat.json.
        assert isinstance(text["format"]["schema"], dict)
        text = {**text, "format": {**text["format"], "schema": None}}
    return {**response, "output": output, "tools": tools, "text": text}
