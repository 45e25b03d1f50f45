"""The WebSocket at /v1/responses: Open Responses' cases, the openai SDK and a plain client, through the real proxy."""

from __future__ import annotations

import json
import signal
import socket as sockets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from openai import OpenAI
from openai.resources.responses.responses import ResponsesConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import broken, delivered, fail, say
from addon.stand_in.stream import thinking, tool_use
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import Proxy
from tests.e2e.test_open_responses import MODEL, TOOL, said, turn
from tests.open_responses import check_event, check_response

type JsonObject = dict[str, Any]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"OPENAI_API_KEY": "sk-openai-test", "OPENAI_BASE_URL": "UPSTREAM"}


@contextmanager
def opened(proxy: Proxy, path: str = "/v1/responses", **headers: str) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{proxy.port}{path}"
    with connect(url, additional_headers=headers, max_size=None) as client:
        yield client


@pytest.fixture
def client(world: World) -> Iterator[ClientConnection]:
    with opened(world.proxy) as connected:
        yield connected


def create(client: ClientConnection, given: Any = "Hi", **fields: Any) -> None:
    client.send(json.dumps({"type": "response.create", "model": MODEL, "input": given, **fields}))


def events(client: ClientConnection) -> list[JsonObject]:
    """Of one response, each valid by the specification; the last one ends it."""
    found: list[JsonObject] = []
    while not found or found[-1]["type"] not in ENDS:
        event = json.loads(client.recv(timeout=60))
        if event["type"] != "error":
            check_event({name: value for name, value in event.items() if name != "stream_id"})
            assert event["sequence_number"] == len(found)
        found.append(event)
    return found


ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


def asked(client: ClientConnection, given: Any = "Hi", **fields: Any) -> JsonObject:
    create(client, given, **fields)
    last = events(client)[-1]
    assert last["type"] == "response.completed", last
    check_response(last["response"])
    return dict(last["response"])


def refused(client: ClientConnection, given: Any = "Hi", **fields: Any) -> tuple[int, str | None]:
    create(client, given, **fields)
    (event,) = events(client)
    return event["status"], event["error"]["code"]


def conversation(world: World) -> list[str]:
    messages = world.fake.messages()[-1].json["messages"]
    return [block["text"] for m in messages for block in m["content"] if block["type"] == "text"]


# ---- Open Responses' acceptance cases


def test_a_response(client: ClientConnection, world: World) -> None:
    world.fake.script(say(thinking("Hm"), "Ahoy"))
    assert said(asked(client, [turn("user", "Greet me")], store=False)) == "Ahoy"


def test_responses_one_after_the_other(client: ClientConnection, world: World) -> None:
    world.fake.script([say("one"), say("two")])
    assert [said(asked(client)) for _ in range(2)] == ["one", "two"]


@pytest.mark.parametrize("store", [False, True])
def test_going_on(store: bool, client: ClientConnection, world: World) -> None:
    world.fake.script([say("Hello Ann"), say("Ann"), say("Yes")])
    first = asked(client, "I am Ann", store=store)
    second = asked(client, "My name?", store=store, previous_response_id=first["id"])
    asked(client, "Sure?", store=store, previous_response_id=second["id"])
    assert (second["previous_response_id"], second["store"]) == (first["id"], store)
    assert conversation(world) == ["I am Ann", "Hello Ann", "My name?", "Ann", "Sure?"]
    assert world.proxy.get(f"/v1/responses/{first['id']}").status_code == (200 if store else 404)


def test_what_is_not_stored_ends_with_the_connection(world: World) -> None:
    with opened(world.proxy) as first:
        response = asked(first, "I am Ann", store=False)
    with opened(world.proxy) as second:
        fields = {"store": False, "previous_response_id": response["id"]}
        assert refused(second, "My name?", **fields) == (400, "previous_response_not_found")
        asked(second, [turn("user", "I am Ann"), turn("user", "My name?")], store=False)


def test_a_failure_forgets_what_it_went_on_from(client: ClientConnection, world: World) -> None:
    world.fake.script([say("Hello"), fail(400, "no"), say("Hello again"), say("Yes")])
    first = asked(client, store=False)
    fields = {"store": False, "previous_response_id": first["id"]}
    assert refused(client, **fields)[0] == 400
    assert refused(client, **fields) == (400, "previous_response_not_found")
    stored = asked(client)
    assert refused(client, temperature="hot", previous_response_id=stored["id"])[0] == 400
    asked(client, previous_response_id=stored["id"])


def test_a_new_chain_after_compaction(client: ClientConnection, world: World) -> None:
    world.fake.script([say("Hello Ann"), say("She is Ann."), say("Ann")])
    first = asked(client, "I am Ann")
    body = {"model": MODEL, "previous_response_id": first["id"]}
    compacted = world.proxy.post("/v1/responses/compact", body).json()
    asked(client, [*compacted["output"], turn("user", "My name?")], store=False)
    assert any("She is Ann." in words for words in conversation(world))


@pytest.mark.parametrize("given", [[], [turn("developer", "Be brief"), turn("user", "Context")]])
def test_a_warm_up_asks_nobody(given: Any, client: ClientConnection, world: World) -> None:
    create(client, given, generate=False, store=False, tools=[TOOL])
    kinds = [event["type"] for event in events(client)]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]
    assert not world.fake.requests
    assert world.proxy.get("/analytics/requests").json()["requests"][0]["source"] == "local"
    warm = asked(client, given, generate=False, store=False)
    assert warm["output"] == []
    asked(client, "Go", store=False, previous_response_id=warm["id"])
    assert conversation(world)[-1] == "Go"
    assert ("Context" in conversation(world)) == bool(given)


# ---- OpenAI's SDK


@pytest.fixture
def sdk(world: World) -> Iterator[OpenAI]:
    return world.proxy.openai()


def last_of(connection: ResponsesConnection) -> Any:
    return next(event for event in connection if event.type in ENDS)


def test_the_sdk_does_a_step_with_a_tool(sdk: OpenAI, world: World) -> None:
    world.fake.script(
        [say(thinking("A tool."), tool_use("forecast", {"place": "Oslo"})), say("Rain")]
    )
    fields: Any = {"model": MODEL, "tools": [TOOL], "store": False, "reasoning": {"effort": "high"}}
    with sdk.responses.connect() as connection:
        connection.response.create(input="Rain in Oslo?", **fields)
        first = last_of(connection).response
        (call,) = (item for item in first.output if item.type == "function_call")
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "wet"}
        connection.response.create(input=[output], previous_response_id=first.id, **fields)
        assert last_of(connection).response.output[-1].content[0].text == "Rain"
    sent = world.fake.messages()[-1].json["messages"]
    assert [block["type"] for block in sent[1]["content"]] == ["thinking", "tool_use"]


def test_the_sdk_reads_an_error(sdk: OpenAI, world: World) -> None:
    with sdk.responses.connect() as connection:
        connection.response.create(model=MODEL, input="Hi", background=True)
        event = last_of(connection)
    assert (event.type, event.status, event.error.param) == ("error", 400, "background")


def test_conversations_run_at_once_and_fork(sdk: OpenAI, world: World) -> None:
    gate = Gate()
    slow = delivered(say("slow"), pause_after=3, pause=gate)
    world.fake.script(slow, when=lambda r: b"planner" in r.body)
    with sdk.responses.connect() as connection:
        for name in ("planner", "research"):
            connection.response.create(model=MODEL, input=name, stream_id=name, store=False)
        ended = last_of(connection)
        assert (ended.type, ended.stream_id) == ("response.completed", "research")
        gate.open()
        parent = last_of(connection)
        assert parent.stream_id == "planner"
        for name in ("planner", "critic"):
            connection.response.create(
                model=MODEL,
                input="go on",
                stream_id=name,
                store=False,
                previous_response_id=parent.response.id,
            )
        assert {last_of(connection).stream_id for _ in range(2)} == {"planner", "critic"}


# ---- the door


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "rebound.example"}, 421),
        ({"Sec-WebSocket-Version": "8"}, 400),
    ],
)
def test_who_may_not_open_one(headers: dict[str, str], status: int, world: World) -> None:
    if "Host" in headers or "Sec-WebSocket-Version" in headers:
        assert handshake(world.proxy, headers) == status
        return
    with pytest.raises(InvalidStatus) as told, opened(world.proxy, **headers):
        pass
    assert told.value.response.status_code == status
    assert world.untouched


def handshake(proxy: Proxy, headers: dict[str, str]) -> int:
    fields = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    with sockets.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(f"GET /v1/responses HTTP/1.1\r\n{head}\r\n".encode())
        return int(client.recv(4000).split()[1])


@pytest.mark.parametrize("name", ["Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_an_incomplete_handshake_is_refused(name: str, world: World) -> None:
    assert handshake(world.proxy, {}) == 101
    assert handshake(world.proxy, {name: ""}) == 400
    assert handshake(world.proxy, {"Sec-WebSocket-Key": "x"}) == 400


def test_a_page_of_this_machine_may(world: World) -> None:
    with opened(world.proxy, "/responses", Origin="http://localhost:3000") as client:
        asked(client)


def test_the_secret_is_asked_for_as_for_a_request(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    secret = "a secret of enough letters and 123 numbers"
    proxy = start_proxy(PROXY_SECRET_KEY=secret, REQUIRE_SECRET_LOCALLY="true")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(InvalidStatus) as told, opened(proxy, **headers):
            pass
        assert told.value.response.status_code == 401
    with opened(proxy, Authorization=f"Bearer {secret}") as client:
        asked(client)
    with proxy.openai(api_key=secret).responses.connect() as connection:
        connection.response.create(model=MODEL, input="Hi")
        assert last_of(connection).type == "response.completed"
    assert secret not in proxy.output
    for request in fake.requests:
        assert secret not in str(request.headers)


# ---- its life


def test_each_message_is_a_request_in_the_ledger(client: ClientConnection, world: World) -> None:
    before = world.proxy.get("/analytics/requests").json()["requests"]
    world.fake.script([say("one"), broken(after=1), say("three")])
    asked(client)
    create(client)
    assert events(client)[-1]["type"] == "response.failed"
    asked(client)
    records = world.proxy.get("/analytics/requests").json()["requests"]
    assert len(records) == len(before) + 3
    assert [record["status"] for record in records[:3]] == [200, 529, 200]


def test_leaving_cancels(world: World) -> None:
    gate = Gate()
    world.fake.script(delivered(say("never ends"), pause_after=3, pause=gate))
    with opened(world.proxy) as client:
        create(client)
        assert gate.reached.wait(20)
        client.recv(timeout=20)
    assert world.fake.wait_until(lambda: world.fake.requests[-1].outcome == "client_closed")
    gate.open()


def test_a_client_that_sends_too_much_is_told(client: ClientConnection, world: World) -> None:
    create(client, "x" * (34 * 2**20))
    (event,) = events(client)
    assert (event["status"], event["error"]["code"]) == (413, "request_too_large")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=20)
    assert closed.value.rcvd and closed.value.rcvd.code == 1009
    assert world.untouched


def test_other_models_are_asked_elsewhere(client: ClientConnection, world: World) -> None:
    create(client, model="gpt-5")
    while json.loads(client.recv(timeout=20))["type"] not in ENDS:
        pass
    assert world.fake.requests[-1].path == "/v1/responses"
    assert json.loads(world.fake.requests[-1].body)["stream"] is True


@pytest.mark.thorough
def test_the_end_of_the_proxy_is_told(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    gate = Gate()
    fake.script(delivered(say("never ends"), pause_after=3, pause=gate))
    with opened(proxy) as idle, opened(proxy) as client:
        create(client)
        assert gate.reached.wait(20)
        assert proxy.process
        stopping = threading.Thread(target=proxy.stop, args=(signal.SIGTERM,))
        stopping.start()
        assert events(client)[-1]["type"] == "response.failed"
        stopping.join(40)
        gate.open()
        with pytest.raises(ConnectionClosed):
            idle.recv(timeout=20)
    assert "Traceback" not in proxy.output
