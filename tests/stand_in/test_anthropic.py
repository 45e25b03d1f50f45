"""The fake as a whole, driven by the real SDKs, by bare HTTP, and from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import MessageParam, ToolParam, ToolResultBlockParam
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import Response, ResponseFailedEvent

from addon.stand_in.access import API_KEY, IDENTITIES, OAUTH_TOKEN, SYSTEM_LINE
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, broken, exhausted, fail, json_answer, say
from addon.stand_in.stream import tool_use
from tests.clock import Clock
from tests.stand_in.client import (
    BY_KEY,
    BY_TOKEN,
    LINE,
    UNUSED,
    VERSION,
    answered,
    asking,
    post,
    refusal,
)
from tests.translation.client import assembled_response, read_sse, response_events

MODEL = "claude-opus-4-8"
TOOL: ToolParam = {"name": "f", "input_schema": {"type": "object"}}


@pytest.fixture
def client(fake: FakeAnthropic) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=fake.url, api_key=API_KEY, max_retries=0) as client:
        yield client


# -- what it says


def says(client: anthropic.Anthropic, asked: str, **fields: Any) -> Any:
    """The final message of a stream, as the SDK puts it together."""
    messages: list[MessageParam] = [{"role": "user", "content": asked}]
    with client.messages.stream(
        model=MODEL, max_tokens=4000, messages=messages, **fields
    ) as stream:
        return stream.get_final_message()


def test_stream_and_message_are_the_same(fake: FakeAnthropic, client: anthropic.Anthropic) -> None:
    asked = 'hi [[think Hm.]] [[text Hello there]] [[tool f {"a": [[1]], "b": "]]"}]]'
    fields: Any = {"tools": [TOOL], "thinking": {"type": "adaptive", "display": "summarized"}}
    streamed = says(client, asked, **fields).to_dict()
    plain = answered(fake, asking(asked, **fields))
    for message in (streamed, plain):
        for made in ("id", "content"):
            message.pop(made + "_", None)
        message["id"] = "msg"
        for block in message["content"]:
            block.pop("signature", None)
            if block["type"] == "tool_use":
                block["id"] = "toolu"
        del message["usage"]
    shown = {key: value for key, value in streamed.items() if value is not None}
    assert shown == {key: value for key, value in plain.items() if value is not None}
    assert plain["content"][2]["input"] == {"a": [[1]], "b": "]]"}


def test_parallel_calls_then_an_answer_that_quotes_their_results(
    client: anthropic.Anthropic,
) -> None:
    asked = "[[tool f]] [[tool f {}]]"
    first = says(client, asked, tools=[TOOL])
    assert [block.type for block in first.content] == ["tool_use", "tool_use"]
    assert first.stop_reason == "tool_use"
    one, two = first.content
    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": one.id, "content": "sunny"},
        {
            "type": "tool_result",
            "tool_use_id": two.id,
            "content": [{"type": "text", "text": "windy"}],
        },
    ]
    messages: list[MessageParam] = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    final = client.messages.create(model=MODEL, max_tokens=99, tools=[TOOL], messages=messages)
    assert final.content[0].to_dict()["text"] == "The tools said: sunny; windy"


@pytest.mark.parametrize(
    ("choice", "calls"),
    [
        ({"type": "none"}, 0),
        ({"type": "auto", "disable_parallel_tool_use": True}, 1),
        ({"type": "auto"}, 2),
    ],
)
def test_tool_choice_limits_the_calls(fake: FakeAnthropic, choice: Any, calls: int) -> None:
    message = answered(fake, asking("[[tool f]] [[tool f]]", tools=[TOOL], tool_choice=choice))
    assert sum(block["type"] == "tool_use" for block in message["content"]) == calls


def test_a_forced_tool_is_called(fake: FakeAnthropic) -> None:
    message = answered(fake, asking("hi", tools=[TOOL], tool_choice={"type": "tool", "name": "f"}))
    assert message["content"][0]["name"] == "f"


@pytest.mark.parametrize(
    ("asked", "fields", "expected"),
    [
        ("[[stop refusal]]", {}, ("refusal", None)),
        ("[[text one END two]]", {"stop_sequences": ["END"]}, ("stop_sequence", "END")),
        ("hi", {"max_tokens": 0}, ("max_tokens", None)),
    ],
)
def test_stop_reasons(fake: FakeAnthropic, asked: str, fields: Any, expected: Any) -> None:
    message = answered(fake, asking(asked, **fields))
    assert (message["stop_reason"], message["stop_sequence"]) == expected
    assert "two" not in str(message["content"])


def test_scripted_turns_may_hold_anything(fake: FakeAnthropic) -> None:
    fake.script(
        [
            say(
                "a",
                {"type": "mystery", "x": 1},
                tool_use("f", {}, id="toolu_1"),
                stop_reason="max_tokens",
                last_json='{"a": "unfin',
                extra=((0, {"type": "surprise"}),),
            )
        ]
    )
    stream = post(fake, asking("hi", stream=True)).text
    assert stream.startswith("event: surprise\n")
    assert '"content_block":{"type":"mystery","x":1}' in stream
    assert "unfin" in stream
    assert '"stop_reason":"max_tokens"' in stream


def test_structured_output_fits_its_schema(fake: FakeAnthropic) -> None:
    kinds: dict[str, Any] = {"a": {"type": "integer"}, "b": {"enum": ["y", "z"]}, "c": {"const": 3}}
    kinds["d"] = {"anyOf": [{"type": "null"}, {"type": "string"}]}
    schema = {"type": "object", "properties": kinds, "additionalProperties": False}
    body = asking("hi", output_config={"format": {"type": "json_schema", "schema": schema}})
    said = answered(fake, body)["content"][0]["text"]
    assert json.loads(said) == {"a": 1, "b": "y", "c": 3, "d": None}


def test_usage_grows_with_the_text_and_is_what_count_tokens_says(fake: FakeAnthropic) -> None:
    for body in (asking("hi"), asking("hi " * 999, system="s", tools=[TOOL])):
        usage = answered(fake, body)["usage"]
        del body["max_tokens"]
        counted = post(fake, body, path="/v1/messages/count_tokens").json()
        assert counted == {"input_tokens": usage["input_tokens"]}
    assert usage["input_tokens"] > 999


def test_prompt_too_long_names_both_numbers(fake: FakeAnthropic) -> None:
    fake.models[MODEL] = replace(fake.models[MODEL], context=100)
    said = refusal(post(fake, asking("words and more words " * 50)))
    assert said.startswith("400 invalid_request_error: prompt is too long: ")
    assert said.endswith(" tokens > 100 maximum")


# -- whom it lets in


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "401 authentication_error: x-api-key header is required"),
        ({"x-api-key": "sk-ant-api03-no"}, "401 authentication_error: invalid x-api-key"),
        (
            {"authorization": f"Bearer {OAUTH_TOKEN}"},
            "401 authentication_error: OAuth authentication is currently not supported.",
        ),
        (
            BY_TOKEN | {"authorization": "Bearer sk-ant-oat01-no"},
            "401 authentication_error: Invalid bearer token",
        ),
    ],
)
def test_bad_credentials_are_401(fake: FakeAnthropic, headers: dict[str, str], said: str) -> None:
    assert refusal(post(fake, asking("hi", system=LINE), VERSION | headers)) == said


@pytest.mark.parametrize(
    "headers", [BY_KEY, VERSION | {"authorization": f"Bearer {API_KEY}"}], ids=["header", "bearer"]
)
def test_api_keys_are_taken_either_way(fake: FakeAnthropic, headers: dict[str, str]) -> None:
    answered(fake, asking("hi"), headers)
    assert len(fake.messages("api_key")) == 1
    assert fake.messages("oauth") == []


def test_a_subscription_must_begin_with_the_system_line(fake: FakeAnthropic) -> None:
    for system in ("You are a pirate.", [{"type": "text", "text": "x"}, *LINE]):
        said = refusal(post(fake, asking("hi", system=system), BY_TOKEN))
        assert "only authorized for use with Claude Code" in said
    answered(fake, asking("hi", system=[*LINE, {"type": "text", "text": "Be kind."}]), BY_TOKEN)
    fake.access.need_system_line = False
    answered(fake, asking("hi"), BY_TOKEN)


def test_a_subscription_lacks_some_betas(fake: FakeAnthropic) -> None:
    beta = BY_TOKEN["anthropic-beta"] + ",context-1m-2025-08-07"
    said = refusal(post(fake, asking("hi", system=LINE), BY_TOKEN | {"anthropic-beta": beta}))
    assert said.endswith("The long context beta is not yet available for this subscription.")
    answered(fake, asking("hi"), BY_KEY | {"anthropic-beta": "context-1m-2025-08-07"})
    fake.access.refused_betas.add("foo-2026")
    beta = BY_TOKEN["anthropic-beta"] + ",foo-2026"
    said = refusal(post(fake, asking("hi", system=LINE), BY_TOKEN | {"anthropic-beta": beta}))
    assert "Unexpected value(s) `foo-2026`" in said


def test_an_hours_ttl_can_be_refused_to_subscriptions(fake: FakeAnthropic) -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = asking("hi", system=[LINE[0] | mark])
    answered(fake, body)
    answered(fake, body, BY_TOKEN)
    fake.rules.long_ttl.remove("oauth")
    assert "ttl: Extra inputs" in refusal(post(fake, body, BY_TOKEN))
    answered(fake, body)


def test_a_field_can_be_refused_by_name(fake: FakeAnthropic) -> None:
    fake.rules.refused_fields.add("metadata")
    said = refusal(post(fake, asking("hi", metadata={"user_id": "a"})))
    assert said == "400 invalid_request_error: metadata: Extra inputs are not permitted"
    answered(fake, asking("hi"))


ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.332.0b8; cc_entrypoint=cli;"


@pytest.mark.parametrize("identity", IDENTITIES)
def test_claude_code_says_who_it_is_behind_its_attribution(
    identity: str, fake: FakeAnthropic
) -> None:
    texts = [{"type": "text", "text": said} for said in (ATTRIBUTION, identity, "Be kind.")]
    answered(fake, asking("hi", system=texts), BY_TOKEN)
    answered(fake, asking("hi", system=texts[1:]), BY_TOKEN)
    moved = [texts[2], texts[0], texts[1]]
    assert "only authorized" in refusal(post(fake, asking("hi", system=moved), BY_TOKEN))


def get(fake: FakeAnthropic, path: str, method: str = "GET") -> httpx.Response:
    return httpx.request(method, fake.url + path, headers=BY_KEY, verify=UNUSED)


def test_one_model_is_shown_and_an_unknown_one_is_not_found(fake: FakeAnthropic) -> None:
    shown = get(fake, "/v1/models/claude-opus-5-5")
    assert shown.json()["id"] == "claude-opus-5-5"
    missing = get(fake, "/v1/models/claude-9")
    assert refusal(missing) == "404 not_found_error: model: claude-9"
    assert missing.json()["request_id"] == missing.headers["request-id"]


def test_models_come_in_pages(fake: FakeAnthropic) -> None:
    ids = list(fake.models)
    first = get(fake, "/v1/models?limit=3").json()
    assert [row["id"] for row in first["data"]] == ids[:3]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[0], ids[2])
    second = get(fake, f"/v1/models?limit=3&after_id={ids[2]}").json()
    assert [row["id"] for row in second["data"]] == ids[3:6]
    before = get(fake, f"/v1/models?limit=2&before_id={ids[3]}").json()
    assert [row["id"] for row in before["data"]] == ids[1:3]
    assert len(get(fake, "/v1/models").json()["data"]) == 20


def test_the_probe_of_claude_code_is_answered_without_a_body(fake: FakeAnthropic) -> None:
    probed = get(fake, "/api/hello", "HEAD")
    assert (probed.status_code, probed.content) == (200, b"")


def test_a_scripted_error_names_the_request_of_its_header(fake: FakeAnthropic) -> None:
    fake.script(fail(529))
    refused = post(fake, asking("hi"))
    assert refused.json()["request_id"] == refused.headers["request-id"]


def test_by_credential_scripts_let_the_other_one_through(fake: FakeAnthropic) -> None:
    limited = {"anthropic-ratelimit-unified-status": "rejected", "retry-after": "3600"}
    fake.script(fail(429, headers=limited, error_code="x_spend_limit_reached"), when="oauth")
    response = post(fake, asking("hi", system=LINE), BY_TOKEN)
    assert response.headers["anthropic-ratelimit-unified-status"] == "rejected"
    assert response.json()["error"]["details"] == {"error_code": "x_spend_limit_reached"}
    answered(fake, asking("hi"))


def test_a_client_can_have_the_subscription_limited(fake: FakeAnthropic, clock: Clock) -> None:
    body = asking("hi [[fail oauth 429]]", system=LINE)
    limited = post(fake, body, BY_TOKEN)
    assert limited.status_code == 429
    assert limited.headers["anthropic-ratelimit-unified-representative-claim"] == "five_hour"
    reset = int(limited.headers["anthropic-ratelimit-unified-5h-reset"])
    assert reset == clock.now + 7200
    answered(fake, body)


def test_only_one_window_may_be_full(fake: FakeAnthropic) -> None:
    fake.script(exhausted({"5h": 1, "7d": 2, "7d_oi": 3}, rejected="7d_oi"), when="oauth")
    headers = post(fake, asking("hi", system=LINE), BY_TOKEN).headers
    unified = "anthropic-ratelimit-unified-"
    statuses = [headers[f"{unified}{window}status"] for window in ("", "5h-", "7d-", "7d_oi-")]
    assert statuses == ["rejected", "allowed", "allowed", "rejected"]
    assert headers[unified + "reset"] == "3"


def test_answers_carry_the_limits_of_their_credential(fake: FakeAnthropic) -> None:
    by_token = post(fake, asking("hi", system=LINE), BY_TOKEN).headers
    by_key = post(fake, asking("hi")).headers
    assert by_token["anthropic-ratelimit-unified-status"] == "allowed"
    assert by_key["anthropic-ratelimit-requests-remaining"] == "3999"


# -- what it refuses as a whole


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "400 invalid_request_error: The request body is not valid JSON"),
        (b"[]", "400 invalid_request_error: The request body is not valid JSON"),
        (
            b'{"model": "claude-3-opus", "messages": []}',
            "404 not_found_error: model: claude-3-opus",
        ),
        (b" " * (32 * 1024 * 1024 + 1), "413 request_too_large: Request exceeds the maximum size"),
    ],
    ids=["half a body", "a list", "a retired model", "too large"],
)
def test_bad_bodies(fake: FakeAnthropic, content: bytes, said: str) -> None:
    response = httpx.post(fake.url + "/v1/messages", content=content, headers=BY_KEY)
    assert refusal(response) == said
    assert response.json()["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": ["hi"]},
        {"messages": [{"role": "user", "content": ["hi"]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": ["x"]}]}]},
        {"system": 7},
        {"system": ["x"]},
        {"tools": {}},
        {"tools": ["x"]},
        {"thinking": "on"},
        {"tool_choice": "auto"},
        {"output_config": []},
    ],
    ids=str,
)
def test_wrong_shapes_are_a_400_and_no_crash(fake: FakeAnthropic, fields: Any) -> None:
    assert refusal(post(fake, asking("hi") | fields)).startswith("400 invalid_request_error")


@pytest.mark.parametrize("version", [None, "2020-01-01"])
def test_the_version_header_is_needed(fake: FakeAnthropic, version: str | None) -> None:
    headers = {"x-api-key": API_KEY} | ({"anthropic-version": version} if version else {})
    assert "400 invalid_request_error: anthropic-version" in refusal(
        post(fake, asking("hi"), headers)
    )


def test_rules_can_be_switched_off(fake: FakeAnthropic) -> None:
    fake.rules.strict = False
    answered(fake, asking("hi", foo=1))


def test_unknown_paths_are_404(fake: FakeAnthropic) -> None:
    assert refusal(httpx.get(fake.url + "/v1/nothing")).startswith("404 not_found_error")


# -- its other endpoints


def test_models_have_the_shape_of_the_sdk(client: anthropic.Anthropic) -> None:
    rows = {row.id: row for row in client.models.list(limit=1000)}
    haiku, sonnet = rows["claude-haiku-4-5"], rows["claude-sonnet-5-5"]
    assert (haiku.max_input_tokens, haiku.max_tokens) == (200_000, 64_000)
    assert haiku.capabilities is not None and not haiku.capabilities.effort.supported
    assert sonnet.capabilities is not None
    assert sonnet.capabilities.thinking.types.between_tools.supported
    assert not sonnet.capabilities.thinking.types.disabled.supported


HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


def test_openai_upstream_answers_plain_and_streamed(fake: FakeAnthropic) -> None:
    with openai.OpenAI(base_url=fake.url + "/v1", api_key="sk-test", max_retries=0) as client:
        plain = client.chat.completions.create(model="gpt-5.5", messages=HI)
        chunks = list(
            client.chat.completions.create(
                model="gpt-5.5", messages=HI, stream=True, stream_options={"include_usage": True}
            )
        )
    assert plain.choices[0].message.content == "Hello from the fake OpenAI."
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == (
        "Hello from the fake OpenAI."
    )
    assert chunks[-1].usage is not None


def ask_openai(fake: FakeAnthropic, **more: Any) -> httpx.Response:
    body = {"model": "gpt-5.5", "input": "hi", **more}
    return post(fake, body, {"authorization": "Bearer sk-test"}, "/v1/responses")


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Answer(), "completed"), (say(stop_reason="max_tokens"), "incomplete")],
)
def test_openai_upstream_answers_responses_after_the_sdks_types(
    fake: FakeAnthropic, answer: Answer, status: str
) -> None:
    fake.script(answer, when="/v1/responses")
    stream, plain = ask_openai(fake, stream=True).content, ask_openai(fake).json()
    assert Response.model_validate(plain, strict=True).status == status
    last = response_events(stream, ours=False)[-1]
    assert (last["type"], last["response"]) == (f"response.{status}", plain)
    (item,) = assembled_response(stream)["output"]
    assert item["content"][0]["text"] == "Hello from the fake OpenAI."


def test_openai_upstream_fails_in_mid_stream_as_recorded(fake: FakeAnthropic) -> None:
    fake.script(broken("server_error", "Sorry", after=2), when="/v1/responses")
    events = [
        (name, json.loads(data)) for name, data in read_sse(ask_openai(fake, stream=True).content)
    ]
    assert [name for name, _ in events[-3:]] == [
        "response.output_text.delta", "error", "response.failed",
    ]  # fmt: skip
    assert [event["sequence_number"] for _, event in events] == [*range(len(events))]
    failed = ResponseFailedEvent.model_validate(events[-1][1], strict=True)
    assert failed.response.error and failed.response.error.message == "Sorry"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_openai_upstream_refuses_anthropics_credentials(fake: FakeAnthropic, path: str) -> None:
    response = post(fake, {"model": "gpt-5.5"}, {"authorization": f"Bearer {API_KEY}"}, path)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


def test_any_path_can_be_scripted(fake: FakeAnthropic) -> None:
    fake.script([json_answer({"ok": True})], when="/v1/models")
    fake.script([Answer(headers={"x-extra": "1"})])
    assert httpx.get(fake.url + "/v1/models").json() == {"ok": True}
    assert post(fake, asking("hi")).headers["x-extra"] == "1"


def test_the_log_shows_what_came_but_no_secret(fake: FakeAnthropic) -> None:
    post(fake, asking("hi", system=LINE), BY_TOKEN)
    post(fake, asking("hi"))
    page = httpx.get(fake.url + "/__fake/log")
    assert OAUTH_TOKEN not in page.text and API_KEY not in page.text
    log = page.json()
    assert [r["credential"] for r in log["requests"]] == ["oauth", "api_key"]
    assert ["authorization", "Bearer sk-ant-oat01-…"] in log["requests"][0]["headers"]
    assert log["requests"][0]["json"]["system"][0]["text"] == SYSTEM_LINE
    assert log["requests"][1]["outcome"] == "answered"


# -- how it is run


def test_a_bug_of_the_fake_fails_the_test_that_met_it() -> None:
    def buggy(request: Received) -> bool:
        raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="The fake itself failed"), FakeAnthropic() as fake:
        fake.script([fail(500)], when=buggy)
        with pytest.raises(httpx.RemoteProtocolError):
            post(fake, asking("hi"))


async def test_it_serves_async_tests_too() -> None:
    with FakeAnthropic() as fake:
        async with httpx.AsyncClient(headers=BY_KEY) as client:
            response = await client.post(fake.url + "/v1/messages", json=asking("hi"))
        assert response.status_code == 200


def test_many_at_once(fake: FakeAnthropic) -> None:
    threads = [threading.Thread(target=answered, args=(fake, asking(str(n)))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {r.outcome for r in fake.requests} == {"answered"}
    assert sorted(r.number for r in fake.requests) == list(range(20))


def test_by_itself_from_the_command_line() -> None:
    command = [sys.executable, "-m", "addon.stand_in.anthropic", "--port", "0", "--verbose"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        response = httpx.post(url + "/v1/messages", json=asking("hi"), headers=BY_KEY)
        line = process.stdout.readline().strip()
        process.terminate()
    assert response.status_code == 200
    assert line == "POST /v1/messages api_key 200"


def test_by_itself_it_needs_no_test_tools() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pytest', 'anthropic', 'openai', 'trustme']));"
        "import addon.stand_in.anthropic"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
