"""How many answers agree with a reference. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def agreement(
    answers: Sequence[Any], reference: Sequence[Any], tolerance: float, absolute: float = 0.0
) -> tuple[int, int]:
    """Return how many pairs could be compared (both were answered), and how many of them agree."""
    pairs = _pairs(answers, reference)
    return len(pairs), sum(agrees(a, b, tolerance, absolute=absolute) for a, b in pairs)


def shapes(answers: Sequence[Any], reference: Sequence[Any]) -> tuple[int, int]:
    """Return how many pairs could be compared, and how many of them have one schema."""
    pairs = _pairs(answers, reference)
    return len(pairs), sum(same_shape(a, b) for a, b in pairs)


def _pairs(answers: Sequence[Any], reference: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(a, b) for a, b in zip(answers, reference, strict=False) if a is not None and b is not None]


# Deeper than any prediction; what servers answer may be nested as deeply as JSON can be read.
_DEEPEST = 32


def agrees(answer: Any, reference: Any, tolerance: float, depth: int = _DEEPEST, *, absolute: float = 0.0) -> bool:
    """Compare two plain values: numbers by their difference, the rest by equality; NaN agrees with nothing.

    A difference may be as large as `tolerance` of the larger number, or as `absolute`.

    What is nested too deeply agrees with nothing either.
    """
    if not depth:
        return False
    if _is_number(answer) and _is_number(reference):
        return _close(answer, reference, tolerance, absolute)
    if isinstance(answer, dict) and isinstance(reference, dict):
        same_keys = answer.keys() == reference.keys()
        return same_keys and all(
            agrees(answer[k], reference[k], tolerance, depth - 1, absolute=absolute) for k in answer
        )
    if isinstance(answer, list | tuple) and isinstance(reference, list | tuple):
        same_length = len(answer) == len(reference)
        return same_length and all(
            agrees(a, b, tolerance, depth - 1, absolute=absolute) for a, b in zip(answer, reference, strict=True)
        )
    return type(answer) is type(reference) and bool(answer == reference)


def same_shape(answer: Any, reference: Any, depth: int = _DEEPEST) -> bool:
    """Tell whether two plain values have the same JSON types, keys and lengths; 1 and 1.5 are both numbers."""
    if not depth:
        return False
    if _is_number(answer) and _is_number(reference):
        return True
    if isinstance(answer, dict) and isinstance(reference, dict):
        same_keys = answer.keys() == reference.keys()
        return same_keys and all(same_shape(answer[k], reference[k], depth - 1) for k in answer)
    if isinstance(answer, list | tuple) and isinstance(reference, list | tuple):
        same_length = len(answer) == len(reference)
        return same_length and all(same_shape(a, b, depth - 1) for a, b in zip(answer, reference, strict=True))
    return type(answer) is type(reference)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(a: float, b: float, tolerance: float, absolute: float) -> bool:
    try:
        a, b = float(a), float(b)
    except OverflowError:  # an integer beyond all doubles
        return a == b
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b
    return abs(a - b) <= max(absolute, tolerance * max(abs(a), abs(b)))
