"""What an action applies in Standard mode: a canary beside the stable predictor, and which name each has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.ensure.scene import Scene
from reconciler.ensure.serving import (
    _beside,
    _in_place,
    _same_artifact,
    _stable,
    ensure_all_routed,
    ensure_canary_scaled,
    ensure_canary_started,
    ensure_deployed,
    ensure_stable_restored,
    ensure_taken_down,
    ensure_traffic,
    ensure_traffic_cut,
)
from reconciler.errors import Conflict, Transient
from reconciler.manifest import deployed_name, own_name, predictor_name, under_name
from reconciler.observed import STANDARD, Release
from reconciler.plan.action import (
    CutTraffic,
    Deploy,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StartCanary,
    TakeDown,
)
from reconciler.plan.marks import RolloutRecord
from tests.ensure.stage import in_production, scene_of
from tests.simulation.stories import spec, training, until
from tests.simulation.world import KEY, NAME, World

PREDICTOR = {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 1}


def serving(mode: str = STANDARD, **predictor: Any) -> dict[str, Any]:
    return {"namespace": "models", "mode": mode, "predictor": {**PREDICTOR, **predictor}}


def at(share: int | None, mode: str = STANDARD, **changes: Any) -> World:
    """Let a candidate stand beside version 1 and this share show; None is right before it is applied."""
    made = in_production(spec(serving=serving(mode)))
    made.source.write(NAME, spec(**{"serving": serving(mode), "training": training(2), **changes}))

    def there() -> bool:
        scene = scene_of(made)
        live = scene.facts.live
        if scene.facts.rollout is None or live is None:
            return False
        if share is None:
            return live.canary_percent is None
        shown = sum(t.percent for t in live.traffic if t.revision == live.latest_created)
        return live.canary_percent == share == shown

    until(made, there)
    return made


def same_artifact(share: int | None) -> World:
    """Let the candidate be version 1 under other serving fields."""
    return at(share, training=training(1), serving=serving(timeout=30))


def rollout(scene: Scene) -> RolloutRecord:
    assert scene.facts.rollout is not None
    return scene.facts.rollout


def manifest_spec(made: World) -> Any:
    return made.serving.live[KEY].manifest["spec"]


def with_live(scene: Scene, **changes: Any) -> Scene:
    return replace(scene, facts=replace(scene.facts, live=replace(scene.live(), **changes)))


def without_rollout(scene: Scene) -> Scene:
    return replace(scene, facts=replace(scene.facts, rollout=None))


def name_of(scene: Scene, deployment: str | None) -> str:
    return deployed_name(scene.live().name, deployment or "")


def test_a_canary_stands_beside_the_stable_predictor_and_gets_its_share() -> None:
    made = at(None)
    scene = scene_of(made)
    record = rollout(scene)
    after = ensure_canary_started(StartCanary(record.release), scene)
    assert after["canaryTrafficPercent"] == 0
    (canary,) = manifest_spec(made)["canary"]
    assert canary["trafficPercent"] == 0
    assert canary["predictor"]["name"] != manifest_spec(made)["predictor"]["name"]
    assert manifest_spec(made)["predictor"]["name"] == name_of(scene, record.stable_revision)
    assert {r.version for r in made.memory.kept[NAME]} == {1, 2}


def test_a_share_changes_nothing_else_and_a_cut_leaves_none() -> None:
    made = at(10)
    before, record = manifest_spec(made)["predictor"], rollout(scene_of(made))
    after = ensure_traffic(ShiftTraffic(record.release, 50, record.stable_revision), scene_of(made))
    assert (after["canaryTrafficPercent"], manifest_spec(made)["canary"][0]["trafficPercent"]) == (50, 50)
    ensure_traffic_cut(CutTraffic(record.release, "w", record.started), scene_of(made))
    assert (manifest_spec(made)["canary"][0]["trafficPercent"], manifest_spec(made)["predictor"]) == (0, before)


def nobody_left(made: World, record: RolloutRecord) -> None:
    """Take the candidate's callers away, as they leave it before it goes."""
    ensure_traffic(ShiftTraffic(record.release, 0, record.stable_revision), scene_of(made))
    while made.tick():
        pass


@pytest.mark.parametrize(("mode", "split"), [(STANDARD, False), ("Knative", True)])
def test_restoring_stable_drops_the_canary_where_it_never_left(mode: str, *, split: bool) -> None:
    made = at(10, mode)
    record = rollout(scene_of(made))
    nobody_left(made, record)
    after = ensure_stable_restored(RestoreStable(record.stable), scene_of(made))
    assert (after["canaryTrafficPercent"] == 0) is split
    assert "canary" not in manifest_spec(made)
    assert after["release"] == str(record.stable)


def test_a_promotion_gives_the_stable_predictor_the_canary_s_name_so_that_its_pods_stay() -> None:
    made = at(100)
    scene = scene_of(made)
    record, canary = rollout(scene), manifest_spec(made)["canary"][0]["predictor"]["name"]
    after = ensure_all_routed(RouteAll(record.release, record.stable_revision), scene)
    assert (after["release"], after["canaryTrafficPercent"]) == (str(record.release), None)
    assert "canary" not in manifest_spec(made)
    assert manifest_spec(made)["predictor"]["name"] == canary


def test_with_the_same_artifact_the_stable_predictor_becomes_what_the_canary_is_and_keeps_its_name() -> None:
    made = same_artifact(100)
    scene = scene_of(made)
    record, stable = rollout(scene), manifest_spec(made)["predictor"]["name"]
    assert _same_artifact(scene, scene.release_record(record.release))
    after = ensure_all_routed(RouteAll(record.release, record.stable_revision), scene)
    assert (after["release"], after["canaryTrafficPercent"]) == (str(record.release), 100)
    heir, (canary,) = manifest_spec(made)["predictor"], manifest_spec(made)["canary"]
    assert (heir["name"], heir["timeout"], canary["trafficPercent"]) == (stable, 30, 100)
    until(made, lambda: scene_of(made).live().succeeded)
    done = scene_of(made)
    lowered = ensure_traffic(ShiftTraffic(record.release, 0, record.stable_revision), done)
    assert (lowered["canaryTrafficPercent"], manifest_spec(made)["predictor"]["name"]) == (0, stable)


def test_what_has_taken_over_goes_on_alone_under_its_name_and_is_kept_so() -> None:
    made = same_artifact(100)
    record, stable = rollout(scene_of(made)), manifest_spec(made)["predictor"]["name"]
    action = RouteAll(record.release, record.stable_revision)
    ensure_all_routed(action, scene_of(made))
    until(made, lambda: scene_of(made).live().succeeded)
    nobody_left(made, record)
    made.memory.kept.clear()
    scene = scene_of(made)
    after = ensure_all_routed(action, scene)
    assert after == {"release": str(record.release), "storageUri": "s3://models/iris/1", "canaryTrafficPercent": None}
    assert (manifest_spec(made)["predictor"]["name"], "canary" in manifest_spec(made)) == (stable, False)
    assert predictor_name(made.memory.kept[NAME][record.release]) == stable


def test_another_artifact_or_no_rollout_is_not_the_same() -> None:
    scene = scene_of(at(10))
    assert not _same_artifact(scene, scene.release_record(rollout(scene).release))
    assert not _same_artifact(without_rollout(scene), scene.release_record(rollout(scene).stable))


# Names.


def test_what_replaces_a_deployment_keeps_its_name() -> None:
    scene = scene_of(at(10))
    record = scene.release_record(rollout(scene).stable)
    live = scene.live()
    assert predictor_name(_in_place(scene, record)) == name_of(scene, live.latest_created)
    assert predictor_name(record) != name_of(scene, live.latest_created)
    for left in (
        replace(scene, facts=replace(scene.facts, live=None)),
        with_live(scene, mode="Knative"),
        with_live(scene, latest_created=None),
    ):
        assert _in_place(left, record) is record


def test_a_version_is_deployed_under_the_name_that_is_there_and_kept_so() -> None:
    made = at(None)
    scene = scene_of(made)
    there = manifest_spec(made)["predictor"]["name"]
    made.memory.kept.clear()
    release = rollout(scene).release
    ensure_deployed(Deploy(release), scene)
    assert manifest_spec(made)["predictor"]["name"] == there
    assert predictor_name(made.memory.kept[NAME][release]) == there


@pytest.mark.parametrize(
    ("own", "taken", "name"),
    [
        ("v2", "v1", "v2"),
        ("v1", "v1", "v1-b"),
        ("v1-b", "v1-b", "a"),
        ("", "", "OWN"),
        ("", "v1", "OWN"),
        ("", "OWN", "OWN-b"),
        ("", "OWN-b", "OWN"),
    ],
)
def test_a_canary_has_a_name_and_never_that_of_what_it_stands_beside(own: str, taken: str, name: str) -> None:
    scene = scene_of(at(None))
    taken, name = (said.replace("OWN", own_name(rollout(scene).release)) for said in (taken, name))
    deployment = f"{NAME}-{taken}-predictor" if taken else f"{NAME}-predictor"
    facts = replace(scene.facts, rollout=replace(rollout(scene), stable_revision=deployment))
    record = under_name(scene.release_record(rollout(scene).release), own)
    assert deployed_name(NAME, deployment) == taken
    assert predictor_name(_beside(replace(scene, facts=facts), record)) == name


def test_only_a_canary_in_standard_mode_is_given_another_name() -> None:
    scene = scene_of(at(None))
    record = under_name(scene.release_record(rollout(scene).release), name_of(scene, rollout(scene).stable_revision))
    assert predictor_name(_beside(scene, record)) != predictor_name(record)
    left: tuple[Callable[[Scene], Scene], ...] = (
        without_rollout,
        lambda s: with_live(s, mode="Knative"),
        lambda s: replace(s, facts=replace(s.facts, live=None)),
    )
    for change in left:
        assert _beside(change(scene), record) is record


# What stands beside a canary.


def test_beside_a_canary_stands_the_stable_release_of_the_rollout_and_else_nothing_is_applied() -> None:
    scene = scene_of(at(10))
    stable = rollout(scene).stable
    found = _stable(scene, 10)
    assert found is not None
    assert found.release == stable
    assert _stable(scene, None) is None
    assert _stable(with_live(scene, mode="Knative"), 10) is None
    assert _stable(replace(scene, facts=replace(scene.facts, live=None)), 10) is None
    with pytest.raises(Conflict, match=f"the stable predictor serves 7-x, not {stable}"):
        _stable(with_live(scene, beside=Release(7, "x")), 10)
    with pytest.raises(Conflict, match="the stable predictor serves None, not a release of ours"):
        _stable(with_live(without_rollout(scene), beside=None, release=None), 10)
    other = _stable(without_rollout(scene), 10)
    assert other is not None
    assert other.release == stable, "what stands there, where no rollout says what should"
    alone = _stable(with_live(scene, beside=None, release=stable), 0)
    assert alone is not None
    assert alone.release == stable, "before there is a canary, it is the release of the object"


def test_beside_a_canary_that_has_taken_over_stands_its_own_release_under_the_name_that_is_there() -> None:
    scene = scene_of(at(10))
    record = rollout(scene)
    heir = _stable(with_live(scene, beside=record.release), 0)
    assert heir is not None
    assert (heir.release, predictor_name(heir)) == (record.release, name_of(scene, record.stable_revision))
    with_record = _stable(without_rollout(with_live(scene, beside=record.release)), 0)
    assert with_record is not None
    assert predictor_name(with_record) == predictor_name(scene.release_record(record.release))


# In both modes.


@pytest.mark.parametrize("mode", [STANDARD, "Knative"])
def test_a_write_is_for_the_object_as_it_was_looked_at(mode: str) -> None:
    made = in_production(spec(serving=serving(mode)))
    for changes in ({"uid": "another"}, {"resource_version": "1"}):
        scene = with_live(scene_of(made), **changes)
        release = scene.live().release
        assert release is not None
        with pytest.raises((Conflict, Transient)):
            ensure_deployed(Deploy(release), scene)


def test_an_object_that_is_taken_down_is_gone() -> None:
    made = in_production()
    ensure_taken_down(TakeDown("models", made.serving.live[KEY].uid), scene_of(made))
    live = scene_of(made).facts.live
    assert live is None or live.deleting


def test_more_pods_are_asked_for_at_the_share_that_is_there() -> None:
    made = at(10)
    scene = scene_of(made)
    record = scene.facts.rollout
    assert record is not None
    after = ensure_canary_scaled(ScaleCanary(record.release, 10, 4, record.stable_revision), scene)
    assert (after["canaryTrafficPercent"], after["pods"]) == (10, 4)
    spec_of_it = made.serving.live[KEY].manifest["spec"]
    assert spec_of_it["canary"][0]["trafficPercent"] == 10
    assert spec_of_it["canary"][0]["predictor"]["minReplicas"] == 4
    assert spec_of_it["predictor"]["minReplicas"] == 4
