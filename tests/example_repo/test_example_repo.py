"""What users copy is valid, compiled from its sources, and good for the story that the demo tells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reconciler.desired.checks import InputFile
from reconciler.desired.documents import Model, RepositoryPolicy
from reconciler.observed import Package
from reconciler.systems.training.package import RESERVED, arguments, read_package
from tests.systems.training.conftest import request

REPO = Path(__file__).parents[2] / "example-repo"
MODELS = sorted(path.stem for path in (REPO / "models").glob("*.yaml"))


def model(name: str) -> Model:
    return Model.model_validate(yaml.safe_load((REPO / f"models/{name}.yaml").read_text(encoding="utf-8")))


def probe(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPO / f"probes/{name}.json").read_text(encoding="utf-8"))
    return found


def test_there_are_two_models() -> None:
    assert MODELS == ["diabetes", "iris"]


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_of_a_model_fit_its_pipeline(name: str) -> None:
    training = model(name).spec.training
    assert training is not None
    path = training.kubeflow_pipeline.package
    assert isinstance(path, str)
    package = Package(path, (REPO / path).read_bytes())
    compiled = read_package(package)
    given = arguments(compiled, request(package, training.parameters), "http://mlflow")
    assert set(RESERVED) <= set(given) == set(compiled.inputs)


@pytest.mark.parametrize("name", MODELS)
def test_the_probes_of_a_model_are_rows_with_answers(name: str) -> None:
    (check,) = model(name).spec.rollout.analysis
    assert check.probe is not None
    assert isinstance(check.probe.inputs, InputFile)
    assert check.probe.inputs.file == f"probes/{name}.json"
    rows = probe(name)
    assert len(rows["inputs"]) == len(rows["expected"]) >= 10
    assert len({len(row) for row in rows["inputs"]}) == 1


def test_the_policy_allows_what_the_models_ask() -> None:
    policy = RepositoryPolicy.model_validate(yaml.safe_load((REPO / "policy.yaml").read_text(encoding="utf-8")))
    for name in MODELS:
        serving = model(name).spec.serving
        assert serving is not None
        assert serving.namespace in policy.spec.allowed_namespaces


def test_the_packages_are_compiled_from_their_sources() -> None:
    command = [sys.executable, str(REPO / "compile.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_editor_finds_the_schemas_of_the_files_that_it_names() -> None:
    schemas = json.loads((REPO / ".vscode/settings.json").read_text(encoding="utf-8"))["yaml.schemas"]
    for schema, files in schemas.items():
        assert list(REPO.glob(files)), files
        for file in REPO.glob(files):
            first = file.read_text(encoding="utf-8").splitlines()[0]
            named = first.removeprefix("# yaml-language-server: $schema=")
            assert (file.parent / named).resolve() == (REPO / schema).resolve()


def agreement(answers: list[float], name: str, tolerance: float = 0) -> float:
    expected: list[float] = probe(name)["expected"]
    agreed = [abs(a - e) <= tolerance * abs(e) for a, e in zip(answers, expected, strict=True)]
    return sum(agreed) / len(agreed)


@pytest.mark.parametrize(("scale", "good"), [(1.0, True), (10.0, False)], ids=["cm", "mm"])
@pytest.mark.parametrize("n_estimators", [50, 100])
def test_probes_tell_centimetres_from_millimetres_which_gates_cannot(
    scale: float, good: bool, n_estimators: int
) -> None:
    features, classes = load_iris(return_X_y=True)
    parts = train_test_split(features * scale, classes, test_size=50, random_state=0, stratify=classes)
    forest = RandomForestClassifier(n_estimators=n_estimators, max_depth=4, random_state=0).fit(parts[0], parts[2])
    assert forest.score(parts[1], parts[3]) >= 0.9
    agreed = agreement(forest.predict(probe("iris")["inputs"]).tolist(), "iris")
    assert (agreed == 1.0) if good else (agreed < 0.5)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_a_sensible_ridge_answers_the_diabetes_probes(alpha: float) -> None:
    features, target = load_diabetes(return_X_y=True, scaled=False)
    parts = train_test_split(features, target, test_size=100, random_state=0)
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=alpha)).fit(parts[0], parts[2])
    probed = model("diabetes").spec.rollout.analysis[0].probe
    assert probed is not None
    check = probed.agreement
    assert check is not None
    assert agreement(ridge.predict(probe("diabetes")["inputs"]).tolist(), "diabetes", check.tolerance) >= check.min
