"""A KFP API whose runs end at once: each registers a version in the real registry, once for its key.

Only a run that is asked for the endless level runs until it is stopped.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.chaos.light import MODEL_FILE
from tests.conftest import MlflowServer
from tests.systems.training.kfp_server import Item, Kfp

KEY = "reconciler.dev/training-key"
ENDLESS = 1000
PARAMETERS = {
    "level": "NUMBER_INTEGER",
    "wrong": "BOOLEAN",
    "reconciler_training_key": "STRING",
    "reconciler_registered_model": "STRING",
}
PACKAGE = json.dumps(
    {
        "pipelineInfo": {"name": "tiny"},
        "components": {},
        "deploymentSpec": {},
        "root": {"inputDefinitions": {"parameters": {n: {"parameterType": t} for n, t in PARAMETERS.items()}}},
    }
)


@dataclass
class Trainer(Kfp):
    """Trains in no time."""

    mlflow: MlflowServer | None = None
    working: list[threading.Thread] = field(default_factory=list)

    def stamp(self) -> str:
        return datetime.now(UTC).isoformat().replace("+00:00", "Z")

    def create_run(self, body: Item) -> Item:
        run = super().create_run(body)
        run["state"] = "RUNNING"
        if body["runtime_config"]["parameters"]["level"] == ENDLESS:
            return run
        thread = threading.Thread(target=self._train, args=(run, body["runtime_config"]["parameters"]), daemon=True)
        self.working.append(thread)
        thread.start()
        return run

    def _train(self, run: Item, given: Item) -> None:
        assert self.mlflow is not None
        register(self.mlflow, given)
        with self.lock:
            run["state"], run["finished_at"] = "SUCCEEDED", self.stamp()

    def states(self) -> Counter[str]:
        """Count the runs by how they stand."""
        with self.lock:
            return Counter(run["state"] for run in self.runs)

    def started(self) -> Counter[str]:
        """Count the runs by what they were asked for."""
        return Counter(run["display_name"] for run in self.runs)


def register(mlflow: MlflowServer, given: Item) -> None:
    """Log a model and register it, as the last step of a pipeline does: a key that is registered is left alone."""
    name, key = given["reconciler_registered_model"], given["reconciler_training_key"]
    with httpx.Client(base_url=f"{mlflow.url}/api/2.0/mlflow/", timeout=30, trust_env=False) as client:

        def call(path: str, **body: Any) -> Any:
            return client.post(path, json=body).raise_for_status().json()

        made = client.post("registered-models/create", json={"name": name})
        assert made.is_success or "RESOURCE_ALREADY_EXISTS" in made.text
        known = client.get("model-versions/search", params={"filter": f"name='{name}'", "max_results": 100}).json()
        if any(tag == {"key": KEY, "value": key} for v in known.get("model_versions", []) for tag in v.get("tags", [])):
            return
        run = call("runs/create", experiment_id="0")["run"]["info"]
        call("runs/log-metric", run_id=run["run_id"], key="accuracy", value=0.95, timestamp=1, step=0)
        where = mlflow.artifacts / "0" / run["run_id"] / "artifacts" / "model"
        where.mkdir(parents=True)
        model = {"level": given["level"], "wrong": given["wrong"]}
        (where / MODEL_FILE).write_text(json.dumps(model), encoding="utf-8")
        call(
            "model-versions/create",
            name=name,
            source=f"{run['artifact_uri']}/model",
            run_id=run["run_id"],
            tags=[{"key": KEY, "value": key}],
        )
