"""How long failing models wait."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.errors import Conflict, ReconcilerError, Refused, Terminal, Transient, UnknownOutcome
from reconciler.scheduler.backoff import Backoff

SECOND, CAP = timedelta(seconds=1), timedelta(seconds=60)


def _highest(low: float, high: float) -> float:
    return max(low, high)


def _lowest(low: float, high: float) -> float:
    return min(low, high)


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(SECOND, CAP, _highest)
    assert [backoff.failed("iris", None) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_thousands_of_failures_do_not_overflow() -> None:
    backoff = Backoff(SECOND, CAP, _highest)
    assert {backoff.failed("iris", None) for _ in range(5000)} <= {1, 2, 4, 8, 16, 32, 60}


def test_the_jitter_is_full() -> None:
    backoff = Backoff(SECOND, CAP, _lowest)
    assert [backoff.failed("iris", None) for _ in range(8)] == [0] * 8


def test_only_success_resets_and_only_for_that_model() -> None:
    backoff = Backoff(SECOND, CAP, _highest)
    for _ in range(3):
        backoff.failed("iris", None)
        backoff.failed("churn", None)
    backoff.succeeded("iris")
    assert (backoff.failures("iris"), backoff.failed("iris", None)) == (0, 1)
    assert backoff.failed("churn", None) == 8


def test_the_other_sides_wish_is_respected() -> None:
    backoff = Backoff(SECOND, CAP, _highest)
    assert backoff.failed("iris", Transient("busy", retry_after=17)) == 17


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Transient("lost"), 1),
        (UnknownOutcome("answer lost"), 1),
        (Conflict("changed meanwhile"), 1),
        (Refused("no such runtime"), 60),
        (Terminal("not possible"), 60),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ReconcilerError) else "",
)
def test_what_trying_again_cannot_help_waits_longest(error: ReconcilerError, expected: float) -> None:
    assert Backoff(SECOND, CAP, _highest).failed("iris", error) == expected
