"""What the stand-in writes fits KServe's own CustomResourceDefinition, where that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.demo.kserve.conftest import World, canary, eventually, predictor

CRD = Path(__file__).parents[4] / "shared" / "kserve" / "inferenceservices.yaml"
pytestmark = pytest.mark.skipif(not CRD.is_file(), reason="KServe's definitions are not beside this repository")


def test_a_canary_in_every_state_fits_the_definition(world: World, models: dict[str, str]) -> None:
    world.apply("schema", models["v1"], canary=None)
    eventually(lambda: world.settled("schema", 1))
    world.apply("schema", models["v2"], canary=20)
    eventually(lambda: world.settled("schema", 2))
    world.apply("schema", models["broken"], canary=20)
    eventually(lambda: world.condition("schema", "Ready") == "False")
    assert list(_misfits(world.get("schema"))) == []


def test_standard_mode_with_and_without_a_ready_canary_fits_the_definition(
    world: World, models: dict[str, str]
) -> None:
    stable = predictor("r1", models["v1"])
    world.apply_standard("fits", stable, canary("r2", models["v2"], 20))
    eventually(lambda: world.condition("fits", "CanaryPredictorReady") == "True")
    assert list(_misfits(world.get("fits"))) == []
    world.apply_standard("fits", stable, canary("r2", models["broken"], 20))
    eventually(lambda: world.deployments("fits")["r2"]["status"].get("unavailableReplicas"))
    world.apply_standard("fits", predictor("r1", "file:///nowhere"), canary("r3", models["v2"], 20))
    eventually(lambda: "lastFailureInfo" in world.get("fits")["status"]["modelStatus"])
    assert list(_misfits(world.get("fits"))) == []


def _misfits(isvc: dict[str, Any]) -> Iterator[str]:
    """Say what of an object KServe's definition refuses, and which fields of its status would be dropped."""
    definition = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    schema = definition["spec"]["versions"][-1]["schema"]["openAPIV3Schema"]
    for error in jsonschema.Draft202012Validator(schema).iter_errors(isvc):
        yield error.message
    yield from _pruned(isvc["status"], schema["properties"]["status"], "status")


def _pruned(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Name the fields that a real API server would drop."""
    if isinstance(value, list):
        for item in value:
            yield from _pruned(item, schema.get("items", {}), f"{path}[]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if known is None:
                yield f"{path}.{name}"
            else:
                yield from _pruned(inner, known, f"{path}.{name}")
