"""Asking Prometheus of both sides: what is asked, when, and what counts as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.desired.checks import Check
from reconciler.desired.duration import format_duration
from reconciler.ensure.metric_check import _values, measure_metrics
from reconciler.ensure.scene import Scene
from reconciler.errors import Refused, Transient
from reconciler.observed import Measurement, Metered, Side
from reconciler.plan.action import Analyse
from reconciler.ports import Reading
from tests.ensure.stage import in_canary, scene_of

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
ALL = "{{namespace}} {{service}} {{model}} {{version}} {{revision}} {{workload}} {{window}}"
OURS = "models iris iris 2 iris-predictor-00002 iris-predictor-00002-deployment 2m"
THEIRS = "models iris iris 1 iris-predictor-00001 iris-predictor-00001-deployment 2m"


@dataclass(slots=True)
class Answering:
    """Implements ports.Metrics with answers by query; it keeps at which instants and how far back it was asked."""

    answers: Mapping[str, Reading]
    asked: set[tuple[datetime, timedelta]] = field(default_factory=set)

    def value(self, query: str, at: datetime, lookback: timedelta) -> Reading:
        self.asked.add((at, lookback))
        return self.answers.get(query, Reading(0.5))


def check_of(**asked: object) -> Check:
    metrics = {"query": ALL, "max": 0.1, **asked}
    return Check.model_validate({"name": "errors", "prometheus": {k: v for k, v in metrics.items() if v is not None}})


def staged(answers: Mapping[str, Reading] | None = None, lasted: timedelta = HOUR) -> tuple[Scene, Answering]:
    """Let version 2 have 10 % beside version 1, for so long."""
    scene, metrics = scene_of(in_canary()), Answering(answers or {})
    record = scene.facts.rollout
    assert record is not None
    rollout = replace(record, since=scene.systems.clock() - lasted)
    systems, facts = replace(scene.systems, metrics=metrics), replace(scene.facts, rollout=rollout)
    return replace(scene, systems=systems, facts=facts), metrics


def measure(scene: Scene, **asked: object) -> Measurement:
    check, rollout = check_of(**asked), scene.facts.rollout
    assert check.prometheus is not None
    assert rollout is not None
    return measure_metrics(Analyse(rollout.release, 1, check.name), check, check.prometheus, scene)


def sides(measured: Measurement) -> tuple[Metered, Metered]:
    assert measured.metering is not None
    return measured.metering.candidate, measured.metering.stable


def test_both_sides_are_asked_the_same_each_with_its_own_names() -> None:
    scene, _ = staged({OURS: Reading(0.25), THEIRS: Reading(0.125)})
    measured = measure(scene)
    assert sides(measured) == (Metered(OURS, 0.25, None, ""), Metered(THEIRS, 0.125, None, ""))
    assert (measured.check, measured.step, measured.at) == ("errors", 1, scene.systems.clock())
    assert measured.candidate == measured.stable == Side(0, 0)
    assert measured.metering is not None
    assert measured.metering.window_seconds == 120


@pytest.mark.parametrize(("window", "lookback"), [("1m", 2), ("2m", 4), ("2m30s", 5), ("3m", 5), ("1h", 5)])
def test_all_is_asked_at_one_instant_and_no_value_is_older_than_two_windows_or_prometheus_own_limit(
    window: str, lookback: int
) -> None:
    scene, metrics = staged()
    measure(scene, window=window, samples="count")
    assert metrics.asked == {(scene.systems.clock(), timedelta(minutes=lookback))}


TEMPLATE = {"query": None, "template": "error-rate", "flavour": "knative", "max": 0.1}
WINDOWS: dict[str, tuple[dict[str, Any], timedelta, float, float]] = {
    "a template whose window reaches behind the step's begin is cut": (TEMPLATE, 30 * SECOND, 30, 30),
    "to whole seconds": (TEMPLATE, timedelta(seconds=30.9), 30, 30),
    "and never to nothing": (TEMPLATE, timedelta(milliseconds=10), 1, 1),
    "a template has its whole window as soon as the step lasted so long": (TEMPLATE, 120 * SECOND, 120, 120),
    "and no more than that": (TEMPLATE, HOUR, 120, 240),
    "a query of one's own is not cut, as only its author knows what that means": ({}, 125 * SECOND, 120, 125),
    "a clock that went back has no step before its begin": (TEMPLATE, -30 * SECOND, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("sentence", WINDOWS)
def test_how_far_a_measurement_looks_back(sentence: str) -> None:
    changes, lasted, window, lookback = WINDOWS[sentence]
    scene, metrics = staged(lasted=lasted)
    measured = measure(scene, **changes)
    ours, _ = sides(measured)
    assert measured.metering is not None
    assert measured.metering.window_seconds == window
    assert format_duration(timedelta(seconds=window)) in ours.query
    assert {lookback for _, lookback in metrics.asked} == {timedelta(seconds=lookback)}


SAMPLES: dict[str, tuple[Reading, int]] = {
    "a count is rounded down: Prometheus extrapolates": (Reading(19.99), 19),
    "nothing was counted": (Reading(0.0), 0),
    "nobody knows": (Reading(None, "the query finds no series"), 0),
    "less than nothing": (Reading(-3.0), 0),
    "the largest count": (Reading(2.0**31 - 1), 2**31 - 1),
    "more than can be written down": (Reading(2.0**31), 2**31 - 1),
}


@pytest.mark.parametrize("sentence", SAMPLES)
def test_how_many_requests_stand_behind_a_value(sentence: str) -> None:
    counted, samples = SAMPLES[sentence]
    scene, _ = staged({"count iris-predictor-00002": counted, "count iris-predictor-00001": Reading(7.0)})
    ours, theirs = sides(measure(scene, samples="count {{revision}}"))
    assert (ours.samples, theirs.samples) == (samples, 7)
    assert (ours.count_query, theirs.count_query) == ("count iris-predictor-00002", "count iris-predictor-00001")


@dataclass(slots=True)
class Failing:
    """Implements ports.Metrics without an answer to what contains a word."""

    word: str

    def value(self, query: str, at: datetime, lookback: timedelta) -> Reading:
        del at, lookback
        if self.word in query:
            raise Transient("Prometheus answers 503")
        return Reading(0.5)


@pytest.mark.parametrize("word", [OURS, THEIRS, "count iris-predictor-00002", "count iris-predictor-00001"])
def test_a_measurement_that_could_not_be_made_keeps_what_was_asked_and_no_value(word: str) -> None:
    scene, _ = staged()
    scene = replace(scene, systems=replace(scene.systems, metrics=Failing(word)))
    measured = measure(scene, samples="count {{revision}}")
    assert measured.error == "Prometheus answers 503"
    assert sides(measured) == (
        Metered(OURS, None, count_query="count iris-predictor-00002"),
        Metered(THEIRS, None, count_query="count iris-predictor-00001"),
    )


@pytest.mark.parametrize("samples", [{}, {"samples": "count"}])
def test_where_there_is_no_value_the_reason_stands_in_its_place(samples: dict[str, str]) -> None:
    scene, _ = staged({OURS: Reading(None, "the value is NaN")})
    ours, theirs = sides(measure(scene, **samples))
    assert (ours.value, ours.why) == (None, "the value is NaN")
    assert (theirs.value, theirs.why) == (0.5, "")


def test_each_side_is_found_by_its_tag_and_not_by_its_place() -> None:
    scene, _ = staged()
    turned = replace(scene.live(), traffic=tuple(reversed(scene.live().traffic)))
    ours, theirs = sides(measure(replace(scene, facts=replace(scene.facts, live=turned))))
    assert (ours.query, theirs.query) == (OURS, THEIRS)


@pytest.mark.parametrize(("tag", "side"), [("latest", "candidate"), ("prev", "stable version")])
def test_a_side_whose_revision_nobody_tells_is_refused(tag: str, side: str) -> None:
    scene, _ = staged()
    live = replace(scene.live(), traffic=tuple(t for t in scene.live().traffic if t.tag != tag))
    with pytest.raises(Refused, match=f"the route of models/iris does not tell which revision the {side} is"):
        measure(replace(scene, facts=replace(scene.facts, live=live)))


def test_without_prometheus_the_setting_that_is_missing_is_named() -> None:
    scene, _ = staged()
    with pytest.raises(Refused) as refused:
        measure(replace(scene, systems=replace(scene.systems, metrics=None)))
    assert "setting prometheus.url is empty" in refused.value.message
    assert "set prometheus.url to its address" in refused.value.help


def test_without_a_rollout_stables_version_is_left_empty() -> None:
    scene, _ = staged()
    release = scene.facts.rollout.release if scene.facts.rollout else None
    assert release is not None
    check = check_of()
    assert check.prometheus is not None
    gone = replace(scene, facts=replace(scene.facts, rollout=None))
    _, theirs = sides(measure_metrics(Analyse(release, 1, check.name), check, check.prometheus, gone))
    assert theirs.query == THEIRS.replace(" 1 ", "  ")


@pytest.mark.parametrize(("mode", "workload"), [("Knative", "r2-deployment"), ("Standard", "r2")])
def test_a_query_names_the_workload_of_the_mode(mode: str, workload: str) -> None:
    scene, _ = staged()
    asked = check_of().prometheus
    assert asked is not None
    assert _values(scene, replace(scene.live(), mode=mode), asked.window, "r2", 2)["workload"] == workload
