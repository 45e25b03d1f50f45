"""Values that don't change behave as the dataclasses that they are for the type checker."""

from __future__ import annotations

import copy
from dataclasses import field, replace

import pytest

from addon.core.frozen import frozen


@frozen
class Point:
    x: int
    y: int = 0
    label: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)


@frozen(kw_only=True)
class Named(Point):
    name: str


@frozen
class Spoken:
    word: str

    def __repr__(self) -> str:
        return self.word


@frozen
class Empty:
    pass


def test_values_are_equal_and_found_by_their_fields() -> None:
    assert Point(1, label="a") == Point(1, label="b") != Point(2)
    assert hash(Point(1, label="a")) == hash(Point(1, label="b"))
    assert Point(1, secret="a") != Point(1)
    assert {Point(1): "found"}[Point(1)] == "found"
    assert Empty() == Empty()
    assert Point(1) != (1, 0) != Empty()


def test_a_subclass_has_the_fields_of_both_and_is_another_value() -> None:
    assert Named(1, name="a") == Named(1, name="a") != Named(1, name="b")
    assert Point(1) != Named(1, name="a") != Point(1)


def test_it_is_shown_as_a_dataclass_is_without_what_is_secret() -> None:
    assert repr(Point(1, secret="hush")) == "Point(x=1, y=0, label='')"
    assert repr(Spoken("so")) == "so"


def test_it_is_copied_and_has_no_other_fields() -> None:
    point = Point(1)
    assert replace(point, y=2) == Point(1, 2)
    assert copy.deepcopy(point) == point
    with pytest.raises(AttributeError):
        point.z = 1  # type: ignore[attr-defined]
