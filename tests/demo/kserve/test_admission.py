"""What the webhook writes and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.demo.kserve.admission import default, refusals

Json = dict[str, Any]


def isvc(predictor: Json, **annotations: str) -> Json:
    prefixed = {f"serving.kserve.io/{name}": value for name, value in annotations.items()}
    return {"metadata": {"name": "iris", "annotations": prefixed}, "spec": {"predictor": predictor}}


MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "storageUri": "s3://b/m"}


def test_a_model_gets_the_defaults_that_a_naive_diff_stumbles_over() -> None:
    asked = {**MODEL, "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}}}
    stored = default(isvc({"model": asked}, deploymentMode="Serverless"))
    assert stored["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Knative",
        "modelFormat": "mlflow",
    }
    assert stored["spec"]["predictor"]["model"] == {
        **MODEL,
        "name": "",
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
    }


def test_defaulting_again_changes_nothing() -> None:
    stored = default(isvc({"model": MODEL}, deploymentMode="RawDeployment"))
    assert default(stored) == stored


def test_a_legacy_framework_key_becomes_a_model() -> None:
    stored = default(isvc({"onnx": {"storageUri": "s3://b/m"}}))
    assert stored["spec"]["predictor"]["model"] == {
        "modelFormat": {"name": "onnx"},
        "protocolVersion": "v2",
        "storageUri": "s3://b/m",
        "name": "",
        "resources": {},
    }
    assert "onnx" not in stored["spec"]["predictor"]


def test_a_custom_container_gets_a_name_and_resources() -> None:
    stored = default(isvc({"containers": [{"image": "mine:1"}]}))
    [container] = stored["spec"]["predictor"]["containers"]
    assert container["name"] == "kserve-container"
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}


REFUSED: dict[str, tuple[Json, str]] = {
    "a name that starts with a digit": ({"metadata": {"name": "1iris"}}, "must start with alphabetical"),
    "two implementations": ({"spec": {"predictor": {"model": MODEL, "sklearn": {}}}}, "exactly one of"),
    "no implementation": ({"spec": {"predictor": {}}}, "exactly one of"),
    "more replicas at least than at most": (
        {"spec": {"predictor": {"model": MODEL, "minReplicas": 3, "maxReplicas": 2}}},
        "MinReplicas cannot be greater than MaxReplicas",
    ),
    "a logger without mode": ({"spec": {"predictor": {"model": MODEL, "logger": {}}}}, "invalid logger type"),
    "spec.canary outside Standard mode": (
        {"spec": {"predictor": {"model": MODEL}, "canary": [{}]}},
        "only supported in Standard",
    ),
}


def canary(name: str = "r2", percent: int = 10, **predictor: Any) -> Json:
    return {"predictor": {"name": name, "model": MODEL, **predictor}, "trafficPercent": percent}


REFUSED_CANARIES: dict[str, tuple[list[Json], str]] = {
    "a canary without a predictor": ([{"trafficPercent": 1}], "spec.canary[0].predictor: Required value"),
    "a canary without a share": ([{"predictor": {}}], "spec.canary[0].trafficPercent: Required value"),
    "a canary without a name": ([canary(), canary("")], "canary[1] predictor.name is required"),
    "a name that two canaries have": ([canary(), canary()], 'canary predictor.name "r2" is duplicated'),
    "the name of stable": ([canary("r1")], '"r1" conflicts with stable predictor name'),
    "a share below 0": ([canary(percent=-1)], "must be between 0 and 100, got -1"),
    "a share above 100": ([canary(percent=101)], "must be between 0 and 100, got 101"),
    "more than 100 % in all": ([canary(percent=60), canary("r3", 50)], "values (110) must be <= 100"),
    "a canary without an implementation": (
        [{"predictor": {"name": "r2"}, "trafficPercent": 1}],
        'canary "r2" predictor: exactly one of',
    ),
    "a canary on several nodes": ([canary(workerSpec={})], 'canary "r2" must not set workerSpec'),
    "a canary that scales up": ([canary(maxReplicas=2)], 'canary "r2" must not set maxReplicas'),
    "a canary with a scale target": ([canary(scaleTarget=5)], 'canary "r2" must not set scaleTarget'),
    "a canary with a scale metric": ([canary(scaleMetric="cpu")], 'canary "r2" must not set scaleMetric'),
    "a canary with autoscaling": ([canary(autoScaling={"metrics": []})], 'canary "r2" must not set autoScaling'),
    "more replicas than stable has": (
        [canary(minReplicas=4)],
        "minReplicas (4) must not exceed stable predictor minReplicas (3)",
    ),
}


def standard(*canaries: Json, **predictor: Any) -> Json:
    found = isvc({"name": "r1", "model": MODEL, "minReplicas": 3, **predictor}, deploymentMode="Standard")
    return {**found, "spec": {**found["spec"], "canary": list(canaries)}}


@pytest.mark.parametrize("what", REFUSED_CANARIES)
def test_refused_in_standard_mode_is(what: str) -> None:
    canaries, message = REFUSED_CANARIES[what]
    [refusal] = refusals(standard(*canaries), None)
    assert message in refusal


def test_two_canaries_that_share_everything_are_taken() -> None:
    assert refusals(standard(canary(minReplicas=3, maxReplicas=0), canary("r3", 90)), None) == []


def test_a_canary_is_stored_as_it_passes_through_kserves_types() -> None:
    asked = canary(model={**MODEL, "resources": {"limits": {"cpu": "0.5"}}})
    [stored] = default(standard(asked))["spec"]["canary"]
    assert stored["predictor"]["model"] == {**MODEL, "name": "", "resources": {"limits": {"cpu": "500m"}}}


def test_a_predictor_gets_another_name_only_with_another_model() -> None:
    standing = standard()
    other = {**MODEL, "storageUri": "s3://b/other"}
    [refusal] = refusals(standard(name="r2"), standing)
    assert refusal == "predictor.name change requires a model change (e.g. storageUri)"
    assert refusals(standard(name="r2", model=other), standing) == []
    assert refusals(standard(model=other), standing) == []


@pytest.mark.parametrize("what", REFUSED)
def test_refused_is(what: str) -> None:
    change, message = REFUSED[what]
    [refusal] = refusals({**isvc({"model": MODEL}), **change}, None)
    assert message in refusal


def test_the_mode_cannot_change_once_it_stands_in_status() -> None:
    standing = {**isvc({"model": MODEL}), "status": {"deploymentMode": "Knative"}}
    [refusal] = refusals(isvc({"model": MODEL}, deploymentMode="Standard"), standing)
    assert "cannot be changed from 'Knative' to 'Standard'" in refusal
    assert refusals(isvc({"model": MODEL}, deploymentMode="Knative"), standing) == []


def test_an_object_on_its_way_out_is_not_refused() -> None:
    leaving = isvc({})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert refusals(leaving, None) == []
