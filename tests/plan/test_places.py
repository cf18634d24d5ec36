"""Where an object of a model may stand, though nobody looks there."""

from __future__ import annotations

from dataclasses import replace

from reconciler.observed import TAG_RELEASE, RegisteredModel, Release, ReleaseRecord, Stage
from reconciler.plan.marks import RolloutRecord, release_to_tag
from reconciler.plan.places import last_places, wanted_place
from tests.plan.scenes import NOW, Scene, settled, wanting

ONE, TWO = Release(1, "a"), Release(2, "b")


def applied(**namespaces: Release) -> dict[Release, ReleaseRecord]:
    return {release: ReleaseRecord(release, "s3://m", {"namespace": place}) for place, release in namespaces.items()}


def last(scene: Scene, records: dict[Release, ReleaseRecord] | None = None) -> set[str]:
    return set(last_places(RegisteredModel("iris", scene.versions), records or {}))


def tagged(value: str, stage: Stage = Stage.NONE, **tags: str) -> Scene:
    """Return a version with the tag that tells by which release, and where, it serves."""
    scene = wanting().version(1, stage, **tags)
    (version,) = scene.versions
    return replace(scene, versions=(replace(version, tags={**version.tags, TAG_RELEASE: value}),))


def test_it_may_stand_where_git_wants_it_whatever_was_applied() -> None:
    assert wanted_place(settled().wanted, {}) == "models"
    assert wanted_place(wanting(serving=None).wanted, applied(before=ONE)) == ""


def test_a_removed_model_may_stand_where_git_wanted_it_if_anything_was_ever_applied() -> None:
    removed = replace(settled().wanted, removed=True)
    assert wanted_place(removed, applied(models=ONE)) == "models"
    assert wanted_place(removed, {}) == ""


def test_a_version_was_last_where_it_was_promoted_and_not_where_it_served_before() -> None:
    scene = tagged(release_to_tag("here", ONE), Stage.PRODUCTION)
    assert last(scene, applied(before=ONE)) == {"here"}


def test_a_version_that_was_never_promoted_may_be_wherever_it_was_applied() -> None:
    assert last(wanting().version(1), applied(before=ONE, other=TWO)) == {"before"}
    odd = tagged("by a person")
    assert last(odd, applied(before=ONE)) == {"before"}
    assert last(odd, {ONE: ReleaseRecord(ONE, "s3://m", {})}) == set()


def test_what_was_replaced_or_rolled_back_serves_nowhere() -> None:
    told = release_to_tag("before", ONE)
    assert last(tagged(told, Stage.ARCHIVED), applied(before=ONE)) == set()
    assert last(tagged(told, rejected="x"), applied(before=ONE)) == set()


def test_a_rollout_stands_where_its_record_says() -> None:
    record = RolloutRecord(TWO, ONE, "r", 0, NOW, NOW, "w", namespace="rolling")
    assert last(wanting().version(2, Stage.STAGING, rollout=record.to_tag())) == {"rolling"}
    untold = replace(record, namespace="")
    assert last(wanting().version(2, Stage.STAGING, rollout=untold.to_tag())) == set()


def test_a_model_that_is_not_registered_was_nowhere() -> None:
    assert last_places(None, applied(before=ONE)) == frozenset()
