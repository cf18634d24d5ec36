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
