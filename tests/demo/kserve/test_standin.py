"""The stand-in from end to end: real model servers behind a real split."""

from __future__ import annotations

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from tests.demo.kserve.conftest import ISVC, World, eventually, load, servers


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


def test_a_canary_is_rolled_back_without_a_failed_request(world: World, models: dict[str, str]) -> None:
    world.apply("back", models["v1"], canary=None)
    eventually(lambda: world.settled("back", 1))
    world.apply("back", models["v2"], canary=0)
    eventually(lambda: world.settled("back", 2))
    with load(world, "back") as answers:
        for percent in (30, 100):
            world.apply("back", models["v2"], canary=percent)
            eventually(partial(_candidate_gets, world, "back", percent))
        world.apply("back", models["v1"], canary=0)
        eventually(lambda: world.settled("back", 3))
        world.apply("back", models["v1"], canary=None)
        eventually(lambda: world.split("back") == {"3:latest": 100})
        eventually(lambda: _replicas(world, "back-predictor-00002") == 0)
        eventually(lambda: answers.total() > 200)
    assert set(answers) == {1, 2}
    counted = world.http.get(f"{world.ingress_url}/stats").json()["routes"]["models/back"]
    assert sum(revision["total"] for revision in counted.values()) == answers.total()
    assert [revision["failed"] for revision in counted.values()] == [0] * len(counted)


def test_v1_and_v2_answer_alike_and_bad_input_is_the_callers_error(world: World, models: dict[str, str]) -> None:
    world.apply("protocols", models["v1"], canary=None)
    eventually(lambda: world.settled("protocols", 1))
    base = f"{world.ingress_url}/serving/models/protocols"
    row = {"sepal length (cm)": 5.1, "sepal width (cm)": 3.5, "petal length (cm)": 1.4, "petal width (cm)": 0.2}
    for instance in (list(row.values()), row):
        response = world.http.post(f"{base}/v1/models/protocols:predict", json={"instances": [instance] * 2})
        assert response.json() == {"predictions": [1, 1]}
        assert response.headers["x-reconciler-demo-revision"] == "protocols-predictor-00001"
    columns = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in row.items()]
    response = world.http.post(f"{base}/v2/models/protocols/infer", json={"inputs": columns})
    assert response.json()["outputs"][0]["data"] == [1]
    assert world.http.get(f"{base}/v2/models/protocols/ready").json()["ready"] is True
    refused = world.http.post(f"{base}/v1/models/protocols:predict", json={"instances": [[1.0]]})
    assert refused.status_code == 400
    assert "missing inputs" in refused.text
    assert world.http.get(f"{world.ingress_url}/serving/models/nobody/v2/health/live").status_code == 404


def test_labels_and_the_source_prove_on_the_revision_what_it_serves(world: World, models: dict[str, str]) -> None:
    world.apply("proof", models["v1"], canary=None, env=[{"name": "A", "value": "1"}])
    eventually(lambda: world.settled("proof", 1))
    world.objects.patch_namespaced_custom_object(
        *ISVC, "proof", {"spec": {"predictor": {"labels": {"example.org/version": "7"}}}}
    )
    eventually(lambda: world.settled("proof", 2))
    revision = world.revision("proof-predictor-00002")
    assert revision["metadata"]["labels"]["example.org/version"] == "7"
    assert revision["metadata"]["labels"]["modelClass"] == "mlserver_mlflow.MLflowRuntime"
    source = "internal.serving.kserve.io/storage-initializer-sourceuri"
    assert revision["metadata"]["annotations"][source] == models["v1"]
    assert "modelFormat" not in revision["metadata"]["annotations"]
    [owner] = revision["metadata"]["ownerReferences"]
    assert owner["uid"] == world.get("proof")["metadata"]["uid"]


def test_without_v2_no_runtime_takes_an_mlflow_model(world: World, models: dict[str, str]) -> None:
    world.apply("unrun", models["v1"], canary=None, protocolVersion="v1")
    eventually(lambda: world.warnings("unrun"))
    model = eventually(lambda: world.get("unrun").get("status", {}).get("modelStatus"))
    assert model["transitionStatus"] == "InvalidSpec"
    assert model["lastFailureInfo"]["reason"] == "NoSupportingRuntime"
    [warning] = world.warnings("unrun")
    assert warning.startswith("InternalError: no runtime found to support predictor")


def test_an_unsupported_uri_shows_as_an_event_only(world: World, models: dict[str, str]) -> None:
    world.apply("uri", models["v1"], canary=None)
    eventually(lambda: world.settled("uri", 1))
    world.apply("uri", "ftp://somewhere/model", canary=None)
    eventually(lambda: world.warnings("uri"))
    assert "StorageURI not supported" in world.warnings("uri")[0]
    assert world.settled("uri", 1)
    assert world.answers("uri") == 1


@pytest.mark.parametrize("uri", ["models:/iris/1", "s3://bucket/model", "file:///nowhere/at/all"])
def test_what_cannot_be_fetched_fails_in_the_storage_initializer(world: World, uri: str) -> None:
    name = f"fetch-{uri[0]}"
    world.apply(name, uri, canary=None)
    eventually(lambda: world.condition(name, "PredictorReady") == "False")
    status = world.get(name)["status"]
    assert uri in status["modelStatus"]["lastFailureInfo"]["message"]
    route = next(c for c in status["conditions"] if c["type"] == "PredictorRouteReady")
    assert route["reason"] == "RevisionMissing"


def test_a_failed_revision_recovers_when_its_artifact_does(
    world: World, models: dict[str, str], tmp_path: Path
) -> None:
    world.apply("late", (tmp_path / "late").as_uri(), canary=None)
    eventually(lambda: world.condition("late", "PredictorReady") == "False")
    shutil.copytree(url2pathname(urlsplit(models["v2"]).path), tmp_path / "late")
    eventually(lambda: world.settled("late", 1))
    assert world.answers("late") == 2
    assert world.get("late")["status"]["modelStatus"]["lastFailureInfo"]["reason"] == "ModelLoadFailed"


def test_a_server_that_dies_is_started_again(world: World, models: dict[str, str]) -> None:
    world.apply("crash", models["v1"], canary=None)
    eventually(lambda: world.settled("crash", 1))
    [server] = servers("models.crash-")
    server.kill()
    eventually(lambda: servers("models.crash-") not in ([], [server]))
    assert world.answers("crash") == 1


def test_deletion_stops_the_servers_before_the_object_goes(world: World, models: dict[str, str]) -> None:
    world.apply("gone", models["v1"], canary=None)
    eventually(lambda: world.settled("gone", 1))
    assert "inferenceservice.finalizers" in world.get("gone")["metadata"]["finalizers"]
    assert len(servers("models.gone-")) == 1
    world.delete("gone")
    eventually(lambda: not world.exists("gone"))
    assert servers("models.gone-") == []
    assert world.answers("gone") == -404


def _candidate_gets(world: World, name: str, percent: int) -> bool:
    return world.split(name)["2:latest"] == percent


def _replicas(world: World, revision: str) -> int:
    return int(world.revision(revision)["status"]["actualReplicas"])
