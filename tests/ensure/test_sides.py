"""Who is measured as the candidate: never a revision that is not its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.ensure.scene import Scene
from reconciler.ensure.sides import candidate_target
from reconciler.errors import Refused
from reconciler.observed import STANDARD, InferenceService
from tests.ensure.stage import in_canary, scene_of, wanting
from tests.ensure.test_analysis import analyse, checks
from tests.ensure.test_job_check import measure as measure_by_job
from tests.ensure.test_metric_check import measure as measure_by_query
from tests.ensure.test_metric_check import staged

STABLE, CANDIDATE = "iris-predictor-00001", "iris-predictor-00002"
STILL = f"the route of models/iris still takes {STABLE} for the candidate"


def seeing(scene: Scene, **changes: Any) -> Scene:
    return replace(scene, facts=replace(scene.facts, live=replace(scene.live(), **changes)))


def lagging(scene: Scene) -> Scene:
    """Let the status name the candidate as ready, and the route resolve its side to stable still."""
    return seeing(scene, traffic=_resolved(scene.live(), STABLE))


def _resolved(live: InferenceService, revision: str) -> Any:
    return tuple(replace(t, revision=revision) if t.tag == "latest" else t for t in live.traffic)


def test_the_candidates_side_is_the_one_tagged_latest() -> None:
    target = candidate_target(scene_of(in_canary()))
    assert target is not None
    assert (target.revision, target.tag) == (CANDIDATE, "latest")


def test_a_route_that_has_no_side_for_it_tells_none() -> None:
    assert candidate_target(seeing(scene_of(in_canary()), traffic=())) is None


def test_what_is_recorded_as_stable_is_no_candidate_whatever_is_called_the_newest() -> None:
    scene = lagging(scene_of(in_canary()))
    for named in ({"latest_created": STABLE}, {"latest_created": STABLE, "mode": STANDARD}):
        with pytest.raises(Refused, match=STILL):
            candidate_target(seeing(scene, **named))


def test_without_a_rollout_on_record_the_newest_revision_is_taken() -> None:
    scene = scene_of(in_canary())
    bare = replace(scene, facts=replace(scene.facts, rollout=None))
    assert candidate_target(bare) is not None
    with pytest.raises(Refused, match=STILL):
        candidate_target(lagging(bare))


def test_a_revision_that_is_neither_is_no_candidate() -> None:
    scene = scene_of(in_canary())
    with pytest.raises(Refused, match="still takes iris-predictor-00009 for the candidate"):
        candidate_target(seeing(scene, traffic=_resolved(scene.live(), "iris-predictor-00009")))


def test_a_probe_of_it_is_an_error_and_no_measurement() -> None:
    measured = analyse(wanting(lagging(scene_of(in_canary())), None, **checks()))
    assert STILL in str(measured.error)
    assert measured.candidate.requests == 0


def test_a_query_about_it_is_refused() -> None:
    scene, metrics = staged()
    with pytest.raises(Refused, match=STILL):
        measure_by_query(lagging(scene))
    assert not metrics.asked


def test_a_job_against_it_is_not_begun() -> None:
    made = in_canary()
    with pytest.raises(Refused, match=STILL):
        measure_by_job(lagging(scene_of(made)))
    assert not made.jobs.there
