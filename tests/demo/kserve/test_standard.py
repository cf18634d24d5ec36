"""Standard mode's rules: what a canary inherits, how many replicas there are, and who gets which share."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.demo.kserve import deployments, standard
from reconciler.demo.kserve.deployments import Progress
from reconciler.demo.kserve.pods import Broken, Loading, PodState, Running
from reconciler.demo.kserve.standard import Backend, BadCanary, CanaryStatus

Json = dict[str, Any]
MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "storageUri": "s3://b/1"}
NEW = {"modelFormat": {"name": "mlflow"}, "storageUri": "s3://b/2"}


def isvc(*canaries: Json, **predictor: Any) -> Json:
    meta = {
        "name": "iris",
        "namespace": "models",
        "uid": "u",
        "labels": {"team": "flowers"},
        "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
    }
    return {"metadata": meta, "spec": {"predictor": {"name": "r1", "model": MODEL, **predictor}, "canary": [*canaries]}}


def canary(percent: int, **predictor: Any) -> Json:
    return {"predictor": {"name": "r2", "model": NEW, **predictor}, "trafficPercent": percent}


def test_a_canary_is_the_stable_predictor_with_its_own_fields_laid_over_it() -> None:
    stable = {
        "labels": {"release": "1", "kept": "yes"},
        "serviceAccountName": "reader",
        "model": {**MODEL, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]},
    }
    own = {"labels": {"release": "2"}, "serviceAccountName": "", "model": {**NEW, "env": [{"name": "A", "value": "2"}]}}
    [found] = standard.canaries(isvc(canary(10, **own), **stable))
    template = found.predictor.template
    assert found.predictor.deployment == "iris-r2-predictor"
    assert template.storage_uri == "s3://b/2"
    assert template.spec["serviceAccountName"] == "reader"  # what is empty does not unset what is inherited
    [container] = template.spec["containers"]
    assert [(e["name"], e["value"]) for e in container["env"]] == [("A", "2"), ("INFERENCE_SERVICE_NAME", "iris")]
    assert template.labels == {
        "team": "flowers",
        "release": "2",
        "kept": "yes",
        "modelClass": "mlserver_mlflow.MLflowRuntime",
        "serving.kserve.io/inferenceservice": "iris",
        "component": "predictor",
        "app": "isvc.iris-r2-predictor",
    }


def test_a_share_changes_nothing_in_the_pods() -> None:
    [before] = standard.canaries(isvc(canary(10, minReplicas=1), minReplicas=4))
    [after] = standard.canaries(isvc(canary(50, minReplicas=2), minReplicas=4))
    assert (before.predictor.template, before.predictor.deployment) == (
        after.predictor.template,
        after.predictor.deployment,
    )
    promoted = standard.stable(isvc(name="r2", model={**MODEL, **NEW}))
    assert promoted.template == after.predictor.template


def test_a_canary_that_no_runtime_takes_stops_everything() -> None:
    refused = {**NEW, "modelFormat": {"name": "tensorflow"}}
    with pytest.raises(BadCanary, match="fails to build resources for canary r2: no runtime found"):
        standard.canaries(isvc(canary(10, model=refused)))


REPLICAS: dict[str, tuple[Json, int, Json, int]] = {
    "the canary's own number": ({"minReplicas": 4}, 10, {"minReplicas": 3}, 3),
    "its share of stable's, rounded up": ({"minReplicas": 4}, 30, {}, 2),
    "one at least, for an autoscaler keeps one": ({"minReplicas": 4}, 0, {}, 1),
    "none at 0 % where nothing scales": (
        {"minReplicas": 4, "annotations": {"serving.kserve.io/autoscalerClass": "none"}},
        0,
        {},
        0,
    ),
}


@pytest.mark.parametrize("what", REPLICAS)
def test_a_canary_has(what: str) -> None:
    stable, percent, own, replicas = REPLICAS[what]
    [found] = standard.canaries(isvc(canary(percent, **own), **stable))
    assert found.predictor.replicas == replicas


@pytest.mark.parametrize(("given", "ready", "replicas"), [(4, True, 2), (4, False, 4), (2, True, 1), (None, True, 1)])
def test_stable_gives_up_the_replicas_of_ready_canaries_and_keeps_one(
    given: int | None, ready: bool, replicas: int
) -> None:
    numbers = {} if given is None else {"minReplicas": given}
    found = isvc(canary(50, minReplicas=2), **numbers)
    stable = standard.stable(found)
    told = (CanaryStatus("r2", 50, ready),)
    assert standard.beside(stable, found, standard.canaries(found), told).replicas == replicas


def test_only_ready_canaries_have_a_weight() -> None:
    canaries = (CanaryStatus("r2", 10, ready=True), CanaryStatus("r3", 30, ready=False))
    assert standard.backends("iris-r1-predictor", "iris", canaries) == (
        Backend("iris-r1-predictor", 90),
        Backend("iris-r2-predictor", 10),
    )
    assert standard.backends("iris-r1-predictor", "iris", ()) == (Backend("iris-r1-predictor", 1),)


STARTED, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"
UP, COMING, BROKEN = Running(1, 1), Loading(), Broken("it does not load", 1, 0.0)


def rolled(pod: PodState, *, older: bool, now: str = STARTED, before: Json | None = None) -> Json:
    deployment = deployments.new(isvc(), standard.stable(isvc(minReplicas=2)), 600)
    deployment = {**deployment, "status": before or {}}
    deployment["metadata"] |= {"generation": 3, "uid": "d"}
    newest = deployments.replica_set(deployment)
    newest["metadata"]["creationTimestamp"] = STARTED
    return deployments.status(deployment, Progress(newest, pod, older_answers=older), now)


STATUSES: dict[str, tuple[Json, dict[str, int], str, str]] = {
    "a new Deployment": (
        rolled(COMING, older=False),
        {"replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2},
        "False",
        "MinimumReplicasUnavailable",
    ),
    "one that is up": (
        rolled(UP, older=False),
        {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2},
        "True",
        "NewReplicaSetAvailable",
    ),
    "one in an update, which the old pods answer for": (
        rolled(COMING, older=True),
        {"replicas": 4, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "unavailableReplicas": 2},
        "True",
        "MinimumReplicasAvailable",
    ),
    "one that is stuck in an update": (
        rolled(BROKEN, older=True, now=LATE),
        {"replicas": 4, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "unavailableReplicas": 2},
        "False",
        "ProgressDeadlineExceeded",
    ),
    "one whose pods died long after they came up": (
        rolled(BROKEN, older=False, now=LATE, before=rolled(UP, older=False)),
        {"replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2},
        "False",
        "MinimumReplicasUnavailable",
    ),
}


@pytest.mark.parametrize("what", STATUSES)
def test_predictor_ready_follows(what: str) -> None:
    status, numbers, ready, reason = STATUSES[what]
    assert {name: value for name, value in status.items() if name.endswith("eplicas")} == numbers
    assert status["observedGeneration"] == 3
    found = deployments.predictor_ready(status)
    assert (found.status, found.reason) == (ready, reason)


def test_a_deployment_without_a_status_is_not_ready() -> None:
    assert deployments.predictor_ready({}).status == "False"
