"""`plan` and `apply` against a real MLflow server and a real Kubernetes client."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.demo.kubeapi import KubeApi
from reconciler.web.address import Address, write_address
from tests.cli.conftest import Repository, Run, serving
from tests.conftest import MlflowServer

SPEC = """\
apiVersion: reconciler.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec: {{}}
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry's side: a model with one version, written as a pipeline would."""

    client: httpx.Client
    name: str

    def register(self) -> None:
        self.client.post("registered-models/create", json={"name": self.name}).raise_for_status()
        body = {"name": self.name, "source": "s3://models/somewhere"}
        self.client.post("model-versions/create", json=body).raise_for_status()

    def stage(self) -> str:
        query = {"name": self.name, "version": "1"}
        found: dict[str, Any] = self.client.get("model-versions/get", params=query).raise_for_status().json()
        return str(found["model_version"]["current_stage"])


@pytest.fixture
def registry(mlflow_server: MlflowServer) -> Iterator[Registry]:
    with httpx.Client(base_url=f"{mlflow_server.url}/api/2.0/mlflow/", timeout=30, trust_env=False) as client:
        yield Registry(client, f"wine-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def settings(mlflow_server: MlflowServer, repository: Repository, registry: Registry, tmp_path: Path) -> Iterator[Path]:
    """Name real systems and a repository with one model that lives in the registry only."""
    for name in ("iris", "diabetes"):
        (repository.folder / "models" / f"{name}.yaml").unlink()
    (repository.folder / "models" / "wine.yaml").write_text(SPEC.format(name=registry.name))
    repository.commit("One model")
    path = tmp_path / "settings.yaml"
    with KubeApi.serve(None) as api:
        api.write_kubeconfig(tmp_path / "kubeconfig")
        found = {
            "stateDir": str(tmp_path / "state"),
            "git": {"url": str(repository.folder)},
            "mlflow": {"trackingUri": mlflow_server.url},
            "kubernetes": {"kubeconfig": str(tmp_path / "kubeconfig")},
            "training": {"backend": "local"},
        }
        path.write_text(json.dumps(found))
        yield path


def test_a_plan_asks_every_system_and_writes_to_none(
    run: Run, settings: Path, registry: Registry, tmp_path: Path, repository: Repository
) -> None:
    registry.register()
    done = run("plan", "-c", settings)
    assert done.exit_code == 2, done.stderr
    assert done.stdout.startswith("Compared main ")
    assert " with what is there now\n" in done.stdout
    assert f"# {registry.name}: " in done.stdout
    assert registry.stage() == "None"
    assert not (tmp_path / "state" / "ledger.db").exists()
    here = run("plan", repository.folder, "-c", settings)
    assert here.stdout.startswith("Compared the files here with what is there now\n")


def test_where_a_system_does_not_answer_the_plan_is_not_whole_and_says_why(
    run: Run, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_MLFLOW__TRACKING_URI", "http://127.0.0.1:9")
    done = run("plan", "-c", settings)
    assert done.exit_code == 1
    assert "some specs or systems could not be read" in done.stderr
    assert "waits for  an answer of the registry:" in done.stdout
    assert done.stdout.endswith("Plan: nothing to do. 1 model waits.\n")


def test_a_ref_that_git_does_not_have_is_an_error(run: Run, settings: Path) -> None:
    done = run("plan", "-c", settings, "--ref", "nope")
    assert done.exit_code == 1
    assert "nope" in done.stderr


def test_apply_does_what_it_showed_and_then_has_nothing_left(
    run: Run, settings: Path, registry: Registry, tmp_path: Path
) -> None:
    registry.register()
    done = run("apply", "-c", settings, "--yes")
    assert done.exit_code == 0, done.stderr
    assert f"✔ {registry.name}  Promote" in done.stdout
    assert done.stdout.endswith("1 of 1 in sync\n")
    assert registry.stage() == "Production"
    assert (tmp_path / "state" / "ledger.db").exists()
    again = run("apply", "-c", settings, "--yes")
    assert again.exit_code == 0
    assert "Promote" not in again.stdout
    assert run("plan", "-c", settings).exit_code == 0


def test_apply_of_what_waits_is_exit_code_2(run: Run, settings: Path, registry: Registry) -> None:
    done = run("apply", registry.name, "-c", settings, "--yes")
    assert done.exit_code == 2
    assert f"! {registry.name}: waits for a version that passes its gates" in done.stdout


def test_apply_asks_and_without_a_terminal_nobody_can_agree(run: Run, settings: Path, registry: Registry) -> None:
    registry.register()
    done = run("apply", "-c", settings)
    assert done.exit_code == 1
    assert "add --yes" in done.stderr
    assert registry.stage() == "None"


def test_apply_refuses_beside_a_running_service(run: Run, settings: Path, tmp_path: Path) -> None:
    with serving() as url:
        write_address(tmp_path / "state", Address(url, os.getpid()))
        done = run("apply", "-c", settings, "--yes")
    assert done.exit_code == 1
    assert "two would fight" in done.stderr


def test_apply_of_an_unknown_model_is_refused(run: Run, settings: Path) -> None:
    done = run("apply", "nobody", "-c", settings, "--yes")
    assert done.exit_code == 1
    assert "there is no model nobody" in done.stderr
