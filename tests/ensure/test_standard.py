"""What is applied in Standard mode when somebody changes their mind, and to what was there before."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.ensure.scene import Scene
from reconciler.ensure.serving import (
    ensure_adopted,
    ensure_all_routed,
    ensure_put_back,
    ensure_stable_restored,
    ensure_traffic,
    ensure_traffic_cut,
)
from reconciler.errors import Conflict
from reconciler.manifest import predictor_name
from reconciler.observed import LABEL_RELEASE, Release
from reconciler.plan.action import (
    Adopt,
    CutTraffic,
    PutBack,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
)
from tests.ensure.stage import in_production, scene_of, wanting
from tests.ensure.test_serving import live_release, rollout
from tests.simulation.stories import spec, training, until, world
from tests.simulation.wishes import foreign
from tests.simulation.world import KEY, NAME, World

MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
SERVING: dict[str, Any] = {"namespace": "models", "mode": "Standard", "predictor": {"model": MODEL, "minReplicas": 2}}
OTHER = {**SERVING, "predictor": {**SERVING["predictor"], "timeout": 30}}


def wanted(made: World) -> Any:
    return made.serving.live[KEY].manifest["spec"]


def name_of(release: Release) -> str:
    return f"v{release.version}-{release.template[:5]}"


def served() -> World:
    """Let version 1 be in Production."""
    return in_production(spec(serving=SERVING))


def rolling(**changes: object) -> World:
    """Let a rollout be under way, with 10 % of the traffic: of version 2, or of what the test says."""
    made = served()
    made.source.write(NAME, spec(**{"serving": SERVING, **(changes or {"training": training(2)})}))
    until(made, lambda: made.serving.live[KEY].percent == 10 and scene_of(made).live().traffic[0].percent == 10)
    return made


def test_a_first_deployment_has_the_name_of_its_release() -> None:
    made = served()
    release = live_release(scene_of(made))
    assert wanted(made)["predictor"]["name"] == name_of(release)
    assert scene_of(made).live().latest_created == f"{NAME}-{name_of(release)}-predictor"


def test_a_share_that_would_go_past_stable_is_not_shifted() -> None:
    made = rolling()
    with pytest.raises(Conflict, match="not to the stable revision other"):
        ensure_traffic(ShiftTraffic(rollout(scene_of(made)).release, 50, "other"), scene_of(made))
    assert wanted(made)["canary"][0]["trafficPercent"] == 10


def promoting_in_place() -> World:
    made = rolling(serving=OTHER)
    record = rollout(scene_of(made))
    assert record.release.version == record.stable.version == 1
    ensure_traffic(ShiftTraffic(record.release, 100, record.stable_revision), scene_of(made))
    while made.tick():
        pass
    ensure_all_routed(RouteAll(record.release, record.stable_revision), scene_of(made))
    return made


def test_a_promotion_in_place_is_taken_back_in_place() -> None:
    made = promoting_in_place()
    record = rollout(scene_of(made))
    ensure_traffic_cut(CutTraffic(record.release, "w", record.started), scene_of(made))
    assert wanted(made)["predictor"]["labels"][LABEL_RELEASE] == str(record.release)
    while made.tick():
        pass
    ensure_stable_restored(RestoreStable(record.stable), scene_of(made))
    assert set(wanted(made)) == {"predictor"}
    assert wanted(made)["predictor"]["name"] == name_of(record.stable)
    assert wanted(made)["predictor"]["labels"][LABEL_RELEASE] == str(record.stable)


def test_putting_fields_back_leaves_the_canary_as_it_is() -> None:
    made = rolling()
    record = rollout(scene_of(made))
    ensure_put_back(PutBack(record.release, ("spec.x",)), scene_of(made))
    assert wanted(made)["canary"][0]["trafficPercent"] == 10
    assert wanted(made)["predictor"]["labels"][LABEL_RELEASE] == str(record.stable)


@pytest.mark.parametrize("name", ["", "mine"])
def test_an_object_that_is_adopted_keeps_its_predictor_s_name_or_that_it_has_none(name: str) -> None:
    made = world()
    made.registry.register(NAME, {}, {"accuracy": 0.95}, made.now)
    named = {"name": name} if name else {}
    made.serving.create_by_hand(foreign(KEY, f"s3://models/{NAME}/1", "Standard", **named))
    made.source.write(NAME, spec(training=None))
    made.settle()
    scene: Scene = wanting(scene_of(made), training=None, serving={**SERVING, "adopt": True})
    ensure_adopted(Adopt(Release(1, "as found"), scene.live().uid), scene)
    assert wanted(made)["predictor"].get("name", "") == name
    assert predictor_name(made.memory.kept[NAME][live_release(scene_of(made))]) == name
