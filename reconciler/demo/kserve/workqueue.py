"""Keys that want to be looked at, each at most once at a time, now or later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A set of keys with due times; for many adders and one taker."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: K, after: float = 0.0) -> None:
        """Make a key due in `after` seconds, or keep its earlier time."""
        due = self._clock() + after
        with self._changed:
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def take(self) -> K | None:
        """Wait for the next due key; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                key = min(self._due, key=self._due.__getitem__, default=None)
                if key is None:
                    self._changed.wait()
                    continue
                wait = self._due[key] - self._clock()
                if wait <= 0:
                    del self._due[key]
                    return key
                self._changed.wait(wait)
            return None

    def close(self) -> None:
        """Let the taker go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
