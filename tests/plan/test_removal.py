"""A spec that left Git: what is stopped, taken down and archived, in which order, and when somebody is asked first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import DesiredState
from reconciler.observed import TAG_ROLLOUT, Release, RunState, Stage
from reconciler.plan.action import ArchiveAll, DeleteModel, LetGo, StopTraining, TakeDown
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.removal import losing, removal_guard
from reconciler.status import Phase
from tests.plan.scenes import COMMIT, STABLE, UNKNOWN, Scene, settled, wanting


def gone(scene: Scene) -> Scene:
    return scene.wants(removed=True)


def elsewhere(scene: Scene) -> Scene:
    assert scene.live is not None
    return scene.sees(strays=(replace(scene.live, namespace="before", uid="other"),))


def test_a_training_under_way_is_stopped_before_anything_else() -> None:
    decision = gone(settled().runs(RunState.FAILED, RunState.RUNNING)).decide()
    assert decision.action == StopTraining(
        "run-2", decision.action.key if isinstance(decision.action, StopTraining) else ""
    )


def test_trainings_that_have_ended_stop_nothing() -> None:
    runs = gone(settled().runs(RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED))
    assert isinstance(runs.decide().action, TakeDown)


def test_nothing_is_taken_down_while_nobody_knows_whether_a_training_runs() -> None:
    decision = gone(settled().sees(runs=UNKNOWN)).decide()
    assert (decision.action, decision.phase) == (None, Phase.ARCHIVING)
    assert decision.waits_for == "training runs to be readable: it does not answer"


def test_a_model_that_nothing_trains_does_not_wait_for_the_training_system() -> None:
    assert isinstance(gone(settled(training=None).sees(runs=UNKNOWN)).decide().action, TakeDown)


def test_what_was_left_where_the_model_stood_before_is_taken_down_too() -> None:
    scene = gone(elsewhere(settled()))
    assert scene.decide().action == TakeDown("models", "uid")
    assert replace(scene, live=None).decide().action == TakeDown("before", "other")
    going = replace(scene, live=settled().serving(1, deleting=True).live)
    assert going.decide().action == TakeDown("before", "other")


def test_what_serves_elsewhere_than_the_rollout_on_record_is_taken_down_before_the_registry_is_touched() -> None:
    scene = wanting().version(1, Stage.PRODUCTION).rolling(10)
    record = RolloutRecord.from_tag(scene.versions[-1].tags[TAG_ROLLOUT])
    assert record is not None
    tags = {**scene.versions[-1].tags, TAG_ROLLOUT: replace(record, namespace="before").to_tag()}
    moved = gone(replace(scene, versions=(scene.versions[0], replace(scene.versions[1], tags=tags))))
    assert moved.decide().action == TakeDown("models", "uid")
    assert moved.live is not None
    going = replace(moved, live=replace(moved.live, deleting=True))
    assert going.decide().waits_for == "the InferenceService to be deleted"
    assert replace(moved, live=None).decide().action == ArchiveAll((1, 2))


def test_what_is_going_is_waited_for_before_the_registry_is_touched() -> None:
    decision = gone(settled().serving(1, deleting=True)).decide()
    assert (decision.action, decision.waits_for) == (None, "the InferenceService to be deleted")


def foreign(uri: str = "", release: Release | None = None, **retention: object) -> Scene:
    """Let an object of somebody else stand where a removed model was served."""
    revisions = {STABLE: release}
    found = {"predictor": {"model": {"storageUri": uri}}}
    scene = settled(retention=retention).serving(1, ours=False, owner="argocd", release=release, revisions=revisions)
    assert scene.live is not None
    return gone(replace(scene, live=replace(scene.live, found=found))).sees(locations={1: "s3://m/1"})


def test_what_belongs_to_somebody_else_and_serves_something_else_stays_and_holds_nothing_up() -> None:
    assert foreign("s3://other/1").decide().action == ArchiveAll((1,))
    assert foreign("s3://other/1", onRemoval="delete").decide().action == DeleteModel()
    assert foreign(release=Release(7, "a")).decide().action == ArchiveAll((1,))


STILL_SERVED = {
    "by the release on its label": foreign(release=Release(1, "a")),
    "by its storageUri": foreign("s3://m/1/"),
    "by the revision that gets the traffic": foreign().serving(
        1, ours=False, owner="argocd", release=None, revisions={STABLE: Release(1, "a")}
    ),
}


@pytest.mark.parametrize("how", STILL_SERVED)
def test_a_version_that_an_object_of_somebody_else_serves_is_not_archived(how: str) -> None:
    decision = STILL_SERVED[how].decide()
    assert (decision.action, decision.phase, decision.cause) == (None, Phase.ARCHIVING, "NotOurs")
    assert decision.stalled == (
        "InferenceService models/iris serves version 1 and belongs to argocd, so that version is not archived"
    )
    assert "or the spec to come back with onRemoval: retain" in decision.waits_for


def test_a_model_is_not_deleted_while_an_object_of_somebody_else_serves_any_version_of_it() -> None:
    scene = foreign("s3://m/1", onRemoval="delete")
    archived = replace(scene, versions=(replace(scene.versions[0], stage=Stage.ARCHIVED),))
    assert "serves version 1 and belongs to argocd, so iris is not deleted" in archived.decide().stalled


def test_what_is_archived_already_waits_for_nobody() -> None:
    scene = foreign("s3://m/1")
    archived = replace(scene, versions=(replace(scene.versions[0], stage=Stage.ARCHIVED),))
    assert archived.decide().action == LetGo()


def test_the_registry_is_left_alone_while_nobody_can_tell_what_an_object_of_somebody_else_serves() -> None:
    scene = foreign("s3://m/1").sees(locations=UNKNOWN)
    assert (scene.decide().action, scene.decide().waits_for) == (None, "the versions' locations: it does not answer")


def test_an_object_of_somebody_else_that_is_going_is_waited_for() -> None:
    scene = foreign("s3://m/1")
    assert scene.live is not None
    going = replace(scene, live=replace(scene.live, deleting=True, owner=""))
    assert (going.decide().stalled, going.decide().waits_for) == ("", "the InferenceService to be deleted")
    unnamed = replace(scene, live=replace(scene.live, owner=""))
    assert "belongs to somebody else" in unnamed.decide().stalled


def test_only_versions_that_are_not_archived_are_archived() -> None:
    scene = gone(replace(settled().version(2, Stage.ARCHIVED).version(3), live=None))
    assert scene.decide().action == ArchiveAll((1, 3))


def test_a_model_to_delete_that_is_gone_is_let_go() -> None:
    scene = wanting(retention={"onRemoval": "delete"})
    assert gone(scene).decide().action == LetGo()
    assert gone(scene.version(1, Stage.ARCHIVED)).decide().action == DeleteModel()


def test_a_retained_model_is_not_touched_whatever_is_there() -> None:
    scene = gone(settled(retention={"onRemoval": "retain"}).runs(RunState.RUNNING))
    assert scene.decide().action == LetGo()


def state(removed: int, total: int, models: int = 3, share: float = 0.1) -> DesiredState:
    base = wanting().wanted
    found = {f"m{n}": replace(base, name=f"m{n}", removed=n < removed) for n in range(total)}
    return DesiredState(COMMIT, found, PolicySpec.model_validate({"deletion": {"models": models, "share": share}}))


GUARDED: dict[str, tuple[DesiredState, bool]] = {
    "nothing left Git": (state(0, 10), False),
    "as many as may go whatever their share": (state(3, 4), False),
    "one more, and a large share": (state(4, 10), True),
    "many, and exactly the share that may go": (state(5, 50), False),
    "many, and just above the share": (state(6, 50), True),
    "many, and a small share": (state(5, 100), False),
    "none may go at all": (state(1, 10, models=0, share=0.0), True),
    "all of them": (state(10, 10), True),
}


@pytest.mark.parametrize("sentence", GUARDED)
def test_removing_more_than_the_policy_allows_stops_and_asks(sentence: str) -> None:
    made, stopped = GUARDED[sentence]
    assert bool(removal_guard(made, made.models)) is stopped


def test_the_guard_tells_how_many_and_what_to_do() -> None:
    assert removal_guard(state(4, 10), ()) == (
        "4 of 10 models left Git at once, more than 3 and more than 10%: bring them back, or raise spec.deletion in "
        "the RepositoryPolicy"
    )


def beside(made: DesiredState, many: int, **changes: object) -> DesiredState:
    """Let so many more models leave Git, or stay, with another spec."""
    other = wanting(**changes).wanted
    more = {f"k{n}": replace(other, name=f"k{n}", removed="retention" in changes) for n in range(many)}
    return replace(made, models={**made.models, **more})


def test_models_that_lose_their_serving_count_as_those_that_leave_git_do() -> None:
    dropped = beside(state(0, 16), 4, serving=None)
    assert losing(dropped) == {"k0", "k1", "k2", "k3"}
    assert removal_guard(dropped, losing(dropped)).startswith("4 of 20 models lost their serving at once, more than 3")
    both = beside(state(2, 18), 2, serving=None)
    assert removal_guard(both, both.models).startswith("4 of 20 models left Git or lost their serving at once")


def test_models_without_serving_that_nothing_serves_do_not_count() -> None:
    dropped = beside(state(0, 16), 4, serving=None)
    assert removal_guard(dropped, ["k0", "k1", "k2", "m0"]) == ""


@pytest.mark.parametrize("retention", [{"prune": False}, {"onRemoval": "retain"}])
def test_models_that_are_never_taken_down_keep_no_other_removal_from_going_on(retention: dict[str, object]) -> None:
    assert removal_guard(beside(state(1, 20), 4, retention=retention), ()) == ""
    assert removal_guard(beside(state(4, 20), 4, retention=retention), ()).startswith("4 of 24 models left Git at once")


def test_models_that_were_suspended_when_they_left_git_keep_no_other_removal_from_going_on() -> None:
    assert removal_guard(beside(state(1, 20), 4, suspend=True, retention={}), ()) == ""


def test_what_serves_a_model_that_lost_its_serving_waits_for_the_guard() -> None:
    live = settled().live
    scene = replace(wanting(serving=None).version(1, Stage.PRODUCTION), live=live)
    assert isinstance(scene.decide().action, TakeDown)
    guarded = replace(scene, guard="too many")
    held = "too many; held up: TakeDown, because the spec has no serving any more"
    assert (guarded.decide().action, guarded.decide().blocked_by) == (None, held)
    stray = replace(guarded, live=None).sees(strays=(live,))
    assert stray.decide().blocked_by == held


def test_the_guard_does_not_hold_up_a_model_that_moves() -> None:
    assert replace(elsewhere(settled()), guard="too many").decide().action == TakeDown("before", "other")


def test_what_says_prune_false_is_never_taken_down_and_stays_on_the_books() -> None:
    decision = settled(retention={"prune": False}).wants(removed=True).decide()
    assert decision.action is None
    assert decision.stalled == "the spec left Git and says prune: false, so that nothing is taken down"


def test_what_says_prune_false_keeps_its_object_also_without_serving() -> None:
    live = settled().live
    scene = wanting(retention={"prune": False}, serving=None).version(1, Stage.PRODUCTION)
    decision = replace(scene, live=live).decide()
    assert decision.action is None
    assert "retention.prune: false keeps the InferenceService in namespace models" in decision.stalled
