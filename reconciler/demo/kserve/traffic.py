"""Counts of what the ingress forwarded, per route and revision, and how much of it was recent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.demo.kserve.names import Json

WINDOW_SECONDS = 10.0


@dataclass(slots=True)
class Tally:
    """Requests of one revision through one route."""

    total: int = 0
    failed: int = 0
    recent: deque[float] = field(default_factory=deque)


class Traffic:
    """All tallies; for use by one thread at a time, apart from `report`, which may lag by a request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tallies: dict[str, dict[str, Tally]] = {}

    def count(self, route: str, revision: str, status: int) -> None:
        """Count one answered request; 5xx, and 503 for no answer at all, is a failure."""
        now = self._clock()
        tally = self._tallies.setdefault(route, {}).setdefault(revision, Tally())
        tally.total += 1
        tally.failed += status >= 500
        tally.recent.append(now)
        _forget_before(tally.recent, now - WINDOW_SECONDS)

    def report(self) -> Json:
        """Write totals, failures and the observed share of the last ten seconds."""
        since = self._clock() - WINDOW_SECONDS
        return {route: _route(tallies, since) for route, tallies in list(self._tallies.items())}


def _route(tallies: dict[str, Tally], since: float) -> Json:
    recent = {name: sum(at >= since for at in list(tally.recent)) for name, tally in list(tallies.items())}
    everything = sum(recent.values())
    return {
        name: {
            "total": tallies[name].total,
            "failed": tallies[name].failed,
            "recent": count,
            "share": round(100 * count / everything, 1) if everything else 0.0,
        }
        for name, count in recent.items()
    }


def _forget_before(times: deque[float], since: float) -> None:
    while times and times[0] < since:
        times.popleft()
