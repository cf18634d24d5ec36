"""A fleet of models in sync: a Git repository, a real MLflow server and the embedded Kubernetes API, both processes."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import sqlalchemy as sa

from reconciler.audit import tables
from reconciler.audit.database import open_database
from reconciler.audit.record import canonical
from reconciler.demo.processes import child
from reconciler.desired.state import DesiredModel
from reconciler.settings import GitSettings, KubernetesSettings, MlflowSettings, Settings, TrainingSettings
from reconciler.source.git import GitSource
from tests.bench import cluster_state, registry_rows
from tests.bench.fleet import Repository
from tests.source.repositories import Kept

START_SECONDS = 180.0
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True, slots=True)
class Mlflow:
    """A running MLflow server and its database."""

    url: str
    database: Path


@dataclass(frozen=True, slots=True)
class World:
    """Where everything of a fleet is; `models` are the wishes at its first commit."""

    size: int
    folder: Path
    repository: Repository
    mlflow: Mlflow
    kubeconfig: Path
    kubernetes_url: str
    models: tuple[DesiredModel, ...]

    def settings(self, state: str) -> Settings:
        """Return the settings of a reconciler that keeps its state in this folder."""
        return Settings(
            state_dir=self.folder / state,
            git=GitSettings(url=str(self.repository.path)),
            mlflow=MlflowSettings(
                tracking_uri=self.mlflow.url,
                timeout=timedelta(minutes=5),
                artifact_destinations={"mlflow-artifacts:/": "s3://models/"},
            ),
            kubernetes=KubernetesSettings(kubeconfig=self.kubeconfig),
            training=TrainingSettings(backend="local"),
        )

    def remember_releases(self, state: str) -> None:
        """Record every release as applied, as the reconciler that rolled them out did."""
        database = open_database(self.settings(state).database_url)
        try:
            rows = [_release_row(m, v) for m in self.models for v in range(1, registry_rows.VERSIONS + 1)]
            with database.write() as connection:
                connection.execute(sa.insert(tables.release), rows)
        finally:
            database.close()


def _release_row(model: DesiredModel, version: int) -> dict[str, str]:
    record = cluster_state.record_of(model, version)
    return {
        "model": model.name,
        "release": str(record.release),
        "storage_uri": record.storage_uri,
        "serving": canonical(dict(record.serving)),
    }


@contextmanager
def running_world(folder: Path, size: int, mlflow: Mlflow) -> Iterator[World]:
    """Fill Git, the registry and Kubernetes with a fleet; it is taken out of the registry at the end."""
    folder.mkdir(parents=True)
    repository = Repository.make(folder / "repository.git", size)
    models = _models(repository, folder)
    names = [model.name for model in models]
    registry_rows.insert(mlflow.database, models)
    try:
        _check_registry(mlflow, models[-1])
        cluster_state.make(folder / "kubernetes", models)
        with running_kubernetes(folder) as url:
            yield World(size, folder, repository, mlflow, folder / "kubeconfig", url, models)
    finally:
        registry_rows.remove(mlflow.database, names)


def _models(repository: Repository, folder: Path) -> tuple[DesiredModel, ...]:
    source = GitSource(GitSettings(url=str(repository.path)), folder / "made", lambda: datetime.now(UTC), Kept())
    status = source.fetch()
    state = source.desired()
    assert state is not None, status
    assert not state.diagnostics, state.diagnostics[:3]
    return tuple(state.models.values())


def _check_registry(mlflow: Mlflow, model: DesiredModel) -> None:
    """Read one model over REST: the rows must be what the server itself would have written."""
    answer = httpx.get(
        f"{mlflow.url}/api/2.0/mlflow/registered-models/get", params={"name": model.name}, trust_env=False, timeout=60
    ).json()["registered_model"]
    stages = {v["current_stage"]: v["version"] for v in answer["latest_versions"]}
    newest = str(registry_rows.VERSIONS)
    assert stages["Production"] == newest, answer
    assert answer["aliases"] == [{"alias": "champion", "version": newest}], answer


@contextmanager
def running_mlflow(folder: Path) -> Iterator[Mlflow]:
    """Run an MLflow server with one worker over SQLite."""
    folder.mkdir(parents=True)
    port = _free_port()
    database = folder / "mlflow.db"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{database}",
        "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, **QUIET}
    with child(command, environment, folder / "mlflow.log", lambda: answers(f"{url}/health"), START_SECONDS):
        yield Mlflow(url, database)


@contextmanager
def running_kubernetes(folder: Path) -> Iterator[str]:
    """Run the embedded Kubernetes API over the state in `folder`, as a process of its own."""
    port = _free_port()
    command = [
        sys.executable, "-m", "reconciler.demo.kubeapi", "--port", str(port),
        "--state-dir", str(folder / "kubernetes"), "--kubeconfig", str(folder / "kubeconfig"),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    log = folder / "kubernetes.log"
    with child(command, os.environ, log, lambda: answers(f"{url}/version"), START_SECONDS):
        yield url


def answers(url: str) -> bool:
    """Tell whether a server answers."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Ask until the answer is true."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"{what}: still not after {seconds:g} s"
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
