"""What an action leaves in the registry, and what it says of it on the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.ensure.registry import (
    ensure_all_archived,
    ensure_archived,
    ensure_deleted,
    ensure_gates_recorded,
    ensure_promoted,
    ensure_rejected,
    ensure_staged,
    ensure_step_begun,
    ensure_withdrawn,
)
from reconciler.ensure.scene import Scene
from reconciler.errors import Refused
from reconciler.observed import (
    MANAGER,
    TAG_GATES,
    TAG_MANAGED,
    TAG_REJECTED,
    TAG_RELEASE,
    TAG_ROLLOUT,
    ModelVersion,
    Rejection,
    Release,
    Stage,
)
from reconciler.plan.action import (
    Archive,
    ArchiveAll,
    BeginStep,
    Promote,
    RecordGates,
    Reject,
    StageCandidate,
    Withdraw,
)
from reconciler.plan.marks import RolloutRecord, rejection_from_tag, rejection_to_tag, release_to_tag
from reconciler.registry_roles import role
from tests.ensure.stage import WHY, in_canary, in_production, scene_of, wanting
from tests.simulation.stories import training
from tests.simulation.world import NAME, World

PROVEN = {TAG_GATES: "passed x"}


def version(made: World, number: int) -> ModelVersion:
    found = made.registry.models[NAME].get(number)
    assert found is not None
    return found


def rollout(scene: Scene) -> RolloutRecord:
    assert scene.facts.rollout is not None
    return scene.facts.rollout


def writes(made: World) -> list[str]:
    """Return what was written to the registry since the log was cleared."""
    return [line for line in made.faults.log if line.startswith("registry") and "read" not in line]


def test_a_verdict_goes_on_its_version_and_our_mark_on_the_model_once() -> None:
    made = in_production()
    made.registry._tag_model(NAME, TAG_MANAGED, None)
    after = ensure_gates_recorded(RecordGates(1, "passed y"), scene_of(made))
    assert version(made, 1).tags[TAG_GATES] == "passed y"
    assert made.registry.models[NAME].tags[TAG_MANAGED] == MANAGER
    assert after == {"version": 1, "gates": "passed y"}
    made.faults.log.clear()
    ensure_gates_recorded(RecordGates(1, "passed z"), scene_of(made))
    assert not any("tag_model" in line for line in writes(made))


def test_a_model_that_is_gone_gets_no_mark_of_ours() -> None:
    made = in_production()
    made.faults.log.clear()
    ensure_gates_recorded(RecordGates(1, "passed y"), scene_of(made, registered=None))
    assert not any("tag_model" in line for line in writes(made))


def test_staging_ends_every_other_rollout_and_says_what_is_stable() -> None:
    made = in_canary()
    scene, record = scene_of(made), rollout(scene_of(made))
    third = made.registry.register(NAME, PROVEN, {"accuracy": 0.95}, made.now)
    release = Release(third, record.release.template)
    scene = scene_of(made)
    after = ensure_staged(StageCandidate(release, record.stable, record.stable_revision), scene)
    assert role(version(made, third)) is Stage.STAGING
    assert TAG_ROLLOUT not in version(made, 2).tags
    staged = RolloutRecord.from_tag(version(made, third).tags[TAG_ROLLOUT])
    assert staged == RolloutRecord(
        release, record.stable, record.stable_revision, 0, made.now, made.now, scene.facts.wanted, 0, "models"
    )
    assert after == {"version": third, "stage": "Staging", "rollout": version(made, third).tags[TAG_ROLLOUT]}


def test_a_version_in_production_stays_there_when_other_serving_fields_of_it_are_rolled_out() -> None:
    made = in_production()
    release = scene_of(made).live().release
    assert release is not None
    ensure_staged(StageCandidate(Release(1, "other"), release, "r1"), scene_of(made))
    assert role(version(made, 1)) is Stage.PRODUCTION


def test_a_step_that_begins_is_on_record_with_its_share_and_since_when() -> None:
    made = in_canary()
    record, since = rollout(scene_of(made)), made.now + timedelta(seconds=7)
    after = ensure_step_begun(BeginStep(record.release, 2, since), scene_of(made))
    begun = RolloutRecord.from_tag(version(made, 2).tags[TAG_ROLLOUT])
    assert begun == replace(record, step=2, since=since, percent=50)
    assert after == {"step": 2, "since": since.isoformat()}


def test_a_step_that_git_does_not_have_any_more_has_no_share() -> None:
    made = in_canary()
    ensure_step_begun(BeginStep(rollout(scene_of(made)).release, 3, made.now), scene_of(made))
    begun = RolloutRecord.from_tag(version(made, 2).tags[TAG_ROLLOUT])
    assert begun is not None
    assert (begun.step, begun.percent) == (3, None)


def test_a_step_of_a_rollout_that_is_not_on_record_is_refused() -> None:
    made = in_canary()
    record, before = rollout(scene_of(made)), version(made, 2)
    for scene in (scene_of(made, rollout=None), scene_of(made, rollout=replace(record, release=Release(9, "x")))):
        with pytest.raises(Refused, match="is on record any more"):
            ensure_step_begun(BeginStep(record.release, 2, made.now), scene)
    assert version(made, 2) == before


def test_promoting_leaves_one_version_in_production_says_how_it_serves_and_ends_the_rollout() -> None:
    made = in_canary()
    scene = scene_of(made)
    release = rollout(scene).release
    after = ensure_promoted(Promote(2, release), scene)
    assert [role(version(made, n)) for n in (1, 2)] == [Stage.ARCHIVED, Stage.PRODUCTION]
    assert version(made, 2).tags[TAG_RELEASE] == release_to_tag("models", release)
    assert TAG_ROLLOUT not in version(made, 2).tags
    assert after == {"version": 2, "stage": "Production", "archived": [1]}


def test_promoting_archives_those_who_hold_production_by_their_alias_alone() -> None:
    made = in_production()
    third = made.registry.register(NAME, PROVEN, {}, made.now)
    made.registry._transition(NAME, 1, Stage.NONE)
    scene = scene_of(made)
    assert role(version(made, 1)) is Stage.PRODUCTION
    after = ensure_promoted(Promote(third, None), scene)
    assert [role(version(made, n)) for n in (1, third)] == [Stage.ARCHIVED, Stage.PRODUCTION]
    assert after["archived"] == [1]


def test_promoting_where_nothing_is_served_says_nothing_of_a_release() -> None:
    made = in_production()
    made.registry._tag(NAME, 1, TAG_RELEASE, None)
    ensure_promoted(Promote(1, None), scene_of(made, live=None))
    assert TAG_RELEASE not in version(made, 1).tags


def test_promoting_again_writes_nothing() -> None:
    made = in_production()
    made.faults.log.clear()
    after = ensure_promoted(Promote(1, scene_of(made).live().release), scene_of(made))
    assert writes(made) == []
    assert after["archived"] == []


@pytest.mark.parametrize(("template", "kept"), [("same", False), ("other", True)])
def test_a_promotion_forgives_its_own_release_and_no_other(template: str, *, kept: bool) -> None:
    made = in_production()
    release = scene_of(made).live().release
    assert release is not None
    rejected = release if template == "same" else Release(1, template)
    made.registry._tag(NAME, 1, TAG_REJECTED, rejection_to_tag(Rejection(rejected, "w", "bad", made.now)))
    ensure_promoted(Promote(1, release), scene_of(made))
    assert (TAG_REJECTED in version(made, 1).tags) is kept


def test_a_mark_that_nobody_can_read_does_not_outlive_a_promotion() -> None:
    made = in_production()
    made.registry._tag(NAME, 1, TAG_REJECTED, "written by hand")
    ensure_promoted(Promote(1, scene_of(made).live().release), scene_of(made))
    assert TAG_REJECTED not in version(made, 1).tags


def test_archiving_one_version_says_which() -> None:
    made = in_canary()
    assert ensure_archived(Archive(2), scene_of(made)) == {"version": 2, "stage": "Archived"}
    assert role(version(made, 2)) is Stage.ARCHIVED


def test_a_rejection_keeps_what_was_decided_then_and_not_what_is_known_now() -> None:
    made = in_canary()
    release, then = rollout(scene_of(made)).release, made.now - timedelta(minutes=3)
    remembered = Rejection(release, "wanted then", "too many errors", then, made.now)
    scene = scene_of(made, rejections={release: remembered})
    after = ensure_rejected(Reject(release, "wanted now", Stage.ARCHIVED), scene)
    marked = rejection_from_tag(version(made, 2).tags[TAG_REJECTED])
    assert marked == Rejection(release, "wanted then", "too many errors", then)
    assert after == {"version": 2, "stage": "Archived", "rejected": "too many errors"}


def test_a_rejection_that_nobody_remembers_is_of_now_and_for_the_reason_at_hand() -> None:
    made = in_canary()
    release = rollout(scene_of(made)).release
    after = ensure_rejected(Reject(release, "wanted now", Stage.ARCHIVED), scene_of(made, rejections={}))
    marked = rejection_from_tag(version(made, 2).tags[TAG_REJECTED])
    assert marked == Rejection(release, "wanted now", WHY, made.now)
    assert after["rejected"] == WHY


def test_a_withdrawn_version_goes_to_its_stage_and_its_rollout_ends() -> None:
    made = in_canary()
    after = ensure_withdrawn(Withdraw(rollout(scene_of(made)).release, Stage.ARCHIVED), scene_of(made))
    assert role(version(made, 2)) is Stage.ARCHIVED
    assert TAG_ROLLOUT not in version(made, 2).tags
    assert after == {"version": 2, "stage": "Archived"}


def test_a_version_that_is_where_it_ends_already_is_not_moved() -> None:
    made = in_production()
    release = scene_of(made).live().release
    assert release is not None
    made.faults.log.clear()
    ensure_withdrawn(Withdraw(release, Stage.PRODUCTION), scene_of(made))
    assert writes(made) == []


def test_a_version_that_is_gone_ends_without_a_write() -> None:
    made = in_production()
    made.faults.log.clear()
    ensure_withdrawn(Withdraw(Release(9, "x"), Stage.ARCHIVED), scene_of(made))
    assert writes(made) == []


def test_a_model_that_left_git_has_all_its_versions_archived_and_forgets_how_they_served() -> None:
    made = in_canary()
    assert TAG_RELEASE in version(made, 1).tags
    after = ensure_all_archived(ArchiveAll((1, 2)), scene_of(made))
    assert [role(version(made, n)) for n in (1, 2)] == [Stage.ARCHIVED, Stage.ARCHIVED]
    assert TAG_RELEASE not in version(made, 1).tags
    assert after == {"versions": [1, 2], "stage": "Archived"}


def test_a_version_that_is_gone_stops_the_archiving_before_it_is_touched() -> None:
    made = in_production()
    with pytest.raises(Refused, match="version 9 of iris"):
        ensure_all_archived(ArchiveAll((9,)), scene_of(made))


def test_a_model_to_delete_is_deleted_with_all_its_versions() -> None:
    made = in_production()
    assert ensure_deleted(scene_of(made)) == {"deleted": NAME}
    assert NAME not in made.registry.models


def test_a_rollout_that_is_staged_again_is_never_without_its_record() -> None:
    made = in_canary()
    record = rollout(scene_of(made))
    made.faults.log.clear()
    ensure_staged(StageCandidate(record.release, record.stable, record.stable_revision), scene_of(made))
    assert not any(f"{TAG_ROLLOUT}=None" in line for line in writes(made))
    assert RolloutRecord.from_tag(version(made, 2).tags[TAG_ROLLOUT]) is not None


def test_a_step_that_waits_for_a_person_says_so_and_the_next_one_counts_the_deadline_anew() -> None:
    steps = [{"traffic": 10, "hold": "untilApproved"}, {"traffic": 50, "hold": "5s"}]
    made = in_canary()
    record = rollout(scene_of(made))
    ensure_step_begun(
        BeginStep(record.release, 1, made.now), wanting(scene_of(made), training=training(2), rollout={"steps": steps})
    )
    first = rollout(scene_of(made))
    assert (first.waits, first.counted) == (True, None)
    later = made.now + timedelta(days=2)
    ensure_step_begun(
        BeginStep(record.release, 2, later), wanting(scene_of(made), training=training(2), rollout={"steps": steps})
    )
    second = rollout(scene_of(made))
    assert (second.waits, second.counted, second.started) == (False, later, record.started)
