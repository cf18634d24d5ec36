"""The stand-in from end to end: real model servers behind a real split."""

from __future__ import annotations

from collections import Counter

from tests.demo.kserve.conftest import REVISION, World, eventually


def test_a_first_deployment_ignores_the_canary_percentage_and_serves(world: World, models: dict[str, str]) -> None:
    world.apply("first", models["v1"], canary=10)
    eventually(lambda: world.settled("first", 1))
    assert sum(world.split("first").values()) == 100  # once rolled out, both targets are the one revision
    assert world.answers("first") == 1
    status = world.get("first")["status"]
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    assert status["url"] == f"{world.ingress_url}/serving/models/first"
    assert status["clusterServingRuntimeName"] == "kserve-mlserver"


def test_a_canary_is_probed_at_zero_shifted_and_promoted(world: World, models: dict[str, str]) -> None:
    world.apply("canary", models["v1"], canary=None)
    eventually(lambda: world.settled("canary", 1))
    world.apply("canary", models["v2"], canary=0)
    eventually(lambda: world.settled("canary", 2))
    assert world.split("canary") == {"2:latest": 0, "1:prev": 100}
    assert (world.answers("canary"), world.answers("canary--latest")) == (1, 2)

    world.apply("canary", models["v2"], canary=50)
    eventually(lambda: world.split("canary") == {"2:latest": 50, "1:prev": 50})
    seen = Counter(world.answers("canary") for _ in range(100))
    assert set(seen) == {1, 2}
    assert 25 <= seen[2] <= 75

    world.apply("canary", models["v2"], canary=None)
    eventually(lambda: world.split("canary") == {"2:latest": 100})
    assert {world.answers("canary") for _ in range(20)} == {2}
    assert world.marks("canary")["previousRolledoutRevision"] == "canary-predictor-00001"
    eventually(lambda: _replicas(world, "canary-predictor-00001") == 0)


def test_a_candidate_that_cannot_load_gets_nothing_and_says_why(world: World, models: dict[str, str]) -> None:
    world.apply("broken", models["v1"], canary=None)
    eventually(lambda: world.settled("broken", 1))
    world.apply("broken", models["broken"], canary=50)
    eventually(lambda: world.condition("broken", "Ready") == "False")
    status = world.get("broken")["status"]
    assert status["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert status["modelStatus"]["states"] == {"activeModelState": "Loaded", "targetModelState": "FailedToLoad"}
    assert status["modelStatus"]["lastFailureInfo"]["reason"] == "ModelLoadFailed"
    assert "not a zip file" in status["modelStatus"]["lastFailureInfo"]["message"]
    assert {world.answers("broken") for _ in range(20)} == {1}


def _replicas(world: World, revision: str) -> int:
    found = world.objects.get_namespaced_custom_object(*REVISION, revision)
    return int(found["status"]["actualReplicas"])
