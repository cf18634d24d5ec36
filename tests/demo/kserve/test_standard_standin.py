"""Standard mode from end to end: real model servers behind Deployments and a weighted route."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reconciler.systems.serving.pods import cause_of
from tests.demo.kserve.conftest import World, canary, eventually, load, predictor, rolled_out, servers

Json = dict[str, Any]


def ready(world: World, name: str, *predictors: str) -> bool:
    """Tell whether the service is ready, and exactly these predictors are rolled out."""
    found = world.deployments(name)
    whole = set(found) == set(predictors) and all(map(rolled_out, found.values()))
    return whole and world.condition(name, "Ready") == "True"


def canaries(world: World, name: str) -> list[tuple[str, bool, int]]:
    """Read what the status says of the canaries."""
    found = world.get(name).get("status", {}).get("canaryStatuses", [])
    return [(c["name"], c["ready"], c["trafficPercent"]) for c in found]


def test_a_rollout_goes_from_nothing_to_promotion_without_a_failed_request(
    world: World, models: dict[str, str]
) -> None:
    stable = predictor("r1", models["v1"])
    world.apply_standard("std", stable)
    eventually(lambda: ready(world, "std", "r1"))
    assert world.weights("std") == {"r1": 1}
    with load(world, "std") as answers:
        world.apply_standard("std", stable, canary("r2", models["v2"], 0))
        eventually(lambda: canaries(world, "std") == [("r2", True, 0)])
        eventually(lambda: ready(world, "std", "r1", "r2"))
        assert world.weights("std") == {"r1": 100, "r2": 0}
        assert [world.answers("std", f"std-{name}-predictor") for name in ("r1", "r2")] == [1, 2]
        eventually(answers.total)
        assert set(answers) == {1}
        [server] = servers("models.std-r2-predictor")

        world.apply_standard("std", stable, canary("r2", models["v2"], 50))
        eventually(lambda: world.weights("std") == {"r1": 50, "r2": 50})
        eventually(lambda: world.answers("std") == 2)
        seen = Counter(world.answers("std") for _ in range(100))
        assert set(seen) == {1, 2}
        assert 25 <= seen[2] <= 75

        world.apply_standard("std", stable, canary("r2", models["v2"], 100))
        eventually(lambda: world.weights("std") == {"r1": 0, "r2": 100})
        assert world.condition("std", "CanaryPredictorReady") == "True"
        world.apply_standard("std", predictor("r2", models["v2"], minReplicas=1))
        eventually(lambda: world.weights("std") == {"r2": 1})
        eventually(lambda: ready(world, "std", "r2"))
        eventually(lambda: world.pods("app=isvc.std-r1-predictor") == [])
        assert servers("models.std-r1-predictor") == []
        assert servers("models.std-r2-predictor") == [server]
        assert len(world.pods("app=isvc.std-r2-predictor")) == 1
        before = answers.total()
        eventually(lambda: answers.total() > before + 20)
    assert set(answers) == {1, 2}
    assert {world.answers("std") for _ in range(20)} == {2}
    counted = world.http.get(f"{world.ingress_url}/stats").json()["routes"]["models/std"]
    assert {name: tally["failed"] for name, tally in counted.items()} == {"std-r1-predictor": 0, "std-r2-predictor": 0}
    status = world.get("std")["status"]
    assert "canaryStatuses" not in status
    assert world.condition("std", "CanaryPredictorReady") == "Unknown"  # it is not there any more
    assert status["url"] == f"{world.ingress_url}/serving/models/std"
    assert status["address"]["url"] == f"{world.ingress_url}/serving/models/std-r2-predictor"
    assert status["components"]["predictor"]["url"] == status["address"]["url"]
    assert status["deploymentMode"] == "Standard"
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"


def test_a_canary_that_cannot_load_gets_no_weight_and_its_removal_leaves_nothing(
    world: World, models: dict[str, str]
) -> None:
    stable = predictor("r1", models["v1"])
    world.apply_standard("bad", stable)
    eventually(lambda: ready(world, "bad", "r1"))
    with load(world, "bad") as answers:
        world.apply_standard("bad", stable, canary("r2", models["broken"], 50))
        eventually(lambda: world.condition("bad", "CanaryPredictorReady") == "False")
        eventually(lambda: cause_of(world.pods("app=isvc.bad-r2-predictor")))
        assert canaries(world, "bad") == [("r2", False, 50)]
        assert world.weights("bad") == {"r1": 100}
        assert world.condition("bad", "Ready") == "True"
        assert world.answers("bad", "bad-r2-predictor") == -503
        world.apply_standard("bad", stable)
        eventually(lambda: canaries(world, "bad") == [])
        assert ready(world, "bad", "r1")
        assert world.weights("bad") == {"r1": 1}
        assert world.answers("bad", "bad-r2-predictor") == -404
        eventually(lambda: world.pods("app=isvc.bad-r2-predictor") == [])
        assert servers("models.bad-r2-predictor") == []
    assert set(answers) == {1}


def test_a_change_in_place_is_answered_by_the_old_pods_until_the_new_ones_are_ready(
    world: World, models: dict[str, str]
) -> None:
    world.apply_standard("place", predictor("r1", models["v1"], minReplicas=3))
    eventually(lambda: ready(world, "place", "r1"))
    assert world.deployments("place")["r1"]["status"]["availableReplicas"] == 3
    with load(world, "place") as answers:
        world.apply_standard("place", predictor("r1", models["broken"], minReplicas=3))
        eventually(lambda: world.deployments("place")["r1"]["status"].get("unavailableReplicas") == 3)
        eventually(lambda: cause_of(world.pods("app=isvc.place-r1-predictor")))
        assert world.condition("place", "Ready") == "True"  # as KServe says, for the old pods
        assert not rolled_out(world.deployments("place")["r1"])
        assert world.answers("place", "place-r1-predictor") == 1
        world.apply_standard("place", predictor("r1", models["v2"], minReplicas=3))
        eventually(lambda: ready(world, "place", "r1") and world.answers("place") == 2)
        eventually(lambda: len(servers("models.place-")) == 1)
    assert set(answers) == {1, 2}
    template = world.deployments("place")["r1"]["spec"]["template"]["metadata"]
    assert template["annotations"]["internal.serving.kserve.io/storage-initializer-sourceuri"] == models["v2"]
    assert template["labels"]["example.org/release"] == "r1"


def test_a_canary_that_no_runtime_takes_shows_as_an_event_only(world: World, models: dict[str, str]) -> None:
    stable = predictor("r1", models["v1"])
    world.apply_standard("unbuilt", stable)
    eventually(lambda: ready(world, "unbuilt", "r1"))
    refused = canary("r2", models["v2"], 10)
    refused["predictor"]["model"]["modelFormat"] = {"name": "tensorflow"}
    world.apply_standard("unbuilt", stable, refused)
    [warning] = eventually(lambda: world.warnings("unbuilt"))
    assert "fails to build resources for canary r2: no runtime found" in warning
    assert ready(world, "unbuilt", "r1")
    assert world.answers("unbuilt") == 1


def test_deletion_takes_deployments_routes_and_servers_along(world: World, models: dict[str, str]) -> None:
    stable = predictor("r1", models["v1"])
    world.apply_standard("away", stable, canary("r2", models["v2"], 10))
    eventually(lambda: ready(world, "away", "r1", "r2") and world.weights("away") == {"r1": 90, "r2": 10})
    assert "inferenceservice.finalizers" in world.get("away")["metadata"]["finalizers"]
    world.delete("away")
    eventually(lambda: not world.exists("away"))
    eventually(lambda: not servers("models.away-") and not world.deployments("away") and not world.weights("away"))
    eventually(lambda: (world.answers("away"), world.answers("away", "away-r1-predictor")) == (-404, -404))
