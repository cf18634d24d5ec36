"""Work that may never end: one attempt at a time, nobody waits longer than is allowed, and it can be tried again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from reconciler.systems import impatience
from reconciler.systems.impatience import Impatient


@dataclass
class Work:
    """Work that ends when the test lets it."""

    begun: int = 0
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        assert self.go.wait(30)
        return number


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go.set()


def holds(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_what_comes_of_the_work_is_returned_or_raised_each_time_anew(work: Work) -> None:
    work.go.set()
    ask = Impatient(work, 20)
    assert (ask(), ask()) == (1, 2)

    def fail() -> None:
        raise ValueError("no such user")

    with pytest.raises(ValueError, match="no such user"):
        Impatient(fail, 20)()


def test_who_asks_meanwhile_gets_the_same_answer(work: Work) -> None:
    ask = Impatient(work, 20)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        assert holds(lambda: ask._attempt is not None and len(ask._attempt.future._waiters) == 4)
        work.go.set()
        assert [future.result() for future in asked] == [1] * 4


def test_nobody_waits_longer_and_the_next_do_not_wait_at_all_until_it_ended(work: Work) -> None:
    ask = Impatient(work, 1)
    with pytest.raises(TimeoutError, match="did not end within 1 s"):
        ask()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            ask()
    assert work.begun == 1, "no second attempt beside one that hangs"
    first = ask._attempt
    assert first is not None
    work.go.set()
    assert holds(first.future.done)
    assert ask() == 2


def test_after_a_long_pause_another_attempt_is_made_beside_one_that_hangs(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impatience, "PAUSE_SECONDS", 0.0)
    ask = Impatient(work, 0.05)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            ask()
    assert work.begun == 2
