from __future__ import annotations

import pytest

from addon.claude.digest import fingerprint_of
from addon.context.summary_memory import Summary
from addon.context.tokens.estimate import Sizes, estimate
from addon.context.tokens.measure import Size
from addon.context.view import Conversation, apply_summary
from tests.context.builders import NEW, call, result, text

MESSAGES = [
    text("user", "go"),
    *(m for at in range(12) for m in (call(f"t{at}"), result(f"t{at}", "ok"))),
]


def conversation(count: int = 25) -> Conversation:
    request = {"messages": MESSAGES[:count]}
    none = [Size() for _ in range(count)]
    sizes = Sizes(Size(), Size(), none, [0] * count, overhead=0, family="new", rough=False)
    return Conversation(request, NEW, fingerprint_of(request), estimate(sizes, 1.0, "prior", None))


@pytest.mark.parametrize(
    ("start", "end", "can_take"),
    [(3, 15, True), (3, 13, True), (3, 17, False), (4, 15, False), (3, 14, False)],
    ids=[
        "up-to-the-last-ten",
        "less",
        "into-the-last-ten",
        "start-splits-a-pair",
        "end-splits-a-pair",
    ],
)
def test_where_a_summary_can_stand(start: int, end: int, can_take: bool):
    assert conversation().can_take(Summary(id="0" * 32, start=start, end=end, text="s")) is can_take


def test_a_view_maps_back_to_the_chat():
    whole = conversation()
    view = apply_summary(whole, Summary(id="0" * 32, start=3, end=11, text="s"))
    shown = view.request["messages"]
    assert shown[view.covered] == whole.messages[view.covered + view.shift] == whole.messages[11]
    assert view.fingerprint == fingerprint_of(view.request)
    assert whole.key == conversation(14).key
