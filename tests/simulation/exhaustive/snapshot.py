"""Copy a world with the process in it, so that a run can go on from any of its rounds."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import CellType, FunctionType, MethodType
from typing import Any

from reconciler.ensure.scene import Systems
from reconciler.observed import Known
from tests.simulation.world import World

Memo = dict[int, Any]
Copy = Callable[[Any, Memo], Any]

_LOCK = type(threading.Lock())


def copied(world: World) -> World:
    """Return a world that is equal and shares nothing that changes."""
    made: World = _copy(world, {})
    return made


def _copy(value: Any, memo: Memo) -> Any:
    kind = type(value)
    copy = _COPIES.get(kind)
    if copy is None:
        copy = _COPIES[kind] = _way(kind)
    if copy is _same:
        return value
    known = memo.get(id(value))
    return copy(value, memo) if known is None else known


def _way(kind: type) -> Copy:
    """Frozen values are shared, but for the two that hold what changes."""
    if kind in (Known, Systems):
        return _frozen
    if (is_dataclass(kind) and not kind.__dataclass_params__.frozen) or kind is World:  # type: ignore[attr-defined]  # of every dataclass
        return _object
    return _same


def _same(value: Any, _: Memo) -> Any:
    return value


def _dict(value: dict[Any, Any], memo: Memo) -> dict[Any, Any]:
    made = memo[id(value)] = dict[Any, Any]()
    for key, item in value.items():
        made[key] = _copy(item, memo)
    return made


def _list(value: list[Any], memo: Memo) -> list[Any]:
    made = memo[id(value)] = list[Any]()
    made.extend(_copy(item, memo) for item in value)
    return made


def _set(value: set[Any], memo: Memo) -> set[Any]:
    made = memo[id(value)] = set(value)
    return made


def _tuple(value: tuple[Any, ...], memo: Memo) -> tuple[Any, ...]:
    return tuple([_copy(item, memo) for item in value])


def _lock(value: Any, memo: Memo) -> Any:
    made = memo[id(value)] = threading.Lock()
    return made


def _method(value: MethodType, memo: Memo) -> MethodType:
    return MethodType(value.__func__, _copy(value.__self__, memo))


def _function(value: FunctionType, memo: Memo) -> FunctionType:
    """Copy what a closure holds: a write that lands later must land in its own world."""
    if not value.__closure__:
        return value
    cells = tuple(CellType(_copy(cell.cell_contents, memo)) for cell in value.__closure__)
    made = FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
    made.__kwdefaults__ = value.__kwdefaults__
    memo[id(value)] = made
    return made


def _hash(value: Any, memo: Memo) -> Any:
    made = memo[id(value)] = value.copy()
    return made


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _object(value: Any, memo: Memo) -> Any:
    kind = type(value)
    made = memo[id(value)] = object.__new__(kind)
    for name in vars(value) if kind is World else _names(kind):
        setattr(made, name, _copy(getattr(value, name), memo))
    return made


def _frozen(value: Any, memo: Memo) -> Any:
    made = memo[id(value)] = type(value)(**{n: _copy(getattr(value, n), memo) for n in _names(type(value))})
    return made


_COPIES: dict[type, Copy] = {
    dict: _dict,
    list: _list,
    set: _set,
    tuple: _tuple,
    _LOCK: _lock,
    MethodType: _method,
    FunctionType: _function,
    hashlib.blake2b: _hash,
}
