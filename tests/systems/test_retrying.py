"""When a read is tried again, how long it waits, and when it gives up: on a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from reconciler.errors import ReconcilerError, Refused, Transient, UnknownOutcome
from reconciler.systems import retrying
from reconciler.systems.retrying import Pauses


class OverError(Transient):
    """A kind that does not pass."""


@dataclass
class Time:
    """A clock that only sleeping moves; jitter takes the share that a test says."""

    now: float = 0.0
    share: float = 1.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    @property
    def pauses(self) -> Pauses:
        return Pauses(lambda: self.now, self.sleep, lambda low, high: low + (high - low) * self.share)


def attempt(time: Time, *outcomes: ReconcilerError | str, ends: float = 30.0) -> tuple[str, int]:
    """Read with these outcomes; return what came of it, and how many were used."""
    left: Iterator[ReconcilerError | str] = iter(outcomes)
    sent = []

    def send() -> str:
        outcome = next(left)
        sent.append(outcome)
        if isinstance(outcome, ReconcilerError):
            raise outcome
        return outcome

    try:
        return retrying.read(send, ends, time.pauses, (OverError,)), len(sent)
    except ReconcilerError as error:
        return error.message, len(sent)


BROKEN = Transient("broken")
CASES: dict[str, tuple[tuple[ReconcilerError | str, ...], tuple[str, int], list[float]]] = {
    "an answer is an answer": (("well",), ("well", 1), []),
    "what passes is tried again": ((BROKEN, "well"), ("well", 2), [0.2]),
    "pauses grow, and attempts are bounded": ((BROKEN, BROKEN, BROKEN, "well"), ("broken", 3), [0.2, 0.4]),
    "a refusal is final": ((Refused("no"), "well"), ("no", 1), []),
    "an unknown outcome is nobody's to repeat": ((UnknownOutcome("lost"), "well"), ("lost", 1), []),
    "some kinds do not pass": ((OverError("over"), "well"), ("over", 1), []),
    "a short pause that the server asks for is made": (
        (Transient("wait", retry_after=1.5), "well"),
        ("well", 2),
        [1.7],
    ),
    "a long pause is left to the loop": ((Transient("wait", retry_after=17), "well"), ("wait", 1), []),
}


@pytest.mark.parametrize("case", CASES)
def test_reading_again(case: str) -> None:
    outcomes, expected, slept = CASES[case]
    time = Time()
    assert attempt(time, *outcomes) == expected
    assert time.slept == slept


def test_the_pause_is_chosen_between_nothing_and_its_ceiling() -> None:
    time = Time(share=0.0)
    attempt(time, BROKEN, BROKEN, "well")
    assert time.slept == [0.0, 0.0]


@pytest.mark.parametrize(("ends", "attempts"), [(0.5, 1), (1.25, 2), (5.0, 3)])
def test_no_attempt_begins_that_the_deadline_would_not_let_end(ends: float, attempts: int) -> None:
    assert attempt(Time(), BROKEN, BROKEN, BROKEN, ends=ends) == ("broken", attempts)
