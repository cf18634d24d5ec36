"""The one policy for trying again: reads only, within the caller's deadline, with full jitter and the server's pauses.

A write is sent once, by every adapter: what became of it is known by observing, and the next pass does what is missing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying

from reconciler.errors import Transient

T = TypeVar("T")
ATTEMPTS = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
# With less time left, an answer to another attempt is not to be expected.
LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """How time is told and waited for, in seconds, and how a pause is chosen between two bounds."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    jitter: Callable[[float, float], float]


REAL = Pauses(time.monotonic, time.sleep, random.Random().uniform)  # noqa: S311  jitter


def read(send: Callable[[], T], ends: float, pauses: Pauses, final: tuple[type[Transient], ...] = ()) -> T:
    """Send what is safe to repeat until it is answered; `ends` is when the last answer must have come.

    Raises what the last attempt raised: Transient other than the `final` kinds is tried again. A pause that the server
    asks for is made here while it is short; the loop, which has other things to do meanwhile, makes the long ones.
    """
    return Retrying(
        sleep=pauses.sleep,
        stop=lambda state: (
            state.attempt_number >= ATTEMPTS or pauses.clock() + state.upcoming_sleep + LEAST_SECONDS > ends
        ),
        retry=lambda state: _may_pass(_error(state), final),
        wait=lambda state: _pause(state, pauses),
        reraise=True,
    )(send)


def _may_pass(error: BaseException | None, final: tuple[type[Transient], ...]) -> bool:
    return isinstance(error, Transient) and not isinstance(error, final) and (error.retry_after or 0) <= LONGEST_PAUSE


def _pause(state: RetryCallState, pauses: Pauses) -> float:
    error = _error(state)
    asked = error.retry_after if isinstance(error, Transient) else None
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (state.attempt_number - 1))
    return pauses.jitter(0.0, ceiling) + (asked or 0.0)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
