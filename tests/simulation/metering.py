"""Prometheus as a small state machine: what it scraped of each revision, and the moods in which it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.errors import Refused, Transient
from reconciler.ports import Reading
from tests.simulation.faults import Faults, Kind
from tests.simulation.systems import SimProber

REQUESTS = 200.0
MOODS = ("", "nan", "empty", "error", "refusal")
_SIDE = re.compile(r'namespace_name="([^"]+)",revision_name="(([^"]+)-predictor-[0-9]+)"')
_STANDARD_SIDE = re.compile(
    r'destination_workload_namespace="([^"]+)",destination_workload="(([^"]+?)(?:-v[0-9]+-[0-9a-f]{5})?-predictor)"'
)


@dataclass(slots=True)
class SimMetrics:
    """Implements ports.Metrics for the error rate of Knative or Istio: what a prober sees, Prometheus has counted.

    A revision without traffic has no series. `mood` is how it answers: well, or in one of the ways that prove nothing.
    """

    faults: Faults
    prober: SimProber
    mood: str = ""

    def value(self, query: str, at: datetime, lookback: timedelta) -> Reading:
        assert at.tzinfo is not None
        assert lookback > timedelta()
        side = _SIDE.search(query) or _STANDARD_SIDE.search(query)
        assert side is not None, query
        namespace, revision, name = side[1], side[2], side[3]
        return self.faults.call(f"metrics {name}", lambda: self._answer((namespace, name), revision, query), Kind.READ)

    def next_mood(self) -> None:
        """Answer in the next way."""
        self.mood = MOODS[(MOODS.index(self.mood) + 1) % len(MOODS)]

    def _answer(self, key: tuple[str, str], revision: str, query: str) -> Reading:
        match self.mood:
            case "nan":
                return Reading(None, "the value is NaN")
            case "empty":
                return Reading(None, "the query finds no series")
            case "error":
                raise Transient("Prometheus answers 503")
            case "refusal":
                raise Refused("the query answers 2 series")
        live = self.prober.serving.live.get(key)
        if live is None or not any(share.revision == revision and share.percent for share in live.shares):
            return Reading(None, "the query finds no series")
        if query.startswith("sum(increase("):
            return Reading(REQUESTS)
        fails = self.prober.fails(live.releases.get(revision), live.templates.get(revision, ""))
        return Reading(1.0 if fails else 0.0)
