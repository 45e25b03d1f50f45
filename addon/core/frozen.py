"""Values that don't change: dataclasses that are quick to define and to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, dataclass_transform, overload


@overload
def frozen[T](cls: type[T], /) -> type[T]: ...
@overload
def frozen[T](*, kw_only: bool = False, slots: bool = True) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False, slots: bool = True) -> Any:
    """`dataclass(frozen=True, slots=True)` for the type checker, which alone sees to it that nothing is assigned.

    `dataclass` writes and compiles six methods for each such class, 0.34 ms, and over a hundred are defined at the
    start. Here it writes `__init__` alone, 0.1 ms, which assigns and so takes half the time as well. With
    `slots=False` it may have cached properties."""

    def define(plain: type[Any]) -> type[Any]:
        made = dataclass(plain, eq=False, repr=False, slots=slots, kw_only=kw_only)
        for method in (*_equality(made), _representation(made)):
            if method.__name__ not in plain.__dict__:
                setattr(made, method.__name__, method)
        return made

    return define if cls is None else define(cls)


def _equality(cls: type[Any]) -> tuple[Callable[..., Any], ...]:
    values = attrgetter("__class__", *(each.name for each in fields(cls) if each.compare))

    def __eq__(self: object, other: object) -> bool:
        return values(self) == values(other) if type(other) is cls else NotImplemented

    def __hash__(self: object) -> int:
        return hash(values(self))

    return __eq__, __hash__


def _representation(cls: type[Any]) -> Callable[..., Any]:
    shown = [each.name for each in fields(cls) if each.repr]

    def __repr__(self: object) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__qualname__}({values})"

    return __repr__
