from __future__ import annotations

from collections.abc import Callable

import pytest

from addon.core.lru import Lru


def filled() -> Lru[str, int]:
    lru: Lru[str, int] = Lru(3)
    for number, key in enumerate("abc"):
        lru.put(key, number)
    return lru


@pytest.mark.parametrize(
    "use",
    [
        lambda lru: lru.get("a"),
        lambda lru: lru.many(["x", "a"]),
        lambda lru: lru.first(["x", "a", "b"]),
        lambda lru: lru.put("a", 7),
    ],
    ids=["get", "many", "first", "put"],
)
def test_what_is_used_stays_and_the_rest_goes_first(use: Callable[[Lru[str, int]], object]):
    lru = filled()
    use(lru)
    lru.put("d", 3)
    assert [key for key, _ in lru.items()] == ["c", "a", "d"]


def test_many_gives_what_is_known_in_the_order_asked():
    assert filled().many(["c", "x", "a", "c"]) == [2, None, 0, 2]


def test_first_gives_the_first_that_is_known():
    assert filled().first(["x", "c", "a"]) == 2
    assert filled().first(["x", "y"]) is None
    assert filled().first([]) is None
