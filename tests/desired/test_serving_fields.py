"""What KServe would swallow, misread or ignore in a spec is refused before it gets there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.desired.documents import Metadata, Rollout
from reconciler.desired.serving import Serving

MLFLOW = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}


def serving(model: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"namespace": "models", "predictor": {"model": model}, **fields}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "mlflow without its protocol: no runtime takes it": (
        serving({"modelFormat": {"name": "mlflow"}}), "needs `protocolVersion: v2`",
    ),
    "mlflow with the old protocol": (
        serving({"modelFormat": {"name": "mlflow"}, "protocolVersion": "v1"}), "needs `protocolVersion: v2`",
    ),
    "a share of the traffic": (
        {"namespace": "models", "predictor": {"model": MLFLOW, "canaryTrafficPercent": 10}}, "is not for people to set",
    ),
    "a legacy key of a framework": (
        {"namespace": "models", "predictor": {"sklearn": {"storageUri": "s3://m"}}}, "predictor.model.modelFormat",
    ),
    "a mode by its old name": (serving(MLFLOW, mode="RawDeployment"), "'Knative' or 'Standard'"),
    "a transformer that a canary's share would pass by": (
        {**serving(MLFLOW, mode="Standard"), "transformer": {"containers": []}}, "transformer cannot be used",
    ),
    "an explainer that a canary's share would pass by": (
        {**serving(MLFLOW, mode="Standard"), "explainer": {"containers": []}}, "explainer cannot be used",
    ),
    "a predictor's name where each release has one of its own": (
        {"namespace": "models", "mode": "Standard", "predictor": {"model": MLFLOW, "name": "mine"}},
        "name cannot be used",
    ),
    "several nodes, of which KServe makes no canary": (
        {"namespace": "models", "mode": "Standard", "predictor": {"model": MLFLOW, "workerSpec": {}}},
        "workerSpec cannot be used",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_serving_fields_that_kserve_would_misread_are_refused(sentence: str) -> None:
    fields, words = REFUSED[sentence]
    with pytest.raises(ValidationError, match=words):
        Serving.model_validate(fields)


@pytest.mark.parametrize("model", [MLFLOW, {"modelFormat": {"name": "mlflow"}, "runtime": "mine"}])
def test_mlflow_with_its_protocol_or_a_runtime_of_its_own_is_taken(model: dict[str, Any]) -> None:
    assert Serving.model_validate(serving(model)).predictor["model"] == model


@pytest.mark.parametrize("name", ["1iris", "Iris", "iris-", "i" * 41, "iris.v2"])
def test_a_name_that_kserve_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Metadata(name=name)


@pytest.mark.parametrize("traffic", [-1, 0, 100, 101, 10.5, "10"])
def test_a_share_that_the_cluster_would_take_and_that_is_none_is_refused(traffic: object) -> None:
    with pytest.raises(ValidationError):
        Rollout.model_validate({"steps": [{"traffic": traffic, "hold": "1m"}]})
