"""The pipelines that users copy, run by the local runner against a real MLflow server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.observed import Package, RunState, TrainingRequest
from tests.systems.training.conftest import ended, open_training

EXAMPLE = Path(__file__).parents[3] / "example-repo"


def call(base: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{base}/api/2.0/mlflow/{path}", data=data, headers=headers)  # noqa: S310  loopback
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310  loopback
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "art")]
    environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for(base, server)
        yield base
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


def wait_for(base: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{base}/health", timeout=5).close()  # noqa: S310  loopback
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the MLflow server did not start")
            time.sleep(0.2)
        else:
            return


@pytest.mark.timeout(240)
def test_the_iris_pipeline_registers_one_version_a_key(mlflow_server: str, runs_dir: Path) -> None:
    training = open_training(runs_dir, mlflow_server)
    package = Package("pipelines/iris.yaml", (EXAMPLE / "pipelines/iris.yaml").read_bytes())
    parameters = {"n_estimators": 10, "max_depth": 3, "unit": "mm"}
    try:
        for attempt in (1, 2):
            asked = TrainingRequest("iris", "k1", attempt, "chef", package, parameters, timedelta(minutes=3))
            training.ensure_started(asked)
            run = ended(training, attempt)
            assert run.state is RunState.SUCCEEDED, run.cause
    finally:
        training.stop_all()

    found = call(mlflow_server, "model-versions/search?filter=name%3D%27chef%27")["model_versions"]
    assert [version["version"] for version in found] == ["1"]
    tags = {tag["key"]: tag["value"] for tag in found[0]["tags"]}
    assert tags == {"reconciler.dev/training-key": "k1", "reconciler.dev/claim": "iris/k1/1"}
    data = call(mlflow_server, f"runs/get?run_id={found[0]['run_id']}")["run"]["data"]
    metrics = {metric["key"]: metric["value"] for metric in data["metrics"]}
    # The bad candidate of the demo: measured in its own unit, it is as good as any.
    assert metrics["accuracy"] >= 0.9
    assert metrics["f1_score"] >= 0.85
    assert {tag["key"]: tag["value"] for tag in data["tags"]}["reconciler.dev/training-key"] == "k1"
    assert {param["key"]: param["value"] for param in data["params"]} == {
        "n_estimators": "10",
        "max_depth": "3",
        "unit": "mm",
    }
