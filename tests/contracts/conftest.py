"""The real MLflow server, opened once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MlflowServer
from tests.contracts.registries import MlflowBench, real


@pytest.fixture(scope="session")
def mlflow(mlflow_server: MlflowServer) -> Iterator[MlflowBench]:
    yield from real(mlflow_server)
