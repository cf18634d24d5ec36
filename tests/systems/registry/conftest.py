"""The real registry, and the hands of somebody else who writes to it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from reconciler.registry_roles import RegistryWrites
from reconciler.settings import MlflowSettings
from reconciler.systems.registry.rest import MlflowRegistry
from tests.conftest import MlflowServer


@dataclass(frozen=True, slots=True)
class Somebody:
    """Writes to the registry by plain REST, as a user or a pipeline would."""

    client: httpx.Client

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        where: dict[str, Any] = {"params": body} if method == "GET" else {"json": body}
        answer: dict[str, Any] = self.client.request(method, path, **where).raise_for_status().json()
        return answer

    def model(self, name: str, versions: int = 0, source: str = "s3://models/somewhere") -> str:
        self.call("POST", "registered-models/create", name=name)
        for _ in range(versions):
            self.call("POST", "model-versions/create", name=name, source=source)
        return name

    def stage(self, name: str, version: int, stage: str) -> None:
        self.call("POST", "model-versions/transition-stage", name=name, version=str(version), stage=stage)

    def alias(self, name: str, alias: str, version: int) -> None:
        self.call("POST", "registered-models/alias", name=name, alias=alias, version=str(version))

    def last_updated(self, name: str, version: int) -> int:
        found = self.call("GET", "model-versions/get", name=name, version=str(version))
        return int(found["model_version"]["last_updated_timestamp"])


@pytest.fixture(scope="session")
def somebody(mlflow_server: MlflowServer) -> Iterator[Somebody]:
    with httpx.Client(base_url=f"{mlflow_server.url}/api/2.0/mlflow/", timeout=30, trust_env=False) as client:
        yield Somebody(client)


@pytest.fixture
def name() -> str:
    return f"model-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def registry(mlflow_server: MlflowServer) -> Iterator[MlflowRegistry]:
    with MlflowRegistry(MlflowSettings(tracking_uri=mlflow_server.url)) as opened:
        yield opened


def registry_at(
    url: str, writes: RegistryWrites = RegistryWrites.BOTH, timeout: float = 5.0, **settings: Any
) -> MlflowRegistry:
    """Open a registry with these settings."""
    return MlflowRegistry(
        MlflowSettings(tracking_uri=url, writes=writes, timeout=timedelta(seconds=timeout), **settings)
    )
