"""Ask Prometheus the same of candidate and stable, at one instant."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.desired.checks import SHORTEST, Check, PrometheusCheck
from reconciler.desired.duration import format_duration
from reconciler.desired.queries import resolve
from reconciler.ensure.scene import Scene
from reconciler.ensure.sides import candidate_target
from reconciler.errors import ReconcilerError, Refused
from reconciler.observed import InferenceService, Measurement, Metered, Metering, Side, TrafficTarget
from reconciler.plan.action import Analyse
from reconciler.plan.facts import previous_target
from reconciler.ports import Metrics, Reading

# Prometheus by itself looks back this far for a value that has not been scraped since.
LONGEST_LOOKBACK = timedelta(minutes=5)
NOTHING = Side(0, 0)


@dataclass(frozen=True, slots=True)
class _Instant:
    """When all queries of a measurement are evaluated, and how old a value may be."""

    metrics: Metrics
    at: datetime
    lookback: timedelta
    before_each: Callable[[], None]

    def value(self, query: str) -> Reading:
        """Ask, unless something ended the measurement."""
        self.before_each()
        return self.metrics.value(query, self.at, self.lookback)


def measure_metrics(action: Analyse, check: Check, asked: PrometheusCheck, scene: Scene) -> Measurement:
    """Ask for the values of both sides, and how many requests stand behind them."""
    metrics = scene.systems.metrics
    if metrics is None:
        raise Refused(NO_PROMETHEUS, help=SET_URL)
    live, now = scene.live(), scene.systems.clock()
    window = _window(asked, scene, now)
    instant = _Instant(metrics, now, _lookback(asked, scene, now), scene.unless_aborted)
    candidate = _revision(live, candidate_target(scene), "candidate")
    stable = _revision(live, previous_target(live), "stable version")
    rollout = scene.facts.rollout
    serving = rollout.stable.version if rollout else None
    ours = _asked(asked, _values(scene, live, window, candidate, action.release.version))
    theirs = _asked(asked, _values(scene, live, window, stable, serving))
    unanswered = Metering(ours, theirs, window.total_seconds())
    made = Measurement(check.name, action.release, action.step, now, NOTHING, NOTHING, metering=unanswered)
    try:
        metering = replace(unanswered, candidate=_answered(instant, ours), stable=_answered(instant, theirs))
    except ReconcilerError as error:
        return replace(made, error=error.message)  # with what was asked
    return replace(made, metering=metering)


def _lasted(scene: Scene, now: datetime) -> timedelta | None:
    """Return how long the step has lasted, in whole seconds; None where no rollout is on record."""
    rollout = scene.facts.rollout
    if rollout is None:
        return None
    return max(timedelta(seconds=math.floor((now - rollout.since).total_seconds())), SHORTEST)


def _window(asked: PrometheusCheck, scene: Scene, now: datetime) -> timedelta:
    """Return the window, cut to what has passed of the step where a shorter one means the same."""
    lasted = _lasted(scene, now)
    return asked.window if lasted is None else min(asked.window, max(asked.first_window, lasted))


def _lookback(asked: PrometheusCheck, scene: Scene, now: datetime) -> timedelta:
    """Return how old a value may be that was not scraped since; one from before the step is none of it."""
    lasted = _lasted(scene, now)
    longest = min(LONGEST_LOOKBACK, 2 * asked.window)
    return longest if lasted is None else min(longest, lasted)


NO_PROMETHEUS = "there is no Prometheus to ask: setting prometheus.url is empty"
SET_URL = "set prometheus.url to its address, or take the prometheus checks out of the spec"


def _revision(live: InferenceService, target: TrafficTarget | None, side: str) -> str:
    if target is None:
        raise Refused(f"the route of {live.namespace}/{live.name} does not tell which revision the {side} is")
    return target.revision


def _values(
    scene: Scene, live: InferenceService, window: timedelta, revision: str, version: int | None
) -> dict[str, str]:
    return {
        "namespace": live.namespace,
        "service": live.name,
        "model": scene.name,
        "version": "" if version is None else str(version),
        "revision": revision,
        "workload": revision if live.standard else f"{revision}-deployment",
        "window": format_duration(window),
    }


def _asked(asked: PrometheusCheck, values: dict[str, str]) -> Metered:
    """Fill in what a side is asked."""
    count = "" if asked.count_query is None else resolve(asked.count_query, values)
    return Metered(resolve(asked.value_query, values), None, count_query=count)


def _answered(instant: _Instant, side: Metered) -> Metered:
    reading = instant.value(side.query)
    if not side.count_query:
        return replace(side, value=reading.value, why=reading.why)
    counted = instant.value(side.count_query)
    # Prometheus extrapolates a count to the ends of the window: it is no whole number.
    samples = math.floor(counted.value) if counted.value is not None else 0
    return replace(side, value=reading.value, samples=max(0, min(samples, 2**31 - 1)), why=reading.why)
