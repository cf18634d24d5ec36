"""Running a Job for a check: what it is given, how it is called, and when another one begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.desired.checks import Check
from reconciler.desired.question import question_of
from reconciler.ensure.job_check import measure_job
from reconciler.ensure.scene import Scene
from reconciler.errors import Refused
from reconciler.observed import JobRun, Measurement, Release, Side
from reconciler.plan.action import Analyse
from reconciler.ports import JobRequest
from tests.ensure.stage import in_canary, scene_of
from tests.simulation.world import World

JOB = {"image": "tests:1", "command": ["run"], "args": ["--fast"], "env": {"LEVEL": "2", "MODEL": "x"}, "timeout": "5m"}
NOTHING = Side(0, 0)


def check_of(name: str = "own", **changes: object) -> Check:
    return Check.model_validate({"name": name, "job": {**JOB, **changes}})


def measure(scene: Scene, step: int = 1, name: str = "own") -> Measurement:
    check = check_of(name)
    assert check.job is not None
    return measure_job(Analyse(release_of(scene), step, name), check, check.job, scene)


def release_of(scene: Scene) -> Release:
    return scene.facts.rollout.release if scene.facts.rollout else Release(2, "x")


def called(scene: Scene, step: int = 1, name: str = "own") -> str:
    """Return the name of the job that is asked for."""
    found = measure(scene, step, name).job
    assert found is not None
    return found.name


def remembering(scene: Scene, *made: Measurement) -> Scene:
    memory = replace(scene.observed.memory, measurements=made)
    return replace(scene, facts=replace(scene.facts, observed=replace(scene.observed, memory=memory)))


def request_of(made: World) -> JobRequest:
    (request,) = made.jobs.there.values()
    return request


def test_a_job_is_begun_then_read_and_removed_when_it_ended() -> None:
    made = in_canary()
    scene = scene_of(made)
    begun = measure(scene)
    assert begun == Measurement(
        "own", release_of(scene), 1, made.now, NOTHING, NOTHING, job=JobRun(request_of(made).name, None)
    )
    ended = measure(scene)
    assert begun.job is not None
    assert ended.job == JobRun(begun.job.name, 0)
    assert made.jobs.there == {}


def test_a_job_is_given_what_the_spec_says_and_our_own_words_win() -> None:
    made = in_canary()
    name = called(scene_of(made))
    assert request_of(made) == JobRequest(
        "models", name, "iris", "tests:1", ("run",), ("--fast",),
        {
            "LEVEL": "2", "MODEL": "iris", "VERSION": "2", "NAMESPACE": "models",
            "CANDIDATE_URL": "http://models/iris/iris-predictor-00002",
            "STABLE_URL": "http://models/iris/iris-predictor-00001",
        },
        timedelta(minutes=5),
    )  # fmt: skip


def test_each_side_is_found_by_its_tag_and_not_by_its_place() -> None:
    made = in_canary()
    scene = scene_of(made)
    turned = replace(scene.live(), traffic=tuple(reversed(scene.live().traffic)))
    measure(replace(scene, facts=replace(scene.facts, live=turned)))
    assert request_of(made).env["CANDIDATE_URL"].endswith("00002")


def test_a_name_says_what_it_checks_and_stays_short_enough_for_a_pod() -> None:
    scene = scene_of(in_canary())
    assert called(scene).startswith("iris-own-")
    # The first 50 characters end with a dash, which is taken off.
    named = replace(scene, facts=replace(scene.facts, live=replace(scene.live(), name=10 * "m")))
    long = called(named, name=38 * "a" + "-b")
    assert long.startswith(10 * "m" + "-" + 38 * "a" + "-")
    assert not long.startswith(10 * "m" + "-" + 38 * "a" + "--")
    assert called(named, name=40 * "a").startswith(10 * "m" + "-" + 39 * "a" + "-")
    assert len(long) <= 63


@pytest.mark.parametrize("odd", [{"name": "other"}, {"step": 2}])
def test_each_check_and_each_step_has_its_own_job(odd: dict[str, Any]) -> None:
    scene = scene_of(in_canary())
    assert called(scene).rpartition("-")[2] != called(scene, **odd).rpartition("-")[2]


def test_each_rollout_and_each_release_has_its_own_job() -> None:
    scene = scene_of(in_canary())
    record = scene.facts.rollout
    assert record is not None
    later = replace(record, started=record.started + timedelta(seconds=1))
    other = replace(record, release=Release(2, "other"))
    names = {called(replace(scene, facts=replace(scene.facts, rollout=r))) for r in (record, later, other)}
    assert len(names) == 3


ANOTHER: dict[str, tuple[dict[str, Any], bool]] = {
    "one that ended": ({"job": JobRun("a", 0)}, True),
    "one that ended badly": ({"job": JobRun("a", 3)}, True),
    "one that was removed without an exit code: its name is free again": ({"error": "evicted"}, False),
    "one that ended long ago": ({"job": JobRun("a", None), "forgotten": 1}, True),
    "one that still runs": ({"job": JobRun("a", None)}, False),
    "a measurement of another kind": ({}, False),
    "one that was asked something else": ({"job": JobRun("a", 0), "question": "x"}, False),
    "one of another check": ({"job": JobRun("a", 0), "check": "other"}, False),
    "one of another step": ({"job": JobRun("a", 0), "step": 2}, False),
    "one of another release": ({"job": JobRun("a", 0), "release": Release(2, "other")}, False),
}


@pytest.mark.parametrize("sentence", ANOTHER)
def test_what_is_followed_by_another_job(sentence: str) -> None:
    changes, another = ANOTHER[sentence]
    scene = scene_of(in_canary())
    question = question_of(check_of(), {})
    before = Measurement("own", release_of(scene), 1, scene.now, NOTHING, NOTHING, question=question)
    first = called(scene)
    assert (called(remembering(scene, replace(before, **changes))) != first) == another


def test_the_same_is_asked_for_again_after_a_crash() -> None:
    scene = scene_of(in_canary())
    assert called(scene) == called(scene)


def test_a_job_that_git_changed_is_another_job() -> None:
    scene = scene_of(in_canary())
    names = set()
    for changes in ({}, {"image": "tests:2"}, {"timeout": "9m"}):
        check = check_of(**changes)
        assert check.job is not None
        measured = measure_job(Analyse(release_of(scene), 1, "own"), check, check.job, scene).job
        names.add(measured.name if measured else "")
    assert len(names) == 2


def test_without_a_rollout_on_record_a_job_has_a_name_all_the_same() -> None:
    scene = scene_of(in_canary())
    assert called(replace(scene, facts=replace(scene.facts, rollout=None))).startswith("iris-own-")


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize("tag", ["latest", "prev"])
def test_a_side_without_an_address_is_named(tag: str, *, gone: bool) -> None:
    scene = scene_of(in_canary())
    kept = (t for t in scene.live().traffic if not (gone and t.tag == tag))
    live = replace(scene.live(), traffic=tuple(replace(t, url=None) if t.tag == tag else t for t in kept))
    with pytest.raises(Refused, match=f"the route of models/iris has no address tagged {tag}"):
        measure(replace(scene, facts=replace(scene.facts, live=live)))
