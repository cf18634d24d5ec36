"""What the stand-in writes fits KServe's own CustomResourceDefinition, where that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.demo.kserve.conftest import World, eventually

CRD = Path(__file__).parents[4] / "shared" / "kserve" / "inferenceservices.yaml"


@pytest.mark.skipif(not CRD.is_file(), reason="KServe's definitions are not beside this repository")
def test_a_canary_in_every_state_fits_the_definition(world: World, models: dict[str, str]) -> None:
    definition = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    schema = definition["spec"]["versions"][-1]["schema"]["openAPIV3Schema"]
    world.apply("schema", models["v1"], canary=None)
    eventually(lambda: world.settled("schema", 1))
    world.apply("schema", models["v2"], canary=20)
    eventually(lambda: world.settled("schema", 2))
    world.apply("schema", models["broken"], canary=20)
    eventually(lambda: world.condition("schema", "Ready") == "False")
    status = world.get("schema")["status"]
    jsonschema.validate(status, schema["properties"]["status"])
    assert list(_pruned(status, schema["properties"]["status"], "status")) == []


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
