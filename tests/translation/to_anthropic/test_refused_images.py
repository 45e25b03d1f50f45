"""Images that Anthropic refuses in the history."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from addon.translation.to_anthropic.refused_images import without_refused_images
from tests.translation.asking import assistant, text, tr, tu, user


def image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": ""},
}
NO_IMAGE, NO_PDF = (
    text("[image that could not be processed]"),
    text("[document that could not be processed]"),
)
HISTORY = [
    user(image("a"), "x"),
    assistant(tu("c1")),
    user(tr("c1", [text("r"), image("b")]), PDF),
    assistant("y"),
    user(image("c"), "z"),
]
UNNAMED = "Could not process image"


def place(path: str) -> str:
    return f"messages.{path}.source.base64.data: At least one of the image dimensions exceed max allowed size"


REFUSED = {
    "the first": (place("0.content.0.image"), [("0.0", NO_IMAGE)]),
    "in a result": (place("2.content.0.tool_result.content.1.image"), [("2.0.1", NO_IMAGE)]),
    "a document": (place("2.content.1.pdf"), [("2.1", NO_PDF)]),
    "one without a name": (UNNAMED, [("0.0", NO_IMAGE), ("2.0.1", NO_IMAGE), ("2.1", NO_PDF)]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_left_out_of_the_history(case: str) -> None:
    refusal, gone = REFUSED[case]
    before = copy.deepcopy(HISTORY)
    made = without_refused_images(
        {"messages": HISTORY}, {"messages": HISTORY}, refusal, every=False
    )
    expected: Any = copy.deepcopy(HISTORY)
    for path, block in gone:
        *holders, last = map(int, path.split("."))
        inner: Any = expected
        for step in holders:
            inner = inner[step]["content"]
        inner[last] = block
    assert made == {"messages": expected}
    assert before == HISTORY


def test_after_a_second_refusal_all_go() -> None:
    first, *_ = REFUSED.values()
    made = without_refused_images(
        {"messages": HISTORY}, {"messages": HISTORY}, first[0], every=True
    )
    assert made is not None and str(made).count("could not be processed") == 3
    assert made["messages"][-1] is HISTORY[-1]


@pytest.mark.parametrize(
    "refusal",
    [
        place("4.content.0.image"),
        place("9.content.0.image"),
        "messages.0.content.0.text.text: Input should be a valid string",
        "max_tokens: Field required",
    ],
)
def test_what_is_new_or_something_else_stays(refusal: str) -> None:
    request = {"messages": HISTORY}
    assert without_refused_images(request, request, refusal, every=False) is None


def test_a_history_without_images_stays() -> None:
    request = {"messages": [user("a"), assistant("b"), user(image("c"))]}
    assert without_refused_images(request, request, UNNAMED, every=False) is None
    request = {"messages": [user(image("c"))]}
    assert without_refused_images(request, request, UNNAMED, every=True) is None
