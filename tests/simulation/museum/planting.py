"""Put a bug into the real code while a run lasts, in every module that took the name over, and take it out again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Any

# The simulated systems call this code in the product's place; what judges a run keeps the sound one.
ALSO = ("tests.simulation.registry",)


class Place(StrEnum):
    """The world in which a bug shows: one of ports, or one with a real adapter in it."""

    PORTS = "ports"
    KUBERNETES = "kubernetes"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Patch:
    """Replaces one function, constant or method: `make` is given the sound one."""

    home: ModuleType | type
    name: str
    make: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bug:
    """`what` says what is wrong, `trips` names the promises of the design, any of which it may break first."""

    name: str
    what: str
    trips: str
    patches: tuple[Patch, ...]
    place: Place = Place.PORTS


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Let the code have this bug."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for patch in bug.patches:
            sound = getattr(patch.home, patch.name)
            broken = patch.make(sound)
            for home, name in _places(patch, sound):
                undo.append((home, name, sound))
                setattr(home, name, broken)
        yield
    finally:
        for home, name, sound in reversed(undo):
            setattr(home, name, sound)


def _places(patch: Patch, sound: object) -> list[tuple[Any, str]]:
    """Return every place that holds what is replaced; a method or a plain constant has only one."""
    if isinstance(patch.home, type) or not callable(sound):
        return [(patch.home, patch.name)]
    modules = [m for name, m in sys.modules.items() if name.startswith("reconciler.") or name in ALSO]
    return [(m, name) for m in modules for name, value in list(vars(m).items()) if value is sound]
