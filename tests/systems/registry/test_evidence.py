"""What is read of a version that was really logged: metrics, location, signature, files, input example."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import Refused
from reconciler.observed import Column, ModelVersion, VersionEvidence
from reconciler.systems.registry.artifacts import read_file
from reconciler.systems.registry.rest import MlflowRegistry
from tests.conftest import MlflowServer
from tests.systems.registry.conftest import Somebody, registry_at

LOGGED = "logged-by-evidence-tests"
FORMS = {"table": 1, "matrix": 2, "plain": 3}


@pytest.fixture(scope="module")
def logged(mlflow_server: MlflowServer) -> str:
    """Return the name of a model with one version of each form."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": mlflow_server.url}
    for form in FORMS:
        command = [sys.executable, "-W", "ignore", "-m", "tests.systems.registry.logged", LOGGED, form]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    return LOGGED


def version(registry: MlflowRegistry, name: str, number: int) -> ModelVersion:
    model = registry.read(name)
    assert model is not None
    found = model.get(number)
    assert found is not None
    return found


def evidence(registry: MlflowRegistry, name: str, form: str) -> VersionEvidence:
    return registry.evidence(name, version(registry, name, FORMS[form]))


def test_metrics_are_the_newest_and_nan_and_infinity_survive(registry: MlflowRegistry, logged: str) -> None:
    metrics = evidence(registry, logged, "table").metrics

    assert metrics["accuracy"] == 0.9
    assert math.isnan(metrics["nothing"])
    assert (metrics["up"], metrics["down"]) == (math.inf, -math.inf)


def test_the_artifact_is_found_where_mlflow_keeps_it(
    registry: MlflowRegistry, logged: str, mlflow_server: MlflowServer
) -> None:
    location = evidence(registry, logged, "table").artifact_uri

    assert location.startswith("mlflow-artifacts:/")
    assert (mlflow_server.artifacts / location.removeprefix("mlflow-artifacts:/") / "MLmodel").is_file()


def test_the_signature_of_named_columns(registry: MlflowRegistry, logged: str) -> None:
    signature = evidence(registry, logged, "table").signature

    assert signature is not None
    assert signature.inputs == (Column("width", "double"), Column("petals", "long"))
    assert signature.outputs == (Column(None, "int64[-1]"),)


def test_the_signature_of_a_tensor(registry: MlflowRegistry, logged: str) -> None:
    signature = evidence(registry, logged, "matrix").signature

    assert signature is not None
    assert signature.inputs == (Column(None, "float64[-1,2]"),)


def test_a_version_without_signature_has_none(registry: MlflowRegistry, logged: str) -> None:
    assert evidence(registry, logged, "plain").signature is None


def test_the_input_example_of_a_table_has_named_rows(registry: MlflowRegistry, logged: str) -> None:
    assert registry.input_rows(logged, FORMS["table"]) == [{"width": 1.5, "petals": 1}, {"width": 2.5, "petals": 2}]


def test_the_input_example_of_a_matrix_has_lists(registry: MlflowRegistry, logged: str) -> None:
    assert registry.input_rows(logged, FORMS["matrix"]) == [[1.5, 1.0], [2.5, 2.0]]


def test_without_an_input_example_there_are_no_rows(registry: MlflowRegistry, logged: str) -> None:
    assert registry.input_rows(logged, FORMS["plain"]) is None


def test_a_file_of_the_artifact_is_read_and_a_missing_one_is_none(registry: MlflowRegistry, logged: str) -> None:
    assert b"scikit-learn" in (registry.artifact(logged, 1, "requirements.txt") or b"")
    assert registry.artifact(logged, 1, "no/such file.txt") is None


@pytest.mark.parametrize("path", ["../MLmodel", "a/../../b", "a\\..\\b", "x\0y"])
def test_a_path_that_leaves_the_artifact_is_refused(registry: MlflowRegistry, logged: str, path: str) -> None:
    with pytest.raises(Refused, match="leaves the artifact's folder"):
        registry.artifact(logged, 1, path)


def test_a_file_above_4_mib_is_refused(registry: MlflowRegistry, logged: str, mlflow_server: MlflowServer) -> None:
    location = evidence(registry, logged, "table").artifact_uri
    folder = mlflow_server.artifacts / location.removeprefix("mlflow-artifacts:/")
    (folder / "fits.bin").write_bytes(bytes(4 * 1024 * 1024))
    (folder / "large.bin").write_bytes(bytes(4 * 1024 * 1024 + 1))

    assert len(registry.artifact(logged, 1, "fits.bin") or b"") == 4 * 1024 * 1024
    with pytest.raises(Refused, match="larger than 4194304 bytes"):
        registry.artifact(logged, 1, "large.bin")


@pytest.mark.parametrize("source", ["s3://models/x", "gs://models/x", "dbfs:/x"])
def test_artifacts_elsewhere_are_refused_with_advice_and_cost_no_evidence(
    registry: MlflowRegistry, somebody: Somebody, name: str, source: str
) -> None:
    somebody.model(name, versions=1, source=source)

    with pytest.raises(Refused, match="is not read from here") as refused:
        registry.artifact(name, 1, "MLmodel")
    assert "--serve-artifacts" in refused.value.help
    assert registry.evidence(name, version(registry, name, 1)) == VersionEvidence({}, source, None)


@pytest.mark.parametrize(
    "location", ["mlflow-artifacts://elsewhere:80/x", "https://elsewhere/api/2.0/mlflow-artifacts/artifacts/x"]
)
def test_credentials_never_go_to_another_server(location: str) -> None:
    """MLflow refuses such sources by now, an older one may hold them: so the reader is asked directly."""
    with registry_at("http://127.0.0.1:1") as registry, pytest.raises(Refused, match="is not read from here"):
        read_file(registry._transport, location, "MLmodel")


def test_a_local_path_is_read_on_the_machine_of_the_server(tmp_path: Path) -> None:
    """MLflow refuses local sources from outside, so the reader is asked directly."""
    (tmp_path / "art").mkdir()
    (tmp_path / "art" / "MLmodel").write_bytes(b"flavors: {}")
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "art" / "link").symlink_to(tmp_path / "secret")
    with registry_at("http://127.0.0.1:1") as near, registry_at("http://mlflow.example:80") as far:
        for location in (f"file://{tmp_path}/art", f"{tmp_path}/art"):
            assert read_file(near._transport, location, "MLmodel") == b"flavors: {}"
            assert read_file(near._transport, location, "none") is None
            assert read_file(near._transport, location, "link") is None
            with pytest.raises(Refused, match="on the MLflow server's machine"):
                read_file(far._transport, location, "MLmodel")
