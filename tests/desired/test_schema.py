"""The JSON Schemas that are checked in."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from reconciler import schemas_command
from reconciler.desired.schema import schema, schemas
from tests.desired.test_stored import FULL
from tests.desired.world import model, policy

ROOT = Path(__file__).parents[2]
EXAMPLES = [*sorted(ROOT.glob("example-repo/models/*.yaml")), ROOT / "example-repo" / "policy.yaml"]

VALID = {
    "a model with every kind of field": model("iris", FULL),
    "a model with nothing but a name": model(),
    "a policy": policy('freezes: [{name: weekend, start: "0 18 * * 5", duration: 60h}]'),
}
INVALID = {
    "an unknown field": model("iris", "x: 1"),
    "a version that is a number": model("iris", "promotion: {version: 7}"),
    "a gate of no kind": model("iris", "promotion: {gates: [{min: 1}]}"),
    "a gate of two kinds": model("iris", "promotion: {gates: [{metric: a, min: 1, signature: compatible}]}"),
    "a duration without a unit": model("iris", 'rollout: {deadline: "90"}'),
    "a name with capitals": model("Iris"),
}


def validator_of(text: str) -> tuple[jsonschema.Draft202012Validator, object]:
    value = yaml.safe_load(text)
    return jsonschema.Draft202012Validator(schema(value["kind"])), value


def test_schemas_are_fresh() -> None:
    """If this fails: python -m reconciler.schemas_command --write, and commit."""
    assert schemas_command.stale(ROOT / "schemas") == []


def test_check_says_what_is_stale_and_write_makes_it_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas_command.main(["--check"], tmp_path) == 1
    assert "stale: Model.json, RepositoryPolicy.json" in capsys.readouterr().err
    assert schemas_command.main(["--write"], tmp_path) == 0
    assert schemas_command.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("kind", ["Model", "RepositoryPolicy"])
def test_schema_is_a_schema_and_names_no_host(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(kind))
    assert "://" not in schema(kind)["$id"]
    assert json.loads(schemas()[f"{kind}.json"]) == schema(kind)


def test_defaults_are_written_as_people_write_them() -> None:
    training = schema("Model")["$defs"]["Training"]["properties"]
    assert training["timeout"]["default"] == "2h"
    assert training["retries"]["default"] == {"limit": 2, "backoff": "10m"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_validate(path: Path) -> None:
    validator, value = validator_of(path.read_text(encoding="utf-8"))
    assert list(validator.iter_errors(value)) == []


@pytest.mark.parametrize("case", VALID)
def test_valid_documents_validate(case: str) -> None:
    validator, value = validator_of(VALID[case])
    assert list(validator.iter_errors(value)) == []


@pytest.mark.parametrize("case", INVALID)
def test_invalid_documents_do_not(case: str) -> None:
    validator, value = validator_of(INVALID[case])
    assert list(validator.iter_errors(value)) != []
