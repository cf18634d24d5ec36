"""What an action applies to the cluster, and what it looks at once more before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.ensure.scene import Scene
from reconciler.ensure.serving import (
    ensure_adopted,
    ensure_all_routed,
    ensure_canary_started,
    ensure_deployed,
    ensure_let_go,
    ensure_put_back,
    ensure_rollback_finished,
    ensure_stable_restored,
    ensure_taken_down,
    ensure_traffic,
    ensure_traffic_cut,
)
from reconciler.errors import Conflict, Refused, Transient
from reconciler.observed import TAG_GATES, Release, ReleaseRecord, Stage, Unknown
from reconciler.plan.action import (
    Adopt,
    CutTraffic,
    Deploy,
    FinishRollback,
    PutBack,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
    StartCanary,
    TakeDown,
)
from reconciler.plan.marks import RolloutRecord
from reconciler.registry_roles import role
from tests.ensure.stage import in_canary, in_production, scene_of, wanting
from tests.simulation.faults import LIFETIME
from tests.simulation.stories import spec, training, until, world
from tests.simulation.wishes import foreign
from tests.simulation.world import KEY, NAME, World


def rollout(scene: Scene) -> RolloutRecord:
    assert scene.facts.rollout is not None
    return scene.facts.rollout


def live_release(scene: Scene) -> Release:
    release = scene.live().release
    assert release is not None
    return release


def predictor(made: World) -> Any:
    return made.serving.live[KEY].manifest["spec"]["predictor"]


def staged(made: World) -> bool:
    model = made.registry.models[NAME]
    return any(role(v) is Stage.STAGING for v in model.versions) and predictor(made).get("canaryTrafficPercent") is None


def test_an_archived_version_is_taken_out_of_the_archive_before_it_is_deployed() -> None:
    made = in_production()
    made.registry._transition(NAME, 1, Stage.ARCHIVED)
    release = live_release(scene_of(made))
    after = ensure_deployed(Deploy(release), scene_of(made))
    assert role(made.registry.models[NAME].versions[0]) is not Stage.ARCHIVED
    assert after == {"release": str(release), "storageUri": "s3://models/iris/1", "canaryTrafficPercent": None}


def test_a_version_in_production_stays_there_when_it_is_deployed() -> None:
    made = in_production()
    ensure_deployed(Deploy(live_release(scene_of(made))), scene_of(made))
    assert role(made.registry.models[NAME].versions[0]) is Stage.PRODUCTION


def test_what_is_deployed_is_kept_so_that_it_can_be_restored() -> None:
    made = in_production()
    release = live_release(scene_of(made))
    made.memory.kept.clear()
    ensure_deployed(Deploy(release), scene_of(made))
    assert list(made.memory.kept[NAME]) == [release]


def test_a_candidate_starts_with_no_traffic_and_both_it_and_stable_are_kept() -> None:
    made = in_canary(staged)
    record = rollout(scene_of(made))
    made.memory.kept.clear()
    after = ensure_canary_started(StartCanary(record.release), scene_of(made))
    assert predictor(made)["canaryTrafficPercent"] == 0
    assert set(made.memory.kept[NAME]) == {record.stable, record.release}
    assert after["canaryTrafficPercent"] == 0


def test_a_candidate_without_a_rollout_on_record_is_kept_alone() -> None:
    made = in_canary(staged)
    record = rollout(scene_of(made))
    made.memory.kept.clear()
    ensure_canary_started(StartCanary(record.release), scene_of(made, rollout=None))
    assert list(made.memory.kept[NAME]) == [record.release]


@pytest.mark.parametrize("action", [Deploy, StartCanary])
def test_what_has_no_passed_gates_on_record_gets_no_pod(action: type[Deploy | StartCanary]) -> None:
    made = in_canary(staged)
    release = rollout(scene_of(made)).release
    made.registry._tag(NAME, 2, TAG_GATES, "failed x")
    before = made.serving.writes
    ensure = ensure_deployed if action is Deploy else ensure_canary_started
    with pytest.raises(Refused, match="no passed gates on record"):
        ensure(action(release), scene_of(made))  # type: ignore[arg-type]  # of the same kind
    assert made.serving.writes == before


def test_a_version_that_is_gone_gets_no_pod() -> None:
    made = in_production()
    with pytest.raises(Refused, match="not in the registry any more"):
        ensure_deployed(Deploy(Release(9, "x")), scene_of(made))


@pytest.mark.parametrize("percent", [1, 50])
def test_traffic_that_would_go_past_stable_is_not_shifted(percent: int) -> None:
    made = in_canary()
    release = rollout(scene_of(made)).release
    with pytest.raises(Conflict, match="not to the stable revision other"):
        ensure_traffic(ShiftTraffic(release, percent, "other"), scene_of(made))
    assert predictor(made)["canaryTrafficPercent"] == 10


def test_traffic_that_would_go_to_another_revision_of_the_stable_one_s_name_is_not_shifted() -> None:
    made = in_canary()
    record = rollout(scene_of(made))
    made.serving.live[KEY].releases[record.stable_revision] = record.release
    made.serving.live[KEY].resource_version += 1
    with pytest.raises(Conflict, match=f"the stable revision {record.stable_revision} is gone"):
        ensure_traffic(ShiftTraffic(record.release, 50, record.stable_revision), scene_of(made))
    with pytest.raises(Conflict, match=f"has its name now is of release {record.release}"):
        ensure_all_routed(RouteAll(record.release, record.stable_revision), scene_of(made))
    assert predictor(made)["canaryTrafficPercent"] == 10


def test_taking_traffic_away_asks_nobody() -> None:
    made = in_canary()
    ensure_traffic(ShiftTraffic(rollout(scene_of(made)).release, 0, "other"), scene_of(made))
    assert predictor(made)["canaryTrafficPercent"] == 0


def test_all_traffic_goes_to_the_candidate_only_while_prev_is_stable() -> None:
    made = in_canary()
    record = rollout(scene_of(made))
    with pytest.raises(Conflict, match="not to the stable revision other"):
        ensure_all_routed(RouteAll(record.release, "other"), scene_of(made))
    assert predictor(made)["canaryTrafficPercent"] == 10
    ensure_all_routed(RouteAll(record.release, record.stable_revision), scene_of(made))
    assert "canaryTrafficPercent" not in predictor(made)


def crashed_beside_a_candidate() -> World:
    """Let version 1 crash, and version 2 come up at 0 % beside it."""
    made = in_production()
    made.serving.crash(KEY, made.serving.live[KEY].newest)
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: "all callers are sent to it" in str(made.status()))
    return made


def test_all_traffic_goes_to_the_candidate_where_nobody_is_served_though_nothing_is_tagged_prev() -> None:
    made = crashed_beside_a_candidate()
    record = rollout(scene_of(made))
    with pytest.raises(Conflict, match="goes to nothing"):
        ensure_traffic(ShiftTraffic(record.release, 10, record.stable_revision), scene_of(made))
    with pytest.raises(Conflict, match="goes to nothing, not to the stable revision other"):
        ensure_all_routed(RouteAll(record.release, "other"), scene_of(made))
    ensure_all_routed(RouteAll(record.release, record.stable_revision), scene_of(made))
    assert "canaryTrafficPercent" not in predictor(made)


def test_a_stable_that_is_back_by_now_keeps_its_callers() -> None:
    made = crashed_beside_a_candidate()
    scene, record = scene_of(made), rollout(scene_of(made))
    made.serving.recover(KEY)
    with pytest.raises(Conflict, match="goes to nothing"):
        ensure_all_routed(RouteAll(record.release, record.stable_revision), scene)
    assert predictor(made)["canaryTrafficPercent"] == 0


def test_where_nobody_can_tell_what_prev_is_nothing_is_shifted() -> None:
    made = in_canary()
    record, scene = rollout(scene_of(made)), scene_of(made)
    made.serving.blind = True
    assert isinstance(made.serving.read_all(), Unknown)
    with pytest.raises(Conflict, match="goes to nothing"):
        ensure_traffic(ShiftTraffic(record.release, 50, record.stable_revision), scene)


def test_where_no_traffic_is_tagged_prev_nothing_is_shifted() -> None:
    made = in_production()
    scene = scene_of(made)
    with pytest.raises(Conflict, match="goes to nothing"):
        ensure_all_routed(RouteAll(live_release(scene), "r1"), scene)


def test_a_rollback_goes_by_no_traffic_then_the_stable_template_then_no_split() -> None:
    made = in_canary()
    record = rollout(scene_of(made))
    ensure_traffic_cut(CutTraffic(record.release, "w", record.started), scene_of(made))
    assert (predictor(made)["canaryTrafficPercent"], live_release(scene_of(made))) == (0, record.release)
    ensure_stable_restored(RestoreStable(record.stable), scene_of(made))
    assert (predictor(made)["canaryTrafficPercent"], live_release(scene_of(made))) == (0, record.stable)
    ensure_rollback_finished(FinishRollback(record.stable), scene_of(made))
    assert "canaryTrafficPercent" not in predictor(made)


def test_a_candidate_without_a_split_is_cut_by_the_stable_template_and_never_lowered() -> None:
    made = in_canary()
    record = rollout(scene_of(made))
    ensure_all_routed(RouteAll(record.release, record.stable_revision), scene_of(made))
    ensure_traffic_cut(CutTraffic(record.release, "w", record.started), scene_of(made))
    assert (predictor(made)["canaryTrafficPercent"], live_release(scene_of(made))) == (0, record.stable)


def test_putting_fields_back_leaves_the_share_as_it_is() -> None:
    made = in_canary()
    release = live_release(scene_of(made))
    made.serving.edit_by_hand(KEY, "maxReplicas", 7)
    after = ensure_put_back(PutBack(release, ("spec.predictor.maxReplicas",)), scene_of(made))
    assert predictor(made)["canaryTrafficPercent"] == 10
    assert after["canaryTrafficPercent"] == 10


def test_what_was_changed_since_it_was_decided_is_not_overwritten() -> None:
    made = in_production()
    scene = scene_of(made)
    made.serving.edit_by_hand(KEY, "maxReplicas", 7)
    with pytest.raises(Transient):
        ensure_put_back(PutBack(live_release(scene), ("spec.x",)), scene)


def test_what_was_decided_long_ago_makes_no_object() -> None:
    made = in_production()
    release = live_release(scene_of(made))
    made.serving.delete_by_hand(KEY)
    scene = scene_of(made)
    made.now += LIFETIME + timedelta(milliseconds=1)
    with pytest.raises(Transient, match="this was decided"):
        ensure_deployed(Deploy(release), scene)
    assert KEY not in made.serving.live
    ensure_deployed(Deploy(release), scene_of(made))
    assert KEY in made.serving.live


def test_only_the_very_object_is_taken_down() -> None:
    made = in_production()
    uid = made.serving.live[KEY].uid
    after = ensure_taken_down(TakeDown("models", uid), scene_of(made))
    assert after == {"deleted": "models/iris", "uid": uid}


def test_a_model_that_is_let_go_keeps_on_record_what_still_serves_and_nothing_else() -> None:
    made = in_canary()
    record = rollout(scene_of(made))
    older = Release(1, "older")
    made.memory.kept[NAME][older] = ReleaseRecord(older, "s3://old", {})
    assert ensure_let_go(scene_of(made)) == {"forgotten": NAME}
    assert NAME not in made.memory.specs
    assert set(made.memory.kept[NAME]) == {record.stable, record.release}


def test_of_a_model_that_serves_nothing_nothing_is_kept() -> None:
    made = in_production()
    ensure_let_go(scene_of(made, live=None))
    assert made.memory.kept[NAME] == {}


def test_where_revisions_cannot_be_read_what_the_spec_asks_for_is_kept() -> None:
    made = in_production()
    scene = scene_of(made)
    ensure_let_go(replace(scene, facts=replace(scene.facts, live=replace(scene.live(), revisions=None))))
    assert list(made.memory.kept[NAME]) == [live_release(scene)]


def test_revisions_without_our_label_keep_nothing() -> None:
    made = in_production()
    scene = scene_of(made)
    live = replace(scene.live(), release=None, revisions={"r1": None})
    ensure_let_go(replace(scene, facts=replace(scene.facts, live=live)))
    assert made.memory.kept[NAME] == {}


# Objects of others, and fields of theirs.

SERVING = {
    "namespace": "models",
    "predictor": {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 1},
}


def beside_a_foreign_object() -> World:
    """Let version 1 pass its gates while an object of somebody else serves it, and nothing be done about that."""
    made = world()
    made.registry.register(NAME, {}, {"accuracy": 0.95}, made.now)
    made.serving.create_by_hand(foreign(KEY, f"s3://models/{NAME}/1", maxReplicas=4))
    made.source.write(NAME, spec(training=None))
    made.settle()
    assert made.serving.writes == 0
    return made


def adopting(made: World) -> Scene:
    return wanting(scene_of(made), training=None, serving={**SERVING, "adopt": True})


def adopt(scene: Scene) -> Adopt:
    return Adopt(Release(1, "as found"), scene.live().uid)


def stage_of(made: World) -> Stage:
    return role(made.registry.models[NAME].versions[0])


def test_an_object_that_is_adopted_goes_on_as_it_is_and_is_kept() -> None:
    made = beside_a_foreign_object()
    scene = adopting(made)
    owner = scene.live().owner
    after = ensure_adopted(adopt(scene), scene)
    release = live_release(scene_of(made))
    assert after == {"release": str(release), "storageUri": "s3://models/iris/1", "from": owner}
    assert owner
    assert predictor(made)["maxReplicas"] == 4
    assert list(made.memory.kept[NAME]) == [release]


@pytest.mark.parametrize(("before", "after"), [(Stage.ARCHIVED, Stage.NONE), (Stage.PRODUCTION, Stage.PRODUCTION)])
def test_a_version_is_adopted_out_of_the_archive_and_else_stays_where_it_is(before: Stage, after: Stage) -> None:
    made = beside_a_foreign_object()
    made.registry._transition(NAME, 1, before)
    scene = adopting(made)
    ensure_adopted(adopt(scene), scene)
    assert stage_of(made) is after


@pytest.mark.parametrize("other", ["another object", "a spec that serves nothing"])
def test_only_the_very_object_is_adopted_and_only_for_a_spec_that_serves(other: str) -> None:
    made = beside_a_foreign_object()
    made.registry._transition(NAME, 1, Stage.ARCHIVED)
    scene = adopting(made)
    uid = "another" if other == "another object" else scene.live().uid
    if other != "another object":
        scene = wanting(scene, training=None, serving=None)
    with pytest.raises(Conflict, match="is not the one that was looked at"):
        ensure_adopted(Adopt(Release(1, "as found"), uid), scene)
    assert (made.serving.writes, stage_of(made)) == (0, Stage.ARCHIVED)


def test_what_has_no_passed_gates_on_record_is_not_adopted() -> None:
    made = beside_a_foreign_object()
    made.registry._tag(NAME, 1, TAG_GATES, "failed x")
    scene = adopting(made)
    with pytest.raises(Refused, match="no passed gates on record"):
        ensure_adopted(adopt(scene), scene)
    assert made.serving.writes == 0


def shared(made: World) -> frozenset[Any]:
    """Return the fields that somebody else holds."""
    return frozenset(made.serving.live[KEY].fields.theirs)


def test_fields_are_taken_only_where_the_spec_says_so_and_somebody_asks_for_something_else() -> None:
    made = in_production()
    for replicas in (7, 1):
        made.serving.edit_by_hand(KEY, "minReplicas", replicas)
    held = shared(made)
    assert held
    scene = wanting(scene_of(made), serving={**SERVING, "takeOwnership": True})
    ensure_put_back(PutBack(live_release(scene), ("spec.x",)), scene)
    assert shared(made) == held, "what others hold as we want it stays theirs as well"
    made.serving.edit_by_hand(KEY, "minReplicas", 7)
    with pytest.raises(Conflict):
        ensure_put_back(PutBack(live_release(scene_of(made)), ("spec.x",)), scene_of(made))
    scene = wanting(scene_of(made), serving={**SERVING, "takeOwnership": True})
    ensure_put_back(PutBack(live_release(scene), ("spec.x",)), scene)
    assert (predictor(made)["minReplicas"], shared(made)) == (1, frozenset())


def test_where_nothing_is_live_there_is_nothing_to_be_taken() -> None:
    made = in_production()
    release = live_release(scene_of(made))
    made.serving.delete_by_hand(KEY)
    scene = wanting(scene_of(made), serving={**SERVING, "takeOwnership": True})
    ensure_deployed(Deploy(release), scene)
    assert live_release(scene_of(made)) == release
