"""What is written to Kubernetes, and the status that these tests play, satisfy KServe's own schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reconciler.desired.documents import Model
from reconciler.desired.serving import Serving
from reconciler.manifest import inference_service, release_of, serving_fields, under_name
from reconciler.observed import ReleaseRecord
from tests.systems.serving.world import manifest, ready_status

ROOT = Path(__file__).resolve().parents[3]
DEFINITION = ROOT.parent / "shared" / "kserve" / "inferenceservices.yaml"
Json = dict[str, Any]

pytestmark = pytest.mark.skipif(not DEFINITION.exists(), reason=f"KServe's definition is not at {DEFINITION}")

MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
PREDICTORS: dict[str, Json] = {
    "a bare model": {"model": MODEL},
    "resources, replicas and scaling": {
        "model": {**MODEL, "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": 1, "memory": "1Gi"}}},
        "minReplicas": 0,
        "maxReplicas": 3,
        "scaleTarget": 10,
        "scaleMetric": "concurrency",
    },
    "environment, arguments and a service account": {
        "model": {**MODEL, "env": [{"name": "A", "value": "1"}], "args": ["--workers=2"], "runtime": "mlserver"},
        "serviceAccountName": "reader",
        "timeout": 60,
    },
    "a logger, a batcher, tolerations": {
        "model": MODEL,
        "logger": {"mode": "all", "url": "http://sink"},
        "batcher": {"maxBatchSize": 8, "maxLatency": 50},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    },
    "labels and annotations of the pods": {"model": MODEL, "labels": {"team": "a"}, "annotations": {"b": "c"}},
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    definition = yaml.load(DEFINITION.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return jsonschema.Draft202012Validator(strict(schema))


def strict(schema: Any) -> Any:
    """Close every object, as the API server prunes or refuses what a schema does not name; int-or-string is both."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(value) for name, value in schema.items()}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not keeps:
        closed["additionalProperties"] = False
    return closed


def problems(validator: jsonschema.Draft202012Validator, obj: Json) -> list[str]:
    # The API server knows metadata by itself; a CRD only says that it is an object.
    checked = {name: value for name, value in obj.items() if name != "metadata"}
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(checked)]


@pytest.mark.parametrize("canary", [None, 0, 50])
@pytest.mark.parametrize("predictor", PREDICTORS.values(), ids=PREDICTORS.keys())
def test_what_is_applied(validator: jsonschema.Draft202012Validator, predictor: Json, canary: int | None) -> None:
    serving = Serving.model_validate({"namespace": "models", "predictor": predictor})
    record = ReleaseRecord(release_of(3, serving), "s3://models/3", serving_fields(serving))

    assert problems(validator, inference_service("iris", record, canary)) == []


def standard(version: int, predictor: Json) -> ReleaseRecord:
    fields = {**predictor, "minReplicas": predictor.get("minReplicas") or 1}
    serving = Serving.model_validate({"namespace": "models", "mode": "Standard", "predictor": fields})
    return ReleaseRecord(release_of(version, serving), f"s3://models/{version}", serving_fields(serving))


@pytest.mark.parametrize("share", [None, 0, 50, 100])
@pytest.mark.parametrize("predictor", PREDICTORS.values(), ids=PREDICTORS.keys())
def test_what_is_applied_in_standard_mode(
    validator: jsonschema.Draft202012Validator, predictor: Json, share: int | None
) -> None:
    candidate, stable = standard(4, predictor), standard(3, PREDICTORS["a bare model"])

    assert problems(validator, inference_service("iris", candidate, share, stable)) == []


@pytest.mark.parametrize("name", ["", "v3-aaaaa"])
def test_what_is_applied_in_standard_mode_for_a_predictor_that_keeps_its_name(
    validator: jsonschema.Draft202012Validator, name: str
) -> None:
    heir = under_name(standard(4, PREDICTORS["a bare model"]), name)
    manifest = inference_service("iris", heir, None)

    assert manifest["spec"]["predictor"].get("name", "") == name
    assert problems(validator, manifest) == []
    assert problems(validator, inference_service("iris", standard(4, PREDICTORS["a bare model"]), 100, heir)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "example-repo" / "models").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_the_example_repository_asks_for(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    model = Model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert model.spec.serving is not None
    record = ReleaseRecord(release_of(1, model.spec.serving), "gs://models/1", serving_fields(model.spec.serving))

    assert problems(validator, inference_service(model.metadata.name, record, 10)) == []


def test_the_status_that_is_played(validator: jsonschema.Draft202012Validator) -> None:
    played = {**manifest("models", "iris"), "status": ready_status("iris-predictor-00001")}

    assert problems(validator, played) == []


def test_a_misspelt_field_would_be_found(validator: jsonschema.Draft202012Validator) -> None:
    wrong = manifest("models", "iris", minReplica=1)

    assert problems(validator, wrong)
