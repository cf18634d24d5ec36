"""What every action asks first: is the version there, is it proven, and is it known how it is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.errors import Refused, Transient
from reconciler.manifest import serving_fields
from reconciler.observed import Known, Release, ReleaseRecord, Stage, VersionEvidence
from tests.ensure.stage import in_production, scene_of, wanting
from tests.simulation.world import NAME


def test_an_object_that_is_gone_is_refused() -> None:
    with pytest.raises(Refused, match="the InferenceService of iris is gone"):
        scene_of(in_production(), live=None).live()


def test_a_release_is_applied_as_it_was_applied_before() -> None:
    made = in_production()
    release = Release(1, "of-another-time")
    kept = ReleaseRecord(release, "s3://elsewhere", {"minReplicas": 9})
    made.memory.kept[NAME][release] = kept
    assert scene_of(made).release_record(release) == kept


def test_a_release_that_was_never_applied_is_made_of_what_git_and_the_registry_say() -> None:
    made = in_production()
    scene = scene_of(made)
    made.memory.kept.clear()
    release = scene.live().release
    assert release is not None
    serving = scene.desired.spec.serving
    assert serving is not None
    assert scene.release_record(release) == ReleaseRecord(release, "s3://models/iris/1", serving_fields(serving))


def test_evidence_that_was_read_for_the_decision_is_not_read_again() -> None:
    made = in_production()
    scene = scene_of(made)
    made.memory.kept.clear()
    release = scene.live().release
    assert release is not None
    read = {1: Known(VersionEvidence({}, "s3://as/read"), made.now)}
    scene = replace(scene, facts=replace(scene.facts, observed=replace(scene.observed, evidence=read)))
    assert scene.release_record(release).storage_uri == "s3://as/read"


@pytest.mark.parametrize("served", [True, False])
def test_a_release_of_serving_fields_that_nobody_knows_any_more_is_refused(*, served: bool) -> None:
    scene = scene_of(in_production())
    scene = scene if served else wanting(scene, serving=None)
    with pytest.raises(Refused, match="are not on record, and Git says something else by now"):
        scene.release_record(Release(1, "unknown"))


def test_an_artifact_that_kserve_cannot_fetch_is_refused_with_the_version() -> None:
    made = in_production()
    scene = scene_of(made)
    made.memory.kept.clear()
    release = scene.live().release
    assert release is not None
    read = {1: Known(VersionEvidence({}, "/tmp/models/1"), made.now)}  # noqa: S108  a path that nobody opens
    scene = replace(scene, facts=replace(scene.facts, observed=replace(scene.observed, evidence=read)))
    with pytest.raises(Refused, match=r"^version 1 of iris: "):
        scene.release_record(release)


def test_a_decision_from_later_than_now_writes_nothing_to_the_registry() -> None:
    made = in_production()
    scene = scene_of(made)
    before = made.registry.models[NAME]
    made.now -= timedelta(microseconds=1)
    with pytest.raises(Transient, match="it is looked at again"):
        scene.set_stage(1, Stage.ARCHIVED)
    assert made.registry.models[NAME] == before


@pytest.mark.parametrize("late", [timedelta(0), timedelta(microseconds=1)])
def test_a_decision_that_is_too_old_writes_nothing_to_the_registry(late: timedelta) -> None:
    made = in_production()
    scene = scene_of(made)
    before = made.registry.models[NAME]
    made.now += scene.systems.settle + late
    writes: list[Callable[[], None]] = [
        lambda: scene.set_stage(1, Stage.ARCHIVED),
        lambda: scene.tag(1, "x", "y"),
        lambda: scene.tag_model("x", "y"),
        scene.delete_registered,
    ]
    for write in writes:
        if late:
            with pytest.raises(Transient, match="it is looked at again"):
                write()
            assert made.registry.models[NAME] == before
        else:
            write()
    assert late or NAME not in made.registry.models
