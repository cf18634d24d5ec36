"""When two answers agree."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reconciler.analysis.agreement import agreement, agrees

CASES: dict[str, tuple[Any, Any, float, bool]] = {
    "equal numbers agree without tolerance": (1.5, 1.5, 0.0, True),
    "an integer agrees with the same float": (1, 1.0, 0.0, True),
    "within the relative tolerance": (100.0, 101.0, 0.01, True),
    "beyond it": (100.0, 102.0, 0.01, False),
    "the order does not matter": (101.0, 100.0, 0.01, True),
    "signs matter": (-1.0, 1.0, 0.5, False),
    "zero agrees with zero": (0, 0.0, 0.0, True),
    "zero agrees with nothing else": (0.0, 1e-9, 0.1, False),
    "NaN agrees with nothing, itself not either": (math.nan, math.nan, 1.0, False),
    "infinity agrees with itself": (math.inf, math.inf, 0.1, True),
    "infinity is far from every number": (math.inf, 1e300, 0.1, False),
    "infinity is far from its negative": (math.inf, -math.inf, 1.0, False),
    "labels agree when equal": ("setosa", "setosa", 0.5, True),
    "labels differ": ("setosa", "virginica", 0.5, False),
    "true is no number": (True, 1, 0.5, False),
    "true agrees with true": (True, True, 0.0, True),
    "a number is no text": (1, "1", 0.5, False),
    "lists agree item by item": ([1.0, "a"], [1.001, "a"], 0.01, True),
    "one item apart is apart": ([1.0, 2.0], [1.0, 3.0], 0.01, False),
    "lists of other lengths differ": ([1.0], [1.0, 1.0], 0.5, False),
    "NaN in a list spoils it": ([math.nan], [math.nan], 0.5, False),
    "objects agree key by key": ({"p": 0.5}, {"p": 0.5001}, 0.01, True),
    "objects with other keys differ": ({"p": 0.5}, {"q": 0.5}, 0.5, False),
    "a list is no number": ([1.0], 1.0, 0.5, False),
}


@pytest.mark.parametrize("case", CASES)
def test_agreement_of_two_answers(case: str) -> None:
    answer, reference, tolerance, expected = CASES[case]
    assert agrees(answer, reference, tolerance) is expected


def test_only_pairs_that_were_both_answered_are_compared() -> None:
    assert agreement([1, None, 3, 4], [1, 2, None, 5], 0.0) == (2, 1)


def test_nothing_to_compare() -> None:
    assert agreement([], [], 0.1) == (0, 0)
    assert agreement([None], [1], 0.1) == (0, 0)
