"""Registries of every kind, each with the hands of somebody else who writes to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx

from reconciler.observed import ModelVersion, RegisteredModel, Stage
from reconciler.ports import Registry
from tests.conftest import MlflowServer
from tests.simulation.faults import Fault, Faults
from tests.simulation.registry import SimRegistry
from tests.simulation.wire.mlflow_api import MLMODEL
from tests.simulation.wire.registry import WireRegistry
from tests.systems.registry.conftest import Somebody, registry_at

Metrics = Mapping[str, float]
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Bench(Protocol):
    """A registry, and what people and pipelines do to it."""

    @property
    def registry(self) -> Registry:
        """Return the port that is under test."""

    def create(self, name: str) -> None:
        """Create a model without versions."""

    def register(self, name: str, tags: Mapping[str, str], metrics: Metrics) -> int:
        """Add a version of a model, which is created if need be, with a run that logged these metrics."""

    def drop(self, name: str, version: int) -> None:
        """Delete a version."""

    def stage(self, name: str, version: int, stage: Stage) -> None:
        """Set a version's stage and leave the others."""

    def alias(self, name: str, alias: str, version: int | None) -> None:
        """Point an alias, or remove it."""

    def log_example(self, name: str, version: int, rows: list[list[float]]) -> None:
        """Put an input example beside a version's model."""

    def rename(self, name: str, new: str) -> None:
        """Rename a model."""

    def delete(self, name: str) -> None:
        """Delete a model."""


def _no_fault(_: str) -> Fault:
    return Fault.CALM


@dataclass(slots=True)
class SimulatedBench:
    """The simulated registry, at the port or behind the real adapter."""

    registry: SimRegistry
    times: Iterator[datetime] = field(
        default_factory=lambda: (START + timedelta(seconds=n) for n in itertools.count(1))
    )

    def create(self, name: str) -> None:
        self.registry.create(name)

    def register(self, name: str, tags: Mapping[str, str], metrics: Metrics) -> int:
        return self.registry.register(name, tags, metrics, next(self.times))

    def drop(self, name: str, version: int) -> None:
        self.registry.drop(name, version)

    def stage(self, name: str, version: int, stage: Stage) -> None:
        self.registry._move(name, version, stage)

    def alias(self, name: str, alias: str, version: int | None) -> None:
        self.registry._point(name, alias, version)

    def log_example(self, name: str, version: int, rows: list[list[float]]) -> None:
        assert rows == [[float(version), 0.0]], f"{name}: what every simulated version has"

    def rename(self, name: str, new: str) -> None:
        self.registry.rename(name, new)

    def delete(self, name: str) -> None:
        self.registry._delete(name)


def simulated() -> SimulatedBench:
    """Return the port-level simulation."""
    return SimulatedBench(SimRegistry(Faults(_no_fault, lambda: START)))


def over_the_wire() -> SimulatedBench:
    """Return the simulation behind the real adapter; nothing ever waits."""
    return SimulatedBench(WireRegistry(Faults(_no_fault, lambda: START), clock=lambda: START, wait=_never))


def _never(seconds: float) -> None:
    raise AssertionError(f"nothing fails here, yet {seconds} s were waited")


@dataclass(frozen=True, slots=True)
class MlflowBench:
    """A real MLflow server; `experiment` holds the runs."""

    registry: Registry
    somebody: Somebody
    experiment: str
    origin: str

    def create(self, name: str) -> None:
        self.somebody.model(name)

    def register(self, name: str, tags: Mapping[str, str], metrics: Metrics) -> int:
        if self.registry.read(name) is None:
            self.create(name)
        made = self.somebody.call("POST", "runs/create", experiment_id=self.experiment, start_time=1)
        run_id = made["run"]["info"]["run_id"]
        logged = [{"key": k, "value": _written(v), "timestamp": 1, "step": 0} for k, v in metrics.items()]
        self.somebody.call("POST", "runs/log-batch", run_id=run_id, metrics=logged)
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        source = f"{made['run']['info']['artifact_uri']}/model"
        body: dict[str, Any] = {"name": name, "source": source, "run_id": run_id, "tags": listed}
        return int(self.somebody.call("POST", "model-versions/create", **body)["model_version"]["version"])

    def drop(self, name: str, version: int) -> None:
        self.somebody.call("DELETE", "model-versions/delete", name=name, version=str(version))

    def stage(self, name: str, version: int, stage: Stage) -> None:
        self.somebody.stage(name, version, stage.value)

    def alias(self, name: str, alias: str, version: int | None) -> None:
        if version is None:
            self.somebody.call("DELETE", "registered-models/alias", name=name, alias=alias)
        else:
            self.somebody.alias(name, alias, version)

    def log_example(self, name: str, version: int, rows: list[list[float]]) -> None:
        given: dict[str, Any] = {"name": name, "version": str(version)}
        location = self.somebody.call("GET", "model-versions/get-download-uri", **given)["artifact_uri"]
        folder = location.replace("mlflow-artifacts:", "/api/2.0/mlflow-artifacts/artifacts")
        files = {"MLmodel": MLMODEL, "input_example.json": json.dumps(rows).encode()}
        for file, content in files.items():
            self.somebody.client.put(f"{self.origin}{folder}/{file}", content=content).raise_for_status()

    def rename(self, name: str, new: str) -> None:
        self.somebody.call("POST", "registered-models/rename", name=name, new_name=new)

    def delete(self, name: str) -> None:
        self.somebody.call("DELETE", "registered-models/delete", name=name)


def _written(value: float) -> float | str:
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return words.get(str(value), value)


def real(server: MlflowServer) -> Iterator[MlflowBench]:
    """Open a real server."""
    with (
        httpx.Client(base_url=f"{server.url}/api/2.0/mlflow/", timeout=30, trust_env=False) as client,
        registry_at(server.url, timeout=30) as registry,
    ):
        somebody = Somebody(client)
        found = client.get("experiments/get-by-name", params={"experiment_name": "contracts"})
        if found.status_code == 404:
            found = client.post("experiments/create", json={"name": "contracts"})
        answer = found.raise_for_status().json()
        experiment = answer.get("experiment", answer)["experiment_id"]
        yield MlflowBench(registry, somebody, experiment, server.url)


def without_names(model: RegisteredModel | None) -> object:
    """Return what two registries must agree on: everything but the runs, sources and times that each makes itself."""
    return model and (model.tags, [_plain(v) for v in model.versions])


def _plain(v: ModelVersion) -> object:
    return v.version, v.stage, v.aliases, dict(v.tags), v.ready
