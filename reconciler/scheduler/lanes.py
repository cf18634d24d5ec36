"""The bookkeeping of the work queue, without threads and without a clock: times are seconds, passed in.

A model is in at most one lane, or in work, or neither. Being added while in work makes it dirty: it comes back when
the work is done. Each model has at most one timer.
"""

from __future__ import annotations

import heapq
from enum import IntEnum
from itertools import chain, count

# After so many urgent models in a row one of the others gets its turn, so that events cannot starve the rest.
URGENT_IN_A_ROW = 8
# An event brings a failing model's next attempt forward, but no nearer than this after the failure: what fails may
# cause the very events that wake it.
EVENT_FLOOR = 30.0


class Urgency(IntEnum):
    """How soon a wake-up counts. DEMAND also ends a failing model's wait: somebody changed what is wanted."""

    DEMAND = 0
    EVENT = 1
    ROUTINE = 2


class Lanes:
    """Which models wait for work, which are in work, and which are due later."""

    def __init__(self) -> None:
        self._urgent: dict[str, float] = {}
        self._routine: dict[str, float] = {}
        self._working: dict[str, float] = {}
        self._dirty: dict[str, Urgency] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._held: dict[str, float] = {}
        self._order = count()
        self._in_a_row = 0

    def add(self, name: str, urgency: Urgency, now: float) -> None:
        """Queue a model; once however often it is added. Not while it is held back after a failure."""
        if name in self._working:
            self._dirty[name] = min(urgency, self._dirty.get(name, urgency))
        elif urgency is not Urgency.DEMAND and self._held.get(name, now) > now:
            if urgency is Urgency.EVENT:
                self._set_timer(name, min(self._held[name], self._due.get(name, self._held[name])))
        else:
            self._enqueue(name, urgency, now)

    def take(self, now: float) -> str | None:
        """Return the next model and mark it in work, None when no model is due."""
        self._ripen(now)
        lane = self._next_lane()
        if not lane:
            return None
        name = next(iter(lane))
        del lane[name]
        self._due.pop(name, None)
        self._working[name] = now
        return name

    def done(self, name: str, now: float) -> None:
        """End the work on a model; it is queued again when it was added meanwhile."""
        del self._working[name]
        urgency = self._dirty.pop(name, None)
        if urgency is not None:
            self.add(name, urgency, now)

    def settle(self, name: str, due: float | None) -> None:
        """Set a model's timer after a good step, or clear it."""
        self._held.pop(name, None)
        if due is None:
            self._due.pop(name, None)
        else:
            self._set_timer(name, due)

    def hold(self, name: str, now: float, delay: float, look_again: float | None) -> None:
        """Hold a model back after a failed step; it is due after `delay`, sooner if `look_again` says so."""
        floor = now + min(delay, EVENT_FLOOR)
        self._held[name] = floor
        wanted = now + delay
        self._set_timer(name, wanted if look_again is None else min(wanted, max(look_again, floor)))

    def next_due(self) -> float | None:
        """Return when the next timer ends."""
        self._prune()
        return self._heap[0][0] if self._heap else None

    def depth(self) -> int:
        """Return how many models wait for a worker."""
        return len(self._urgent) + len(self._routine)

    def oldest(self) -> float | None:
        """Return since when the model waits that waits longest."""
        return min(chain(self._urgent.values(), self._routine.values()), default=None)

    def waiting(self) -> int:
        """Return how many models have a timer."""
        return len(self._due)

    def working(self) -> dict[str, float]:
        """Return the models in work, and since when."""
        return dict(self._working)

    def _enqueue(self, name: str, urgency: Urgency, now: float) -> None:
        if name in self._urgent:
            return
        if urgency is Urgency.ROUTINE:
            self._routine.setdefault(name, now)
        else:
            self._urgent[name] = self._routine.pop(name, now)

    def _next_lane(self) -> dict[str, float]:
        if self._urgent and (not self._routine or self._in_a_row < URGENT_IN_A_ROW):
            self._in_a_row += 1
            return self._urgent
        self._in_a_row = 0
        return self._routine

    def _ripen(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, _, name = heapq.heappop(self._heap)
            del self._due[name]
            # A due timer is what the hold was waiting for.
            self.add(name, Urgency.DEMAND, now)

    def _set_timer(self, name: str, due: float) -> None:
        if self._due.get(name) != due:
            self._due[name] = due
            heapq.heappush(self._heap, (due, next(self._order), name))

    def _prune(self) -> None:
        """Drop timers that were replaced or cleared."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
