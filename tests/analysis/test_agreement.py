"""When two answers agree."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reconciler.analysis.agreement import agreement, agrees, same_shape, shapes

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
    "a number is no list": (1.0, [1.0], 0.5, False),
    "an object is no list": ({"p": 0.5}, [0.5], 0.5, False),
    "a list is no object": ([0.5], {"p": 0.5}, 0.5, False),
    "an object is no number": ({}, 0, 0.5, False),
    "a number is no object": (0, {}, 0.5, False),
    "one key apart is apart": ({"p": 0.5, "q": 1}, {"p": 0.5, "q": 2}, 0.01, False),
    "a tuple is a list to callers": ((1.0, 2.0), [1.0, 2.0], 0.0, True),
    "a list is a tuple to callers": ([1.0], (1.0,), 0.0, True),
    "the larger of two counts for the tolerance": (100.0, 110.0, 0.095, True),
    "every number is far from infinity": (1e300, math.inf, 1.0, False),
    "integers beyond all doubles agree when equal": (10**400, 10**400, 0.0, True),
    "integers beyond all doubles differ when not": (10**400, 10**400 + 1, 0.5, False),
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


def nested(levels: int, *, objects: bool) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if objects else [value]
    return value


@pytest.mark.parametrize("objects", [True, False])
def test_what_is_nested_deeper_than_any_prediction_agrees_with_nothing(*, objects: bool) -> None:
    assert agrees(nested(31, objects=objects), nested(31, objects=objects), 0.0)
    assert not agrees(nested(32, objects=objects), nested(32, objects=objects), 0.0)


DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]
SHAPES: dict[str, tuple[Any, Any, bool]] = {
    "numbers are of one kind": (1, 2.5, True),
    "NaN is a number": (1, float("nan"), True),
    "true is no number": (1, True, False),
    "text is no number": ("1", 1, False),
    "texts may differ": ("a", "b", True),
    "lists of one length": ([1, "a"], [2, "b"], True),
    "lists of other lengths": ([1], [1, 2], False),
    "lists of other types": ([1, "a"], ["a", 1], False),
    "the same keys": ({"a": 1}, {"a": 2}, True),
    "other keys": ({"a": 1}, {"b": 1}, False),
    "other types below a key": ({"a": 1}, {"a": "1"}, False),
    "a list is no mapping": ([], {}, False),
    "what is too deep has no schema": (DEEP, DEEP, False),
    "one key of several has another type": ({"a": 1, "b": 1}, {"a": 1, "b": "1"}, False),
    "one element of several has another type": ([1, 1], [1, "1"], False),
    "a tuple is a list, as JSON has one alone": ((1,), [1], True),
    "a list is a tuple too": ([1], (1,), True),
    "a mapping is no list": ({}, [], False),
    "a mapping is no number": ({"a": 1}, 1, False),
    "a number is no list": (1, [1], False),
}


@pytest.mark.parametrize("sentence", SHAPES)
def test_two_answers_have_one_schema(sentence: str) -> None:
    answer, reference, same = SHAPES[sentence]
    assert same_shape(answer, reference) is same


CLOSE: dict[str, tuple[Any, Any, float, float, bool]] = {
    "within the absolute one": (0.0, 1e-7, 0.0, 1e-6, True),
    "beyond both": (0.0, 1e-5, 1e-6, 1e-6, False),
    "within the relative one": (1e6, 1e6 + 0.5, 1e-6, 1e-6, True),
    "inside a list": ([0.0], [1e-7], 0.0, 1e-6, True),
    "inside a mapping": ({"a": 0.0}, {"a": 1e-7}, 0.0, 1e-6, True),
    "NaN agrees with nothing": (float("nan"), float("nan"), 1.0, 1.0, False),
}


@pytest.mark.parametrize("sentence", CLOSE)
def test_the_larger_of_two_tolerances_counts(sentence: str) -> None:
    answer, reference, relative, absolute, expected = CLOSE[sentence]
    assert agrees(answer, reference, relative, absolute=absolute) is expected


@pytest.mark.parametrize("objects", [True, False])
def test_a_schema_reaches_as_deep_as_any_prediction(*, objects: bool) -> None:
    assert same_shape(nested(31, objects=objects), nested(31, objects=objects))
    assert not same_shape(nested(32, objects=objects), nested(32, objects=objects))


def test_pairs_are_counted_and_those_that_agree() -> None:
    assert shapes([1, "a", None, [1]], [2, 1, 1, [1, 2]]) == (3, 1)
    assert agreement([0.0, 0.0], [1e-7, 1e-3], 0.0, 1e-6) == (2, 1)
