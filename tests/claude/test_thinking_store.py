"""A conversation as it goes through the proxy: restored, sent, answered, recorded, sent back without thinking."""

import copy
import cProfile
import tracemalloc
from typing import Any

import pytest

from addon.claude.digest import message_digest
from addon.claude.thinking_records import Records
from addon.claude.thinking_store import Restored, Scope, StoreLimits, ThinkingStore
from addon.claude.turns import strip_thinking
from tests.claude.support import (
    CATALOGUE,
    answer,
    call,
    results,
    seen_by_client,
    text,
    thought,
    user,
)
from tests.clock import Clock
from tests.cpu import cpu_below

ADAPTIVE = {"type": "adaptive"}
BUDGET = {"type": "enabled", "budget_tokens": 2000}


class Conversation:
    """A client that drops thinking, and what it gets sent upstream."""

    def __init__(
        self, store: ThinkingStore, model: str = "claude-opus-4-8", principal: str = "me"
    ) -> None:
        self.store = store
        self.model = CATALOGUE.get(model)
        self.scope = Scope(principal, "subscription", model)
        self.thinking: dict[str, Any] | None = (
            BUDGET if self.model.thinking == "manual" else ADAPTIVE
        )
        self.system = "be brief"
        self.messages: list[dict[str, Any]] = []

    def request(self) -> dict[str, Any]:
        request = {"model": self.model.id, "system": self.system, "messages": list(self.messages)}
        return {**request, "thinking": self.thinking} if self.thinking else request

    def restore(self) -> Restored:
        request = self.request()
        before = copy.deepcopy(request)
        restored = self.store.restore(self.scope, request, self.model)
        assert request == before, "the client's request was changed in place"
        return restored

    def ask(
        self, message: dict[str, Any], *content: dict[str, Any], record: bool = True, **fields: Any
    ) -> Restored:
        """Sends `message`, is answered with `content`."""
        self.messages.append(message)
        restored = self.restore()
        if record:
            self.store.record(
                self.scope, restored.request, answer(*content, **fields), restored.position
            )
        self.messages.append(seen_by_client(answer(*content)))
        return restored

    def thoughts(self) -> list[str]:
        """Thinking that the next request would carry."""
        return thoughts_in(self.restore().request)


def thoughts_in(request: dict[str, Any]) -> list[str]:
    return [
        b["thinking"] for m in request["messages"] for b in m["content"] if b["type"] == "thinking"
    ]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> ThinkingStore:
    return ThinkingStore(clock)


def three_steps(store: ThinkingStore, model: str = "claude-opus-4-8") -> Conversation:
    talk = Conversation(store, model)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.ask(results("a"), thought("2"), text("well"), call("b"))
    talk.ask(results("b"), thought("3"), call("c"))
    talk.messages.append(results("c"))
    return talk


def test_a_request_is_surveyed_once_until_a_record_comes(store: ThinkingStore) -> None:
    """It is previewed before it is sent."""
    talk = three_steps(store)
    assert talk.thoughts() == ["1", "2", "3"]
    known = {id(message): message_digest(message) for message in talk.messages}

    def looked_up() -> int:
        with cProfile.Profile() as profile:
            store.restore(talk.scope, talk.request(), talk.model, known)
        return sum(each.callcount for each in profile.getstats() if each.code is Records.find.__code__)  # fmt: skip

    assert looked_up() == 0
    talk.ask(user("more"), thought("4"), text("so"))
    known |= {id(message): message_digest(message) for message in talk.messages}
    assert (looked_up(), looked_up()) == (4, 0)
    talk.system = "be long"
    assert looked_up() == 4


def test_thinking_is_put_back_at_the_head_unchanged(store: ThinkingStore) -> None:
    talk = Conversation(store)
    content = [
        thought("why"),
        {"type": "redacted_thinking", "data": "x=="},
        text("ok"),
        call("a", path="f"),
    ]
    talk.ask(user("go"), *content)
    talk.messages.append(results("a"))
    restored = talk.restore()
    assert restored.request["messages"][1] == {"role": "assistant", "content": content}
    assert not restored.thinking_off


def test_each_step_of_a_tool_loop_gets_all_thinking_before_it(store: ThinkingStore) -> None:
    assert three_steps(store).thoughts() == ["1", "2", "3"]


def test_thinking_between_texts_comes_back_in_its_place(store: ThinkingStore) -> None:
    talk = Conversation(store)
    content = [text("first "), thought("hm"), text("then"), call("a")]
    talk.ask(user("go"), *content)
    talk.messages[-1]["content"] = [text("first then"), call("a")]
    talk.messages.append(results("a"))
    assert talk.restore().request["messages"][1]["content"] == content


def test_blank_text_which_anthropic_writes_but_refuses_to_read_is_dropped(
    store: ThinkingStore,
) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("hm"), text("\n\n"), call("a"))
    talk.messages[-1]["content"] = [call("a")]
    talk.messages.append(results("a"))
    assert talk.restore().request["messages"][1]["content"] == [thought("hm"), call("a")]


def test_answers_in_plain_text_are_known_by_what_they_answer(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("hi"), thought("1"), text("hello"))
    talk.ask(user("and?"), thought("2"), text("hello"))
    talk.messages.append(user("so"))
    assert talk.thoughts() == ["1", "2"]
    talk.messages[0] = user("hey")
    assert talk.thoughts() == []


@pytest.mark.parametrize(
    "edit",
    [
        [text("ok!"), call("a", path="f")],
        [text("ok"), call("a", path="g")],
        [text("ok"), {**call("a", path="f"), "name": "write"}],
        [text("ok "), call("a", path="f")],
        [text("ok"), call("a", path="f"), call("b")],
        [call("a", path="f")],
    ],
    ids=["text", "arguments", "tool", "space", "one call more", "no text"],
)
def test_edited_turn_is_not_restored(store: ThinkingStore, edit: list[dict[str, Any]]) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("why"), text("ok"), call("a", path="f"))
    talk.messages[-1] = {"role": "assistant", "content": edit}
    talk.messages.append(results("a"))
    restored = talk.restore()
    assert thoughts_in(restored.request) == []
    assert restored.request["messages"][1]["content"] == edit


def test_lost_record_leaves_out_everything_before_it(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.ask(results("a"), thought("2"), call("b"), record=False)
    talk.ask(results("b"), thought("3"), call("c"))
    talk.messages.append(results("c"))
    assert talk.thoughts() == ["3"]


def test_record_that_comes_back_is_not_used(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    sent = talk.ask(results("a"), thought("2"), call("b"), record=False).request
    talk.ask(results("b"), thought("3"), call("c"))
    store.record(talk.scope, sent, answer(thought("2"), call("b")))
    talk.messages.append(results("c"))
    assert talk.thoughts() == ["3"]


def test_thinking_that_a_request_left_out_never_comes_back(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    original = talk.messages[1]
    talk.messages[1] = {"role": "assistant", "content": [text("edited"), call("a")]}
    talk.ask(results("a"), thought("2"), call("b"))
    talk.messages[1] = original
    talk.messages.append(results("b"))
    assert talk.thoughts() == ["2"]


def test_thinking_that_anthropic_dropped_never_comes_back(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.ask(
        results("a"), thought("2"), call("b"), input_transformations=[{"type": "thinking_dropped"}]
    )
    talk.messages.append(results("b"))
    assert talk.thoughts() == ["2"]


def test_after_the_retry_without_thinking_the_old_never_comes_back(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.messages.append(results("a"))
    retry = strip_thinking(talk.restore().request)
    store.record(talk.scope, retry, answer(thought("2"), call("b")))
    talk.messages += [seen_by_client(answer(call("b"))), results("b")]
    assert talk.thoughts() == ["2"]


def test_turn_without_thinking_does_not_break_the_run(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.ask(results("a"), call("b"))
    talk.messages.append(results("b"))
    assert talk.thoughts() == ["1"]


def test_same_answer_recorded_twice_keeps_the_first(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("hi"), thought("first"), text("hello"))
    store.record(
        talk.scope,
        {**talk.request(), "messages": [user("hi")]},
        answer(thought("other"), text("hello")),
    )
    talk.messages.append(user("so"))
    assert talk.thoughts() == ["first"]


@pytest.mark.parametrize("change", ["model", "account", "principal"])
def test_nothing_crosses_scopes(store: ThinkingStore, change: str) -> None:
    talk = three_steps(store)
    talk.scope = talk.scope._replace(**{change: "other"})
    assert talk.thoughts() == []


def test_turns_answered_by_another_account_are_a_gap(store: ThinkingStore) -> None:
    talk = three_steps(store)
    home = talk.scope
    talk.scope = home._replace(account="api key")
    talk.messages.pop()
    talk.ask(results("c"), thought("4"), call("d"))
    talk.scope = home
    talk.ask(results("d"), thought("5"), call("e"))
    talk.messages.append(results("e"))
    assert talk.thoughts() == ["5"]


def test_changed_prefix_restores_nothing_on_preserved_thinking(store: ThinkingStore) -> None:
    talk = three_steps(store, "claude-opus-5-5")
    assert talk.thoughts() == ["1", "2", "3"]
    talk.system = "be long"
    assert talk.thoughts() == []


def test_changed_system_is_no_matter_to_other_models(store: ThinkingStore) -> None:
    talk = three_steps(store, "claude-opus-4-8")
    talk.system = "be long"
    assert talk.thoughts() == ["1", "2", "3"]


def test_changed_result_leaves_out_what_came_before_and_keeps_what_came_after(
    store: ThinkingStore,
) -> None:
    talk = three_steps(store, "claude-opus-5-5")
    talk.messages[2] = results("a") | {"content": [*results("a")["content"], text("edited")]}
    assert talk.thoughts() == []
    talk.messages.pop()
    talk.ask(results("c"), thought("4"), call("d"))
    talk.messages.append(results("d"))
    assert talk.thoughts() == ["4"]


def test_cache_control_and_plain_strings_do_not_change_the_prefix(store: ThinkingStore) -> None:
    talk = three_steps(store, "claude-opus-5-5")
    talk.system = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]  # type: ignore[assignment]
    talk.messages[0] = {"role": "user", "content": "go"}
    marked = [{**talk.messages[2]["content"][0], "cache_control": {"type": "ephemeral"}}]
    talk.messages[2] = {"role": "user", "content": marked}
    request = talk.restore().request
    assert [
        b["thinking"]
        for m in request["messages"][1::2]
        for b in m["content"]
        if b["type"] == "thinking"
    ] == ["1", "2", "3"]


def test_server_tool_blocks_come_back_even_without_the_thinking(store: ThinkingStore) -> None:
    talk = Conversation(store, "claude-opus-5-5")
    search = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]
    talk.ask(user("go"), thought("1"), *search, call("a"))
    talk.messages.append(results("a"))
    talk.system = "changed"
    assert talk.restore().request["messages"][1]["content"] == [*search, call("a")]


SEARCHED = (
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
)


def test_server_tool_blocks_come_back_between_the_thinking_that_the_client_sends(
    store: ThinkingStore,
) -> None:
    """A Responses client keeps all thinking of a turn in one item, and nothing of what stood between it."""
    talk = Conversation(store, "claude-opus-5-5")
    content = [thought("1"), *SEARCHED, thought("2"), call("a")]
    talk.ask(user("go"), *content)
    talk.messages[-1]["content"] = [thought("1"), thought("2"), call("a")]
    talk.ask(results("a"), text("found"), *SEARCHED, text("it"))
    talk.messages.append(user("next"))
    assert [m["content"] for m in talk.restore().request["messages"][1::2]] == [
        content,
        [text("found"), *SEARCHED, text("it")],
    ]
    talk.messages[1]["content"][0] = thought("another")
    assert talk.restore().request["messages"][1] is talk.messages[1]


def test_server_tool_blocks_that_only_the_client_has_are_not_lost(store: ThinkingStore) -> None:
    """Another conversation's turn looks the same, by an id that a client uses again."""
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.messages[1]["content"] = [*SEARCHED, call("a")]
    talk.messages.append(results("a"))
    assert talk.restore().request["messages"][1]["content"] == [*SEARCHED, call("a")]


def test_a_turn_with_what_is_no_block_is_left_for_anthropic_to_judge(store: ThinkingStore) -> None:
    talk = Conversation(store)
    talk.ask(user("go"), thought("1"), call("a"))
    talk.messages[1]["content"] = [call("a"), "no block"]
    talk.messages.append(results("a"))
    assert talk.restore().request["messages"][1]["content"] == [call("a"), "no block"]


@pytest.mark.parametrize("model", ["claude-opus-4-5", "claude-opus-4-8", "claude-opus-5-5"])
def test_ids_that_a_client_writes_itself_are_put_back(model: str, store: ThinkingStore) -> None:
    talk = Conversation(store, model)
    for step, given in enumerate(("toolu_a", "toolu_b", "toolu_c")):
        message = results(f"call_{step - 1}") if step else user("go")
        talk.ask(message, thought(str(step)), call(given))
        talk.messages[-1]["content"] = [call(f"call_{step}")]
    talk.messages.append(results("call_2"))
    restored = talk.restore()
    assert [
        [block.get("id", block.get("tool_use_id")) for block in message["content"]][-1]
        for message in restored.request["messages"][1:]
    ] == ["toolu_a", "toolu_a", "toolu_b", "toolu_b", "toolu_c", "toolu_c"]
    assert talk.thoughts() == ["0", "1", "2"]
    talk.messages[1]["content"] = [call("call_0", other=1)]
    assert talk.restore().request["messages"][1] == talk.messages[1]


def test_a_result_in_another_form_is_the_same_prefix(store: ThinkingStore) -> None:
    talk = three_steps(store, "claude-opus-5-5")
    listed = [text(talk.messages[2]["content"][0]["content"])]
    talk.messages[2] = {
        "role": "user",
        "content": [{**results("a")["content"][0], "content": listed}],
    }
    assert talk.thoughts() == ["1", "2", "3"]


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-4-5"])
def test_models_that_forget_get_what_they_read_and_what_they_dont(
    store: ThinkingStore, model: str
) -> None:
    talk = three_steps(store, model)
    talk.ask(talk.messages.pop(), thought("4"), text("done"))
    talk.ask(user("next"), thought("5"), call("e"))
    talk.messages.append(results("e"))
    assert talk.thoughts() == ["1", "2", "3", "4", "5"]
    talk.messages[-1]["content"].append(text("and be quick"))
    assert talk.thoughts() == ["1", "2", "3", "4", "5"]


def test_lost_record_before_text_beside_a_result_leaves_thinking_on(store: ThinkingStore) -> None:
    talk = Conversation(store, "claude-haiku-4-5")
    talk.ask(user("go"), thought("1"), call("a"), record=False)
    talk.messages.append({"role": "user", "content": [*results("a")["content"], text("quick")]})
    restored = talk.restore()
    assert (restored.thinking_off, restored.request["thinking"]) == (False, BUDGET)


def test_lost_record_in_a_budgeted_loop_turns_thinking_off_once(store: ThinkingStore) -> None:
    talk = Conversation(store, "claude-opus-4-5")
    talk.ask(user("go"), thought("1"), call("a"), record=False)
    restored = talk.ask(results("a"), call("b"))
    assert restored.thinking_off
    assert "thinking" not in restored.request
    restored = talk.ask(results("b"), text("done"))
    assert restored.thinking_off
    restored = talk.ask(user("next"), thought("2"), call("c"))
    assert not restored.thinking_off
    assert restored.request["thinking"] == BUDGET
    talk.messages.append(results("c"))
    assert talk.thoughts() == ["2"]


def test_budgeted_loop_with_its_thinking_goes_on(store: ThinkingStore) -> None:
    talk = Conversation(store, "claude-opus-4-5")
    talk.ask(user("go"), thought("1"), call("a"))
    restored = talk.ask(results("a"), call("b"))
    assert not restored.thinking_off
    talk.messages.append(results("b"))
    assert (talk.restore().thinking_off, talk.thoughts()) == (False, ["1"])


def test_lost_record_is_no_matter_to_adaptive_models(store: ThinkingStore) -> None:
    talk = Conversation(store, "claude-opus-4-8")
    talk.ask(user("go"), thought("1"), call("a"), record=False)
    restored = talk.ask(results("a"), call("b"))
    assert not restored.thinking_off
    assert restored.request["thinking"] == ADAPTIVE


@pytest.mark.parametrize(
    ("model", "thinking", "restored"),
    [
        ("claude-opus-4-8", None, []),
        ("claude-opus-5", None, ["1", "2", "3"]),
        ("claude-opus-5", {"type": "disabled"}, []),
        ("claude-sonnet-5-5", {"type": "between_tools"}, ["1", "2", "3"]),
    ],
    ids=["off by default", "on by default", "disabled", "between tools"],
)
def test_thinking_goes_back_only_to_models_that_think(
    store: ThinkingStore, model: str, thinking: Any, restored: list[str]
) -> None:
    talk = three_steps(store, model)
    talk.thinking = thinking
    assert talk.thoughts() == restored


def test_client_that_sends_thinking_itself_is_left_alone(store: ThinkingStore) -> None:
    talk = three_steps(store)
    talk.messages[1] = {"role": "assistant", "content": [thought("its own"), call("a")]}
    restored = talk.restore()
    assert restored.request == talk.request()


def test_answer_recorded_without_a_mark_is_restored_the_same(store: ThinkingStore) -> None:
    talk = Conversation(store, "claude-opus-5-5")
    talk.messages.append(user("go"))
    store.record(talk.scope, talk.restore().request, answer(thought("1"), call("a")))
    talk.messages += [seen_by_client(answer(call("a"))), results("a")]
    store.record(talk.scope, talk.restore().request, answer(thought("2"), call("b")))
    talk.messages += [seen_by_client(answer(call("b"))), results("b")]
    assert talk.thoughts() == ["1", "2"]


def test_digests_that_are_known_are_not_made_again(store: ThinkingStore) -> None:
    talk = three_steps(store)
    request = talk.request()
    known = {id(message): message_digest(message) for message in request["messages"]}
    assert store.restore(talk.scope, request, talk.model, known) == talk.restore()
    wrong = dict.fromkeys(known, b"of another message")
    assert store.restore(talk.scope, request, talk.model, wrong).position != talk.restore().position


def test_empty_answer_and_empty_history_are_no_trouble(store: ThinkingStore) -> None:
    talk = Conversation(store)
    assert talk.restore().request["messages"] == []
    store.record(talk.scope, talk.request(), answer())
    assert len(store) == 0


def test_three_thousand_messages_are_restored_in_a_fraction_of_a_second(
    store: ThinkingStore,
) -> None:
    talk = Conversation(store, "claude-opus-5-5")
    for step in range(1500):
        talk.messages += [
            user("go") if step == 0 else results(f"c{step - 1}"),
            seen_by_client(answer(call(f"c{step}"))),
        ]
    talk.ask(results("c1499"), thought("1"), call("d"))
    talk.messages.append(results("d"))
    with cpu_below():
        restored = talk.store.restore(talk.scope, talk.request(), talk.model)
    assert thoughts_in(restored.request) == ["1"]


# ------------------------------------------------------------------------------------------------------------ limits


def test_unused_records_expire_and_the_request_stays_valid(
    store: ThinkingStore, clock: Clock
) -> None:
    talk = three_steps(store)
    clock.now += 7199
    assert talk.thoughts() == ["1", "2", "3"]
    clock.now += 7199
    assert talk.thoughts() == ["1", "2", "3"], "use refreshes"
    clock.now += 7200
    assert talk.restore().request == talk.request()
    assert (len(store), store.size) == (0, 0)


def test_restart_is_an_empty_store(clock: Clock) -> None:
    talk = three_steps(ThinkingStore(clock))
    talk.store = ThinkingStore(clock)
    assert talk.restore().request == talk.request()
    talk.model, talk.thinking = CATALOGUE.get("claude-opus-4-5"), BUDGET
    assert "thinking" not in talk.restore().request


def test_a_conversation_that_grows_too_big_loses_its_oldest(clock: Clock) -> None:
    talk = Conversation(ThinkingStore(clock, StoreLimits(conversation_bytes=5000)))
    for step in range(9):
        talk.ask(
            user("go") if step == 0 else results(f"c{step - 1}"),
            thought(f"{step}" * 100),
            call(f"c{step}"),
        )
    talk.messages.append(results("c8"))
    kept = [t[0] for t in talk.thoughts()]
    assert kept == ["3", "4", "5", "6", "7", "8"]
    assert talk.store.size <= 5000


def test_the_conversation_used_least_recently_goes_first(clock: Clock) -> None:
    store = ThinkingStore(clock, StoreLimits(total_bytes=7000))
    talks = []
    for number in range(5):
        talk = Conversation(store, principal=f"user {number}")
        talk.ask(user("go"), thought("x" * 500), call("a"))
        talk.messages.append(results("a"))
        talks.append(talk)
        clock.now += 1
        talks[0].restore()
    assert [bool(talk.thoughts()) for talk in talks] == [True, False, True, True, True]
    assert store.size <= 7000


def test_beyond_so_many_answers_the_oldest_of_the_least_used_conversation_goes(
    clock: Clock,
) -> None:
    store = ThinkingStore(clock, StoreLimits(responses=4))
    talks = [Conversation(store, principal=f"user {number}") for number in range(2)]
    for talk in talks:
        for step in range(3):
            message = user("go") if step == 0 else results(f"c{step - 1}")
            talk.ask(message, thought(f"{step}"), call(f"c{step}"))
        talk.messages.append(results("c2"))
        clock.now += 1
    assert len(store) == 4
    assert [[t[0] for t in talk.thoughts()] for talk in talks] == [["2"], ["0", "1", "2"]]


def test_an_answer_too_big_for_any_conversation_is_not_kept(clock: Clock) -> None:
    store = ThinkingStore(clock, StoreLimits(conversation_bytes=2000))
    talk = Conversation(store)
    talk.ask(user("go"), thought("small"), call("a"))
    talk.ask(results("a"), thought("x" * 2000), call("b"))
    talk.messages.append(results("b"))
    assert (talk.thoughts(), len(store)) == ([], 1)


# ------------------------------------------------------------------------------------ without thinking, once refused


def test_retry_has_no_thinking_left(store: ThinkingStore) -> None:
    talk = three_steps(store)
    sent = talk.restore().request
    before = copy.deepcopy(sent)
    retry = strip_thinking(sent)
    assert sent == before
    assert thoughts_in(retry) == []
    assert retry["thinking"] == ADAPTIVE
    assert retry == strip_thinking(retry)


def test_retry_of_a_budgeted_request_does_not_think(store: ThinkingStore) -> None:
    talk = three_steps(store, "claude-opus-4-5")
    assert "thinking" not in strip_thinking(talk.restore().request)


def test_stripping_drops_turns_that_were_only_thinking() -> None:
    request = {"messages": [user("a"), {"role": "assistant", "content": [thought("b")]}, user("c")]}
    assert strip_thinking(request)["messages"] == [user("a"), user("c")]


def test_a_response_without_thinking_takes_about_a_kilobyte(store: ThinkingStore) -> None:
    count, scope = 1000, Scope("me", "subscription", "claude-opus-4-8")
    tracemalloc.start()
    try:
        for number in range(count):
            store.record(
                scope, {"messages": [user(f"{number}?")]}, {"content": [text(f"{number}!")]}
            )
        assert tracemalloc.get_traced_memory()[0] < 1100 * count
    finally:
        tracemalloc.stop()
    assert len(store) == count
