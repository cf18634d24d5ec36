"""The fields of ours that an apply would change."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.systems.serving.difference import changed_fields

Json = dict[str, Any]


def obj(spec: Json, **metadata: Any) -> Json:
    return {"metadata": {"name": "iris", **metadata}, "spec": spec, "status": {"at": metadata.get("generation")}}


MANIFEST = obj({"predictor": {"minReplicas": 1, "model": {"env": [{"name": "A", "value": "1"}]}}})
CASES: dict[str, tuple[Json, Json, tuple[str, ...]]] = {
    "nothing differs": (obj({"a": 1}), obj({"a": 1}), ()),
    "what the server keeps for itself does not count": (
        obj({"a": 1}, generation=1, resourceVersion="1", managedFields=[1]),
        obj({"a": 1}, generation=2, resourceVersion="2", managedFields=[2]),
        (),
    ),
    "a value of ours": (
        obj({"predictor": {"minReplicas": 5}}),
        obj({"predictor": {"minReplicas": 1}}),
        ("spec.predictor.minReplicas",),
    ),
    "a value of ours that is missing": (
        obj({"predictor": {}}),
        obj({"predictor": {"minReplicas": 1}}),
        ("spec.predictor.minReplicas",),
    ),
    "a whole part of ours that is missing": (obj({}), obj({"predictor": {"minReplicas": 1}}), ("spec.predictor",)),
    "what the apply would take away was ours": (
        obj({"predictor": {"canaryTrafficPercent": 10}}),
        obj({"predictor": {}}),
        ("spec.predictor.canaryTrafficPercent",),
    ),
    "what admission would add is not ours": (
        obj({"predictor": {}}),
        obj({"predictor": {"timeout": 30}}, annotations={"modelFormat": "mlflow"}),
        (),
    ),
    "an item of a list": (
        obj({"predictor": {"model": {"env": [{"name": "A", "value": "2"}]}}}),
        obj({"predictor": {"model": {"env": [{"name": "A", "value": "1"}]}}}),
        ("spec.predictor.model.env[0].value",),
    ),
    "a list of another length": (
        obj({"predictor": {"model": {"env": []}}}),
        obj({"predictor": {"model": {"env": [{"name": "A", "value": "1"}]}}}),
        ("spec.predictor.model.env",),
    ),
}


@pytest.mark.parametrize(("live", "applied", "expected"), CASES.values(), ids=CASES.keys())
def test_changed_fields(live: Json, applied: Json, expected: tuple[str, ...]) -> None:
    assert changed_fields(MANIFEST, live, applied) == expected
