"""The work queue: one entry a model, safe to use from any thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition

from reconciler.scheduler.lanes import Lanes, Urgency

Monotonic = Callable[[], float]
"""Returns seconds that never go back, such as `time.monotonic`."""


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How the queue stands: ages in seconds; `working` maps models in work to how long they have been."""

    depth: int
    oldest_age: float
    waiting: int
    working: dict[str, float]


class WorkQueue:
    """Hands each model to one worker at a time; what is added during work comes back afterwards."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._lanes = Lanes()
        self._changed = Condition()
        self._closed = False

    def add(self, name: str, urgency: Urgency) -> None:
        """Queue a model, unless it is queued already. Ignored once the queue is closed."""
        with self._changed:
            if not self._closed:
                self._lanes.add(name, urgency, self._monotonic())
                self._changed.notify()

    def take(self) -> str | None:
        """Wait for a model that is due and mark it in work; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                now = self._monotonic()
                name = self._lanes.take(now)
                if name is not None:
                    return name
                due = self._lanes.next_due()
                self._changed.wait(None if due is None else max(due - now, 0.0))
            return None

    def settle(self, name: str, delay: float | None) -> None:
        """After a good step: look again after `delay` seconds; None clears the timer."""
        with self._changed:
            self._lanes.settle(name, None if delay is None else self._monotonic() + max(delay, 0.0))
            self._changed.notify()

    def hold(self, name: str, delay: float, look_again: float | None) -> None:
        """After a failed step: try again after `delay` seconds, or after `look_again` if that is sooner."""
        with self._changed:
            now = self._monotonic()
            self._lanes.hold(name, now, delay, None if look_again is None else now + look_again)
            self._changed.notify()

    def done(self, name: str) -> None:
        """End the work on a model."""
        with self._changed:
            self._lanes.done(name, self._monotonic())
            self._changed.notify()

    def close(self) -> None:
        """Hand out nothing more; every waiting `take` returns None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def figures(self) -> QueueFigures:
        """Return how the queue stands."""
        with self._changed:
            now = self._monotonic()
            oldest = self._lanes.oldest()
            return QueueFigures(
                depth=self._lanes.depth(),
                oldest_age=0.0 if oldest is None else now - oldest,
                waiting=self._lanes.waiting(),
                working={name: now - since for name, since in self._lanes.working().items()},
            )
