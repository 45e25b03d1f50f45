from __future__ import annotations

from openai.types.responses import Response

from addon.translation.from_anthropic.responses import responses_object
from addon.translation.types import Reply
from tests.translation.upstream import message, text, thinking, tool


def test_a_whole_answer() -> None:
    whole = message(
        thinking("hm", "sig"), text("a"), tool("t", "f", {"x": "é"}), stop_reason="tool_use"
    )
    answer = responses_object(whole, Reply(model="asked-for"), 1_700_000_000)
    response = Response.model_validate(answer, strict=True)
    assert response.output_text == "a"
    assert (answer["status"], answer["model"], answer["created_at"]) == (
        "completed",
        "asked-for",
        1_700_000_000,
    )
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message", "function_call"]
    assert answer["output"][2]["arguments"] == '{"x":"é"}'
    assert answer["usage"]["total_tokens"] == 122


def test_no_content() -> None:
    answer = responses_object(message(), Reply(model="m"), 1)
    assert (answer["output"], answer["status"]) == ([], "completed")


def test_a_fence_around_a_json_object_is_taken_off() -> None:
    whole = message(text("```json\n{}\n```"))
    answer = responses_object(whole, Reply(model="m", json_object=True), 1)
    assert answer["output"][0]["content"][0]["text"] == "{}"
    assert whole == message(text("```json\n{}\n```"))
