"""How long a failing model waits before it is tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from reconciler.errors import Conflict, ReconcilerError, Terminal, Transient

Uniform = Callable[[float, float], float]
"""Returns a random number between two bounds, such as `random.uniform`."""


class Backoff:
    """Capped exponential backoff with full jitter, a count of failures per model; only success resets it."""

    def __init__(self, minimum: timedelta, maximum: timedelta, uniform: Uniform) -> None:
        self._minimum = minimum.total_seconds()
        self._maximum = max(maximum, minimum).total_seconds()
        self._uniform = uniform
        self._failures: dict[str, int] = {}
        self._lock = Lock()

    def failed(self, name: str, error: ReconcilerError | None) -> float:
        """Count a failure and return the seconds to wait; `error` None stands for an error nobody expected."""
        with self._lock:
            count = self._failures[name] = self._failures.get(name, 0) + 1
        if isinstance(error, Terminal) and not isinstance(error, Conflict):
            # Somebody has to change something, and that wakes the model: trying meanwhile is only a safety net.
            return self._uniform(self._maximum / 2, self._maximum)
        # The exponent is capped before the power, which would overflow after a thousand failures.
        ceiling = min(self._maximum, self._minimum * 2 ** min(count - 1, 60))
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(self._uniform(0, ceiling), asked or 0.0)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a model."""
        with self._lock:
            self._failures.pop(name, None)

    def failures(self, name: str) -> int:
        """Return how often the model failed since it last succeeded."""
        return self._failures.get(name, 0)
